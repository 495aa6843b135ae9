"""The benchmarks' networks in PyTorch: the rival that a claim of speed is measured against.

A `Rival` computes from pdjax's own parameters what the network of that name computes, with what
PyTorch offers a careful user: weights laid out once, no gradients, changes in place, its compiler.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["FORMATS", "RIVALS", "Rival"]

FORMATS = ("channels_first", "channels_last", "compiled")
"""Ways to run: activations (n, c, h, w) or (n, h, w, c) in memory; the latter, compiled."""


class Rival:
    """A network in PyTorch: images (n, h, w, 3), RGB in [0, 1], to class probabilities (n, 1000).

    Parameters
    ----------
    name : str
        One of `RIVALS`.
    params : dict
        The network's parameters in pdjax: ``{layer: {"kernel", "bias"}}``, kernels (h, w, in, out).
    form : str
        One of `FORMATS`. ``"compiled"`` needs a C++ compiler, and up to a minute in the first call
        for each number of images.

    Raises
    ------
    ValueError
        If there is no such network or form.
    """

    def __init__(self, name: str, params: Mapping[str, Any], form: str = "channels_last") -> None:
        if name not in RIVALS or form not in FORMATS:
            raise ValueError(f"{name!r} as {form!r}: choose one of {list(RIVALS)} as {FORMATS}")
        self._network = _Network(RIVALS[name], params, form != "channels_first")
        if form == "compiled":
            # Frozen weights are packed once, as the convolutions want them.
            self._network.compile(
                fullgraph=True, dynamic=False, isolate_recompiles=True, options={"freezing": True}
            )

    @torch.inference_mode()
    def __call__(self, images: np.ndarray | Tensor) -> Tensor:
        """Return the class probabilities."""
        return self._network(torch.as_tensor(images))


class _Network(nn.Module):
    """The weights of a network, with the layers that need weights or their layout."""

    def __init__(
        self, of: Callable[[_Network, Tensor], Tensor], params: Mapping[str, Any], last: bool
    ) -> None:
        super().__init__()
        self._of, self._layout = of, torch.channels_last if last else torch.contiguous_format
        self._mean = self._constant(params.get("data", {"mean": (104, 117, 123)})["mean"])
        names = [name for name in params if name != "data"]
        # Lists, because the names of the compiler's parameters must not hold dots.
        self._index = {name: number for number, name in enumerate(names)}
        self._kernels = nn.ParameterList(self._constant(params[n]["kernel"]) for n in names)
        self._biases = nn.ParameterList(self._constant(params[n]["bias"]) for n in names)

    def forward(self, images: Tensor) -> Tensor:
        return self._of(self, images)

    def caffe_input(self, images: Tensor) -> Tensor:
        return self._moved(images.flip(-1).mul_(255).sub_(self._mean))

    def standardized(self, images: Tensor, mean: Any, deviation: Any) -> Tensor:
        return self._moved((images - torch.tensor(mean)).div_(torch.tensor(deviation)))

    def conv(
        self, x: Tensor, name: str, stride: int = 1, padding: int = 0, groups: int = 1
    ) -> Tensor:
        number = self._index[name]
        kernel, bias = self._kernels[number], self._biases[number]
        return F.conv2d(x, kernel, bias, stride, padding, 1, groups)

    def relu_conv(self, x: Tensor, name: str, *settings: int) -> Tensor:
        return self.conv(x, name, *settings).relu_()

    def same_conv(self, x: Tensor, name: str, stride: int = 1, groups: int = 1) -> Tensor:
        """Pad as TensorFlow does, with an odd zero at the end, convolve and apply ReLU6."""
        side, size = x.shape[-1], self._kernels[self._index[name]].shape[-1]
        pad, odd = divmod(max((-(-side // stride) - 1) * stride + size - side, 0), 2)
        if odd:
            x, pad = F.pad(x, (pad, pad + 1, pad, pad + 1)), 0
        return F.relu6(self.conv(x, name, stride, pad, groups), inplace=True)

    def dense(self, x: Tensor, name: str) -> Tensor:
        number = self._index[name]
        flat = x if x.ndim == 2 else x.permute(0, 2, 3, 1).flatten(1)
        return F.linear(flat, self._kernels[number], self._biases[number])

    def classify(self, x: Tensor, *names: str) -> Tensor:
        """Fully connected layers, with ReLU between them, and softmax."""
        for name in names[:-1]:
            x = self.dense(x, name).relu_()
        return self.dense(x, names[-1]).softmax(-1)

    def _moved(self, array: Tensor) -> Tensor:
        """From (n, h, w, c) to (n, c, h, w), in the layout in memory that was asked for."""
        return array.permute(0, 3, 1, 2).contiguous(memory_format=self._layout)

    def _constant(self, array: Any) -> nn.Parameter:
        value = torch.from_numpy(np.array(array, np.float32))
        if value.ndim == 4:
            value = self._moved(value.permute(3, 0, 1, 2))
        elif value.ndim == 2:
            value = value.T.contiguous()
        return nn.Parameter(value, requires_grad=False)


def _pool(x: Tensor, size: int, stride: int, padding: int = 0) -> Tensor:
    """Maximum over windows, their number rounded up as Caffe does."""
    return F.max_pool2d(x, size, stride, padding, ceil_mode=True)


def _norm(x: Tensor) -> Tensor:
    """Give what `F.local_response_norm` does for 5 channels and 1e-4, several times faster."""
    squares, count = F.pad(x * x, (0, 0, 0, 0, 2, 2)), x.shape[1]
    total = squares[:, :count] + squares[:, 1 : count + 1]
    for first in (2, 3, 4):
        total += squares[:, first : first + count]
    root = total.mul_(1e-4 / 5).add_(1).rsqrt_()
    return root.mul_(root.sqrt()).mul_(x)


def _alexnet(net: _Network, images: Tensor) -> Tensor:
    x = net.relu_conv(net.caffe_input(images), "conv1", 4)
    x = net.relu_conv(_pool(_norm(x), 3, 2), "conv2", 1, 2, 2)
    x = net.relu_conv(_pool(_norm(x), 3, 2), "conv3", 1, 1)
    x = net.relu_conv(net.relu_conv(x, "conv4", 1, 1, 2), "conv5", 1, 1, 2)
    return net.classify(_pool(x, 3, 2), "fc6", "fc7", "fc8")


def _googlenet(net: _Network, images: Tensor) -> Tensor:
    x = net.relu_conv(net.caffe_input(images), "conv1/7x7_s2", 2, 3)
    x = net.relu_conv(_norm(_pool(x, 3, 2)), "conv2/3x3_reduce")
    x = _pool(_norm(net.relu_conv(x, "conv2/3x3", 1, 1)), 3, 2)
    for stage in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"):
        name = f"inception_{stage}"
        a = net.relu_conv(x, f"{name}/1x1")
        b = net.relu_conv(net.relu_conv(x, f"{name}/3x3_reduce"), f"{name}/3x3", 1, 1)
        c = net.relu_conv(net.relu_conv(x, f"{name}/5x5_reduce"), f"{name}/5x5", 1, 2)
        d = net.relu_conv(_pool(x, 3, 1, 1), f"{name}/pool_proj")
        x = torch.cat((a, b, c, d), 1)
        x = _pool(x, 3, 2) if stage in ("3b", "4e") else x
    return net.classify(F.avg_pool2d(x, 7, 1), "loss3/classifier")


def _vgg16(net: _Network, images: Tensor) -> Tensor:
    x = net.standardized(images, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    for stage, count in enumerate((2, 2, 3, 3, 3), start=1):
        for index in range(1, count + 1):
            x = net.relu_conv(x, f"conv{stage}_{index}", 1, 1)
        x = _pool(x, 2, 2)
    return net.classify(x, "fc6", "fc7", "fc8")


def _efficientnet_lite0(net: _Network, images: Tensor) -> Tensor:
    x = net.same_conv(net.standardized(images, (127 / 255,) * 3, (128 / 255,) * 3), "stem", 2)
    for index in range(16):
        name, stride = f"blocks_{index}", 2 if index in (1, 3, 5, 11) else 1
        y = net.same_conv(x, f"{name}/expand") if index > 0 else x
        y = net.same_conv(y, f"{name}/depthwise", stride, y.shape[1])
        y = net.conv(y, f"{name}/project")
        x = y.add_(x) if y.shape == x.shape else y
    return net.classify(net.same_conv(x, "head").mean((2, 3)), "logits")


def _resnet18(net: _Network, images: Tensor) -> Tensor:
    x = net.standardized(images, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    x = F.max_pool2d(net.relu_conv(x, "conv1", 2, 3), 3, 2, 1)
    for stage in range(1, 5):
        for block in range(2):
            name, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            y = net.conv(net.relu_conv(x, f"{name}.conv1", stride, 1), f"{name}.conv2", 1, 1)
            x = y.add_(net.conv(x, f"{name}.downsample", 2) if stride == 2 else x).relu_()
    return net.classify(x.mean((2, 3)), "fc")


RIVALS = {
    "bvlc_alexnet": _alexnet,
    "bvlc_googlenet": _googlenet,
    "vgg16": _vgg16,
    "efficientnet_lite0": _efficientnet_lite0,
    "resnet18": _resnet18,
}
"""The networks by the names that pdjax and the benchmarks know them by."""
