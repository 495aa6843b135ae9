"""Convolution with a bias, ordinary, grouped or depthwise, in the form that each device likes.

XLA has no good grouped convolution for CPUs. There, groups are convolved one by one and joined,
and single channels are summed as shifted products: the same numbers 5 to 40 times faster. On other
devices the operation stays one convolution (`jax.lax.platform_dependent`, its default branch).
"""

from __future__ import annotations

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from pdjax._typing import Array, Float

__all__ = ["conv"]

Pads = tuple[tuple[int, int], ...]


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
    pads: Pads
    groups: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (self.size, self.size, x.shape[-1] // self.groups, self.features)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape).astype(x.dtype)
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,)).astype(x.dtype)
        settings = {"stride": self.stride, "pads": self.pads}
        convolve = functools.partial(_convolve, groups=self.groups, **settings)
        if self.groups == 1:
            y = convolve(x, kernel)
        else:
            depthwise = self.groups == x.shape[-1] == self.features
            form = _depthwise if depthwise else functools.partial(_grouped, groups=self.groups)
            y = lax.platform_dependent(
                x, kernel, cpu=functools.partial(form, **settings), default=convolve
            )
        return y + bias.reshape(1, 1, 1, -1)


def _same(side: int, size: int, stride: int) -> tuple[int, int]:
    total = max((-(-side // stride) - 1) * stride + size - side, 0)
    return total // 2, total - total // 2


def _convolve(
    x: jax.Array, kernel: jax.Array, stride: int, pads: Pads, groups: int = 1
) -> jax.Array:
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        pads,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


def _grouped(
    x: jax.Array, kernel: jax.Array, stride: int, pads: Pads, groups: int
) -> jax.Array:
    parts = zip(jnp.split(x, groups, -1), jnp.split(kernel, groups, -1), strict=True)
    return jnp.concatenate([_convolve(*part, stride, pads) for part in parts], -1)


def _depthwise(x: jax.Array, kernel: jax.Array, stride: int, pads: Pads) -> jax.Array:
    """Sum the image, shifted by every offset in the kernel, times the weights of that offset."""
    padded = jnp.pad(x, ((0, 0), *pads, (0, 0)))
    # From an offset to the last pixel that a window with this offset sees, and one more.
    height, width = (
        (side - size) // stride * stride + 1
        for side, size in zip(padded.shape[1:3], kernel.shape[:2], strict=True)
    )
    terms = (
        padded[:, i : i + height : stride, j : j + width : stride] * kernel[i, j][None, None]
        for i, j in np.ndindex(*kernel.shape[:2])
    )
    return functools.reduce(jnp.add, terms)
