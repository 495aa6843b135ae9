"""Figures of classes: a row for each, with the photo and maps that say what spoke for the class."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from pdjax._checks import ArgumentValueError
from pdjax._files import atomic_path
from pdjax.picture._checks import check_errors, check_maps, check_names, check_photo
from pdjax.picture._page import RowsOfPanels
from pdjax.picture._panels import (
    add_bar,
    caption_with_note,
    muted_pixels,
    show_errors,
    show_image,
    show_map,
    show_overlay,
)
from pdjax.picture.overlay import symmetric_scale

__all__ = ["comparison_figure", "relevance_figure", "save_figure"]


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
    ValueError, TypeError
        If an array is not of finite floats, the shapes do not belong together, or errors are to be
        used that are not given.
    """
    photo = check_photo(image)
    maps = check_maps(relevance, "relevance", shape=photo.shape[:2])
    names = check_names(titles, "titles", len(maps), "maps")
    errors = check_errors(
        standard_error, maps, show_error=show_error, mute_uncertain=mute_uncertain
    )
    muted = muted_pixels(maps, errors, mute_uncertain)
    shown_errors = errors if show_error else None
    headings = ["image", "relevance", "overlay", "standard error"]
    page = RowsOfPanels(photo.shape[:2], len(maps), headings[: 3 if shown_errors is None else 4])
    for row, panels in enumerate(page.panels):
        scale = symmetric_scale(maps[row])
        show_image(panels[0], photo)
        add_bar(show_map(panels[1], maps[row], scale, muted[row]), unit, page.image_height)
        show_overlay(panels[2], photo, maps[row], scale, muted[row])
        if shown_errors is not None:
            label = f"standard error, {unit}"
            add_bar(show_errors(panels[3], shown_errors[row]), label, page.image_height)
    where = "Grey in the map, uncoloured in the overlay"
    page.finish_rows(names, caption_with_note(caption, mute_uncertain, where))
    return page


def comparison_figure(
    image: ArrayLike,
    relevances: Sequence[ArrayLike],
    *,
    titles: Sequence[str],
    columns: Sequence[str],
    units: Sequence[str],
    caption: str,
    standard_errors: Sequence[ArrayLike] | None = None,
    mute_uncertain: bool = False,
) -> Figure:
    """Draw the relevance of one image for the same classes in several layers, side by side.

    Each class has a row: the photo, then a map for each layer. Every map has a colour bar that is
    symmetric about 0 on a scale of its own, since layers differ in unit and classes in strength
    (after figure 7 of Zintgraf et al., 2017).

    Parameters
    ----------
    image : array of float, (h, w, 3) or (h, w, 1)
        The photo, in [0, 1].
    relevances : sequence of array of float, (rows, h, w)
        Relevance maps of each layer, the same classes in the same order.
    titles : sequence of str
        One for each row, such as ``"military uniform, p = 0.83"``. A long one is wrapped, then
        shortened before its last comma.
    columns : sequence of str
        Name of each layer, such as ``"loss3/classifier"`` and ``"prob"``.
    units : sequence of str
        Label of each layer's colour bars, such as ``"activation difference"`` and
        ``"weight of evidence (bits)"``.
    caption : str
        The settings in words, printed small under the rows; may be empty.
    standard_errors : sequence of array of float, (rows, h, w), optional
        Standard errors of each layer, in its unit, at least 0.
    mute_uncertain : bool
        Whether pixels whose relevance is less than two standard errors from zero are grey; a line
        under the rows then says so.

    Returns
    -------
    matplotlib.figure.Figure
        A figure that belongs to no window; notebooks display it and `save_figure` writes it.

    Raises
    ------
    ValueError, TypeError
        If an array is not of finite floats, the shapes do not belong together, or errors are to be
        used that are not given.
    """
    photo = check_photo(image)
    if len(relevances) == 0:
        raise ArgumentValueError("relevances", "is empty", "give an array for each layer")
    layers = [
        check_maps(maps, f"relevances[{index}]", shape=photo.shape[:2])
        for index, maps in enumerate(relevances)
    ]
    counts = [len(maps) for maps in layers]
    if len(set(counts)) > 1:
        raise ArgumentValueError(
            "relevances", f"have {counts} rows", "give the same classes for each layer"
        )
    names = check_names(titles, "titles", counts[0], "rows")
    headings = check_names(columns, "columns", len(layers), "layers")
    labels = check_names(units, "units", len(layers), "layers")
    given = [None] * len(layers) if standard_errors is None else standard_errors
    if len(given) != len(layers):
        raise ArgumentValueError(
            "standard_errors",
            f"are of {len(given)} layers, and relevances of {len(layers)}",
            "give an array for each layer",
        )
    errors = [
        check_errors(each, maps, f"standard_errors[{index}]", mute_uncertain=mute_uncertain)
        for index, (each, maps) in enumerate(zip(given, layers, strict=True))
    ]
    muted = [
        muted_pixels(maps, each, mute_uncertain) for maps, each in zip(layers, errors, strict=True)
    ]
    page = RowsOfPanels(photo.shape[:2], counts[0], ("image", *headings))
    for row, (first, *others) in enumerate(page.panels):
        show_image(first, photo)
        for axes, maps, grey, label in zip(others, layers, muted, labels, strict=True):
            drawn = show_map(axes, maps[row], symmetric_scale(maps[row]), grey[row])
            add_bar(drawn, label, page.image_height)
    page.finish_rows(names, caption_with_note(caption, mute_uncertain, "Grey"))
    return page


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
        suffixes = ", ".join(f".{name}" for name in supported)
        raise ArgumentValueError("path", "is of no known kind", f"end it in {suffixes}", value=path)
    # Publishers refuse the Type 3 fonts that matplotlib embeds by default.
    with mpl.rc_context({"pdf.fonttype": 42}), atomic_path(path) as temporary:
        figure.savefig(temporary, format=kind, dpi=150)
