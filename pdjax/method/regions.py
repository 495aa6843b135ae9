"""Regions: parts of an image of any shape, such as superpixels or organs, hidden as a whole.

A region takes the place of a window. It is evaluated in a box, as large for all of them as the
largest takes: inside the box the pixels of other regions stay as they are. Every pixel lies in one
region at most, whose relevance is its own.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax.numpy as jnp
import numpy as np

from pdjax._checks import ArgumentTypeError, ArgumentValueError
from pdjax._types import Array, Float, Int
from pdjax.method.windows import root_bias

__all__ = ["RegionGrid"]


# Static where JAX compiles: told by identity, as one run makes it once.
@dataclasses.dataclass(frozen=True, eq=False)
class RegionGrid:
    """All regions of an image, in the order of their numbers; has what a `WindowGrid` has.

    Parameters
    ----------
    labels : int array, shape (*spatial)
        The number of the region of every pixel; where it is negative, a pixel is never hidden.

    Attributes
    ----------
    ids : tuple of int
        Numbers of the regions.
    window : tuple of int
        Sides of the box that any of them fits into.
    """

    labels: np.ndarray
    ids: tuple[int, ...] = dataclasses.field(init=False)
    window: tuple[int, ...] = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        ids = np.unique(self.labels[self.labels >= 0])
        object.__setattr__(self, "ids", tuple(map(int, ids)))
        sides = [[s.stop - s.start for s in box] for box in self._boxes]
        object.__setattr__(self, "window", tuple(map(int, np.max(sides, 0))))

    @classmethod
    def of(cls, regions: Any, spatial: tuple[int, ...]) -> RegionGrid:
        """Check the label map that a person passes."""
        labels = np.asarray(regions)
        if labels.dtype.kind not in "iu":
            raise ArgumentTypeError(
                "regions",
                f"of dtype {labels.dtype} must be a map of ints, the number of each pixel's region",
                "convert it with astype(int)",
            )
        if labels.shape != spatial:
            raise ArgumentValueError(
                "regions",
                f"of shape {labels.shape} must have the shape {spatial} of what is explained",
                "leave the channels out, and make it at the image's size",
            )
        if labels.max() < 0:
            raise ArgumentValueError(
                "regions", "has no number of 0 or above", "number what is to be hidden"
            )
        if labels.max() >= 2**32:
            raise ArgumentValueError(
                "regions",
                f"hold number {labels.max()}, and a random key is made of at most {2**32 - 1}",
                "number them from 0",
            )
        return cls(labels.astype(np.int64))

    @property
    def spatial(self) -> tuple[int, ...]:
        """Pixels of the image on each axis."""
        return self.labels.shape

    @property
    def shape(self) -> tuple[int]:
        """Number of regions."""
        return (len(self.ids),)

    @property
    def size(self) -> int:
        """Number of regions."""
        return len(self.ids)

    @property
    def stride(self) -> None:
        """Regions have none."""
        return None

    @functools.cached_property
    def _boxes(self) -> tuple[tuple[slice, ...], ...]:
        import scipy.ndimage

        # Numbers may be sparse and large, while those of `find_objects` count from one.
        found = scipy.ndimage.find_objects(self.index + 1)
        return tuple(found)

    @functools.cached_property
    def index(self) -> np.ndarray:
        """Index in ``ids`` of the region of every pixel, int64; -1 where there is none."""
        ids = np.asarray(self.ids)
        return np.where(self.labels >= 0, np.searchsorted(ids, self.labels), -1)

    @functools.cached_property
    def corners(self) -> np.ndarray:
        """First corner of the box of each region, int64 ``(regions, d)``, within the image."""
        starts = np.array([[s.start for s in box] for box in self._boxes])
        return np.minimum(starts, np.array(self.spatial) - np.array(self.window))

    def mask(self, index: int) -> np.ndarray:
        """Whether each pixel of a region's box is one of its own, bool ``(*window)``."""
        corner = self.corners[index]
        box = tuple(slice(c, c + k) for c, k in zip(corner, self.window, strict=True))
        return self.index[box] == index

    @functools.cached_property
    def pixel_shares(self) -> np.ndarray:
        """Pixels of each region, float64 ``(regions,)``: see `WindowGrid.pixel_shares`."""
        return np.bincount(self.index[self.index >= 0], minlength=self.size).astype(float)

    def origins(self, indices: Int[Array, " n"] | np.ndarray) -> Int[Array, "n d"]:
        """First corners, int32, of the boxes of the regions with these indices."""
        return jnp.asarray(self.corners, jnp.int32)[jnp.asarray(indices, jnp.int32)]

    def touching(self, pixels: np.ndarray) -> np.ndarray:
        """Indices, int64 and increasing, of the regions with a pixel of a boolean array."""
        found = np.unique(self.index[pixels])
        return found[found >= 0]

    def smoothed(self, variances: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        """Regions have nothing in common with their neighbours: as they are."""
        del drawn
        return variances

    def average(self, values: Float[Array, "u regions"]) -> Float[Array, u * spatial]:
        """Value of every pixel, that of its region; NaN where there is none."""
        index = jnp.asarray(self.index)
        return jnp.where((index >= 0)[None], values[:, index], jnp.nan)

    def average_error(
        self, errors: Float[Array, "u regions"], degrees_of_freedom: Int[Array, " regions"]
    ) -> Float[Array, u * spatial]:
        """Standard error of every pixel, that of its region."""
        factor = root_bias(degrees_of_freedom.astype(errors.dtype))
        return self.average(errors / factor[None])
