"""Networks as users write them: flax linen, plain `jax.lax`, any layout, any depth of nesting.

Each is a pure function of parameters and images that returns hidden layers beside their spatial
means and the class probabilities, small enough to be compiled many times.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from helpers import user_networks_lax as plain
from helpers.user_networks_lax import CLASSES


class UserNetwork(NamedTuple):
    """A function f(params, images), its parameters and the shape of one image."""

    predict: Callable[[Any, jax.Array], Any]
    params: Any
    shape: tuple[int, ...]


def filled(shapes: Any, seed: int = 0) -> Any:
    """Random parameters of these shapes that keep activations near one."""
    rng = np.random.default_rng(seed)

    def fill(path: tuple[Any, ...], leaf: jax.ShapeDtypeStruct) -> np.ndarray:
        name, noise = path[-1].key, rng.standard_normal(leaf.shape)
        if name == "kernel":  # outputs are on the last axis
            noise *= math.sqrt(2 / math.prod(leaf.shape[:-1]))
        elif name == "oihw":
            noise *= math.sqrt(2 / math.prod(leaf.shape[1:]))
        elif name in ("scale", "var"):
            noise = 1 + 0.3 * np.tanh(noise)
        else:
            noise *= 0.2
        return noise.astype(np.float32)

    return jax.tree_util.tree_map_with_path(fill, shapes)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut, which is a strided 1x1 where the shape changes."""

    features: int
    stride: int = 1

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        norm = functools.partial(nn.BatchNorm, use_running_average=True)
        y = nn.Conv(self.features, (3, 3), self.stride, use_bias=False)(x)
        y = nn.relu(norm()(y))
        y = norm()(nn.Conv(self.features, (3, 3), use_bias=False)(y))
        if x.shape != y.shape:
            x = norm()(nn.Conv(self.features, (1, 1), self.stride, use_bias=False)(x))
        return nn.relu(x + y)


class ResNet(nn.Module):
    """A stem, three basic blocks and a linear classifier."""

    @nn.compact
    def __call__(self, images: jax.Array) -> dict[str, jax.Array]:
        mean = jnp.asarray([0.485, 0.456, 0.406], images.dtype).reshape(1, 1, 1, 3)
        x = nn.Conv(8, (7, 7), 2, use_bias=False)(images - mean)
        stem = nn.relu(nn.BatchNorm(use_running_average=True)(x))
        x = nn.max_pool(stem, (3, 3), (2, 2), "SAME")
        x = BasicBlock(8)(x)
        middle = BasicBlock(16, 2)(x)
        pooled = jnp.mean(BasicBlock(16, 2)(middle), (1, 2))
        scores = nn.Dense(CLASSES)(pooled)
        return {
            "stem": stem,
            "stem_mean": stem.mean((1, 2)),
            "middle": middle,
            "pooled": pooled,
            "probabilities": nn.softmax(scores),
        }


class SeparableBlock(nn.Module):
    """Expansion, depthwise convolution, squeeze-and-excite and projection."""

    features: int
    kernel: int
    stride: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        wide = 2 * x.shape[-1]
        y = nn.swish(nn.Conv(wide, (1, 1))(x))
        size = (self.kernel, self.kernel)
        y = nn.swish(nn.Conv(wide, size, self.stride, feature_group_count=wide)(y))
        gate = jnp.mean(y, (1, 2), keepdims=True)
        gate = nn.sigmoid(nn.Conv(wide, (1, 1))(nn.swish(nn.Conv(2, (1, 1))(gate))))
        y = nn.Conv(self.features, (1, 1))(y * gate)
        return x + y if x.shape == y.shape else y


class Separable(nn.Module):
    """An efficient network: swish, depthwise convolutions, squeeze-and-excite."""

    @nn.compact
    def __call__(self, images: jax.Array) -> dict[str, jax.Array]:
        stem = nn.swish(nn.Conv(6, (3, 3), 2)((images - 0.5) / 0.25))
        depthwise = nn.Conv(6, (3, 3), feature_group_count=6)(stem)
        x = SeparableBlock(8, 3, 2)(nn.swish(depthwise))
        x = SeparableBlock(8, 5, 1)(x)
        scores = nn.Dense(CLASSES)(jnp.mean(nn.swish(x), (1, 2)))
        return {
            "depthwise": depthwise,
            "depthwise_mean": depthwise.mean((1, 2)),
            "last": x,
            "probabilities": nn.softmax(scores),
        }


class Segmenter(nn.Module):
    """An encoder and a decoder with a skip connection and probabilities at every pixel."""

    @nn.compact
    def __call__(self, images: jax.Array) -> dict[str, jax.Array]:
        shallow = nn.elu(nn.Conv(6, (3, 3))(images))
        with jax.numpy_dtype_promotion("standard"):  # flax divides by an integer
            deep = nn.avg_pool(shallow, (2, 2), (2, 2))
        deep = nn.leaky_relu(nn.Conv(8, (3, 3), 2)(deep))
        deep = nn.relu(nn.ConvTranspose(8, (3, 3), (2, 2))(deep))
        deep = jnp.repeat(jnp.repeat(deep, 2, 1), 2, 2)
        x = jnp.concatenate([shallow, deep], -1)
        x = nn.LayerNorm(epsilon=1e-2)(nn.relu(nn.Conv(8, (1, 1))(x)))
        pixels = nn.softmax(nn.Conv(CLASSES, (3, 3))(x))
        return {"deep": deep, "pixels": pixels, "probabilities": pixels.mean((1, 2))}


def from_flax(module: nn.Module, shape: tuple[int, ...]) -> UserNetwork:
    """Make a network of a module, whose variables are the parameters."""
    variables = jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((1, *shape)))
    return UserNetwork(module.apply, filled(variables), shape)


def from_lax(predict: Callable, shape: tuple[int, ...]) -> UserNetwork:
    """Make a network of a function whose parameters' shapes are in its table."""
    shapes = jax.tree.map(
        lambda size: jax.ShapeDtypeStruct(size, jnp.float32),
        plain.PARAMETERS[predict],
        is_leaf=lambda leaf: isinstance(leaf, tuple),
    )
    return UserNetwork(predict, filled(shapes), shape)


@functools.cache
def network(name: str) -> UserNetwork:
    """Return the network of this name, made once."""
    return NETWORKS[name]()


NETWORKS: dict[str, Callable[[], UserNetwork]] = {
    "resnet": lambda: from_flax(ResNet(), (48, 48, 3)),
    "separable": lambda: from_flax(Separable(), (40, 40, 3)),
    "segmenter": lambda: from_flax(Segmenter(), (40, 40, 3)),
    "dilated": lambda: from_lax(plain.dilated, (40, 44, 3)),
    "nchw": lambda: from_lax(plain.nchw, (42, 50, 3)),
    "volume": lambda: from_lax(plain.volume, (16, 14, 16, 1)),
    "attention": lambda: from_lax(plain.attention, (40, 40, 3)),
    "nested": lambda: from_lax(plain.nested, (41, 40, 1)),
}
