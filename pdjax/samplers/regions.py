"""What hides a region: the contents of a sampler in a part of any shape instead of a window.

The conditional Gaussian of a region ``M`` given the pixels ``N`` around it is that of a window with
another set of pixels: with the autocovariance C of the statistics, ``x_M`` has the mean
``m + G (x_N - m)``, ``G = C_MN C_NN^-1``, and the covariance ``C_MM - G C_NM``. As no two regions
are alike, each has factors of its own, which are made when it is drawn, on the host in float64,
and not kept: for a region of a thousand pixels in colour they take 70 MB and about a second.
"""

from __future__ import annotations

import dataclasses
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

from pdjax._checks import ArgumentValueError, by_sides
from pdjax._types import Array, Float, Key, Sampler
from pdjax.method.regions import RegionGrid
from pdjax.method.schemes import Scheme
from pdjax.samplers.gaussian import ConditionalGaussian
from pdjax.samplers.marginal import Marginal
from pdjax.samplers.occlusion import Blur, Constant, ImageMean
from pdjax.statistics import PatchStatistics

__all__ = ["MAX_NUMBERS", "RegionContents", "region_contents"]

MAX_NUMBERS = 6000
"""Numbers of a region and the pixels around it (of one channel, where these are independent).

Time grows with the third power of it and memory with the second: here, some seconds and 0.6 GB.
"""


@runtime_checkable
class RegionContents(Protocol):
    """Contents of the boxes of regions, in which the pixels of other regions are the image's."""

    def draw(
        self, rng_key: Key[Array, ""], index: int, scheme: Scheme
    ) -> Float[np.ndarray, "num_samples *box c"]:
        """Draw contents of the region of that index."""


def region_contents(
    sampler: Sampler, image: Float[Array | np.ndarray, "*spatial c"], grid: RegionGrid
) -> RegionContents:
    """Return what draws contents of regions as a sampler does of windows.

    Raises
    ------
    ValueError
        If the sampler is of a kind that cannot, or a region is too large for it.
    """
    if isinstance(sampler, ConditionalGaussian):
        if sampler.source is None:
            raise ArgumentValueError(
                "sampler",
                "was rebuilt by JAX and has lost the statistics that regions take",
                "give the one that you made",
            )
        return _Gaussian(sampler, *sampler.source, np.asarray(image), grid)
    if isinstance(sampler, Constant | ImageMean | Blur | Marginal):
        own = dataclasses.replace(sampler, window=grid.window)
        return _Fixed(own, jnp.asarray(image), grid)
    raise ArgumentValueError(
        "sampler",
        f"of type {type(sampler).__name__} cannot hide regions",
        "use ConditionalGaussian, Constant, ImageMean, Blur or Marginal",
    )


@dataclasses.dataclass(frozen=True, eq=False)
class _Fixed:
    """The contents of a window as large as the box, in the region's pixels."""

    sampler: Sampler
    image: jax.Array
    grid: RegionGrid

    def draw(self, rng_key: jax.Array, index: int, scheme: Scheme) -> np.ndarray:
        corner = jnp.asarray(self.grid.corners[index], jnp.int32)
        content = np.asarray(self.sampler.sample(rng_key, self.image, corner, scheme.num_samples))
        return np.where(self.grid.mask(index)[..., None], content, _own(self, index))


@dataclasses.dataclass(frozen=True, eq=False)
class _Gaussian:
    """Samples of a region given the pixels around it."""

    sampler: ConditionalGaussian
    statistics: PatchStatistics
    jitter: float
    image: np.ndarray
    grid: RegionGrid

    def __post_init__(self) -> None:
        if not self.statistics.stationary:
            raise ArgumentValueError(
                "regions",
                "need statistics for parts of any shape, and those of the sampler are of patches",
                "fit them with PatchStatistics.fit",
            )
        for index in range(self.grid.size):
            self._check(index)

    @property
    def _groups(self) -> list[list[int]]:
        """Channels that vary together."""
        channels = list(range(self.image.shape[-1]))
        return [channels] if self.sampler.color == "joint" else [[c] for c in channels]

    def _check(self, index: int) -> None:
        inside, around = self._pixels(index)
        name, remedy = f"hold number {self.grid.ids[index]}, which", "cut it into smaller ones"
        both = np.concatenate([inside, around])
        sides = both.max(0) - both.min(0) + 1
        most = self.statistics.max_patch
        if any(side > limit for side, limit in zip(sides, most, strict=True)):
            raise ArgumentValueError(
                "regions",
                f"{name} with the pixels around it reaches over {by_sides(sides.tolist())} pixels, "
                f"and the statistics describe at most {by_sides(most)}",
                f"{remedy}, number it -1 if it is not to be hidden, or fit with a larger max_patch",
            )
        numbers = len(both) * len(self._groups[0])
        if numbers > MAX_NUMBERS:
            raise ArgumentValueError(
                "regions",
                f"{name} with the pixels around it has {numbers:,} numbers that vary together, "
                f"more than {MAX_NUMBERS:,}",
                f"{remedy}, number it -1 if it is not to be hidden, or use color='independent'",
            )

    def _pixels(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Positions ``(n, d)`` of a region's pixels, and of those around it."""
        import scipy.ndimage

        inside = self.grid.index == index
        reach = 2 * self.sampler.padding + 1
        box = np.ones((reach,) * inside.ndim, bool)
        around = scipy.ndimage.binary_dilation(inside, box) & ~inside
        return np.argwhere(inside), np.argwhere(around)

    def draw(self, rng_key: jax.Array, index: int, scheme: Scheme) -> np.ndarray:
        inside, around = self._pixels(index)
        numbers = self._most_numbers
        noise = np.asarray(scheme.numbers(rng_key, numbers, self.image.dtype), np.float64)
        content = np.broadcast_to(_own(self, index), (len(noise), *self._box_shape)).copy()
        places = (slice(None), *(inside - self.grid.corners[index]).T)
        drawn = np.empty((len(noise), len(inside), self.image.shape[-1]))
        for number, group in enumerate(self._groups):
            mean, root = self._condition(inside, around, group)
            first = number * len(inside)
            own = noise[:, first : first + len(root)]
            drawn[..., group] = (mean + own @ root.T).reshape(len(noise), len(inside), -1)
        if self.sampler.clip is not None:
            drawn = np.clip(drawn, *self.sampler.clip)
        content[places] = drawn
        return content

    @property
    def _most_numbers(self) -> int:
        """Normal numbers that the largest region takes: one compilation for all of them."""
        return int(self.grid.pixel_shares.max()) * self.image.shape[-1]

    @property
    def _box_shape(self) -> tuple[int, ...]:
        return (*self.grid.window, self.image.shape[-1])

    def _condition(
        self, inside: np.ndarray, around: np.ndarray, group: list[int]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean ``(n c,)`` of a region, channels fastest, and Cholesky factor of its covariance."""
        import scipy.linalg

        middle = tuple(lags // 2 for lags in self.statistics.covariance.shape[:-2])
        variance = self.jitter * np.diag(self.statistics.covariance[middle]).mean()
        mean = np.tile(self.statistics.mean[group], len(inside))
        inner = self._covariance(inside, inside, group) + variance * np.eye(len(mean))
        try:
            if len(around):
                cross = self._covariance(inside, around, group)
                outer = self._covariance(around, around, group)
                outer += variance * np.eye(len(outer))
                known = self.image[tuple(around.T)][:, group] - self.statistics.mean[group]
                factor = scipy.linalg.cho_factor(outer, overwrite_a=True)
                gain = scipy.linalg.cho_solve(factor, cross.T).T
                mean = mean + gain @ known.ravel().astype(np.float64)
                inner -= gain @ cross.T
            return mean, np.linalg.cholesky((inner + inner.T) / 2)
        except np.linalg.LinAlgError:
            raise ArgumentValueError(
                "statistics",
                "have a covariance of a region that is not positive definite with "
                f"jitter={self.jitter:g} added",
                "fit them on more images, or use a larger jitter",
            ) from None

    def _covariance(self, rows: np.ndarray, columns: np.ndarray, group: list[int]) -> np.ndarray:
        table = self.statistics.covariance[..., group, :][..., group]
        middle = np.array(table.shape[:-2]) // 2
        offsets = columns[None] - rows[:, None] + middle
        blocks = table[tuple(np.moveaxis(offsets, -1, 0))]
        size = len(group)
        return blocks.transpose(0, 2, 1, 3).reshape(len(rows) * size, len(columns) * size)


def _own(contents: _Fixed | _Gaussian, index: int) -> np.ndarray:
    """The box of a region in the image as it is."""
    corner, window = contents.grid.corners[index], contents.grid.window
    box = tuple(slice(c, c + k) for c, k in zip(corner, window, strict=True))
    return np.asarray(contents.image)[box]
