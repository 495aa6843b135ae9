"""Fitting second-order statistics of patches to a set of images, in float64."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import scipy.fft

from pdjax._progress import progress_bar
from pdjax.image import check_values
from pdjax.windows import per_axis

__all__ = ["Bounds", "Images", "fit_empirical", "fit_stationary"]


Bounds = tuple[float, float] | None
"""Range that values must lie in; None allows any finite ones."""


@runtime_checkable
class Images(Protocol):
    """A sequence of images ``(*spatial, c)`` in [0, 1], which may differ in size."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> np.ndarray: ...


def fit_stationary(
    images: Images, max_patch: int | Sequence[int], bounds: Bounds, progress: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Mean colour ``(c,)`` and autocovariance ``(2 m - 1, ..., c, c)``, m being ``max_patch``."""
    dimensions, channels = _axes_and_channels(images)
    patch = per_axis(max_patch, dimensions, "max_patch")
    bar = progress_bar(2 * len(images), "images", progress, "fitting")
    total, pixels = 0.0, 0
    for index in range(len(images)):
        image = _checked_image(images, index, patch, channels, bounds)
        total = total + image.reshape(-1, image.shape[-1]).sum(0)
        pixels += image[..., 0].size
        bar.update(1)
    mean = np.asarray(total) / pixels
    products: np.ndarray | float = 0.0
    weight = 0.0
    for index in range(len(images)):
        deviation = _checked_image(images, index, patch, channels, bounds) - mean
        taper = _taper(deviation.shape[:-1])[..., None]
        products = products + _autocorrelation(taper * deviation, patch)
        weight += float(np.square(taper).sum())
        bar.update(1)
    bar.close()
    return mean, np.asarray(products) / weight


def fit_empirical(
    images: Images,
    patch: int | Sequence[int],
    num_patches: int,
    seed: int,
    bounds: Bounds,
    progress: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Mean patch ``(*patch, c)`` and the covariance matrix of the flattened patch."""
    dimensions, channels = _axes_and_channels(images)
    patch = per_axis(patch, dimensions, "patch")
    each = -(-num_patches // len(images))
    generator = np.random.default_rng(seed)
    total, products = 0.0, 0.0
    bar = progress_bar(len(images), "images", progress, "fitting")
    for index in range(len(images)):
        image = _checked_image(images, index, patch, channels, bounds)
        room = np.array(image.shape[:-1], np.int64) - np.array(patch) + 1
        views = np.lib.stride_tricks.sliding_window_view(image, (*patch, image.shape[-1]))
        rows = views[tuple(generator.integers(room[:, None], size=(len(patch), each)))]
        rows = rows.reshape(each, -1)
        total = total + rows.sum(0)
        products = products + rows.T @ rows
        bar.update(1)
    bar.close()
    count, size = each * len(images), np.asarray(total).size
    if count <= size:
        raise ValueError(
            f"num_patches={num_patches} is too few for patches of {size} numbers; take more "
            f"than {size}, better ten times as many"
        )
    mean = np.asarray(total) / count
    covariance = (np.asarray(products) - count * np.outer(mean, mean)) / (count - 1)
    return mean.reshape(*patch, -1), covariance


def _taper(spatial: tuple[int, ...]) -> np.ndarray:
    """Half a sine on each axis: of all tapers that vanish at the ends, the flattest."""
    waves = [np.sin(np.pi * (np.arange(size) + 0.5) / size) for size in spatial]
    return functools.reduce(np.multiply.outer, waves)


def _autocorrelation(image: np.ndarray, patch: tuple[int, ...]) -> np.ndarray:
    """Sum over i of ``x_i x_(i + h)^T`` for all offsets h smaller than ``patch``."""
    axes = tuple(range(len(patch)))
    padded = tuple(
        scipy.fft.next_fast_len(size + lag, real=True)
        for size, lag in zip(image.shape[:-1], patch, strict=True)
    )
    spectrum = scipy.fft.rfftn(image, padded, axes)
    cross = spectrum.conj()[..., :, None] * spectrum[..., None, :]
    products = scipy.fft.irfftn(cross, padded, axes)
    for axis, size in enumerate(patch):
        products = np.take(products, np.arange(1 - size, size), axis, mode="wrap")
    return products


def _axes_and_channels(images: Images) -> tuple[int, int]:
    if len(images) == 0:
        raise ValueError("images: there are none; give at least one image to fit statistics on")
    shape = np.shape(images[0])
    if len(shape) < 2:
        raise ValueError(f"images: number 0 of shape {shape} must be (*spatial, channels)")
    return len(shape) - 1, shape[-1]


def _checked_image(
    images: Images, index: int, patch: tuple[int, ...], channels: int, bounds: Bounds
) -> np.ndarray:
    image = np.asarray(images[index], np.float64)
    if image.ndim != len(patch) + 1 or image.shape[-1] != channels:
        raise ValueError(
            f"images: number {index} of shape {image.shape} differs from number 0, which has "
            f"{len(patch)} spatial axes and {channels} channels; give images of one kind"
        )
    check_values(image, bounds, f"images: number {index}")
    if any(size < most for size, most in zip(image.shape[:-1], patch, strict=True)):
        raise ValueError(
            f"images: number {index} of shape {image.shape} is smaller than the patch {patch}; "
            "leave it out or choose a smaller patch"
        )
    return image
