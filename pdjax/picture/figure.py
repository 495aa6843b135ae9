"""The figure of an explanation: a row for each class, with photo, relevance map and overlay."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from pdjax._files import atomic_path
from pdjax.picture._checks import checked_errors, checked_image, checked_maps, checked_names
from pdjax.picture._muted import muted_pixels, with_note
from pdjax.picture._page import panel_size, show
from pdjax.picture._rows import MapColumn, row_panels
from pdjax.picture.overlay import overlay

__all__ = ["relevance_figure", "save_figure"]


def relevance_figure(
    image: ArrayLike,
    relevance: ArrayLike,
    *,
    titles: Sequence[str],
    unit: str,
    caption: str,
    standard_error: ArrayLike | None = None,
    show_error: bool = False,
    mute_uncertain: bool = False,
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
    mute_uncertain : bool
        Whether pixels whose relevance is less than two standard errors from zero are grey in the
        map and uncoloured over the photo; a line under the rows then says so.

    Returns
    -------
    matplotlib.figure.Figure
        A figure that belongs to no window; notebooks display it and `save_figure` writes it.

    Raises
    ------
    ValueError
        If an array is not finite, the shapes do not belong together, or errors are to be used that
        are not given.
    """
    photo = checked_image(image)
    maps = checked_maps(relevance, "relevance", shape=photo.shape[:2])
    names = checked_names(titles, "titles", len(maps))
    errors = checked_errors(
        standard_error, maps, show_error=show_error, mute_uncertain=mute_uncertain
    )
    muted = muted_pixels(maps, errors, mute_uncertain)
    size = panel_size(*photo.shape[:2], side=2.9)
    column = MapColumn.of_relevance(maps, unit, size[1], muted)
    headings, bar_widths = ["image", "relevance", "overlay"], [0.0, column.bar_width, 0.0]
    error_column = None
    if show_error and errors is not None:
        error_column = MapColumn.of_errors(errors, f"standard error, {unit}", size[1])
        headings.append("standard error")
        bar_widths.append(error_column.bar_width)
    caption = with_note(caption, mute_uncertain, "Grey in the map, uncoloured in the overlay")
    figure, panels = row_panels(names, headings, caption, size=size, bar_widths=bar_widths)
    for row, axes in enumerate(panels):
        show(axes[0], photo)
        column.draw(figure, axes[1], row)
        certain = np.where(muted[row], 0, maps[row])
        show(axes[2], overlay(photo, certain, column.ranges[row][1]))
        if error_column is not None:
            error_column.draw(figure, axes[3], row)
    return figure


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
