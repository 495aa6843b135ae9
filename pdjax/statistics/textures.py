"""A mixture of textures: what natural image patches look like beyond their covariance.

One Gaussian has one contrast and one grain for all of an image, while photographs have sky in one
place and grass in another. Here a patch has one of a few textures (stationary Gaussians, each with
an autocovariance of its own), at one of a few contrasts, about a colour of which nothing is
assumed. A window may have another contrast than the ring of pixels around it: see
`pdjax.statistics.contrasts`.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import os
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from pdjax._checks import UNIT, ArgumentValueError, Bounds, check_count, check_key, per_axis
from pdjax._devices import double_precision, host
from pdjax._files import write_npz
from pdjax._types import Array, Key, static
from pdjax.statistics.archive import kept_facts, read_numbers, shipped
from pdjax.statistics.autocovariance import (
    check_patch,
    fit_autocovariance,
    largest_patch,
    mirrored,
    patch_covariance,
)
from pdjax.statistics.contrasts import ContrastChange, fit_change
from pdjax.statistics.images import Images, ImageSource
from pdjax.statistics.texture_fitting import climb, initial_textures, noisy_differences, tables

__all__ = ["PatchMixture"]

MAX_BYTES = 2**28
CHANGE = ("ratios", "edges", "sides", "probabilities")
"""Names in a file of what it holds of the contrast of windows; older files have none of it."""

FLOOR = 1e-6
"""Share of the variance of a pixel that is white, at least, in the textures to start from."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class PatchMixture:
    """Textures of image patches, in the unit of the images.

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
    bounds : (float, float) or None
        Range of the values of these images: what is sampled is clipped to it.
    change : ContrastChange or None
        How much windows vary, given the ring of pixels around them; None for as much as these.
    """

    weights: np.ndarray
    scales: np.ndarray
    covariance: np.ndarray
    num_images: int = static()
    bounds: Bounds = static(default=UNIT)
    change: ContrastChange | None = None

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
        return largest_patch(self.covariance.shape[1:-2])

    def covariances(self, patch: int | Sequence[int]) -> np.ndarray:
        """Covariance ``(textures, P c, P c)`` of a patch, float64, channels fastest.

        Raises
        ------
        ValueError
            If the patch is larger than the mixture describes.
        """
        sides = check_patch(patch, self.max_patch, "mixture")
        return np.stack([patch_covariance(table, sides) for table in self.covariance])

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
        bounds: Bounds = UNIT,
        progress: bool = False,
    ) -> PatchMixture:
        """Fit a mixture by expectation-maximisation.

        Parameters
        ----------
        images : sequence of float arrays (*spatial, c)
            Values within ``bounds``; sizes may differ, each at least ``max_patch``. Read several
            times.
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
            Values are taken to be rounded to so many levels over their bounds (without bounds:
            over six standard deviations), and noise as wide as one level is added, without which
            areas of one value have no density; None adds none.
        bounds : (float, float) or None
            Range that values must lie in; None allows any finite ones, of series, of normalised
            images, of activations.
        progress : bool
            Whether to show a progress bar.

        Raises
        ------
        ValueError
            If images cannot be used, or there are too few patches.

        Notes
        -----
        The equations are in the module `pdjax.statistics.texture_fitting`. All is in float64;
        memory is about four times that of the patches, ``num_patches`` by the numbers in one.
        It runs on the CPU, whatever the default device is.
        """
        for argument, count in (("textures", textures), ("contrasts", contrasts), ("steps", steps)):
            check_count(argument, count)
        if levels is not None:
            check_count("levels", levels, 2)
        source = ImageSource(images, bounds, progress)
        sides = per_axis(patch, source.dimensions, "patch")
        largest = per_axis(max_patch, source.dimensions, "max_patch")
        _check_sizes(sides, largest, num_patches, source.channels)
        start, chosen = jax.random.split(check_key(rng_key))
        seed = int(jax.random.bits(chosen))
        _, table = fit_autocovariance(source, largest)
        variance = float(np.trace(table[tuple(size - 1 for size in largest)])) / source.channels
        span = math.inf if source.bounds is None else source.bounds[1] - source.bounds[0]
        span = span if math.isfinite(span) else 6 * math.sqrt(variance)
        width = 0.0 if levels is None else span / (levels - 1)
        rows = noisy_differences(source, sides, num_patches, [seed], width)
        floor = width**2 / 12 + FLOOR * variance
        with double_precision(), jax.default_device(host()):
            start = jax.device_put(start, host())
            state = initial_textures(start, table, textures, contrasts, floor)
            state = climb(state, jnp.asarray(rows), sides, steps, progress)
            made = tables(state, largest)
        change = fit_change(*made, source, num_patches, seed, width)
        return cls(*made, len(source), source.bounds, change)

    @classmethod
    def natural_images(cls) -> PatchMixture:
        """The mixture that comes with the package, fitted on photographs of 600 kinds.

        Made by ``pdjax fit FOLDER --mixture``, as one of your own images is.
        """
        return _natural_images()

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> PatchMixture:
        """Read a mixture written by `save`.

        Raises
        ------
        FileNotFoundError, ValueError
            If the file is missing, damaged, or holds something else.
        """
        (weights, scales, half, *further), num_images, bounds = read_numbers(
            path,
            "mixture",
            ("weights", "scales", "half"),
            _problem,
            content="a mixture of textures",
            remedy="make one with `pdjax fit FOLDER --mixture`, or with pdjax.PatchMixture.fit",
            max_bytes=MAX_BYTES,
            further=CHANGE,
        )
        covariance = np.concatenate([half, mirrored(half, 1)[:, 1:]], axis=1)
        change = ContrastChange(*further) if further else None
        return cls(weights / weights.sum(), scales, covariance, num_images, bounds, change)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the mixture, numbers only, as a compressed ``.npz`` file.

        Of the autocovariances only the offsets with a first part of at most zero are kept: the
        others are their transposes.
        """
        half = self.covariance[:, : self.max_patch[0]]
        arrays = {"weights": self.weights, "scales": self.scales, "half": half}
        if self.change is not None:
            arrays |= {name: getattr(self.change, name) for name in CHANGE}
        write_npz(path, arrays | kept_facts(self.num_images, self.bounds))


@functools.cache
def _natural_images() -> PatchMixture:
    return shipped("natural_textures.npz", PatchMixture.load)


def _check_sizes(
    patch: tuple[int, ...], largest: tuple[int, ...], num_patches: int, channels: int
) -> None:
    """Raise ValueError where patches are too large, too small or too few to be fitted to."""
    if any(most < size for size, most in zip(patch, largest, strict=True)):
        raise ArgumentValueError(
            "max_patch", f"must be at least the patch {patch} on every axis", value=largest
        )
    numbers = math.prod(patch) * channels
    if numbers == channels:
        raise ArgumentValueError("patch", "must be of two pixels or more", value=patch)
    if check_count("num_patches", num_patches) < 2 * numbers:
        raise ArgumentValueError(
            "num_patches",
            f"is too few for patches of {numbers} numbers",
            f"take at least {2 * numbers}",
            value=num_patches,
        )


def _problem(
    weights: np.ndarray, scales: np.ndarray, half: np.ndarray, *further: np.ndarray
) -> str | None:
    """Say why arrays are not probabilities, scales, halves of autocovariances and changes."""
    shapes = "its shapes do not fit each other"
    if weights.ndim != 2 or scales.shape != weights.shape or half.ndim < 4:
        return shapes
    others = half.shape[2:-2]
    square = half.shape[-1] == half.shape[-2] and all(lags % 2 for lags in others)
    if len(half) != len(weights) or not square or 0 in (weights.size, half.size):
        return shapes
    if weights.min() < 0 or not np.isclose(weights.sum(), 1, 0, 1e-6) or scales.min() <= 0:
        return "its weights are not probabilities or its scales not above zero"
    middle = half[:, -1:]
    if not np.allclose(middle, mirrored(middle, 1), 0, 1e-6 * float(np.abs(half).max())):
        return "it is not symmetric"
    variance = half[(slice(None), -1, *(lags // 2 for lags in others))]
    if np.linalg.eigvalsh(variance.astype(np.float64)).min() <= 0:
        return "a variance in it is not above zero"
    return ContrastChange(*further).problem(len(weights)) if further else None
