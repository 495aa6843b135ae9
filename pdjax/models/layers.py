"""The layers that published networks are made of, where they differ from what Flax offers.

Activations are ``(n, h, w, c)``. Caffe rounds the number of pooling windows up, divides an average
by its own count of pixels and normalises across neighbouring channels; torchvision's GoogLeNet
shares the rounding. A layer computes in the dtype of its input and casts its parameters to it;
the precision of products is JAX's own setting (``jax_default_matmul_precision``).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from pdjax._types import Array, Float

__all__ = [
    "average_pool",
    "conv",
    "dense",
    "local_response_norm",
    "max_pool",
    "standardize",
    "to_caffe",
]


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


def dense(x: Float[Array, "n *spatial c"], name: str, features: int) -> Float[Array, "n features"]:
    """Connect every input, flattened in the order (h, w, c), to every feature.

    Parameters are ``{"kernel" (inputs, features), "bias" (features,)}`` under ``name``.
    """
    return nn.Dense(features, dtype=x.dtype, name=name)(x.reshape(x.shape[0], -1))


def standardize(
    images: Float[Array, "n h w 3"],
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406),
    deviation: tuple[float, float, float] = (0.229, 0.224, 0.225),
) -> Float[Array, "n h w 3"]:
    """Subtract from every channel its mean and divide by its deviation (default: torchvision's)."""
    centred = images - jnp.asarray(mean, images.dtype).reshape(1, 1, 1, 3)
    return centred / jnp.asarray(deviation, images.dtype).reshape(1, 1, 1, 3)


def to_caffe(
    images: Float[Array, "n h w 3"], mean: Float[Array, "#h #w 3"] | None = None
) -> Float[Array, "n h w 3"]:
    """Turn RGB in [0, 1] into Caffe's input: BGR in [0, 255] minus a mean.

    The mean is BGR in [0, 255] too: the mean colour of ImageNet, unless one is given for every
    pixel.
    """
    if mean is None:
        mean = jnp.asarray((104, 117, 123), images.dtype).reshape(1, 1, 3)
    return 255 * images[..., ::-1] - mean.astype(images.dtype)[None]


def max_pool(
    x: Float[Array, "n h w c"], size: int, stride: int, padding: int = 0
) -> Float[Array, "n h2 w2 c"]:
    """Maximum over windows, their number rounded up as Caffe does.

    The last window may hang over the edge, where it sees only the image. One that would start
    beyond the image and its padding is dropped.
    """
    return _reduce_windows(x, -np.inf, lax.max, size, stride, padding)


def average_pool(
    x: Float[Array, "n h w c"], size: int, stride: int, padding: int = 0
) -> Float[Array, "n h2 w2 c"]:
    """Mean over windows, placed as in `max_pool`, with Caffe's divisor.

    The divisor counts the padding as pixels of value zero, but nothing beyond it.
    """
    total = _reduce_windows(x, 0.0, lax.add, size, stride, padding)
    counts = []
    for side in x.shape[1:3]:
        starts = np.arange(_num_windows(side, size, stride, padding)) * stride - padding
        counts.append(np.minimum(starts + size, side + padding) - starts)
    divisor = np.outer(*counts)[None, :, :, None]
    return total / jnp.asarray(divisor, x.dtype)


def local_response_norm(
    x: Float[Array, "n h w c"], size: int = 5, alpha: float = 1e-4
) -> Float[Array, "n h w c"]:
    """Divide by ``(1 + alpha / size * sum of squares of `size` neighbouring channels) ** 0.75``.

    Krizhevsky et al., 2012, with Caffe's convention that ``alpha`` is shared among the channels.
    """
    before = (size - 1) // 2
    total = _reduce_axis(x * x, 0.0, lax.add, 3, size, 1, (before, size - 1 - before))
    # The same as a power of -0.75, which CPUs compute several times more slowly.
    root = lax.rsqrt(1 + (alpha / size) * total)
    return x * root * jnp.sqrt(root)


class _Convolution(nn.Module):
    """The layer behind `conv`, which has given it zeros for each side of the image."""

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
    """Return the zeros before and behind an axis in TensorFlow's rule."""
    total = max((-(-side // stride) - 1) * stride + size - side, 0)
    return total // 2, total - total // 2


def _num_windows(side: int, size: int, stride: int, padding: int) -> int:
    """Count the windows along an axis: rounded up, none that starts beyond the padded image."""
    count = math.ceil((side + 2 * padding - size) / stride) + 1
    return count - 1 if (count - 1) * stride >= side + padding else count


Reduction = Callable[[jax.Array, jax.Array], jax.Array]


def _reduce_windows(
    x: jax.Array, start: float, reduction: Reduction, size: int, stride: int, padding: int
) -> jax.Array:
    """Reduce windows along one axis after the other, several times faster than both at once."""
    for axis in (1, 2):
        side = x.shape[axis]
        reach = (_num_windows(side, size, stride, padding) - 1) * stride + size
        pads = (padding, max(reach - side - padding, 0))
        x = _reduce_axis(x, start, reduction, axis, size, stride, pads)
    return x


def _reduce_axis(
    x: jax.Array,
    start: float,
    reduction: Reduction,
    axis: int,
    size: int,
    stride: int,
    pads: tuple[int, int],
) -> jax.Array:
    window, strides, padding = [1] * x.ndim, [1] * x.ndim, [(0, 0)] * x.ndim
    window[axis], strides[axis], padding[axis] = size, stride, pads
    return lax.reduce_window(x, np.asarray(start, x.dtype), reduction, window, strides, padding)
