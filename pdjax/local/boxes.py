"""Boxes: which part of an array a window of the image can change, for every position of the window.

On every axis a box is either the whole axis or a `Span`: an interval whose place depends on where
the window lies on one axis of the image. The intervals of all positions are worked out on the
host; as sizes have to be static, a span holds as many entries as the longest of them.
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
    "share",
    "whole",
    "window_box",
]


@dataclasses.dataclass(frozen=True, eq=False)
class Range:
    """A stretch of fixed size on an axis, which may hang over its ends.

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

    def stretched(self, stride: int, first: int, reach: int) -> Range:
        """Return what windows of ``reach`` entries see, which start at ``first + stride * i``."""
        return Range(self.axis, self.start * stride + first, (self.size - 1) * stride + reach)


@dataclasses.dataclass(frozen=True, eq=False)
class Span:
    """The entries ``low`` to ``high`` of an axis of ``dim`` entries that can change.

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
        size = max(1, int((self.high - self.low).max()))
        return Range(self.axis, np.clip(self.low, 0, self.dim - size), size)

    @property
    def size(self) -> int:
        """Entries that are kept."""
        return self.range.size

    @classmethod
    def within(cls, axis: int, low: np.ndarray, high: np.ndarray, dim: int) -> Span | None:
        """Clip an interval to its axis; None where it is all of the axis anyway."""
        low, high = np.clip(low, 0, dim), np.clip(high, 0, dim)
        span = cls(axis, low, np.maximum(low, high), dim)
        return None if span.size >= dim else span

    def touched(self, stride: int, first: int, reach: int, dim: int) -> Span | None:
        """Return which of ``dim`` windows of ``reach`` entries, ``stride`` apart, see a change.

        Window ``i`` sees the entries from ``first + stride * i``.
        """
        low = -((first + reach - 1 - self.low) // stride)
        high = (self.high - 1 - first) // stride + 1
        return Span.within(self.axis, low, np.where(self.high > self.low, high, low), dim)


Box = tuple[Span | None, ...]
"""One entry per axis; None is the whole axis."""

Ranges = tuple[Range | None, ...]

Places = tuple[np.ndarray, ...]
"""Origins of windows on each axis of the image, in increasing order."""


def whole(box: Box) -> bool:
    """Whether the box is the whole array."""
    return all(span is None for span in box)


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
        if first is None or other is None or first.axis != other.axis:
            return None
        # An empty interval must not stretch the other one.
        low = np.where(other.high <= other.low, first.low, np.minimum(first.low, other.low))
        high = np.maximum(first.high, other.high)
        none = first.high <= first.low
        first = Span.within(
            first.axis, np.where(none, other.low, low), np.where(none, other.high, high), first.dim
        )
    return first


def window_box(spatial: Sequence[int], window: Sequence[int], origins: Places) -> Box:
    """Return the box of a batch of one image ``(1, *spatial, c)`` that a window changes."""
    spans: list[Span | None] = [None]
    for axis, (size, k, own) in enumerate(zip(spatial, window, origins, strict=True)):
        spans.append(Span.within(axis, own, own + k, size))
    return (*spans, None)


def all_places(spatial: Sequence[int], window: Sequence[int]) -> Places:
    """Return every origin that a window can have."""
    return tuple(np.arange(size - k + 1) for size, k in zip(spatial, window, strict=True))
