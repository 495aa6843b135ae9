"""Convolution with a bias, ordinary, grouped or depthwise."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from pdjax._types import Array, Float

__all__ = ["conv"]


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
        y = lax.conv_general_dilated(
            x,
            jnp.asarray(kernel, x.dtype),
            (self.stride, self.stride),
            self.pads,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=self.groups,
        )
        return y + jnp.asarray(bias, x.dtype).reshape(1, 1, 1, -1)


def _same(side: int, size: int, stride: int) -> tuple[int, int]:
    total = max((-(-side // stride) - 1) * stride + size - side, 0)
    return total // 2, total - total // 2
