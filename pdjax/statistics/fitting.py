"""Fitting second-order statistics of patches to a set of images, in float64."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import scipy.fft

from pdjax._checks import check_values, per_axis
from pdjax._progress import progress_bar

__all__ = [
    "Bounds",
    "Images",
    "axes_and_channels",
    "fit_empirical",
    "fit_stationary",
    "random_patches",
]

MAX_NAMED = 5

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
    dimensions, channels = axes_and_channels(images)
    patch = per_axis(max_patch, dimensions, "max_patch")
    total, pixels = 0.0, 0
    products: np.ndarray | float = 0.0
    weight = 0.0
    with progress_bar(2 * len(images), "images", progress, "fitting") as bar:
        for image in _checked_images(images, patch, channels, bounds, bar):
            total = total + image.reshape(-1, image.shape[-1]).sum(0)
            pixels += image[..., 0].size
        mean = np.asarray(total) / pixels
        for image in _checked_images(images, patch, channels, bounds, bar):
            taper = _taper(image.shape[:-1])[..., None]
            products = products + _autocorrelation(taper * (image - mean), patch)
            weight += float(np.square(taper).sum())
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
    dimensions, channels = axes_and_channels(images)
    patch = per_axis(patch, dimensions, "patch")
    each = -(-num_patches // len(images))
    total, products = 0.0, 0.0
    with progress_bar(len(images), "images", progress, "fitting") as bar:
        for rows in random_patches(images, patch, channels, each, seed, bounds, bar):
            rows = rows.reshape(each, -1)
            total = total + rows.sum(0)
            products = products + rows.T @ rows
    count, size = each * len(images), np.asarray(total).size
    if count <= size:
        raise ValueError(
            f"num_patches={num_patches} is too few for patches of {size} numbers; take more "
            f"than {size}, better ten times as many"
        )
    mean = np.asarray(total) / count
    covariance = (np.asarray(products) - count * np.outer(mean, mean)) / (count - 1)
    return mean.reshape(*patch, -1), covariance


def random_patches(
    images: Images,
    patch: tuple[int, ...],
    channels: int,
    each: int,
    seed: int,
    bounds: Bounds,
    bar: Any,
) -> Iterator[np.ndarray]:
    """Give ``each`` patches ``(each, pixels, c)`` at random places of every image, in float64."""
    generator = np.random.default_rng(seed)
    for image in _checked_images(images, patch, channels, bounds, bar):
        room = np.array(image.shape[:-1], np.int64) - np.array(patch) + 1
        views = np.lib.stride_tricks.sliding_window_view(image, (*patch, channels))
        rows = views[tuple(generator.integers(room[:, None], size=(len(patch), each)))]
        yield rows.reshape(each, -1, channels)


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


def axes_and_channels(images: Images) -> tuple[int, int]:
    """Return the number of spatial axes and of channels, of the first image that can be read."""
    if len(images) == 0:
        raise ValueError("images: there are none; give at least one image to fit statistics on")
    problems: list[Exception] = []
    for index in range(len(images)):
        try:
            shape = np.shape(images[index])
        except (ValueError, OSError) as error:
            problems.append(error)
            continue
        if len(shape) < 2:
            raise ValueError(
                f"images: number {index} of shape {shape} must be (*spatial, channels); add the "
                "channel axis"
            )
        return len(shape) - 1, shape[-1]
    raise _summary(problems, len(images))


def _checked_images(
    images: Images, patch: tuple[int, ...], channels: int, bounds: Bounds, bar: Any
) -> Iterator[np.ndarray]:
    """Give every image, then raise one ValueError about all that are of no use."""
    problems: list[Exception] = []
    for index in range(len(images)):
        try:
            image = _checked_image(images, index, patch, channels, bounds)
        except (ValueError, OSError) as error:
            problems.append(error)
        else:
            yield image
        bar.update(1)
    if problems:
        # A bar that stopped half way is wiped off, so that the message has a line of its own.
        bar.leave = False
        raise _summary(problems, len(images))


def _summary(problems: Sequence[Exception], count: int) -> Exception:
    """Return the only problem there is, or an error that names the first few of them."""
    if len(problems) == 1:
        return problems[0]
    named = "; ".join(_without_remedy(str(each)) for each in problems[:MAX_NAMED])
    more = f" and {len(problems) - MAX_NAMED} more" if len(problems) > MAX_NAMED else ""
    return ValueError(
        f"images: {len(problems)} of {count} cannot be used: {named}{more}; replace them or leave "
        "them out"
    )


def _without_remedy(message: str) -> str:
    what, separator, _ = message.rpartition("; ")
    return (what if separator else message).removeprefix("image: ").removeprefix("images: ")


def _checked_image(
    images: Images, index: int, patch: tuple[int, ...], channels: int, bounds: Bounds
) -> np.ndarray:
    image = np.asarray(images[index], np.float64)
    if image.ndim != len(patch) + 1 or image.shape[-1] != channels:
        raise ValueError(
            f"images: number {index} of shape {image.shape} differs from the first, which has "
            f"{len(patch)} spatial axes and {channels} channels; give images of one kind"
        )
    check_values(image, bounds, f"images: number {index}")
    if any(size < most for size, most in zip(image.shape[:-1], patch, strict=True)):
        raise ValueError(
            f"images: number {index} of shape {image.shape} is smaller than the patch {patch}; "
            "leave it out or choose a smaller patch"
        )
    return image
