"""Mean and covariance of image patches, fitted once and kept as a small table.

Natural images are stationary: how two pixels vary together depends on the offset between them and
not on where they are. So a mean colour and an autocovariance over offsets describe patches of
every size; the covariance matrix of a patch is assembled from them. The plain empirical
covariance of patches of one size is offered as well.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Sequence
from importlib import resources
from typing import Protocol

import numpy as np
import scipy.fft

from pdjax._files import read_npz, write_npz
from pdjax._progress import progress_bar
from pdjax.windows import per_axis

__all__ = ["PatchStatistics"]

MAX_BYTES = 2**30


class Images(Protocol):
    """A sequence of images ``(*spatial, c)`` in [0, 1], which may differ in size."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> np.ndarray: ...


@dataclasses.dataclass(frozen=True, eq=False)
class PatchStatistics:
    """Second-order statistics of image patches, in pixel-space units (values in [0, 1]).

    Made by `fit`, `fit_patches`, `natural_images` or `load`; used through `gaussian`.

    Attributes
    ----------
    mean : float64 array
        Stationary: the mean colour ``(c,)``. Empirical: the mean patch ``(*patch, c)``.
    covariance : float64 array
        Stationary: the autocovariance ``(2 m + 1, ..., c, c)`` over offsets of up to m pixels on
        each axis; entry ``[m + h]`` is the covariance of ``x_i`` with ``x_(i + h)``. Empirical:
        the covariance matrix of the flattened patch.
    num_images : int
        How many images they were fitted on.
    """

    mean: np.ndarray
    covariance: np.ndarray
    num_images: int

    @property
    def stationary(self) -> bool:
        """Whether these are the statistics of a stationary process, for patches of every size."""
        return self.mean.ndim == 1

    @property
    def channels(self) -> int:
        """Number of channels of an image."""
        return self.mean.shape[-1]

    @property
    def dimensions(self) -> int:
        """Number of spatial axes."""
        return self.covariance.ndim - 2 if self.stationary else self.mean.ndim - 1

    @property
    def max_patch(self) -> tuple[int, ...]:
        """Pixels of the largest patch that is described, on each axis."""
        if self.stationary:
            return tuple(lags // 2 + 1 for lags in self.covariance.shape[:-2])
        return self.mean.shape[:-1]

    def gaussian(self, patch: int | Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Mean ``(*patch, c)`` and covariance ``(P c, P c)`` of a patch, float64.

        Rows and columns are in the order of the flattened mean (channels fastest). Of empirical
        statistics for a larger patch, the middle is taken.

        Raises
        ------
        ValueError
            If the patch is larger than these statistics describe.
        """
        patch = per_axis(patch, self.dimensions, "patch")
        if any(size > most for size, most in zip(patch, self.max_patch, strict=True)):
            raise ValueError(
                f"statistics: a patch of {patch} pixels is needed (window plus twice the padding) "
                f"but these describe at most {self.max_patch}; choose a smaller window or "
                "padding, or fit statistics for larger patches"
            )
        return self._assemble(patch) if self.stationary else self._middle(patch)

    def _assemble(self, patch: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        positions = np.stack(np.meshgrid(*map(np.arange, patch), indexing="ij"), -1)
        positions = positions.reshape(-1, len(patch))
        lags = positions[None, :] - positions[:, None] + np.array(self.max_patch) - 1
        blocks = self.covariance[tuple(np.moveaxis(lags, -1, 0))]
        size = len(positions) * self.channels
        covariance = blocks.transpose(0, 2, 1, 3).reshape(size, size)
        return np.broadcast_to(self.mean, (*patch, self.channels)).copy(), covariance

    def _middle(self, patch: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        inside = tuple(
            slice((most - size) // 2, (most - size) // 2 + size)
            for size, most in zip(patch, self.max_patch, strict=True)
        )
        indices = np.arange(self.mean.size).reshape(self.mean.shape)[inside].ravel()
        return self.mean[inside].copy(), self.covariance[np.ix_(indices, indices)]

    @classmethod
    def fit(
        cls, images: Images, *, max_patch: int | Sequence[int] = 48, progress: bool = False
    ) -> PatchStatistics:
        """Fit a stationary mean colour and autocovariance.

        Parameters
        ----------
        images : sequence of float arrays (*spatial, c)
            Values in [0, 1]; sizes may differ, each at least ``max_patch``. Read twice.
        max_patch : int or tuple of int
            Side of the largest patch to describe.
        progress : bool
            Whether to show a progress bar.

        Notes
        -----
        With mean m over all pixels of all images and a taper w that falls to zero at the borders
        of an image (half a sine on each axis), the autocovariance at offset h is the sum of
        ``w_i (x_i - m) w_(i+h) (x_(i+h) - m)^T`` over all pixels of all images, divided by the
        sum of ``w_i ** 2``. It is positive semi-definite for every patch, which dividing by the
        number of pairs at each offset would not give. The price is a factor on the covariance of
        about ``1 - (pi |h| / size) ** 2 / 2``: 1 part in 10,000 at neighbouring pixels of an
        image of 224. Sums are made by fast Fourier transform in float64.
        """
        dimensions = _check_images(images)
        patch = per_axis(max_patch, dimensions, "max_patch")
        bar = progress_bar(2 * len(images), "images", progress, "fitting")
        total, pixels = 0.0, 0
        for index in range(len(images)):
            image = _checked_image(images, index, patch)
            total = total + image.reshape(-1, image.shape[-1]).sum(0)
            pixels += image[..., 0].size
            bar.update(1)
        mean = np.asarray(total) / pixels
        products, weight = 0.0, 0.0
        for index in range(len(images)):
            deviation = _checked_image(images, index, patch) - mean
            taper = _taper(deviation.shape[:-1])[..., None]
            products = products + _autocorrelation(taper * deviation, patch)
            weight += np.square(taper).sum()
            bar.update(1)
        bar.close()
        return cls(mean, np.asarray(products) / weight, len(images))

    @classmethod
    def fit_patches(
        cls,
        images: Images,
        patch: int | Sequence[int],
        *,
        num_patches: int = 50_000,
        seed: int = 0,
        progress: bool = False,
    ) -> PatchStatistics:
        """Fit the plain empirical mean and covariance of patches of one size.

        Parameters
        ----------
        images : sequence of float arrays (*spatial, c)
            Values in [0, 1]; sizes may differ, each at least ``patch``.
        patch : int or tuple of int
            Pixels of a patch on each axis: the window plus twice the padding.
        num_patches : int
            How many patches to take, equally many from each image, at random places.
        seed : int
            Seed of these places.
        progress : bool
            Whether to show a progress bar.

        Raises
        ------
        ValueError
            If there are fewer patches than numbers in one, so that the covariance is singular.
        """
        patch = per_axis(patch, _check_images(images), "patch")
        each = -(-num_patches // len(images))
        generator = np.random.default_rng(seed)
        total, products = 0.0, 0.0
        bar = progress_bar(len(images), "images", progress, "fitting")
        for index in range(len(images)):
            image = _checked_image(images, index, patch)
            room = np.array(image.shape[:-1]) - patch + 1
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
        return cls(mean.reshape(*patch, -1), covariance, len(images))

    @classmethod
    def natural_images(cls) -> PatchStatistics:
        """The statistics that come with the package, fitted on photographs of 600 kinds."""
        return _natural_images()

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> PatchStatistics:
        """Read statistics written by `save`.

        Raises
        ------
        FileNotFoundError, ValueError
            If the file is missing, damaged, or holds something else.
        """
        arrays = read_npz(path, "statistics", MAX_BYTES)
        problem = _problem(arrays)
        if problem:
            raise ValueError(
                f"statistics: {os.fspath(path)!r} does not hold patch statistics ({problem}); "
                "make them with `pdjax fit FOLDER`"
            )
        mean, covariance = (arrays[key].astype(np.float64) for key in ("mean", "covariance"))
        return cls(mean, covariance, int(arrays["num_images"]))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the statistics, numbers only, as a compressed ``.npz`` file."""
        write_npz(
            path,
            {"mean": self.mean, "covariance": self.covariance, "num_images": self.num_images},
        )


@functools.cache
def _natural_images() -> PatchStatistics:
    with resources.as_file(resources.files("pdjax") / "data" / "natural_images.npz") as path:
        return PatchStatistics.load(path)


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


def _check_images(images: Images) -> int:
    if len(images) == 0:
        raise ValueError("images: there are none; give at least one image to fit statistics on")
    return np.ndim(images[0]) - 1


def _checked_image(images: Images, index: int, patch: tuple[int, ...]) -> np.ndarray:
    image = np.asarray(images[index], np.float64)
    if not np.isfinite(image).all() or image.min() < 0 or image.max() > 1:
        raise ValueError(
            f"images: number {index} has values outside [0, 1] or NaN; divide 8-bit values by 255"
        )
    if any(size < most for size, most in zip(image.shape, patch, strict=False)):
        raise ValueError(
            f"images: number {index} of shape {image.shape} is smaller than the patch {patch}; "
            "leave it out or choose a smaller patch"
        )
    return image


def _problem(arrays: dict[str, np.ndarray]) -> str | None:
    if set(arrays) != {"mean", "covariance", "num_images"}:
        return f"it holds {', '.join(sorted(arrays)) or 'nothing'}"
    mean, covariance = arrays["mean"], arrays["covariance"]
    if any(a.dtype.kind not in "fiu" for a in arrays.values()) or arrays["num_images"].ndim:
        return "its arrays are not plain numbers"
    if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
        return "it has NaN or infinite values"
    if mean.ndim == 1 and covariance.ndim >= 3:
        lags, channels = covariance.shape[:-2], covariance.shape[-2:]
        fits = channels == mean.shape * 2 and all(lag % 2 for lag in lags)
        mirrored = np.flip(covariance, range(len(lags))).swapaxes(-1, -2)
    elif mean.ndim >= 2:
        fits = covariance.shape == (mean.size, mean.size)
        mirrored = covariance.T
    else:
        return "its shapes do not fit each other"
    if not fits:
        return "its shapes do not fit each other"
    scale = np.abs(covariance).max(initial=0)
    return None if np.allclose(mirrored, covariance, 0, 1e-6 * scale) else "it is not symmetric"
