"""Boxes: which part of an array a window of the image can change, for every place of the window.

On every axis a box is either the whole axis or a `Span`: an interval that depends on where the
window lies on one axis of the image. Compiled programs need static sizes, so a span holds as many
entries as its longest interval, at whatever place; only where it starts may differ from place to
place. The starts of all places are worked out here, on the host, as tables of ints, and looked up
when a window is evaluated.

For example, a window of 3 pixels can lie at 9 places of a row of 11 pixels. Of the 5 results of a
convolution with 3 entries and stride 2, of which result ``i`` sees the pixels from ``2 i`` to
``2 i + 2``, it changes 2 at most places, and 3 where it starts at pixel 2, 4 or 6:

>>> places = np.arange(9)
>>> window = Span(axis=0, low=places, high=places + 3, dim=11)
>>> changed = window.touched(stride=2, first=0, reach=3, dim=5)
>>> changed.high - changed.low
array([2, 2, 3, 2, 3, 2, 3, 2, 2])

So 3 results are kept at every place, moved inwards at the end of the row, and the convolution is
done on the 7 pixels that 3 results see:

>>> changed.range.size, changed.range.start
(3, array([0, 0, 0, 1, 1, 2, 2, 2, 2]))
>>> seen = changed.range.stretched(stride=2, first=0, reach=3)
>>> seen.size, seen.start
(7, array([0, 0, 0, 2, 2, 4, 4, 4, 4]))
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence

import numpy as np

__all__ = [
    "Box",
    "Places",
    "Range",
    "Ranges",
    "Span",
    "all_places",
    "box_sizes",
    "hull",
    "ranges",
    "settled",
    "share",
    "whole",
    "window_box",
]


# A span says what changes, in intervals of any length; a range says what is cut out, of one size. A
# range is made of a span at the end, as intervals can be followed from step to step without loss,
# while ranges would grow at every step by what they have too much.
@dataclasses.dataclass(frozen=True, eq=False)
class Range:
    """A stretch of fixed size on an axis of an array, which may hang over the ends of the axis.

    Attributes
    ----------
    axis : int
        The axis of the image on which the window's place decides about the start.
    start : int array
        First entry, by place of the window on that axis.
    size : int
        Number of entries.
    """

    axis: int
    start: np.ndarray
    size: int

    def at(self, index: np.ndarray) -> Range:
        """Return the same for some of the places, by their index among all of them."""
        return Range(self.axis, self.start[index], self.size)

    def moved(self, entries: int) -> Range:
        """Return the same so many entries further on."""
        return Range(self.axis, self.start + entries, self.size)

    def stretched(self, stride: int, first: int, reach: int) -> Range:
        """Return what the results in this range see of an operand.

        Result ``i`` sees ``reach`` entries from ``first + stride * i``.
        """
        # From the first entry that the first result sees to the last one that the last result sees.
        return Range(self.axis, self.start * stride + first, (self.size - 1) * stride + reach)


@dataclasses.dataclass(frozen=True, eq=False)
class Span:
    """The entries ``low`` to ``high`` of an axis of ``dim`` entries, which a window can change.

    Attributes
    ----------
    axis : int
        The axis of the image on which the window's place decides.
    low, high : int array
        First entry that can change, and one more than the last, by place of the window.
    dim : int
        Entries of the whole axis.
    """

    axis: int
    low: np.ndarray
    high: np.ndarray
    dim: int

    @functools.cached_property
    def range(self) -> Range:
        """What is kept of the axis: the same number of entries wherever the window lies."""
        # Where nothing changes at any place, one entry is kept all the same: arrays are not empty.
        size = max(1, int((self.high - self.low).max()))
        # Where fewer entries change, some that do not are kept as well; the last range ends with
        # the axis, so that it can be cut out of it.
        return Range(self.axis, np.clip(self.low, 0, self.dim - size), size)

    @property
    def size(self) -> int:
        """Entries that are kept."""
        return self.range.size

    @classmethod
    def within(cls, axis: int, low: np.ndarray, high: np.ndarray, dim: int) -> Span:
        """Clip an interval to its axis."""
        low, high = np.clip(low, 0, dim), np.clip(high, 0, dim)
        return cls(axis, low, np.maximum(low, high), dim)

    @property
    def mostly_less(self) -> bool:
        """Whether all of the axis changes at few places only, and little of it at most.

        So it is where an axis is rolled: a window that is torn apart changes both ends of it. And
        so it is with a stretch at the border, which most windows do not touch at all.
        """
        return bool(self.size >= self.dim >= 2 * (self.high - self.low).mean())

    def spread(self, dim: int) -> Span:
        """Return all of an axis of ``dim`` entries, where this interval is not empty."""
        return Span(self.axis, 0 * self.low, np.where(self.high > self.low, dim, 0), dim)

    def touched(self, stride: int, first: int, reach: int, dim: int) -> Span:
        """Return which of ``dim`` results change, where result ``i`` sees ``reach`` entries.

        It sees those from ``first + stride * i``.
        """
        # The first result whose last entry, first + stride * i + reach - 1, is not below `low`
        # (a division rounded up), and the last whose first entry is below `high`.
        low = -((first + reach - 1 - self.low) // stride)
        high = (self.high - 1 - first) // stride + 1
        # An empty interval stays empty, although there are results that see where it lies.
        return Span.within(self.axis, low, np.where(self.high > self.low, high, low), dim)


Box = tuple[Span | None, ...]
"""One entry per axis of an array; None is the whole axis."""

Ranges = tuple[Range | None, ...]
"""What is taken of an array, by axis; None is the whole axis."""

Places = tuple[np.ndarray, ...]
"""Origins of windows on each axis of the image, in increasing order."""


def whole(box: Box) -> bool:
    """Whether the box is the whole array."""
    return all(span is None for span in box)


def settled(box: Box, seams: bool = False) -> Box:
    """Return a box with None for every span that is all of its axis.

    With ``seams``, those that are so at few of the places only stay.
    """

    def kept(span: Span) -> bool:
        return span.size < span.dim or (seams and span.mostly_less)

    return tuple(span if span is not None and kept(span) else None for span in box)


def box_sizes(box: Sequence[Span | Range | None], shape: Sequence[int]) -> tuple[int, ...]:
    """Shape of the part of an array in a box."""
    return tuple(dim if span is None else span.size for span, dim in zip(box, shape, strict=True))


def ranges(box: Sequence[Span | None]) -> Ranges:
    """Return what is kept on each axis."""
    return tuple(None if span is None else span.range for span in box)


def share(box: Box) -> float:
    """Return how much of the array the box is, between 0 and 1."""
    return math.prod(span.size / span.dim for span in box if span is not None)


def hull(spans: Sequence[Span | None]) -> Span | None:
    """Return the smallest span that holds all of these; None where it is the whole axis."""
    first, *others = spans
    for other in others:
        # Spans that move with different axes of the image have no common table of starts.
        if first is None or other is None or first.axis != other.axis:
            return None
        # An empty interval must not stretch the other one.
        none, no_other = first.high <= first.low, other.high <= other.low
        low, high = np.minimum(first.low, other.low), np.maximum(first.high, other.high)
        first = Span.within(
            first.axis,
            np.where(no_other, first.low, np.where(none, other.low, low)),
            np.where(no_other, first.high, np.where(none, other.high, high)),
            first.dim,
        )
    return first


def window_box(spatial: Sequence[int], window: Sequence[int], origins: Places) -> Box:
    """Return the box of a batch of one image ``(1, *spatial, c)`` that a window changes."""
    # The batch and the channels have no place: they change as a whole.
    spans: list[Span | None] = [None]
    for axis, (size, k, own) in enumerate(zip(spatial, window, origins, strict=True)):
        spans.append(Span.within(axis, own, own + k, size))
    return (*spans, None)


def all_places(spatial: Sequence[int], window: Sequence[int]) -> Places:
    """Return every origin that a window can have."""
    return tuple(np.arange(size - k + 1) for size, k in zip(spatial, window, strict=True))
