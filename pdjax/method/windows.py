"""Geometry of windows in any number of dimensions: origins, crop, paste, and windows to pixels.

A window has a fixed number of pixels on each spatial axis and spans all channels. Origins run
``0, stride, 2 * stride, ...`` and always include the last possible one, so that every pixel lies
in at least one window.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from pdjax._checks import ArgumentValueError, by_sides, is_integer, per_axis
from pdjax._types import Array, Bool, Float, GridSampler, Int, Sampler, UInt

__all__ = [
    "WindowGrid",
    "box_average",
    "box_average_error",
    "check_windows",
    "coarse_to_fine",
    "crop",
    "paste",
]


@dataclasses.dataclass(frozen=True)
class WindowGrid:
    """All positions of a window on an image.

    Frozen and hashable, so that it can be a static argument of a jit-compiled function.

    Parameters
    ----------
    spatial : tuple of int
        Pixels of the image on each spatial axis.
    window : int or tuple of int
        Pixels of the window on each spatial axis.
    stride : int or tuple of int
        Pixels between neighbouring origins; at most ``window``.

    Raises
    ------
    ValueError
        If the window is larger than the image, a size is not positive, or the stride is larger
        than the window.

    Examples
    --------
    >>> grid = WindowGrid((8, 8), window=3, stride=2)
    >>> grid.axis_origins(0)
    array([0, 2, 4, 5])
    >>> grid.shape, grid.size
    ((4, 4), 16)
    """

    spatial: tuple[int, ...]
    window: tuple[int, ...]
    stride: tuple[int, ...]

    def __init__(
        self,
        spatial: Sequence[int],
        window: int | Sequence[int],
        stride: int | Sequence[int] = 1,
    ) -> None:
        spatial = tuple(int(size) for size in spatial)
        windows = per_axis(window, len(spatial), "window")
        strides = per_axis(stride, len(spatial), "stride")
        for size, k, step in zip(spatial, windows, strides, strict=True):
            if k > size:
                raise ArgumentValueError(
                    "window",
                    f"is larger than the image, {by_sides(spatial)} pixels",
                    "choose a smaller window or a larger image",
                    value=window,
                )
            if step > k:
                raise ArgumentValueError(
                    "stride",
                    f"is larger than the window, {by_sides(windows)}, so pixels between windows "
                    "would be missed",
                    "choose a stride of at most the window",
                    value=stride,
                )
        object.__setattr__(self, "spatial", spatial)
        object.__setattr__(self, "window", windows)
        object.__setattr__(self, "stride", strides)

    def axis_origins(self, axis: int) -> np.ndarray:
        """Origins on one axis, int64 and increasing."""
        last = self.spatial[axis] - self.window[axis]
        regular = np.arange(0, last + 1, self.stride[axis])
        return regular if regular[-1] == last else np.append(regular, last)

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of origins on each axis."""
        return tuple(len(self.axis_origins(axis)) for axis in range(len(self.spatial)))

    @property
    def size(self) -> int:
        """Number of windows."""
        return math.prod(self.shape)

    def origins(self, indices: Int[Array, " n"] | np.ndarray) -> Int[Array, "n d"]:
        """Origins, int32, of the windows with these row-major indices; they may be traced."""
        unravelled = jnp.unravel_index(jnp.asarray(indices, jnp.int32), self.shape)
        columns = [
            jnp.asarray(self.axis_origins(axis), jnp.int32)[index]
            for axis, index in enumerate(unravelled)
        ]
        return jnp.stack(columns, axis=-1)

    def indices_of(self, other: WindowGrid) -> np.ndarray:
        """Indices in this grid of the windows of another one, int64 ``(other.size,)``.

        Raises
        ------
        ValueError
            If a window of the other grid is not in this one.
        """
        places = []
        for axis in range(len(self.spatial)):
            own, wanted = self.axis_origins(axis), other.axis_origins(axis)
            if not np.isin(wanted, own).all():
                raise ArgumentValueError(
                    "stride",
                    f"has windows that are not at stride {self.stride}",
                    "make every stride a multiple of the next finer one",
                    value=other.stride,
                )
            places.append(np.searchsorted(own, wanted))
        return np.ravel_multi_index(np.ix_(*places), self.shape).ravel()

    def average(self, values: Float[Array, u * grid]) -> Float[Array, u * spatial]:
        """Value of every pixel: see `box_average`."""
        return box_average(values, self)

    def average_error(
        self, errors: Float[Array, u * grid], degrees_of_freedom: Int[Array, " *grid"]
    ) -> Float[Array, u * spatial]:
        """Standard error of `average`: see `box_average_error`."""
        return box_average_error(errors, self, degrees_of_freedom)

    @property
    def pixel_shares(self) -> np.ndarray:
        """By window, the sum over its pixels of one over the squared windows of the pixel.

        It is what the variance of a window's value adds to the summed variances of all pixels;
        float64 ``(windows,)`` in row-major order.
        """
        shares = [(cover / cover.sum(1, keepdims=True) ** 2).sum(0) for cover in _coverage(self)]
        return functools.reduce(np.multiply.outer, shares).ravel()

    def smoothed(
        self, variances: Float[np.ndarray, " *grid"], drawn: Bool[np.ndarray, " *grid"]
    ) -> Float[np.ndarray, " *grid"]:
        """Average what is known of windows over those that overlap with each of them."""
        import scipy.ndimage

        around = [-(-k // step) for k, step in zip(self.window, self.stride, strict=True)]
        smooth = scipy.ndimage.uniform_filter(np.where(drawn, variances, 0), around, mode="nearest")
        if drawn.all():
            return smooth
        known = scipy.ndimage.uniform_filter(drawn.astype(float), around, mode="nearest")
        return np.where(drawn, smooth / np.maximum(known, 1e-9), 0)

    def touching(self, pixels: np.ndarray) -> np.ndarray:
        """Indices, int64 and increasing, of the windows with a pixel of a boolean array."""
        counts = np.asarray(pixels, np.float64)
        for axis, cover in enumerate(_coverage(self)):
            counts = np.moveaxis(np.tensordot(counts, cover, (axis, 0)), -1, axis)
        return np.flatnonzero(counts > 0.5)

    def key_indices(self, origins: Int[Array, "n d"]) -> UInt[Array, " n"]:
        """Indices of the windows in the grid of stride 1.

        A window's random key is made from this index, so that its samples are the same whatever
        the stride and whichever other windows are computed.
        """
        full = [size - k + 1 for size, k in zip(self.spatial, self.window, strict=True)]
        index = jnp.zeros(origins.shape[:-1], jnp.uint32)
        for axis, count in enumerate(full):
            index = index * jnp.uint32(count) + origins[..., axis].astype(jnp.uint32)
        return index


def check_windows(sampler: Sampler, grid: WindowGrid) -> None:
    """Raise ValueError where a sampler was set up for other windows than those of a grid."""
    if isinstance(sampler, GridSampler):
        sampler.check_grid(grid)


def coarse_to_fine(
    stride: int | tuple[int, ...], window: Sequence[int]
) -> tuple[int | tuple[int, ...], ...]:
    """Return the stride after up to three coarser ones, each twice the next.

    Examples
    --------
    >>> coarse_to_fine(1, (10, 10)), coarse_to_fine(5, (12, 10)), coarse_to_fine(8, (10, 10))
    ((8, 4, 2, 1), (10, 5), (8,))
    """
    if not is_integer(stride):
        return (stride,)
    strides = (stride * 2**k for k in (3, 2, 1))
    return (*(coarse for coarse in strides if coarse <= min(window)), stride)


def crop(
    image: Float[Array, "*spatial c"], origin: Int[Array, " d"], window: tuple[int, ...]
) -> Float[Array, "*window c"]:
    """Cut a window out of an image; ``origin`` may be traced."""
    start = (*origin, jnp.zeros((), origin.dtype))
    return jax.lax.dynamic_slice(image, start, (*window, image.shape[-1]))


def paste(
    image: Float[Array, "*spatial c"], patch: Float[Array, "*window c"], origin: Int[Array, " d"]
) -> Float[Array, "*spatial c"]:
    """Return the image with the window at ``origin`` replaced by ``patch``."""
    start = (*origin, jnp.zeros((), origin.dtype))
    return jax.lax.dynamic_update_slice(image, patch.astype(image.dtype), start)


def box_average(
    values: Float[Array, "*leading_and_grid"], grid: WindowGrid
) -> Float[Array, "*leading_and_spatial"]:
    """Mean, at every pixel, of the values of all windows that contain it.

    Parameters
    ----------
    values : float array, shape (..., *grid.shape)
        One value per window.
    grid : WindowGrid
        Where the windows are.

    Returns
    -------
    float array, shape (..., *grid.spatial)

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> grid = WindowGrid((4,), window=2, stride=1)
    >>> box_average(jnp.array([1.0, 2.0, 3.0]), grid)
    Array([1. , 1.5, 2.5, 3. ], dtype=float32)
    """
    return _contract(values, [cover / cover.sum(1, keepdims=True) for cover in _coverage(grid)])


def box_average_error(
    errors: Float[Array, "*leading_and_grid"],
    grid: WindowGrid,
    degrees_of_freedom: int | Int[Array, " *grid"],
) -> Float[Array, "*leading_and_spatial"]:
    """Standard error of `box_average` when the windows' errors are independent.

    Parameters
    ----------
    errors : float array, shape (..., *grid.shape)
        Square roots of unbiased estimates of the variance of each window's value.
    grid : WindowGrid
        Where the windows are.
    degrees_of_freedom : int or int array, shape grid.shape
        Degrees of freedom of each of these estimates; 0 where nothing is random.

    Returns
    -------
    float array, shape (..., *grid.spatial)
        The root of the summed variances over the number of windows, divided by its mean under a
        normal distribution so that it is neither too small nor too large on average.
    """
    coverage = _coverage(grid)
    shares = [cover / cover.sum(1, keepdims=True) ** 2 for cover in coverage]
    variance = _contract(jnp.square(errors), shares)
    freedom = jnp.broadcast_to(jnp.asarray(degrees_of_freedom, errors.dtype), grid.shape)
    factor = root_bias(_contract(freedom, coverage))
    # The root has no finite gradient at 0; that of a constant has.
    positive = variance > 0
    error = jnp.where(positive, jnp.sqrt(jnp.where(positive, variance, 1)), variance)
    return error / jnp.expand_dims(factor, tuple(range(variance.ndim - factor.ndim)))


def root_bias(degrees_of_freedom: Float[Array, ...]) -> Float[Array, ...]:
    """Mean of the root of an unbiased variance estimate, as a share of the true root (c4)."""
    freedom = jnp.maximum(degrees_of_freedom, 1)
    few = jnp.minimum(freedom, 32)
    gammaln = jax.scipy.special.gammaln
    bias = jnp.sqrt(2 / few) * jnp.exp(gammaln((few + 1) / 2) - gammaln(few / 2))
    # Of many, the difference of two large logarithms would be lost to rounding.
    inverse = 1 / freedom
    series = 1 + inverse * (-1 / 4 + inverse * (1 / 32 + inverse * (5 / 128)))
    bias = jnp.where(freedom > 32, series, bias)
    return jnp.where(degrees_of_freedom > 0, bias, 1.0)


def _coverage(grid: WindowGrid) -> list[np.ndarray]:
    """Per axis, a matrix (pixels, origins) that is 1 where the window contains the pixel."""
    matrices = []
    for axis, (size, k) in enumerate(zip(grid.spatial, grid.window, strict=True)):
        distance = np.arange(size)[:, None] - grid.axis_origins(axis)
        matrices.append(((distance >= 0) & (distance < k)).astype(np.float64))
    return matrices


def _contract(values: jax.Array, matrices: list[np.ndarray]) -> jax.Array:
    """Apply one matrix to each of the last axes; a box is a product of intervals."""
    for axis, matrix in enumerate(matrices, start=values.ndim - len(matrices)):
        factor = jnp.asarray(matrix, values.dtype)
        moved = jnp.tensordot(values, factor, axes=(axis, 1), precision="highest")
        values = jnp.moveaxis(moved, -1, axis)
    return values
