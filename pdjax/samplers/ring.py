"""A window with the ring of pixels around it: what the two conditional samplers share.

Window and ring make up a patch. At the border of an image the patch is shifted inwards and the
window lies off-centre in it: ``(2 * padding + 1) ** d`` places in all, in row-major order of the
window's corner in the patch. What conditioning takes depends on the place and on nothing else, so
it is computed once for each place and looked up for each window. Of the windows of a grid most lie
in the middle of their patches, and few places are met at all: those alone can be set up.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pdjax._checks import (
    ArgumentTypeError,
    ArgumentValueError,
    Bounds,
    by_sides,
    check_count,
    check_pair,
    per_axis,
)
from pdjax._types import Int
from pdjax.method.windows import WindowGrid

__all__ = [
    "Clip",
    "Place",
    "Places",
    "Ring",
    "RingSampler",
    "check_clip",
    "check_jitter",
    "check_kind",
]

Places = tuple[int, ...] | None
"""Numbers of the places that are set up, increasing; None for all."""

Clip = Bounds | Literal["bounds"]
"""Range that samples are clipped to; ``"bounds"`` is that of the images a sampler is made for."""


class Place(NamedTuple):
    """Where a window lies in its patch.

    Attributes
    ----------
    number : int array ()
        Number of the place.
    corner : int array (d,)
        First corner of the patch in the image.
    inside, ring : int arrays (pixels,)
        Flat indices in the patch of the window's pixels and of the others.
    """

    number: jax.Array
    corner: jax.Array
    inside: jax.Array
    ring: jax.Array


@dataclasses.dataclass(frozen=True)
class Ring:
    """A window and how many pixels there are around it: static, hashable.

    Attributes
    ----------
    window : tuple of int
        Pixels of the window on each axis.
    padding : int
        Pixels of the ring on each side of it.
    """

    window: tuple[int, ...]
    padding: int

    @classmethod
    def of(cls, window: int | Sequence[int], padding: int, dimensions: int, least: int) -> Ring:
        """Check the arguments that a person passes; ``least`` is the smallest padding."""
        return cls(per_axis(window, dimensions, "window"), check_count("padding", padding, least))

    @property
    def settings(self) -> tuple[tuple[int, ...], int]:
        """The window and the padding."""
        return self.window, self.padding

    @property
    def patch(self) -> tuple[int, ...]:
        """Pixels of the patch, window and ring, on each axis."""
        return tuple(k + 2 * self.padding for k in self.window)

    @property
    def pixels(self) -> tuple[np.ndarray, np.ndarray]:
        """Flat indices of the pixels of the window and of the ring, int32 (places, pixels)."""
        return _pixels(self)

    def pixels_at(self, places: Places) -> tuple[np.ndarray, np.ndarray]:
        """Return `pixels` of these places only."""
        if places is None:
            return self.pixels
        inside, ring = (table[list(places)] for table in self.pixels)
        return inside, ring

    def places_of(self, which: WindowGrid | Places) -> Places:
        """Return the places that the windows of a grid have in their patches.

        Raises
        ------
        ValueError
            If the grid is of other windows, or numbers are not those of places.
        """
        side = 2 * self.padding + 1
        if not isinstance(which, WindowGrid):
            count = side ** len(self.window)
            if which is not None and not (which and set(which) <= set(range(count))):
                raise ArgumentValueError(
                    "places", f"must be numbers from 0 to {count - 1}, or a WindowGrid", value=which
                )
            return None if which is None else tuple(sorted(set(which)))
        if which.window != self.window:
            raise ArgumentValueError(
                "places",
                f"are of windows of {by_sides(which.window)} pixels, the sampler of "
                f"{by_sides(self.window)}",
                "give a grid of the same windows",
            )
        met = []
        for axis, (size, most) in enumerate(zip(which.spatial, self.patch, strict=True)):
            origins = which.axis_origins(axis)
            corners = np.clip(origins - self.padding, 0, max(size - most, 0))
            met.append(np.unique(np.minimum(origins - corners, side - 1)))
        numbers = np.ravel_multi_index(np.ix_(*met), (side,) * len(met))
        return tuple(numbers.ravel().tolist())

    def locate(self, spatial: tuple[int, ...], origin: Int[jax.Array, " d"]) -> Place:
        """Return the place of the window at ``origin``, which may be traced."""
        highest = jnp.array(spatial, origin.dtype) - jnp.array(self.patch, origin.dtype)
        corner = jnp.clip(origin - self.padding, 0, highest)
        shape = (2 * self.padding + 1,) * len(self.window)
        number = jnp.ravel_multi_index(tuple(origin - corner), shape, mode="clip")
        inside, ring = (jnp.asarray(table)[number] for table in self.pixels)
        return Place(number, corner, inside, ring)

    def check_image(self, image_shape: tuple[int, ...], channels: int) -> None:
        """Raise ValueError where an image has other axes than these or is smaller than the patch.

        ``channels`` are those of the images that a sampler was fitted on.
        """
        *spatial, last = image_shape
        if len(spatial) != len(self.patch) or last != channels:
            raise ArgumentValueError(
                "image",
                f"of shape {image_shape} does not fit the sampler, which was fitted on images of "
                f"{len(self.patch)} spatial axes and {channels} channels",
                "fit one on images of this kind",
            )
        if any(size < most for size, most in zip(spatial, self.patch, strict=True)):
            raise ArgumentValueError(
                "image",
                f"of {by_sides(spatial)} pixels is smaller than the sampler's patch of "
                f"{by_sides(self.patch)} (window plus twice the padding)",
                "choose a smaller window or padding",
            )


@functools.cache
def _pixels(ring: Ring) -> tuple[np.ndarray, np.ndarray]:
    indices = np.arange(math.prod(ring.patch)).reshape(ring.patch)
    inside, around = [], []
    for corner in itertools.product(range(2 * ring.padding + 1), repeat=len(ring.window)):
        box = indices[tuple(slice(c, c + k) for c, k in zip(corner, ring.window, strict=True))]
        inside.append(box.ravel())
        around.append(np.setdiff1d(indices, box))
    return np.stack(inside).astype(np.int32), np.stack(around).astype(np.int32)


class RingSampler:
    """What both samplers are: random, and of the same window in the same ring everywhere.

    Attributes
    ----------
    window : tuple of int
        Pixels of the window on each axis.
    padding : int
        Pixels of the ring around it.
    clip : (float, float) or None
        Range that samples are clipped to.
    places : tuple of int, or None
        Numbers of the places that are set up; None for all.
    """

    constant = False
    random = True
    window: tuple[int, ...]
    padding: int
    clip: Clip
    places: Places

    @property
    def ring(self) -> Ring:
        """The window and its ring."""
        return Ring(self.window, self.padding)

    @property
    def patch(self) -> tuple[int, ...]:
        """Pixels of the patch, window and ring, on each axis."""
        return self.ring.patch

    @property
    def channels(self) -> int:
        """Channels of the images that the sampler was fitted on."""
        raise NotImplementedError

    def check(self, image_shape: tuple[int, ...], num_samples: int) -> None:
        """Raise ValueError where an image has other axes or is smaller than the patch."""
        self.ring.check_image(image_shape, self.channels)

    def check_grid(self, grid: WindowGrid) -> None:
        """Raise ValueError where places of windows of the grid are not set up."""
        needed = self.ring.places_of(grid) or ()
        if self.places is not None and not set(needed) <= set(self.places):
            raise ArgumentValueError(
                "sampler",
                "was set up for the windows of another grid",
                f"make it with places={grid}, or without places",
            )

    def _row(self, number: jax.Array) -> jax.Array:
        """Row of the place of that number among those set up; past the end for another."""
        if self.places is None:
            return number
        rows = np.full((2 * self.padding + 1) ** len(self.window), len(self.places), np.int32)
        rows[list(self.places)] = np.arange(len(self.places))
        return jnp.asarray(rows)[number]

    def _clipped(self, samples: jax.Array) -> jax.Array:
        return jnp.clip(samples, *self.clip) if isinstance(self.clip, tuple) else samples


def check_kind(argument: str, value: object, kind: type) -> None:
    """Raise TypeError where what a sampler is made of is something else than that."""
    if not isinstance(value, kind):
        raise ArgumentTypeError(
            argument,
            f"is of type {type(value).__name__}, not {kind.__name__}",
            f"give one such as pdjax.{kind.__name__}.natural_images()",
        )


def check_clip(clip: Clip, bounds: Bounds) -> Bounds:
    """Return the range that samples are clipped to, or raise."""
    return bounds if isinstance(clip, str) and clip == "bounds" else check_pair("clip", clip)


def check_jitter(jitter: float) -> float:
    """Return a share of a variance, or raise."""
    if not (isinstance(jitter, int | float | np.floating) and 0 <= jitter < math.inf):
        raise ArgumentValueError("jitter", "must be a finite number of at least 0", value=jitter)
    return float(jitter)
