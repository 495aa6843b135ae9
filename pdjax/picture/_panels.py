"""One panel: an image, a map with its colour bar, or a map over the photo."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.colorbar import Colorbar
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator, StrMethodFormatter
from matplotlib.transforms import (
    Affine2DBase,
    ScaledTranslation,
    Transform,
    blended_transform_factory,
)

from pdjax.picture._display import Sheet, sheet_of
from pdjax.picture._page import FAINT, INK
from pdjax.picture._text import fitted, signed
from pdjax.picture.look import SIGNS, Look
from pdjax.picture.overlay import COLOR_STOPS, color_stops, muted_pixels, tinted

__all__ = [
    "Drawing",
    "add_bar",
    "caption_with_notes",
    "drawings",
    "inches_from",
    "relevance_colormap",
    "show_errors",
    "show_image",
    "show_map",
    "show_overlay",
    "show_photo",
    "style_bar",
    "write_in",
    "zero_in_words",
]

ERROR_COLORMAP = LinearSegmentedColormap.from_list("error", ("#ffffff", "#a89fce", "#4b3f85"))
FRAME = "#b0b0b0"
# Darker than white, which is no evidence at all, and without a hue, which is some.
MUTED_COLOR = "#cdcdcd"
MASK_COLOR = "#d9d9d9"
LINE_COLORS = COLOR_STOPS[-1], COLOR_STOPS[0]

BAR_GAP = 0.09
BAR_THICKNESS = 0.13
LABEL_SIZE = 8.5
LEAST_LABEL = 1.0


@dataclasses.dataclass(frozen=True, eq=False)
class Drawing:
    """One map, laid flat, with all that is drawn with it.

    Attributes
    ----------
    photo : float array, (h, w, 3)
        What lies below.
    relevance : float array, (h, w)
        Of the sign that is drawn; NaN where there is none.
    errors : float array, (h, w), or None
        Standard errors.
    muted, outside : bool array, (h, w)
        Where relevance is uncertain, and where the sheet is none of the image.
    scale : float
        The relevance that has the strongest colour.
    sheet : Sheet
        How it was laid flat.
    look : Look
    """

    photo: Float[np.ndarray, "h w 3"]
    relevance: Float[np.ndarray, "h w"]
    errors: Float[np.ndarray, "h w"] | None
    muted: Bool[np.ndarray, "h w"]
    outside: Bool[np.ndarray, "h w"]
    scale: float
    sheet: Sheet
    look: Look

    @property
    def is_zero(self) -> bool:
        """Whether there is no evidence of the sign that is drawn."""
        return not np.nan_to_num(self.relevance).any()


def drawings(
    photo: Float[np.ndarray, "*spatial 3"],
    maps: Float[np.ndarray, "*maps"],
    errors: Float[np.ndarray, "*maps"] | None,
    scales: Sequence[float],
    look: Look,
    sheets: Sequence[Sheet] | None = None,
) -> list[Drawing]:
    """Lay every map flat; those of volumes each at its strongest voxel, or as ``sheets`` say."""
    made = []
    for row, (relevance, scale) in enumerate(zip(maps, scales, strict=True)):
        sheet = sheet_of(relevance) if sheets is None else sheets[row]
        flat = sheet.lay(look.of(relevance))
        spread = None if errors is None else sheet.lay(errors[row])
        made.append(
            Drawing(
                photo=sheet.lay(photo),
                relevance=flat,
                errors=spread,
                muted=muted_pixels(flat, spread, look.mute_uncertain),
                outside=sheet.outside(relevance),
                scale=scale,
                sheet=sheet,
                look=look,
            )
        )
    return made


def relevance_colormap(look: Look) -> LinearSegmentedColormap:
    """Return the colours of relevance as a colour map of matplotlib."""
    # An odd number of colours, so that the middle one is exactly the colour of zero.
    return LinearSegmentedColormap.from_list("relevance", color_stops(look.cmap), N=1023)


def show_image(axes: Axes, array: np.ndarray, **options: Any) -> AxesImage:
    """Draw an array as an image that fills its cell, without ticks, in a thin frame."""
    drawn = axes.imshow(array, origin="upper", aspect="auto", **options)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(linewidth=0.5, color=FRAME)
    axes.grid(False)
    return drawn


def show_photo(axes: Axes, drawing: Drawing) -> AxesImage:
    """Draw the image alone; where it is a volume, with lines that cross at the voxel."""
    drawn = show_image(axes, drawing.photo)
    _frame_slices(axes, drawing)
    for columns, rows in drawing.sheet.lines:
        axes.plot(columns, rows, color="#e0a100", linewidth=0.6, scalex=False, scaley=False)
    if drawing.sheet.note:
        # In the corner that the slices leave free.
        words = f"voxel\n{', '.join(map(str, drawing.sheet.at))}"  # type: ignore[union-attr]
        write_in(axes, 0.985, 0.055, words, "right")
    return drawn


def show_map(axes: Axes, drawing: Drawing) -> AxesImage:
    """Draw relevance in colours from ``-scale`` to ``scale``, grey where it is muted.

    Masked pixels are left blank, which hatching tells from a relevance of zero.
    """
    scale = drawing.scale
    colors = relevance_colormap(drawing.look)
    drawn = show_image(axes, drawing.relevance, cmap=colors, vmin=-scale, vmax=scale)
    _hatch_unknown(axes, np.isnan(drawing.relevance) & ~drawing.outside)
    for where, color in ((drawing.muted, MUTED_COLOR), (drawing.outside, "white")):
        if where.any():
            # A layer of its own leaves the map below as it is: its range, its colours at the edge.
            cover = np.zeros((*where.shape, 4), np.float32)
            cover[..., :3], cover[..., 3] = to_rgb(color), where
            show_image(axes, cover)
    _frame_slices(axes, drawing)
    if drawing.is_zero:
        # Evidence of the other sign may have been left out, so "everywhere" would say too much.
        write_in(axes, 0.5, 0.5, zero_in_words(drawing.look), "center")
    return drawn


def show_overlay(axes: Axes, drawing: Drawing) -> AxesImage:
    """Draw relevance over the photo, without colour where it is muted.

    The image knows its range and colours, so that ``figure.colorbar`` can be called with it.
    """
    photo, look, scale = drawing.photo, drawing.look, drawing.scale
    relevance = np.where(drawing.muted, 0, drawing.relevance)
    contours = look.mode == "contour"
    pixels = photo if contours else tinted(photo, relevance, scale, look)
    pixels = np.where(drawing.outside[..., None], 1, pixels)
    colors = relevance_colormap(look)
    drawn = show_image(axes, pixels, cmap=colors, vmin=-scale, vmax=scale)
    _frame_slices(axes, drawing)
    if contours:
        _show_contours(axes, drawing, relevance)
    return drawn


def write_in(axes: Axes, x: float, y: float, words: str, align: str) -> None:
    """Write small words at a place that is given as shares of the sides of a panel."""
    place = axes.transAxes
    axes.text(x, y, words, ha=align, va="center", fontsize=7.5, color=FAINT, transform=place)


def zero_in_words(look: Look) -> str:
    """Say that a map has no evidence of the sign that is drawn; it may have of the other."""
    return "0 everywhere" if look.sign == SIGNS[0] else f"no {look.sign} evidence"


def _frame_slices(axes: Axes, drawing: Drawing) -> None:
    """Draw a thin frame around every slice of a volume, in place of that around the panel."""
    for top, left, height, width in drawing.sheet.frames:
        frame = Rectangle((left - 0.5, top - 0.5), width, height, fill=False, edgecolor=FRAME)
        frame.set(linewidth=0.7, clip_on=False)
        axes.add_patch(frame)
        axes.spines[:].set_visible(False)


def _show_contours(axes: Axes, drawing: Drawing, relevance: Float[np.ndarray, "h w"]) -> None:
    """Draw lines where relevance passes the levels: red, and blue where it is negative."""
    look = drawing.look
    levels: Sequence[float] = look.contours or (drawing.scale / 2,)
    if look.levels_in == "errors":
        levels = look.contours or (2.0,)
        errors = np.zeros_like(relevance) if drawing.errors is None else drawing.errors
        # Without any spread a relevance is known, however small: as many errors as it takes.
        known = np.sign(relevance) * (2 * max(levels))
        relevance = np.divide(relevance, errors, where=errors > 0, out=known.astype(np.float32))
    for sign, color in zip((1, -1), LINE_COLORS, strict=True):
        values = np.nan_to_num(sign * relevance)
        shown = sorted(level for level in set(levels) if values.min() < level < values.max())
        for width, ink in ((2.6, "white"), (1.3, color)):
            if shown:
                axes.contour(values, levels=shown, colors=[ink], linewidths=width)


def _hatch_unknown(axes: Axes, where: Bool[np.ndarray, "h w"]) -> None:
    if where.any():
        axes.patch.set(hatch="////", edgecolor=MASK_COLOR, facecolor="white", linewidth=0)


def show_errors(axes: Axes, drawing: Drawing, largest: float | None = None) -> AxesImage:
    """Draw standard errors in colours from 0 to the largest of all, or of this map."""
    errors = np.zeros_like(drawing.relevance) if drawing.errors is None else drawing.errors
    largest = float(np.nanmax(errors)) if largest is None else largest
    _hatch_unknown(axes, np.isnan(errors) & ~drawing.outside)
    _frame_slices(axes, drawing)
    return show_image(axes, errors, cmap=ERROR_COLORMAP, vmin=0, vmax=largest or 1.0)


def add_bar(drawn: AxesImage, label: str, height: float, largest: float) -> Colorbar:
    """Draw a colour bar right of an image and as high, which is ``height`` inches.

    Pointed ends say that values go beyond, up to ``largest``.
    """
    axes, (lowest, highest) = drawn.axes, drawn.get_clim()
    beyond = largest > highest
    # Across in inches, up in shares of the height: the bar belongs to the image, so that it is
    # exactly as high, and the layout makes room for both at once.
    beside = blended_transform_factory(inches_from(axes, 1.0, 0.0), axes.transAxes)
    bar = axes.figure.colorbar(
        drawn,
        cax=axes.inset_axes((BAR_GAP, 0, BAR_THICKNESS, 1), transform=beside),
        ticks=MaxNLocator(nbins=5 if height > 1.6 else 3, steps=[1, 2, 2.5, 5, 10]),
        format=FuncFormatter(signed) if lowest < 0 else StrMethodFormatter("{x:.3g}"),
        extend="both" if beyond else "neither",
    )
    words = fitted(label, width=max(height, LEAST_LABEL), size=LABEL_SIZE, max_lines=3)
    bar.set_label(words, fontsize=LABEL_SIZE, color=INK, parse_math=False)
    style_bar(bar)
    return bar


def inches_from(axes: Axes, x: float, y: float) -> Transform:
    """Return coordinates in inches from a point of a panel, given as shares of its sides."""
    corner = ScaledTranslation(x, y, cast(Affine2DBase, axes.transAxes))
    return axes.figure.dpi_scale_trans + corner


def style_bar(bar: Colorbar) -> None:
    """Give a colour bar the thin lines and small figures of the other panels."""
    bar.ax.tick_params(labelsize=8.0, width=0.5, length=2.5, color=FRAME, labelcolor=INK)
    bar.ax.minorticks_off()
    bar.outline.set(linewidth=0.5, edgecolor=FRAME)


def caption_with_notes(caption: str, rows: Sequence[Drawing], muted: str, symbol: str = "") -> str:
    """Return a caption over which lines of their own say how the maps were drawn.

    ``muted`` says how the uncertain looks, such as ``"Grey"``.
    """
    look, notes = rows[0].look, []
    if look.sign != SIGNS[0]:
        notes.append(f"Only {look.sign} relevance is drawn.")
    if look.mode == "strongest":
        notes.append(f"The photo is kept at the strongest {100 * look.share:g} % of pixels.")
    if look.mode == "contour":
        notes.append(_levels_in_words(look, symbol))
    if look.mute_uncertain:
        notes.append(f"{muted}: less than two standard errors from zero.")
    if any((np.isnan(row.relevance) & ~row.outside).any() for row in rows):
        notes.append("Hatched: not explained.")
    return "\n".join(filter(None, (" ".join(notes), caption)))


def _levels_in_words(look: Look, symbol: str) -> str:
    if look.levels_in == "errors":
        numbers, of = look.contours or (2.0,), " standard errors"
    elif not look.contours:
        return "Lines at half of the scale."
    else:
        numbers, of = look.contours, f", {symbol}" if symbol else ""
    return f"Lines at \N{PLUS-MINUS SIGN}{', '.join(f'{number:g}' for number in numbers)}{of}."
