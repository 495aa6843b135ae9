"""The figure of an explanation: a row for each class, with photo, relevance map and overlay."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from pdjax._files import atomic_path
from pdjax.picture._checks import checked_errors, checked_image, checked_maps, checked_names
from pdjax.picture._page import (
    ERROR_COLORMAP,
    FAINT,
    INK,
    RELEVANCE_COLORMAP,
    Picture,
    add_bar,
    bar_ticks,
    bar_width,
    panel_size,
    show,
)
from pdjax.picture._text import fitted, height_of
from pdjax.picture.overlay import overlay, symmetric_scale

__all__ = ["relevance_figure", "save_figure"]

TITLE_SIZE = 11.0
CAPTION_SIZE = 7.5
HEADINGS = ("image", "relevance", "overlay", "standard error")
MARGIN = 0.15
GAP = 0.14
TITLE_GAP = 0.08
ROW_GAP = 0.26
HEADING_HEIGHT = 0.36


def relevance_figure(
    image: ArrayLike,
    relevance: ArrayLike,
    *,
    titles: Sequence[str],
    unit: str,
    caption: str,
    standard_error: ArrayLike | None = None,
    show_error: bool = False,
) -> Figure:
    """Draw the relevance of one image for one or several classes.

    Each class has a row: the photo, the map with a colour bar that is symmetric about 0 on a scale
    of its own, and the map over the photo.

    Parameters
    ----------
    image : array of float, (h, w, 3) or (h, w, 1)
        The photo, in [0, 1].
    relevance : array of float, (rows, h, w)
        Relevance maps, in the unit that ``unit`` names.
    titles : sequence of str
        One for each row, such as ``"military uniform, p = 0.83"``. A long one is wrapped, then
        shortened before its last comma.
    unit : str
        Label of the colour bars, such as ``"weight of evidence (bits)"``.
    caption : str
        The settings in words, printed small under the rows; may be empty.
    standard_error : array of float, (rows, h, w), optional
        Standard errors in the same unit, at least 0.
    show_error : bool
        Whether a fourth column shows them.

    Returns
    -------
    matplotlib.figure.Figure
        A figure that belongs to no window; notebooks display it and `save_figure` writes it.

    Raises
    ------
    ValueError
        If an array is not finite or the shapes do not belong together.
    """
    photo = checked_image(image)
    maps = checked_maps(relevance, "relevance", shape=photo.shape[:2])
    names = checked_names(titles, "titles", len(maps))
    errors = None if standard_error is None else checked_errors(standard_error, maps)
    if show_error and errors is None:
        raise ValueError("standard_error: is None though show_error is True; give the errors")
    rows = [
        _Row(name, each, errors[index] if show_error and errors is not None else None)
        for index, (name, each) in enumerate(zip(names, maps, strict=True))
    ]
    return _draw(photo, rows, unit, caption)


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure in the format that the suffix of ``path`` names, whole or not at all.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        Any figure.
    path : path
        Ends in ``.png`` (150 dots an inch), ``.pdf``, ``.svg`` or what else matplotlib writes.

    Raises
    ------
    ValueError
        If matplotlib does not write files of that suffix.
    FileNotFoundError
        If the folder does not exist.
    """
    path = Path(path)
    kind = path.suffix.removeprefix(".").lower()
    supported = sorted(figure.canvas.get_supported_filetypes())
    if kind not in supported:
        raise ValueError(
            f"path: {str(path)!r} has the suffix {path.suffix!r}; use one of "
            + ", ".join(f".{name}" for name in supported)
        )
    # Publishers refuse the Type 3 fonts that matplotlib embeds by default.
    with mpl.rc_context({"pdf.fonttype": 42}), atomic_path(path) as temporary:
        figure.savefig(temporary, format=kind, dpi=150)


class _Row(NamedTuple):
    """What one row shows."""

    title: str
    relevance: np.ndarray
    error: np.ndarray | None


def _draw(photo: np.ndarray, rows: list[_Row], unit: str, caption: str) -> Figure:
    """Lay out in inches, so that every panel has the image's proportions and nothing is cut."""
    width, height = panel_size(*photo.shape[:2], side=2.9)
    scales = [symmetric_scale(row.relevance) for row in rows]
    ticks = [bar_ticks(-scale, scale, height) for scale in scales]
    largest = [1.0 if row.error is None else float(row.error.max()) or 1.0 for row in rows]
    error_ticks = [bar_ticks(0.0, most, height) for most in largest]
    error_label = f"standard error, {unit}"
    lefts = [MARGIN, MARGIN + width + GAP]
    lefts.append(lefts[-1] + width + GAP + max(bar_width(each, unit, height) for each in ticks))
    paper_width = lefts[-1] + width + MARGIN
    if rows[0].error is not None:
        lefts.append(lefts[-1] + width + GAP)
        widest = max(bar_width(each, error_label, height) for each in error_ticks)
        paper_width = lefts[-1] + width + widest + MARGIN
    # Metrics of a font at screen resolution differ from the outlines' by a few parts in a hundred.
    column = 0.97 * (paper_width - 2 * MARGIN)
    titles = [
        fitted(row.title, width=column, size=TITLE_SIZE, max_lines=2, weight="bold") for row in rows
    ]
    words = "\n".join(
        fitted(line, width=column, size=CAPTION_SIZE, max_lines=20) for line in caption.splitlines()
    )
    tops = []
    top = MARGIN
    for title in titles:
        tops.append(top + height_of(title, TITLE_SIZE) + TITLE_GAP)
        top = tops[-1] + height + ROW_GAP
    bottom = top - ROW_GAP + HEADING_HEIGHT
    figure = Picture(paper_width, bottom + height_of(words, CAPTION_SIZE) + MARGIN)
    for row, title, top, scale, marks, most, error_marks in zip(
        rows, titles, tops, scales, ticks, largest, error_ticks, strict=True
    ):
        axes = [figure.add_panel(left, top, width, height) for left in lefts]
        show(axes[0], photo)
        drawn = show(axes[1], row.relevance, cmap=RELEVANCE_COLORMAP, vmin=-scale, vmax=scale)
        extended = bool(np.abs(row.relevance).max() > scale)
        add_bar(figure, axes[1], drawn, marks, unit, extended=extended)
        show(axes[2], overlay(photo, row.relevance, scale))
        if row.error is not None:
            drawn = show(axes[3], row.error, cmap=ERROR_COLORMAP, vmin=0, vmax=most)
            add_bar(figure, axes[3], drawn, error_marks, error_label, extended=False)
        figure.add_words(title, MARGIN, top - TITLE_GAP, TITLE_SIZE, INK, weight="bold")
    for panel, heading in zip(axes, HEADINGS, strict=False):
        panel.set_xlabel(heading, fontsize=8.5, color=FAINT, labelpad=4)
    top = bottom + height_of(words, CAPTION_SIZE)
    figure.add_words(words, MARGIN, top, CAPTION_SIZE, FAINT)
    return figure
