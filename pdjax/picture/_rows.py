"""Rows of panels: a title over each, columns of maps with colour bars, a caption under all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.colors import Colormap

from pdjax.picture._muted import show_muted
from pdjax.picture._page import (
    ERROR_COLORMAP,
    FAINT,
    INK,
    RELEVANCE_COLORMAP,
    Picture,
    add_bar,
    bar_ticks,
    bar_width,
    caption_lines,
    show,
)
from pdjax.picture._text import fitted, height_of
from pdjax.picture.overlay import symmetric_scale

__all__ = ["MapColumn", "row_panels"]

TITLE_SIZE = 11.0
HEADING_SIZE = 8.5
MARGIN = 0.15
GAP = 0.14
TITLE_GAP = 0.08
ROW_GAP = 0.26
HEADING_MARGIN = 0.21


class MapColumn(NamedTuple):
    """Maps below one another, each with a colour bar of its own range, ``height`` inches high.

    Pixels that are ``muted`` are grey.
    """

    maps: Float[np.ndarray, "rows h w"]
    ranges: tuple[tuple[float, float], ...]
    colormap: Colormap
    label: str
    height: float
    muted: Bool[np.ndarray, "rows h w"]

    @classmethod
    def of_relevance(
        cls, maps: np.ndarray, label: str, height: float, muted: np.ndarray
    ) -> MapColumn:
        """Return a column whose ranges are symmetric about 0."""
        scales = [symmetric_scale(each) for each in maps]
        ranges = tuple((-scale, scale) for scale in scales)
        return cls(maps, ranges, RELEVANCE_COLORMAP, label, height, muted)

    @classmethod
    def of_errors(cls, maps: np.ndarray, label: str, height: float) -> MapColumn:
        """Return a column whose ranges go from 0 to the largest value."""
        ranges = tuple((0.0, float(each.max()) or 1.0) for each in maps)
        return cls(maps, ranges, ERROR_COLORMAP, label, height, np.zeros(maps.shape, bool))

    @property
    def bar_width(self) -> float:
        """The inches that the widest of the colour bars takes."""
        return max(
            bar_width(bar_ticks(*limits, self.height), self.label, self.height)
            for limits in self.ranges
        )

    def draw(self, figure: Picture, axes: Axes, row: int) -> None:
        """Draw the map of a row and its colour bar."""
        lowest, highest = self.ranges[row]
        drawn = show(axes, self.maps[row], cmap=self.colormap, vmin=lowest, vmax=highest)
        extended = bool(np.abs(self.maps[row]).max() > highest)
        ticks = bar_ticks(lowest, highest, self.height)
        add_bar(figure, axes, drawn, ticks, self.label, extended=extended)
        show_muted(axes, self.muted[row])


def row_panels(
    titles: Sequence[str],
    headings: Sequence[str],
    caption: str,
    *,
    size: tuple[float, float],
    bar_widths: Sequence[float],
) -> tuple[Picture, list[list[Axes]]]:
    """Return a figure with all its words and an empty panel for each title and heading.

    It is laid out in inches, so that every panel has the image's proportions and nothing is cut:
    ``size`` is the panels' width and height, ``bar_widths`` the room right of each column.
    """
    width, height = size
    edges = MARGIN + np.cumsum([0.0, *(width + bar + GAP for bar in bar_widths)])
    lefts, paper_width = edges[:-1], float(edges[-1]) - GAP + MARGIN
    # Metrics of a font at screen resolution differ from the outlines' by a few parts in a hundred.
    line = 0.97 * (paper_width - 2 * MARGIN)
    titles = [
        fitted(title, width=line, size=TITLE_SIZE, max_lines=2, weight="bold") for title in titles
    ]
    headings = [
        fitted(heading, width=0.97 * width, size=HEADING_SIZE, max_lines=2) for heading in headings
    ]
    words, caption_height = caption_lines(caption, line)
    tops = []
    top = MARGIN
    for title in titles:
        tops.append(top + height_of(title, TITLE_SIZE) + TITLE_GAP)
        top = tops[-1] + height + ROW_GAP
    heading_height = max(height_of(heading, HEADING_SIZE) for heading in headings)
    bottom = top - ROW_GAP + HEADING_MARGIN + heading_height + caption_height
    figure = Picture(paper_width, bottom + MARGIN)
    panels = [[figure.add_panel(left, top, width, height) for left in lefts] for top in tops]
    for title, top in zip(titles, tops, strict=True):
        figure.add_words(title, MARGIN, top - TITLE_GAP, TITLE_SIZE, INK, weight="bold")
    for axes, heading in zip(panels[-1], headings, strict=True):
        axes.set_xlabel(heading, fontsize=HEADING_SIZE, color=FAINT, labelpad=4, parse_math=False)
    figure.add_caption(words, MARGIN, bottom)
    return figure, panels
