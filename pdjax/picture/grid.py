"""The figure of a hidden layer: its feature maps' relevance, strongest first, side by side."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from pdjax._checks import check_count
from pdjax.picture._checks import check_errors, check_maps, check_names, check_photo
from pdjax.picture._page import FAINT, GAP, INK, Picture, image_size
from pdjax.picture._panels import (
    RELEVANCE_COLORMAP,
    caption_with_note,
    inches_from,
    muted_pixels,
    show_map,
    show_overlay,
    style_bar,
)
from pdjax.picture._text import fitted
from pdjax.picture.overlay import strength, strongest

__all__ = ["feature_map_grid"]

SIDE = 1.9
LEAST_WIDTH, LEAST_HEIGHT, LEAST_PAPER = 0.66, 0.3, 3.0
TITLE_SIZE = 8.5
BAR_LENGTH, BAR_THICKNESS = 3.2, 0.12


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
    mute_uncertain: bool = False,
) -> Figure:
    """Draw the feature maps whose relevance is largest, each on a scale of its own.

    Over each map stand its name and the relevance that is fully red, or that it is zero everywhere;
    maps are ordered by that number (see `strongest`).

    Parameters
    ----------
    relevance : array of float, (units, h, w)
        Relevance of every pixel for every unit or feature map.
    unit : str
        What is drawn, such as ``"activation difference"``.
    image : array of float, (h, w, 3) or (h, w, 1), optional
        The photo, in [0, 1]; the maps are then drawn over it.
    count : int
        How many maps to draw at most.
    names : sequence of str, optional
        One for each unit; by default ``"unit 0"`` and so on.
    columns : int
        How many maps to put side by side.
    caption : str
        The settings in words, printed small under the maps; may be empty.
    standard_error : array of float, (units, h, w), optional
        Standard errors in the same unit, at least 0.
    mute_uncertain : bool
        Whether pixels whose relevance is less than two standard errors from zero are grey, or
        uncoloured over the photo; a line under the maps then says so.

    Returns
    -------
    matplotlib.figure.Figure
        A figure that belongs to no window; notebooks display it and `save_figure` writes it.

    Raises
    ------
    ValueError, TypeError
        If an array is not of finite floats, shapes do not belong together, a number is below 1, or
        errors are to be used that are not given.
    """
    photo = None if image is None else check_photo(image)
    maps = check_maps(relevance, "relevance", shape=None if photo is None else photo.shape[:2])
    errors = check_errors(standard_error, maps, mute_uncertain=mute_uncertain)
    if names is None:
        names = [f"unit {index}" for index in range(len(maps))]
    names = check_names(names, "names", len(maps), "maps")
    chosen = strongest(maps, check_count("count", count))
    columns = min(check_count("columns", columns), len(chosen))
    muted = muted_pixels(maps, errors, mute_uncertain)
    width, height = image_size(*maps.shape[1:], side=SIDE)
    width, height = max(width, LEAST_WIDTH, LEAST_PAPER / columns), max(height, LEAST_HEIGHT)
    rows = -(-len(chosen) // columns)
    picture = Picture((width, height), columns, [height] * rows + [BAR_THICKNESS])
    amounts = [strength(maps[index]) for index in chosen]
    for place, (index, amount) in enumerate(zip(chosen, amounts, strict=True)):
        axes = picture.add_subplot(picture.cells[divmod(place, columns)])
        if photo is None:
            show_map(axes, maps[index], amount or 1.0, muted[index])
        else:
            show_overlay(axes, photo, maps[index], amount or 1.0, muted[index])
        name = fitted(names[index], width=width, size=TITLE_SIZE, max_lines=2)
        scale = f"\N{PLUS-MINUS SIGN}{amount:.3g}" if amount else "0 everywhere"
        axes.set_title(f"{name}\n{scale}", fontsize=TITLE_SIZE, color=INK, pad=4, parse_math=False)
    if any(amounts):
        which = "the map" if len(chosen) == 1 else "each map"
        unit = f"{unit}; the scale \N{PLUS-MINUS SIGN} stands over {which}"
    _add_shared_bar(picture, unit, width * columns)
    where = "Grey" if photo is None else "Uncoloured"
    picture.finish(caption_with_note(caption, mute_uncertain, where), picture.fit() - GAP)
    return picture


def _add_shared_bar(picture: Picture, label: str, width: float) -> None:
    """Explain the colours once, since every map goes from minus to plus its own number."""
    below = picture.add_subplot(picture.cells[-1, :])
    below.set_axis_off()
    length = min(BAR_LENGTH, width - 0.6)
    axes = below.inset_axes(
        (-length / 2, 0, length, BAR_THICKNESS), transform=inches_from(below, 0.5, 0.0)
    )
    colors = ScalarMappable(Normalize(-1, 1), RELEVANCE_COLORMAP)
    bar = picture.colorbar(colors, cax=axes, orientation="horizontal", ticks=[-1, 0, 1])
    axes.set_xticklabels(["\N{MINUS SIGN}scale", "0", "+scale"])
    style_bar(bar)
    words = fitted(label, width=width, size=8.0, max_lines=3)
    bar.set_label(words, fontsize=8.0, color=FAINT, parse_math=False)
