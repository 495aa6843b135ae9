"""Convolution with a bias, ordinary, grouped or depthwise, in the form that each device likes.

XLA has no good grouped convolution for CPUs. There, groups are convolved one by one and joined,
and single channels are summed as shifted products: the same numbers 5 to 40 times faster. On other
devices the operation stays one convolution (`jax.lax.platform_dependent`, its default branch).
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from pdjax._typing import Array, Float

__all__ = ["conv"]


class _How(NamedTuple):
    stride: int
    pads: tuple[tuple[int, int], ...]
    groups: int


def conv(
    x: Float[Array, "n h w c"],
    name: str,
    features: int,
    size: int,
    *,
    stride: int = 1,
    padding: int | str = 0,
    groups: int = 1,
) -> Float[Array, "n h2 w2 features"]:
    """Convolve with a square kernel and add a bias; for use inside a compact Flax module.

    Parameters
    ----------
    x : float array, shape (n, h, w, c)
        Input; the result has its dtype, to which the parameters are cast.
    name : str
        Name of the layer; its parameters are ``{"kernel" (size, size, c / groups, features),
        "bias" (features,)}``.
    features, size, stride, groups : int
        Output channels, side of the kernel, step, and number of independent groups of channels.
    padding : int or "SAME"
        Zeros on every side, or TensorFlow's rule, which puts an odd one at the end.
    """
    if padding == "SAME":
        pads = tuple(_same(side, size, stride) for side in x.shape[1:3])
    else:
        pads = ((int(padding), int(padding)),) * 2
    return _Convolution(features, size, stride, pads, groups, name=name)(x)


class _Convolution(nn.Module):
    features: int
    size: int
    stride: int
    pads: tuple[tuple[int, int], ...]
    groups: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (self.size, self.size, x.shape[-1] // self.groups, self.features)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,), jnp.float32)
        how = _How(self.stride, self.pads, self.groups)
        operands = (x, jnp.asarray(kernel, x.dtype))
        convolve = functools.partial(_convolve, how=how)
        if self.groups == 1:
            y = convolve(*operands)
        else:
            form = _depthwise if self.groups == x.shape[-1] == self.features else _grouped
            on_cpu = functools.partial(form, how=how)
            y = lax.platform_dependent(*operands, cpu=on_cpu, default=convolve)
        return y + jnp.asarray(bias, x.dtype).reshape(1, 1, 1, -1)


def _same(side: int, size: int, stride: int) -> tuple[int, int]:
    total = max((-(-side // stride) - 1) * stride + size - side, 0)
    return total // 2, total - total // 2


def _convolve(x: jax.Array, kernel: jax.Array, how: _How) -> jax.Array:
    return lax.conv_general_dilated(
        x,
        kernel,
        (how.stride, how.stride),
        how.pads,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=how.groups,
    )


def _grouped(x: jax.Array, kernel: jax.Array, how: _How) -> jax.Array:
    parts = zip(jnp.split(x, how.groups, -1), jnp.split(kernel, how.groups, -1), strict=True)
    alone = how._replace(groups=1)
    return jnp.concatenate([_convolve(*part, alone) for part in parts], -1)


def _depthwise(x: jax.Array, kernel: jax.Array, how: _How) -> jax.Array:
    """Sum the image, shifted by every offset in the kernel, times the weights of that offset."""
    padded = jnp.pad(x, ((0, 0), *how.pads, (0, 0)))
    size, step = kernel.shape[0], how.stride
    # From an offset to the last pixel that it meets, and one more.
    height, width = ((side - size) // step * step + 1 for side in padded.shape[1:3])
    terms = (
        padded[:, i : i + height : step, j : j + width : step] * kernel[i, j][None, None]
        for i, j in np.ndindex(size, size)
    )
    return functools.reduce(jnp.add, terms)
