"""The figure of a hidden layer: its feature maps' relevance, strongest first, side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from pdjax.picture._checks import checked_errors, checked_image, checked_maps, checked_names
from pdjax.picture._muted import muted_pixels, show_muted, with_note
from pdjax.picture._page import (
    FAINT,
    INK,
    RELEVANCE_COLORMAP,
    Picture,
    caption_lines,
    panel_size,
    show,
    style_bar,
)
from pdjax.picture._text import fitted
from pdjax.picture.overlay import overlay, strength, strongest

__all__ = ["feature_map_grid"]

GAP = 0.12
TITLE_SIZE = 8.5


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
    ValueError
        If an array is not finite, shapes do not belong together, a number is below 1, or errors
        are to be used that are not given.
    """
    photo = None if image is None else checked_image(image)
    maps = checked_maps(relevance, "relevance", shape=None if photo is None else photo.shape[:2])
    errors = checked_errors(standard_error, maps, mute_uncertain=mute_uncertain)
    muted = muted_pixels(maps, errors, mute_uncertain)
    if names is None:
        names = [f"unit {index}" for index in range(len(maps))]
    names = checked_names(names, "names", len(maps))
    for argument, value in (("count", count), ("columns", columns)):
        if value < 1:
            raise ValueError(f"{argument}: is {value}; give at least 1")
    chosen = strongest(maps, count)
    strengths = {index: strength(maps[index]) for index in chosen}
    columns = min(columns, len(chosen))
    rows = -(-len(chosen) // columns)
    width, height = panel_size(*maps.shape[1:], side=1.9)
    headings = {
        index: fitted(names[index], width=width, size=TITLE_SIZE, max_lines=2)
        + f"\n{_scale_in_words(strengths[index])}"
        for index in chosen
    }
    title_lines = max(heading.count("\n") + 1 for heading in headings.values())
    paper_width = max(columns * (width + GAP) + GAP, 3.0)
    caption = with_note(caption, mute_uncertain, "Grey" if photo is None else "Uncoloured")
    words, caption_height = caption_lines(caption, 0.97 * (paper_width - 2 * GAP))
    foot = caption_height + 2 * GAP if words else 0.0
    paper_height = rows * (height + GAP + title_lines * TITLE_SIZE * 1.4 / 72) + 0.75 + foot
    figure = Picture(paper_width, paper_height)
    above_caption = (0, foot / paper_height, 1, 1 - foot / paper_height)
    figure.set_layout_engine("constrained", rect=above_caption)
    panels = figure.subplots(rows, columns, squeeze=False)
    for axes in panels.flat[len(chosen) :]:
        axes.set_axis_off()
    for axes, index in zip(panels.flat, chosen, strict=False):
        scale = strengths[index] or 1.0
        if photo is None:
            show(axes, maps[index], cmap=RELEVANCE_COLORMAP, vmin=-scale, vmax=scale)
            show_muted(axes, muted[index])
        else:
            certain = np.where(muted[index], 0, maps[index])
            show(axes, overlay(photo, certain, scale))
        axes.set_title(
            headings[index],
            fontsize=TITLE_SIZE,
            color=INK,
            pad=4,
            linespacing=1.2,
            parse_math=False,
        )
    if any(strengths.values()):
        which = "the map" if len(chosen) == 1 else "each map"
        unit = f"{unit}; the scale \N{PLUS-MINUS SIGN} stands over {which}"
    _shared_bar(figure, panels, unit, paper_width)
    figure.add_caption(words, GAP / 2, paper_height - GAP)
    return figure


def _scale_in_words(amount: float) -> str:
    return f"\N{PLUS-MINUS SIGN}{amount:.3g}" if amount else "0 everywhere"


def _shared_bar(figure: Picture, panels: np.ndarray, label: str, width: float) -> None:
    """Explain the colours once, since every map goes from minus to plus its own number."""
    colors = ScalarMappable(Normalize(-1, 1), RELEVANCE_COLORMAP)
    bar = figure.colorbar(
        colors,
        ax=panels,
        orientation="horizontal",
        shrink=min(1.0, 3.2 / width),
        aspect=28,
        pad=0.03,
        ticks=[-1, 0, 1],
    )
    bar.ax.set_xticklabels(["\N{MINUS SIGN}scale", "0", "+scale"])
    style_bar(bar)
    words = fitted(label, width=width - 0.3, size=8.0, max_lines=3)
    bar.set_label(words, fontsize=8.0, color=FAINT, parse_math=False)
