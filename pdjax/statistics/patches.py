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

import numpy as np

from pdjax._checks import per_axis
from pdjax._files import read_npz, write_npz
from pdjax.statistics.fitting import Bounds, Images, fit_empirical, fit_stationary

__all__ = ["PatchStatistics", "numbers_problem"]

MAX_BYTES = 2**30


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
        cls,
        images: Images,
        *,
        max_patch: int | Sequence[int] = 48,
        bounds: Bounds = (0.0, 1.0),
        progress: bool = False,
    ) -> PatchStatistics:
        """Fit a stationary mean colour and autocovariance.

        Parameters
        ----------
        images : sequence of float arrays (*spatial, c)
            Values in [0, 1]; sizes may differ, each at least ``max_patch``. Read twice.
        max_patch : int or tuple of int
            Side of the largest patch to describe.
        bounds : (float, float) or None
            Range that values must lie in; None allows any finite ones, as activations have.
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
        mean, covariance = fit_stationary(images, max_patch, bounds, progress)
        return cls(mean, covariance, len(images))

    @classmethod
    def fit_patches(
        cls,
        images: Images,
        patch: int | Sequence[int],
        *,
        num_patches: int = 50_000,
        seed: int = 0,
        bounds: Bounds = (0.0, 1.0),
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
        bounds : (float, float) or None
            Range that values must lie in; None allows any finite ones, as activations have.
        progress : bool
            Whether to show a progress bar.

        Raises
        ------
        ValueError
            If there are fewer patches than numbers in one, so that the covariance is singular.
        """
        mean, covariance = fit_empirical(images, patch, num_patches, seed, bounds, progress)
        return cls(mean, covariance, len(images))

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


def numbers_problem(arrays: dict[str, np.ndarray], keys: set[str]) -> str | None:
    """Say why arrays of a file are not those of these names, finite, with a count of images."""
    if set(arrays) != keys:
        return f"it holds {', '.join(sorted(arrays)) or 'nothing'}"
    if any(a.dtype.kind not in "fiu" for a in arrays.values()) or arrays["num_images"].ndim:
        return "its arrays are not plain numbers"
    if not all(np.isfinite(a).all() for a in arrays.values()):
        return "it has NaN or infinite values"
    return None


def _problem(arrays: dict[str, np.ndarray]) -> str | None:
    unusable = numbers_problem(arrays, {"mean", "covariance", "num_images"})
    if unusable:
        return unusable
    mean, covariance = arrays["mean"], arrays["covariance"]
    if mean.size == 0:
        return "it is of no pixels"
    if mean.ndim == 1 and covariance.ndim >= 3:
        lags, channels = covariance.shape[:-2], covariance.shape[-2:]
        fits = channels == mean.shape * 2 and all(lag % 2 for lag in lags)
        mirrored = np.flip(covariance, tuple(range(len(lags)))).swapaxes(-1, -2)
    elif mean.ndim >= 2:
        fits = covariance.shape == (mean.size, mean.size)
        mirrored = covariance.T
    else:
        return "its shapes do not fit each other"
    if not fits:
        return "its shapes do not fit each other"
    scale = np.abs(covariance).max(initial=0)
    return None if np.allclose(mirrored, covariance, 0, 1e-6 * scale) else "it is not symmetric"
