"""Autocovariances: how two pixels vary together, by the offset between them.

A table has an axis of offsets for each spatial axis, from ``1 - m`` to ``m - 1`` for patches of up
to m pixels, and two axes of channels: entry ``[m - 1 + h]`` is the covariance of ``x_i`` with
``x_(i + h)``. Tables of several textures have an axis in front.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np

from pdjax._checks import ArgumentValueError, by_sides, per_axis
from pdjax.statistics.images import ImageSource

__all__ = [
    "check_patch",
    "fit_autocovariance",
    "from_torus",
    "largest_patch",
    "mirrored",
    "patch_covariance",
]


MAX_TESTED = 4000
"""Numbers in a patch up to which it is tried whether a table has a covariance of all of them."""

SHARES = (0, 1 / 256, 1 / 64, 1 / 16, 1 / 4)
"""How much of the estimate that is always a covariance is mixed in, the least that will do."""


def largest_patch(lags: tuple[int, ...]) -> tuple[int, ...]:
    """Pixels of the largest patch that a table with so many offsets describes, on each axis."""
    return tuple(count // 2 + 1 for count in lags)


def check_patch(
    patch: int | Sequence[int], largest: tuple[int, ...], argument: str
) -> tuple[int, ...]:
    """Return the sides of a patch, or raise if what ``argument`` names does not reach so far."""
    sides = per_axis(patch, len(largest), "patch")
    if any(size > most for size, most in zip(sides, largest, strict=True)):
        raise ArgumentValueError(
            argument,
            f"of patches of at most {by_sides(largest)} pixels cannot describe one of "
            f"{by_sides(sides)} (window plus twice the padding)",
            "choose a smaller window or padding, or fit statistics for larger patches",
        )
    return sides


def patch_covariance(table: np.ndarray, patch: tuple[int, ...]) -> np.ndarray:
    """Covariance matrix ``(P c, P c)`` of a patch, channels fastest."""
    positions = np.stack(np.meshgrid(*map(np.arange, patch), indexing="ij"), -1)
    positions = positions.reshape(-1, len(patch))
    middle = np.array(table.shape[:-2]) // 2
    offsets = positions[None, :] - positions[:, None] + middle
    blocks = table[tuple(np.moveaxis(offsets, -1, 0))]
    size = len(positions) * table.shape[-1]
    return blocks.transpose(0, 2, 1, 3).reshape(size, size)


def mirrored(table: np.ndarray, first: int = 0) -> np.ndarray:
    """Return a table at the opposite offsets, in reverse order, transposed.

    Every autocovariance is its own mirror image. Its axes of offsets begin with ``first``.
    """
    return np.flip(table, tuple(range(first, table.ndim - 2))).swapaxes(-1, -2)


def from_torus(table: np.ndarray, patch: tuple[int, ...], first: int = 0) -> np.ndarray:
    """Take the offsets of a patch from a table in the order of a Fourier transform."""
    for axis, size in enumerate(patch, start=first):
        table = np.take(table, np.arange(1 - size, size), axis, mode="wrap")
    return table


def fit_autocovariance(
    source: ImageSource, patch: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Fit a mean colour ``(c,)`` and a table for patches of up to ``patch`` pixels.

    The equation is given by `pdjax.PatchStatistics.fit`.
    """
    total, pixels = 0.0, 0
    products: np.ndarray | float = 0.0
    weights: np.ndarray | float = 0.0
    with source.bar(passes=2) as bar:
        for image in source.each(patch, bar):
            total = total + image.reshape(-1, image.shape[-1]).sum(0)
            pixels += image[..., 0].size
        mean = np.asarray(total) / pixels
        for image in source.each(patch, bar):
            taper = _taper(image.shape[:-1])[..., None]
            products = products + _autocorrelation(taper * (image - mean), patch)
            weights = weights + _autocorrelation(taper, patch)
    return mean, _definite(np.asarray(products), np.asarray(weights))


def _definite(products: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Divide sums over tapered pixels by those of the tapers, as far as that can be a covariance.

    By the weights of each offset there is no bias; by those of the offset 0 the table is positive
    semi-definite. Of the latter as much is mixed in as it takes, as a rule nothing.
    """
    middle = tuple(size // 2 for size in weights.shape[:-2])
    tapered = products / weights[middle]
    sides = largest_patch(products.shape[:-2])
    if math.prod(sides) * products.shape[-1] > MAX_TESTED:
        return tapered
    unbiased = products / weights
    for share in SHARES:
        table = (1 - share) * unbiased + share * tapered
        try:
            np.linalg.cholesky(patch_covariance(table, sides))
        except np.linalg.LinAlgError:
            continue
        return table
    return tapered


def _taper(spatial: tuple[int, ...]) -> np.ndarray:
    """Half a sine on each axis: of all tapers that vanish at the ends, the flattest."""
    waves = [np.sin(np.pi * (np.arange(size) + 0.5) / size) for size in spatial]
    return functools.reduce(np.multiply.outer, waves)


def _autocorrelation(image: np.ndarray, patch: tuple[int, ...]) -> np.ndarray:
    """Sum over i of ``x_i x_(i + h)^T`` for all offsets h smaller than ``patch``."""
    import scipy.fft

    axes = tuple(range(len(patch)))
    # Padded by one patch, so that what wraps around lands on offsets that are not taken.
    padded = tuple(
        scipy.fft.next_fast_len(size + lag, real=True)
        for size, lag in zip(image.shape[:-1], patch, strict=True)
    )
    spectrum = scipy.fft.rfftn(image, padded, axes)
    cross = spectrum.conj()[..., :, None] * spectrum[..., None, :]
    return from_torus(scipy.fft.irfftn(cross, padded, axes), patch)
