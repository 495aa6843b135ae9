"""The image as it is drawn: three colours of any number of bands, and volumes laid flat."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike

from pdjax._checks import ArgumentTypeError, ArgumentValueError, check_values, is_integer
from pdjax.picture._checks import check_floats, check_image
from pdjax.picture.look import Look

__all__ = ["Plane", "Sheet", "Slices", "displayed", "lanes", "lines_of", "sheet_of"]

# Resizing and arithmetic in float32 leave some values a little outside [0, 1].
TOLERANCE = 1e-3
GAP = 0.03
LEAST_SHARE, MARGIN = 0.1, 0.08


def displayed(
    image: ArrayLike, look: Look, values: np.ndarray | None = None
) -> Float[np.ndarray, "*shape 3"]:
    """Return the colours of an image with two or three spatial axes, float32 in [0, 1].

    One or two channels are grey, of more three are drawn; see `Look` for which, and for what is
    black and white. With ``values``, an array of any shape with the channels of the image last,
    return their colours, as they would be in the image.

    Raises
    ------
    ValueError, TypeError
        If the image is not of finite floats, or what is to be drawn in its place does not fit it.
    """
    array = check_image(image)
    if look.display is not None:
        return _given(look.display, array.shape[:-1])
    chosen = _bands(array, look.bands)
    low, high = (0.0, 1.0) if look.bounds is None else map(float, look.bounds)
    if look.bounds is None and (chosen.min() < -TOLERANCE or chosen.max() > 1 + TOLERANCE):
        low, high = float(chosen.min()), float(chosen.max())
        if low == high:
            low, high = low - 0.5, high + 0.5
    shown = chosen if values is None else _bands(values, look.bands)
    return _colored((shown - low) / (high - low))


def channels_of(bands: int | Sequence[int] | None, channels: int) -> list[int] | None:
    """Return the channels that were asked for, or raise if there are none such."""
    if bands is None:
        return None
    chosen = [bands] if is_integer(bands) else list(np.atleast_1d(bands).tolist())
    if not all(is_integer(band) and 0 <= band < channels for band in chosen):
        raise ArgumentValueError(
            "bands", f"must be channels of the image, from 0 to {channels - 1}", value=bands
        )
    return chosen


def _bands(array: np.ndarray, bands: int | Sequence[int] | None) -> np.ndarray:
    """Return one or three channels."""
    channels = array.shape[-1]
    chosen = channels_of(bands, channels)
    if chosen is None:
        return array[..., :3] if channels > 2 else array.mean(-1, keepdims=True)
    if len(chosen) not in (1, 3):
        raise ArgumentValueError(
            "bands", "must be one channel, or three for red, green and blue", value=bands
        )
    return array[..., chosen]


def _given(display: ArrayLike, spatial: tuple[int, ...]) -> Float[np.ndarray, "*spatial 3"]:
    array = np.asarray(display)
    if array.dtype.kind != "f":
        raise ArgumentTypeError(
            "display",
            f"of dtype {array.dtype} must be of floats in [0, 1]",
            "divide 8-bit values by 255",
        )
    if array.shape[:-1] != spatial or array.shape[-1] not in (1, 3):
        raise ArgumentValueError(
            "display",
            f"of shape {array.shape} cannot stand for the image",
            f"give ({', '.join(map(str, spatial))}, 3), or 1 in place of 3 for grey",
        )
    check_values(array, (-TOLERANCE, 1 + TOLERANCE), "display")
    return _colored(array)


def _colored(values: np.ndarray) -> Float[np.ndarray, "*spatial 3"]:
    clipped = np.clip(values, 0, 1).astype(np.float32)
    return np.ascontiguousarray(np.broadcast_to(clipped, (*values.shape[:-1], 3)))


def lines_of(values: Float[np.ndarray, "n c"], look: Look) -> Float[np.ndarray, "n lines"]:
    """Return the values of a series that are drawn as lines."""
    if look.display is not None:
        shown = check_floats(look.display, "display")
        if shown.ndim != 2 or len(shown) != len(values):
            raise ArgumentValueError(
                "display",
                f"of shape {shown.shape} cannot stand for the series",
                f"give ({len(values)}, channels)",
            )
        values = shown
    bands = channels_of(look.bands, values.shape[1])
    return values if bands is None else values[:, bands]


def lanes(lines: Float[np.ndarray, "n lines"]) -> Float[np.ndarray, "n lines"]:
    """Return lines in lanes of their own, from 0 at the bottom of each to 1 at its top.

    Channels of one unit are drawn alike; where they differ much in range, each has its own.
    """
    low, span = lines.min(0), np.ptp(lines, axis=0)
    if span.min() > LEAST_SHARE * span.max():
        widest = span.max()
        low, span = low + span / 2 - widest / 2, np.full_like(span, widest)
    return MARGIN + (1 - 2 * MARGIN) * (lines - low) / np.where(span > 0, span, 1)


Line = tuple[tuple[float | int, float | int], tuple[float | int, float | int]]
"""The columns and the rows of two points."""


class Plane(NamedTuple):
    """An image that is flat already."""

    note: str = ""
    lines: tuple[Line, ...] = ()
    frames: tuple[tuple[int, int, int, int], ...] = ()

    def lay(self, array: np.ndarray) -> np.ndarray:
        """Return an array ``(h, w, ...)`` as it is."""
        return array

    def outside(self, array: np.ndarray) -> Bool[np.ndarray, "h w"]:
        """Return which pixels of the sheet are none of the image."""
        return np.zeros(array.shape[:2], bool)


@dataclasses.dataclass(frozen=True)
class Slices:
    """Three slices of a volume through one voxel, laid side by side on a sheet.

    The slice across axis 0 is at the top left with axis 1 going down and axis 2 across; below it
    lies that across axis 1, with axis 0 going down, and right of it that across axis 2, with axis
    0 going across. So whatever is seen in one slice is found straight below or beside it again.

    Attributes
    ----------
    shape, at : tuple of int
        Of the volume, and the voxel.
    """

    shape: tuple[int, int, int]
    at: tuple[int, int, int]

    @property
    def note(self) -> str:
        """The voxel in words."""
        return f"slices through voxel {self.at}"

    @property
    def corner(self) -> tuple[int, int]:
        """Row and column of the sheet where the lower and the right slice begin."""
        gap = max(1, round(GAP * max(self.shape)))
        return self.shape[1] + gap, self.shape[2] + gap

    @property
    def frames(self) -> tuple[tuple[int, int, int, int], ...]:
        """Top, left, height and width of every slice on the sheet."""
        (depth, height, width), (down, across) = self.shape, self.corner
        return (0, 0, height, width), (down, 0, depth, width), (0, across, height, depth)

    @property
    def lines(self) -> tuple[Line, ...]:
        """Lines that cross at the voxel in each slice."""
        z, y, x = self.at
        found: list[Line] = []
        places = ((y, x), (z, x), (y, z))
        for (top, left, height, width), (row, column) in zip(self.frames, places, strict=True):
            across, down = (left - 0.5, left + width - 0.5), (top - 0.5, top + height - 0.5)
            found += [(across, (top + row, top + row)), ((left + column, left + column), down)]
        return tuple(found)

    def lay(self, array: np.ndarray) -> np.ndarray:
        """Return the sheet of an array ``(d, h, w, ...)``: white or NaN where no slice is."""
        (depth, height, width), (z, y, x) = self.shape, self.at
        down, across = self.corner
        blank = 1 if array.ndim > 3 else np.nan
        sheet = np.full((down + depth, across + depth, *array.shape[3:]), blank, array.dtype)
        sheet[:height, :width] = array[z]
        sheet[down:, :width] = array[:, y]
        sheet[:height, across:] = array[:, :, x].swapaxes(0, 1)
        return sheet

    def outside(self, array: np.ndarray) -> Bool[np.ndarray, "h w"]:
        """Return which pixels of the sheet are none of the volume."""
        return np.isnan(self.lay(np.zeros(array.shape[:3], np.float32)))


Sheet = Plane | Slices


def sheet_of(relevance: Float[np.ndarray, "*spatial"]) -> Sheet:
    """Return how a map is laid flat: a volume is cut at its voxel of the largest relevance."""
    if relevance.ndim == 2:
        return Plane()
    at = np.unravel_index(np.nanargmax(np.abs(relevance)), relevance.shape)
    depth, height, width = relevance.shape
    z, y, x = map(int, at)
    return Slices((depth, height, width), (z, y, x))
