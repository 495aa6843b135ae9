"""Well-known architectures in plain JAX, with random weights: what a person might bring along.

Each is a function of `Layers` and images, up to the scores, that reads like the paper's table.
Values do not matter for the time; activations keep their size, so that differences between engines
mean something.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

__all__ = ["NETWORKS", "Layers", "build"]

CLASSES = 1000


class Layers:
    """Layers in the order in which they are called, each with the next of the parameters.

    Without parameters they are drawn, and kept in ``drawn``. With ``first`` activations have their
    channels in front of space, and kernels are OIHW.
    """

    def __init__(self, params: Iterable[Any] | None = None, first: bool = False) -> None:
        self.first, self.drawn = first, []
        self._params, self._rng = params and iter(params), np.random.default_rng(0)

    def weights(self, *shape: int, scale: float, mean: float = 0.0) -> Any:
        """The next parameters."""
        if self._params is not None:
            return next(self._params)
        self.drawn.append((mean + scale * self._rng.standard_normal(shape)).astype(np.float32))
        return self.drawn[-1]

    @property
    def space(self) -> tuple[int, int]:
        """Axes of space."""
        return (2, 3) if self.first else (1, 2)

    @property
    def channels(self) -> int:
        """Axis of channels."""
        return 1 if self.first else -1

    def by_channel(self, values: Any) -> jax.Array:
        """Values of channels, in the rank of an activation."""
        return jnp.reshape(values, (1, -1, 1, 1) if self.first else (1, 1, 1, -1))

    def conv(
        self, x: jax.Array, features: int, size: int, stride: int = 1, groups: int = 1, **how: Any
    ) -> jax.Array:
        """A convolution with bias."""
        inputs = x.shape[self.channels] // groups
        shape = (size, size, inputs, features)
        if self.first:
            shape = (features, inputs, size, size)
        kernel = self.weights(*shape, scale=math.sqrt(2 / (size * size * inputs)))
        letters = ("NCHW", "OIHW", "NCHW") if self.first else ("NHWC", "HWIO", "NHWC")
        pad = how.get("pad", size // 2 if stride < size else 0)
        y = lax.conv_general_dilated(
            x,
            jnp.asarray(kernel),
            (stride, stride),
            ((pad, pad), (pad, pad)),
            dimension_numbers=letters,
            feature_group_count=groups,
        )
        return y + self.by_channel(self.weights(features, scale=0.1))

    def norm(self, x: jax.Array) -> jax.Array:
        """Batch norm as it is at inference."""
        count = x.shape[self.channels]
        mean, shift = (self.weights(count, scale=0.1) for _ in range(2))
        variance, scale = (self.weights(count, scale=0.05, mean=1.0) for _ in range(2))
        factor = jnp.asarray(scale) * lax.rsqrt(jnp.asarray(variance) + 1e-5)
        return (x - self.by_channel(mean)) * self.by_channel(factor) + self.by_channel(shift)

    def layer_norm(self, x: jax.Array) -> jax.Array:
        """Mean and variance of the last axis taken out."""
        shape = (1,) * (x.ndim - 1) + (-1,)
        scale = self.weights(x.shape[-1], scale=0.05, mean=1.0).reshape(shape)
        shift = self.weights(x.shape[-1], scale=0.1).reshape(shape)
        centred = x - x.mean(-1, keepdims=True)
        return (
            centred * lax.rsqrt(jnp.square(centred).mean(-1, keepdims=True) + 1e-6) * scale + shift
        )

    def dense(self, x: jax.Array, features: int) -> jax.Array:
        """A matrix on the last axis, with bias."""
        matrix = self.weights(x.shape[-1], features, scale=x.shape[-1] ** -0.5)
        shape = (1,) * (x.ndim - 1) + (-1,)
        return x @ jnp.asarray(matrix) + self.weights(features, scale=0.1).reshape(shape)

    def pool(self, x: jax.Array, size: int, stride: int, pad: int = 0) -> jax.Array:
        """The maximum of windows."""
        window, strides, pads = [1] * 4, [1] * 4, [(0, 0)] * 4
        for axis in self.space:
            window[axis], strides[axis], pads[axis] = size, stride, (pad, pad)
        return lax.reduce_window(x, -jnp.inf, lax.max, window, strides, pads)

    def halved(self, x: jax.Array) -> jax.Array:
        """Means of two by two entries."""
        total = lax.reduce_window(x, 0.0, lax.add, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
        return total / 4

    def classify(self, x: jax.Array, classes: int = CLASSES) -> jax.Array:
        """Scores from features (n, c)."""
        return self.dense(x, classes)


def squeezenet(layers: Layers, x: jax.Array) -> jax.Array:
    """SqueezeNet 1.1 (Iandola et al., 2016)."""
    relu, axis = jax.nn.relu, layers.channels
    x = layers.pool(relu(layers.conv(x, 64, 3, 2, pad=0)), 3, 2)
    for squeezed, expanded in (
        *((16, 64), (16, 64), (0, 0), (32, 128), (32, 128), (0, 0)),
        *((48, 192), (48, 192), (64, 256), (64, 256)),
    ):
        if not squeezed:
            x = layers.pool(x, 3, 2)
            continue
        x = relu(layers.conv(x, squeezed, 1))
        x = relu(jnp.concatenate([layers.conv(x, expanded, 1), layers.conv(x, expanded, 3)], axis))
    return relu(layers.conv(x, CLASSES, 1)).mean(layers.space)


def resnet50(layers: Layers, x: jax.Array) -> jax.Array:
    """ResNet-50 (He et al., 2016), strides in the 3x3 convolutions."""
    relu = jax.nn.relu
    x = layers.pool(relu(layers.norm(layers.conv(x, 64, 7, 2))), 3, 2, 1)
    for stage, (features, count) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3))):
        for index in range(count):
            stride = 2 if stage and index == 0 else 1
            y = relu(layers.norm(layers.conv(x, features, 1)))
            y = relu(layers.norm(layers.conv(y, features, 3, stride)))
            y = layers.norm(layers.conv(y, 4 * features, 1))
            if index == 0:
                x = layers.norm(layers.conv(x, 4 * features, 1, stride))
            x = relu(x + y)
    return layers.classify(x.mean((1, 2)))


def mobilenet_v2(layers: Layers, x: jax.Array) -> jax.Array:
    """MobileNetV2 (Sandler et al., 2018)."""
    act = jax.nn.relu6
    x = act(layers.norm(layers.conv(x, 32, 3, 2)))
    for expansion, features, count, stride in (
        *((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2)),
        *((6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)),
    ):
        for index in range(count):
            wide = x.shape[-1] * expansion
            y = act(layers.norm(layers.conv(x, wide, 1))) if expansion > 1 else x
            y = layers.conv(y, wide, 3, stride if index == 0 else 1, groups=wide)
            y = layers.norm(layers.conv(act(layers.norm(y)), features, 1))
            x = x + y if x.shape == y.shape else y
    return layers.classify(act(layers.norm(layers.conv(x, 1280, 1))).mean((1, 2)))


def efficientnet_b0(layers: Layers, x: jax.Array) -> jax.Array:
    """EfficientNet-B0 with squeeze-and-excite (Tan and Le, 2019)."""
    act = jax.nn.silu
    x = act(layers.norm(layers.conv(x, 32, 3, 2)))
    for expansion, features, count, stride, size in (
        *((1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3)),
        *((6, 112, 3, 1, 5), (6, 192, 4, 2, 5), (6, 320, 1, 1, 3)),
    ):
        for index in range(count):
            before, wide = x.shape[-1], x.shape[-1] * expansion
            y = act(layers.norm(layers.conv(x, wide, 1))) if expansion > 1 else x
            y = layers.conv(y, wide, size, stride if index == 0 else 1, groups=wide)
            y = act(layers.norm(y))
            gate = act(layers.conv(y.mean((1, 2), keepdims=True), max(1, before // 4), 1))
            y = y * jax.nn.sigmoid(layers.conv(gate, wide, 1))
            y = layers.norm(layers.conv(y, features, 1))
            x = x + y if x.shape == y.shape else y
    return layers.classify(act(layers.norm(layers.conv(x, 1280, 1))).mean((1, 2)))


def densenet121(layers: Layers, x: jax.Array) -> jax.Array:
    """DenseNet-121 (Huang et al., 2017)."""
    relu = jax.nn.relu
    x = layers.pool(relu(layers.norm(layers.conv(x, 64, 7, 2))), 3, 2, 1)
    for stage, count in enumerate((6, 12, 24, 16)):
        if stage:
            x = layers.halved(layers.conv(relu(layers.norm(x)), x.shape[-1] // 2, 1))
        for _ in range(count):
            y = layers.conv(relu(layers.norm(x)), 128, 1)
            x = jnp.concatenate([x, layers.conv(relu(layers.norm(y)), 32, 3)], -1)
    return layers.classify(relu(layers.norm(x)).mean((1, 2)))


def convnext_tiny(layers: Layers, x: jax.Array) -> jax.Array:
    """ConvNeXt-Tiny (Liu et al., 2022)."""
    x = layers.layer_norm(layers.conv(x, 96, 4, 4))
    for features, count in ((96, 3), (192, 3), (384, 9), (768, 3)):
        if features != x.shape[-1]:
            x = layers.conv(layers.layer_norm(x), features, 2, 2)
        for _ in range(count):
            y = layers.layer_norm(layers.conv(x, features, 7, groups=features))
            y = layers.dense(jax.nn.gelu(layers.dense(y, 4 * features)), features)
            x = x + y * layers.weights(features, scale=0.1).reshape(1, 1, 1, -1)
    return layers.classify(layers.layer_norm(x.mean((1, 2))))


def unet(layers: Layers, x: jax.Array) -> jax.Array:
    """U-Net (Ronneberger et al., 2015) of a quarter of the width, and the mean of its logits."""

    def double(x: jax.Array, features: int) -> jax.Array:
        for _ in range(2):
            x = jax.nn.relu(layers.norm(layers.conv(x, features, 3)))
        return x

    kept = []
    for features in (16, 32, 64, 128):
        x = double(x, features)
        kept.append(x)
        x = layers.pool(x, 2, 2)
    x = double(x, 256)
    for skip in reversed(kept):
        n, height, width, channels = x.shape
        x = jnp.broadcast_to(x[:, :, None, :, None], (n, height, 2, width, 2, channels))
        x = layers.conv(x.reshape(n, 2 * height, 2 * width, channels), skip.shape[-1], 1)
        x = double(jnp.concatenate([skip, x], -1), skip.shape[-1])
    return layers.conv(x, 4, 1).mean((1, 2))


def vit_s16(layers: Layers, x: jax.Array) -> jax.Array:
    """ViT-S/16 (Dosovitskiy et al., 2021; width and heads of Touvron et al., 2021)."""
    n, width = len(x), 384
    x = layers.conv(x, width, 16, 16).reshape(n, -1, width)
    first = jnp.asarray(layers.weights(1, 1, width, scale=0.1))
    x = jnp.concatenate([jnp.broadcast_to(first, (n, 1, width)), x], 1)
    x = x + layers.weights(1, x.shape[1], width, scale=0.1)
    for _ in range(12):
        x = x + _attention(layers, layers.layer_norm(x), 6)
        x = x + layers.dense(jax.nn.gelu(layers.dense(layers.layer_norm(x), 4 * width)), width)
    return layers.classify(layers.layer_norm(x)[:, 0])


def swin_tiny(layers: Layers, x: jax.Array) -> jax.Array:
    """Swin-T (Liu et al., 2021), without its biases of position."""
    side = 7
    x = layers.layer_norm(layers.conv(x, 96, 4, 4))
    for features, count, heads in ((96, 2, 3), (192, 2, 6), (384, 6, 12), (768, 2, 24)):
        if features != x.shape[-1]:
            n, height, width, channels = x.shape
            x = x.reshape(n, height // 2, 2, width // 2, 2, channels).swapaxes(2, 3)
            x = x.reshape(n, height // 2, width // 2, 4 * channels)
            x = layers.dense(layers.layer_norm(x), features)
        n, height, width, _ = x.shape
        for index in range(count):
            shift = side // 2 if index % 2 and height > side else 0
            y = jnp.roll(layers.layer_norm(x), (-shift, -shift), (1, 2))
            y = y.reshape(n, height // side, side, width // side, side, features).swapaxes(2, 3)
            y = _attention(layers, y.reshape(-1, side * side, features), heads)
            y = y.reshape(n, height // side, width // side, side, side, features).swapaxes(2, 3)
            x = x + jnp.roll(y.reshape(x.shape), (shift, shift), (1, 2))
            y = layers.dense(
                jax.nn.gelu(layers.dense(layers.layer_norm(x), 4 * features)), features
            )
            x = x + y
    return layers.classify(layers.layer_norm(x).mean((1, 2)))


def _attention(layers: Layers, x: jax.Array, heads: int) -> jax.Array:
    n, tokens, width = x.shape
    joined = layers.dense(x, 3 * width).reshape(n, tokens, 3, heads, width // heads)
    query, key, value = (joined[:, :, i] for i in range(3))
    weights = jnp.einsum("nqhc,nkhc->nhqk", query, key) * (width // heads) ** -0.5
    mixed = jnp.einsum("nhqk,nkhc->nqhc", jax.nn.softmax(weights), value)
    return layers.dense(mixed.reshape(x.shape), width)


def toy(layers: Layers, x: jax.Array) -> jax.Array:
    """Two convolutions and a pool, to see that a benchmark works."""
    x = layers.pool(jax.nn.relu(layers.conv(x, 4, 3)), 2, 2)
    return layers.classify(jax.nn.relu(layers.conv(x, 8, 3)).mean(layers.space), 6)


Network = Callable[[Layers, jax.Array], jax.Array]

NETWORKS: dict[str, tuple[Network, bool]] = {
    "SqueezeNet 1.1, NHWC": (squeezenet, False),
    "SqueezeNet 1.1, NCHW": (squeezenet, True),
    "ResNet-50": (resnet50, False),
    "MobileNetV2": (mobilenet_v2, False),
    "EfficientNet-B0": (efficientnet_b0, False),
    "DenseNet-121": (densenet121, False),
    "ConvNeXt-Tiny": (convnext_tiny, False),
    "U-Net": (unet, False),
    "ViT-S/16": (vit_s16, False),
    "Swin-T": (swin_tiny, False),
    "toy, NHWC": (toy, False),
    "toy, NCHW": (toy, True),
}
"""Functions of layers and images, and whether they are written channels first."""


def build(name: str, size: int) -> tuple[Callable[[Any, jax.Array], jax.Array], list[np.ndarray]]:
    """Make ``f(params, images (n, size, size, 3))`` and its parameters."""
    network, first = NETWORKS[name]
    drawing = Layers(None, first)
    shape = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    jax.eval_shape(functools.partial(_run, network, drawing), shape)
    return _Predict(network, first), drawing.drawn


def _run(network: Network, layers: Layers, images: jax.Array) -> jax.Array:
    return network(layers, images.transpose(0, 3, 1, 2) if layers.first else images)


class _Predict:
    """Hashable by what it is, not by its parameters."""

    def __init__(self, network: Network, first: bool) -> None:
        self._network, self._first = network, first

    def __call__(self, params: Any, images: jax.Array) -> jax.Array:
        return _run(self._network, Layers(params, self._first), images)
