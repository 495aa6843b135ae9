"""A mixture of textures: what natural image patches look like beyond their covariance.

One Gaussian has one contrast and one grain for all of an image, while photographs have sky in one
place and grass in another. Here a patch has one of a few textures (stationary Gaussians, each with
an autocovariance of its own), at one of a few contrasts, about a colour of which nothing is
assumed.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Sequence
from importlib import resources

import numpy as np

from pdjax._files import read_npz, write_npz
from pdjax._types import Array, Key
from pdjax.statistics.fitting import Bounds, Images
from pdjax.statistics.patches import PatchStatistics, numbers_problem
from pdjax.statistics.texture_fitting import fit_mixture

__all__ = ["PatchMixture"]

MAX_BYTES = 2**28
KEYS = {"weights", "scales", "half", "num_images"}


@dataclasses.dataclass(frozen=True, eq=False)
class PatchMixture:
    """Textures of image patches, in pixel-space units (values in [0, 1]).

    A patch has texture j at contrast m with probability ``weights[j, m]``. The differences of its
    pixels to any one of them are then Gaussian with mean zero, and have the covariance that
    follows from the autocovariance ``scales[j, m] * covariance[j]``. Made by `fit`,
    `natural_images` or `load`; used through `ConditionalMixture`.

    Attributes
    ----------
    weights : float64 array (textures, contrasts)
        Probabilities; they sum to one.
    scales : float64 array (textures, contrasts)
        Factors of the covariance, above zero.
    covariance : float64 array (textures, 2 m + 1, ..., c, c)
        Autocovariances over offsets of up to m pixels on each axis: entry ``[j, m + h]`` is the
        covariance of ``x_i`` with ``x_(i + h)``.
    num_images : int
        How many images it was fitted on.
    """

    weights: np.ndarray
    scales: np.ndarray
    covariance: np.ndarray
    num_images: int

    @property
    def channels(self) -> int:
        """Number of channels of an image."""
        return self.covariance.shape[-1]

    @property
    def dimensions(self) -> int:
        """Number of spatial axes."""
        return self.covariance.ndim - 3

    @property
    def max_patch(self) -> tuple[int, ...]:
        """Pixels of the largest patch that is described, on each axis."""
        return tuple(lags // 2 + 1 for lags in self.covariance.shape[1:-2])

    def covariances(self, patch: int | Sequence[int]) -> np.ndarray:
        """Covariance ``(textures, P c, P c)`` of a patch, float64, channels fastest.

        Raises
        ------
        ValueError
            If the patch is larger than the mixture describes.
        """
        mean = np.zeros(self.channels)
        return np.stack(
            [PatchStatistics(mean, each, 1).gaussian(patch)[1] for each in self.covariance]
        )

    @classmethod
    def fit(
        cls,
        images: Images,
        rng_key: Key[Array, ""],
        *,
        textures: int = 6,
        contrasts: int = 6,
        patch: int | Sequence[int] = 14,
        max_patch: int | Sequence[int] = 48,
        num_patches: int = 18_000,
        steps: int = 30,
        levels: int | None = 256,
        bounds: Bounds = (0.0, 1.0),
        progress: bool = False,
    ) -> PatchMixture:
        """Fit a mixture by expectation-maximisation.

        Parameters
        ----------
        images : sequence of float arrays (*spatial, c)
            Values in [0, 1]; sizes may differ, each at least ``max_patch``. Read three times.
        rng_key : key
            Decides on the patches, the noise and the textures to start from; the same key gives
            the same mixture.
        textures, contrasts : int
            Number of textures, and of contrasts of each.
        patch : int or tuple of int
            Pixels of the patches to fit to, on each axis: window plus twice the padding.
        max_patch : int or tuple of int
            Side of the largest patch to describe; at least ``patch``.
        num_patches : int
            How many patches to take, equally many from each image, at random places.
        steps : int
            Steps of expectation-maximisation.
        levels : int or None
            Values are taken to be rounded to so many levels, and noise as wide as one level is
            added, without which areas of one value have no density; None adds none.
        bounds : (float, float) or None
            Range that values must lie in; None allows any finite ones, as activations have.
        progress : bool
            Whether to show a progress bar.

        Raises
        ------
        ValueError
            If images cannot be used, or there are too few patches.

        Notes
        -----
        The equations are in the module `pdjax.statistics.texture_steps`. All is in float64; memory
        is about four times that of the patches, ``num_patches`` by the numbers in one.
        """
        weights, scales, covariance = fit_mixture(
            images, rng_key, textures, contrasts, patch, max_patch, num_patches, steps, levels,
            bounds, progress,
        )  # fmt: skip
        return cls(weights, scales, covariance, len(images))

    @classmethod
    def natural_images(cls) -> PatchMixture:
        """The mixture that comes with the package, fitted on photographs of 600 kinds."""
        return _natural_images()

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> PatchMixture:
        """Read a mixture written by `save`.

        Raises
        ------
        FileNotFoundError, ValueError
            If the file is missing, damaged, or holds something else.
        """
        arrays = read_npz(path, "mixture", MAX_BYTES)
        problem = _problem(arrays)
        if problem:
            raise ValueError(
                f"mixture: {os.fspath(path)!r} does not hold a mixture of textures ({problem}); "
                "make one with `pdjax fit FOLDER --mixture`"
            )
        weights, scales, half = (
            arrays[k].astype(np.float64) for k in ("weights", "scales", "half")
        )
        covariance = np.concatenate([half, _mirrored(half)[:, 1:]], axis=1)
        return cls(weights / weights.sum(), scales, covariance, int(arrays["num_images"]))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the mixture, numbers only, as a compressed ``.npz`` file.

        Of the autocovariances only the offsets with a first part of at most zero are kept: the
        others are their transposes.
        """
        half = self.covariance[:, : self.max_patch[0]]
        parts = {"weights": self.weights, "scales": self.scales, "half": half}
        write_npz(path, {**parts, "num_images": self.num_images})


@functools.cache
def _natural_images() -> PatchMixture:
    with resources.as_file(resources.files("pdjax") / "data" / "natural_textures.npz") as path:
        return PatchMixture.load(path)


def _mirrored(covariance: np.ndarray) -> np.ndarray:
    """Autocovariances at the opposite offsets, in reverse order, transposed."""
    return np.flip(covariance, tuple(range(1, covariance.ndim - 2))).swapaxes(-1, -2)


def _problem(arrays: dict[str, np.ndarray]) -> str | None:
    unusable = numbers_problem(arrays, KEYS)
    if unusable:
        return unusable
    weights, scales, half = (arrays[key] for key in ("weights", "scales", "half"))
    if weights.ndim != 2 or scales.shape != weights.shape or half.ndim < 4:
        return "its shapes do not fit each other"
    others = half.shape[2:-2]
    square = half.shape[-1] == half.shape[-2] and all(lags % 2 for lags in others)
    if len(half) != len(weights) or not square or 0 in (weights.size, half.size):
        return "its shapes do not fit each other"
    if weights.min() < 0 or not np.isclose(weights.sum(), 1, 0, 1e-6) or scales.min() <= 0:
        return "its weights are not probabilities or its scales not above zero"
    middle = half[:, -1:]
    if not np.allclose(middle, _mirrored(middle), 0, 1e-6 * float(np.abs(half).max())):
        return "it is not symmetric"
    variance = half[(slice(None), -1, *(lags // 2 for lags in others))]
    if np.linalg.eigvalsh(variance.astype(np.float64)).min() <= 0:
        return "a variance in it is not above zero"
    return None
