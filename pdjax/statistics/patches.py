"""Mean and covariance of image patches, fitted once and kept as a small table.

Natural images are stationary: how two pixels vary together depends on the offset between them and
not on where they are. So a mean colour and an autocovariance over offsets describe patches of
every size; the covariance matrix of a patch is assembled from them. The plain empirical
covariance of patches of one size is offered as well.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import os
from collections.abc import Sequence

import jax
import numpy as np

from pdjax._checks import UNIT, ArgumentValueError, Bounds, check_count, per_axis
from pdjax._files import write_npz
from pdjax._types import static
from pdjax.statistics.archive import kept_facts, read_numbers, shipped
from pdjax.statistics.autocovariance import (
    check_patch,
    fit_autocovariance,
    largest_patch,
    mirrored,
    patch_covariance,
)
from pdjax.statistics.images import Images, ImageSource

__all__ = ["PatchStatistics"]

MAX_BYTES = 2**30


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class PatchStatistics:
    """Second-order statistics of image patches, in the unit of the images.

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
    bounds : (float, float) or None
        Range of the values of these images: what is sampled is clipped to it.
    """

    mean: np.ndarray
    covariance: np.ndarray
    num_images: int = static()
    bounds: Bounds = static(default=UNIT)

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
            return largest_patch(self.covariance.shape[:-2])
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
        patch = check_patch(patch, self.max_patch, "statistics")
        if not self.stationary:
            return self._middle(patch)
        mean = np.broadcast_to(self.mean, (*patch, self.channels)).copy()
        return mean, patch_covariance(self.covariance, patch)

    def _middle(self, patch: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        inside = tuple(
            slice((most - size) // 2, (most - size) // 2 + size)
            for size, most in zip(patch, self.max_patch, strict=True)
        )
        indices = np.arange(self.mean.size).reshape(self.mean.shape)[inside].ravel()
        return self.mean[inside].copy(), self.covariance[np.ix_(indices, indices)]

    @classmethod
    def fit(
        cls,
        images: Images,
        *,
        max_patch: int | Sequence[int] = 48,
        bounds: Bounds = UNIT,
        progress: bool = False,
    ) -> PatchStatistics:
        """Fit a stationary mean colour and autocovariance.

        Parameters
        ----------
        images : sequence of float arrays (*spatial, c)
            Values within ``bounds``; sizes may differ, each at least ``max_patch``. Read twice.
        max_patch : int or tuple of int
            Side of the largest patch to describe.
        bounds : (float, float) or None
            Range that values must lie in; None allows any finite ones, of series, of normalised
            images, of activations.
        progress : bool
            Whether to show a progress bar.

        Raises
        ------
        ValueError
            If there are no images, or some of them cannot be used.

        Notes
        -----
        With mean m over all pixels of all images and a taper w that falls to zero at the borders
        of an image (half a sine on each axis), the autocovariance at offset h is the sum of
        ``w_i (x_i - m) w_(i+h) (x_(i+h) - m)^T`` over all pixels of all images, divided by the
        sum of ``w_i w_(i+h)``, which leaves no bias. Such a table need not be positive definite
        where images are few: as much as is needed for the largest patch is then taken from the
        estimate divided by the sum of ``w_i ** 2``, which always is. The price of that is a factor
        on the covariance of about ``1 - (pi |h| / size) ** 2 / 2``, so that what is sampled varies
        too much: on images of 28 pixels a side with windows of 10, by 8 % (rough images) to 42 %
        (smooth ones), where without it 0.4 % remain. Largest patches of over 4,000 numbers are not
        tested and get the latter: on photographs of 64 pixels 2 %, on those of 224 pixels 0.1 %.
        Sums are made by fast Fourier transform in float64.
        """
        source = ImageSource(images, bounds, progress)
        sides = per_axis(max_patch, source.dimensions, "max_patch")
        return cls(*fit_autocovariance(source, sides), len(source), source.bounds)

    @classmethod
    def fit_patches(
        cls,
        images: Images,
        patch: int | Sequence[int],
        *,
        num_patches: int = 50_000,
        seed: int = 0,
        bounds: Bounds = UNIT,
        progress: bool = False,
    ) -> PatchStatistics:
        """Fit the plain empirical mean and covariance of patches of one size.

        Parameters
        ----------
        images : sequence of float arrays (*spatial, c)
            Values within ``bounds``; sizes may differ, each at least ``patch``.
        patch : int or tuple of int
            Pixels of a patch on each axis: the window plus twice the padding.
        num_patches : int
            How many patches to take, equally many from each image, at random places.
        seed : int
            Seed of these places.
        bounds : (float, float) or None
            Range that values must lie in; None allows any finite ones, of series, of normalised
            images, of activations.
        progress : bool
            Whether to show a progress bar.

        Raises
        ------
        ValueError
            If there are no images, some of them cannot be used, or there are no more patches than
            numbers in one, so that the covariance is singular.
        """
        check_count("seed", seed, 0)
        source = ImageSource(images, bounds, progress)
        sides = per_axis(patch, source.dimensions, "patch")
        size = math.prod(sides) * source.channels
        if check_count("num_patches", num_patches) <= size:
            raise ArgumentValueError(
                "num_patches",
                f"is too few for patches of {size} numbers",
                f"take more than {size}, better ten times as many",
                value=num_patches,
            )
        total, products, count = 0.0, 0.0, 0
        with source.bar() as bar:
            for patches in source.random_patches(sides, num_patches, seed, bar):
                rows = patches.reshape(len(patches), -1)
                total = total + rows.sum(0)
                products = products + rows.T @ rows
                count += len(rows)
        if count <= size:
            raise ArgumentValueError(
                "images",
                f"that can be read gave {count} patches, too few for {size} numbers",
                "take more patches, or replace what cannot be read",
            )
        mean = np.asarray(total) / count
        covariance = (np.asarray(products) - count * np.outer(mean, mean)) / (count - 1)
        return cls(mean.reshape(*sides, -1), covariance, len(source), source.bounds)

    @classmethod
    def natural_images(cls) -> PatchStatistics:
        """The statistics that come with the package, fitted on photographs of 600 kinds.

        Made by ``pdjax fit FOLDER --size 224``, as those of your own images are.
        """
        return _natural_images()

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> PatchStatistics:
        """Read statistics written by `save`.

        Raises
        ------
        FileNotFoundError, ValueError
            If the file is missing, damaged, or holds something else.
        """
        (mean, covariance), num_images, bounds = read_numbers(
            path,
            "statistics",
            ("mean", "covariance"),
            _problem,
            content="patch statistics",
            remedy="make them with `pdjax fit FOLDER`, or with pdjax.PatchStatistics.fit",
            max_bytes=MAX_BYTES,
        )
        if bounds == UNIT and not (mean.min() >= 0 and mean.max() <= 1):
            bounds = None  # of activations, before files held the bounds
        return cls(mean, covariance, num_images, bounds)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the statistics, numbers only, as a compressed ``.npz`` file."""
        arrays = {"mean": self.mean, "covariance": self.covariance}
        write_npz(path, arrays | kept_facts(self.num_images, self.bounds))


@functools.cache
def _natural_images() -> PatchStatistics:
    return shipped("natural_images.npz", PatchStatistics.load)


def _problem(mean: np.ndarray, covariance: np.ndarray) -> str | None:
    """Say why a mean and a covariance are not those of patches, or of a stationary process."""
    if mean.size == 0:
        return "it is of no pixels"
    if mean.ndim == 1 and covariance.ndim >= 3:
        lags, channels = covariance.shape[:-2], covariance.shape[-2:]
        fits = channels == mean.shape * 2 and all(lag % 2 for lag in lags)
        mirror = mirrored(covariance)
    else:
        fits = mean.ndim >= 2 and covariance.shape == (mean.size, mean.size)
        mirror = covariance.T
    if not fits:
        return "its shapes do not fit each other"
    scale = np.abs(covariance).max(initial=0)
    return None if np.allclose(mirror, covariance, 0, 1e-6 * scale) else "it is not symmetric"
