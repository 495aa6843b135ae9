"""The figure of a hidden layer: its feature maps' relevance, strongest first, side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from pdjax._checks import ArgumentValueError, check_count
from pdjax.picture._checks import check_errors, check_image_and_maps, check_maps, check_names
from pdjax.picture._display import displayed
from pdjax.picture._page import FAINT, GAP, INK, Picture, image_size
from pdjax.picture._panels import (
    caption_with_notes,
    drawings,
    inches_from,
    relevance_colormap,
    show_map,
    show_overlay,
    show_photo,
    style_bar,
)
from pdjax.picture._text import fitted, signed
from pdjax.picture.look import Look, with_look
from pdjax.picture.overlay import common_scales, strength, strongest
from pdjax.picture.series import Series, series_grid

__all__ = ["feature_map_grid"]

SIDE = 1.9
LEAST_WIDTH, LEAST_HEIGHT, LEAST_PAPER = 0.66, 0.3, 3.0
TITLE_SIZE = 8.5
BAR_LENGTH, BAR_THICKNESS = 3.2, 0.12


@with_look
def feature_map_grid(
    relevance: ArrayLike,
    *,
    unit: str,
    image: ArrayLike | None = None,
    count: int = 16,
    names: Sequence[str] | None = None,
    columns: int = 4,
    caption: str = "",
    standard_error: ArrayLike | None = None,
    show_image: bool = False,
    look: Look,
) -> Figure:
    """Draw the feature maps whose relevance is largest, by default each on a scale of its own.

    Over each map stands its name and, where scales differ, the relevance that is fully red, or
    that it is zero everywhere; maps are ordered by that number (see `strongest`).

    Parameters
    ----------
    relevance : array of float, (units, h, w), (units, d, h, w) or (units, n)
        Relevance of every pixel for every unit or feature map; NaN where it is masked.
    unit : str
        What is drawn, such as ``"activation difference"``.
    image : array of float, (h, w, c), (d, h, w, c) or (n, c), optional
        The image that was explained; the maps are then drawn over it. Series need it.
    count : int
        How many maps to draw at most.
    names : sequence of str, optional
        One for each unit; by default ``"unit 0"`` and so on.
    columns : int
        How many maps to put side by side.
    caption : str
        The settings in words, printed small under the maps; may be empty.
    standard_error : array of float, of the shape of ``relevance``, optional
        Standard errors in the same unit, at least 0.
    show_image : bool
        Whether the image itself comes first.
    look
        Keywords of `Look`: ``scale`` (``"all"`` for one of all maps), ``mode``, ``sign``,
        ``mute_uncertain``, ``cmap`` and others.

    Returns
    -------
    matplotlib.figure.Figure
        A figure that belongs to no window; notebooks display it and `save_figure` writes it.

    Raises
    ------
    ValueError, TypeError
        If an array is not of floats or infinite, shapes do not belong together, a number is below
        1, or something is to be used that is not given.
    """
    given = None
    if image is not None:
        given, maps = check_image_and_maps(image, relevance)
    else:
        maps = check_maps(relevance, "relevance")
        for use, wanted in {
            "show_image": show_image,
            "a series": maps.ndim == 2,
            f"mode={look.mode!r}": look.mode != "grey",
        }.items():
            if wanted:
                raise ArgumentValueError("image", f"is needed for {use}", "give it")
    errors = check_errors(
        standard_error,
        maps,
        mute_uncertain=look.mute_uncertain,
        levels_in_errors=look.levels_in == "errors",
    )
    if names is None:
        names = [f"unit {index}" for index in range(len(maps))]
    names = check_names(names, "names", len(maps), "maps")
    chosen = strongest(look.of(maps), check_count("count", count))
    names, maps = [names[index] for index in chosen], maps[chosen]
    errors = None if errors is None else errors[chosen]
    amounts = [strength(look.of(each)) for each in maps]
    columns = min(check_count("columns", columns), len(maps) + show_image)
    scales = _scales(maps, unit, look, columns, show_image)
    if maps.ndim == 2:
        # A series was asked for above where it is missing.
        values = np.zeros((maps.shape[1], 1)) if given is None else given
        series = Series(values, maps, errors, scales, look)
        return series_grid(series, names, unit, amounts, caption)
    # Without the image there are maps alone, and what they would lie over is never looked at.
    photo = np.ones((*maps.shape[1:], 3)) if given is None else displayed(given, look)
    drawn = drawings(photo, maps, errors, scales, look)
    height, width = drawn[0].relevance.shape
    width, height = image_size(height, width, side=SIDE)
    width, height = max(width, LEAST_WIDTH, LEAST_PAPER / columns), max(height, LEAST_HEIGHT)
    rows = -(-(len(maps) + show_image) // columns)
    picture = Picture((width, height), columns, [height] * rows + [BAR_THICKNESS])
    if show_image:
        axes = picture.add_subplot(picture.cells[0, 0])
        show_photo(axes, drawn[0])
        axes.set_title("image", fontsize=TITLE_SIZE, color=INK, pad=4)
    one_scale = len(set(scales)) == 1 and look.scale is not None
    for index, (row, name, amount) in enumerate(zip(drawn, names, amounts, strict=True)):
        place = index + show_image
        axes = picture.add_subplot(picture.cells[divmod(place, columns)])
        (show_map if given is None else show_overlay)(axes, row)
        words = fitted(name, width=width, size=TITLE_SIZE, max_lines=2)
        if not amount:
            words += "\n0 everywhere"
        elif not one_scale:
            words += f"\n\N{PLUS-MINUS SIGN}{row.scale:.3g}"
        axes.set_title(words, fontsize=TITLE_SIZE, color=INK, pad=4, parse_math=False)
    limit = scales[0] if one_scale else None
    if any(amounts) and limit is None:
        which = "the map" if len(maps) == 1 else "each map"
        unit = f"{unit}; the scale \N{PLUS-MINUS SIGN} stands over {which}"
    _add_shared_bar(picture, unit, width * columns, limit, look)
    caption = caption_with_notes(caption, drawn, "Grey" if given is None else "Uncoloured")
    if look.title:
        picture.suptitle(look.title, fontsize=11, fontweight="bold", color=INK, parse_math=False)
    picture.finish(caption, picture.fit() - GAP)
    return picture


def _scales(maps: np.ndarray, unit: str, look: Look, columns: int, show_image: bool) -> list[float]:
    """Return the scale of every map; rows are those of the grid."""
    drawn = look.of(maps)
    if look.scale != "row":
        return common_scales([drawn], [unit], look.scale or "each")[0]
    places = np.arange(len(maps)) + show_image
    scales = np.array(common_scales([drawn], [unit], "each")[0])
    for row in np.unique(places // columns):
        alike = places // columns == row
        scales[alike] = max(strength(drawn[alike]), 0.0) or 1.0
    return scales.tolist()


def _add_shared_bar(
    picture: Picture, label: str, width: float, limit: float | None, look: Look
) -> None:
    """Explain the colours once, since every map goes from minus to plus a number."""
    below = picture.add_subplot(picture.cells[-1, :])
    below.set_axis_off()
    length = min(BAR_LENGTH, width - 0.6)
    axes = below.inset_axes(
        (-length / 2, 0, length, BAR_THICKNESS), transform=inches_from(below, 0.5, 0.0)
    )
    colors = ScalarMappable(Normalize(-1, 1), relevance_colormap(look))
    bar = picture.colorbar(colors, cax=axes, orientation="horizontal", ticks=[-1, 0, 1])
    ends = ["\N{MINUS SIGN}scale", "0", "+scale"]
    if limit is not None:
        ends = [signed(value) for value in (-limit, 0.0, limit)]
    axes.set_xticklabels(ends)
    style_bar(bar)
    words = fitted(label, width=width, size=8.0, max_lines=3)
    bar.set_label(words, fontsize=8.0, color=FAINT, parse_math=False)
