"""Figures of classes: a row for each, with the photo and maps that say what spoke for the class."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from pdjax._checks import ArgumentTypeError, ArgumentValueError, check_choice
from pdjax.picture._checks import check_errors, check_image_and_maps, check_names
from pdjax.picture._display import displayed
from pdjax.picture._page import INK, Bare, RowsOfPanels
from pdjax.picture._panels import (
    Drawing,
    add_bar,
    caption_with_notes,
    drawings,
    show_errors,
    show_map,
    show_overlay,
    show_photo,
)
from pdjax.picture.look import Look, with_look
from pdjax.picture.overlay import common_scales
from pdjax.picture.series import Series, series_figure, show_series

__all__ = ["comparison_figure", "relevance_figure"]

PANELS = {"overlay": show_overlay, "map": show_map, "image": show_photo}
MUTED = "Grey in the map, uncoloured in the overlay"


@with_look
def relevance_figure(
    image: ArrayLike,
    relevance: ArrayLike,
    *,
    titles: Sequence[str],
    unit: str,
    caption: str,
    standard_error: ArrayLike | None = None,
    show_error: bool = False,
    only: str | None = None,
    ax: Axes | Sequence[Axes] | None = None,
    look: Look,
) -> Figure:
    """Draw the relevance of one image for one or several classes.

    Each class has a row: the map, with a colour bar that is symmetric about 0, and the map over
    the photo; the photo itself stands in the first row. Of a volume every row has three slices
    through the voxel of the largest relevance. A series is drawn as lines over a band of colours,
    with the relevance as a curve below.

    Parameters
    ----------
    image : array of float, (h, w, c), (d, h, w, c) or (n, c)
        The image, volume or series that was explained.
    relevance : array of float, (rows, h, w), (rows, d, h, w) or (rows, n)
        Relevance maps, in the unit that ``unit`` names; NaN where pixels are masked, which are
        left blank.
    titles : sequence of str
        One for each row, such as ``"military uniform, p = 0.83"``. A long one is wrapped, then
        shortened before its last comma.
    unit : str
        Label of the colour bars, such as ``"weight of evidence (bits)"``.
    caption : str
        The settings in words, printed small under the rows; may be empty.
    standard_error : array of float, of the shape of ``relevance``, optional
        Standard errors in the same unit, at least 0.
    show_error : bool
        Whether a fourth column shows them; a series always does.
    only : {"overlay", "map", "image"}, optional
        Draw this panel of the only row and nothing else: no words, no frame, and in a file that
        `save_figure` writes a dot for every pixel.
    ax : matplotlib Axes or sequence of them, optional
        Draw ``only`` this panel, by default the overlay, into axes of a figure of your own, one
        for each row. ``figure.colorbar(ax.images[0])`` then draws the colour bar.
    look
        Keywords of `Look`: ``scale``, ``mode``, ``sign``, ``cmap`` and others.

    Returns
    -------
    matplotlib.figure.Figure
        A figure that belongs to no window; notebooks display it and `save_figure` writes it. With
        ``ax`` the figure of the axes.

    Raises
    ------
    ValueError, TypeError
        If an array is not of floats, is infinite or does not belong to the others, or errors are
        to be used that are not given.
    """
    given, maps = check_image_and_maps(image, relevance)
    names = check_names(titles, "titles", len(maps), "maps")
    errors = check_errors(
        standard_error,
        maps,
        show_error=show_error,
        mute_uncertain=look.mute_uncertain,
        levels_in_errors=look.levels_in == "errors",
    )
    if only is not None:
        check_choice("only", only, PANELS)
    places = None if ax is None else _places(ax, len(maps))
    scales = common_scales([look.of(maps)], [unit], look.scale or "all")[0]
    if maps.ndim == 2:
        series = Series(given, maps, errors, scales, look)
        if places is not None or only is not None:
            return show_series(series, names, unit, only, places)
        return series_figure(series, names, [unit] * len(maps), caption)
    rows = drawings(displayed(given, look), maps, errors, scales, look)
    if places is not None:
        return _on_axes(rows, names, only or "overlay", places, look)
    if only is not None:
        return _bare(rows, only)
    return _relevance_page(rows, names, unit, caption, errors if show_error else None)


def _relevance_page(
    rows: Sequence[Drawing],
    names: Sequence[str],
    unit: str,
    caption: str,
    errors: np.ndarray | None,
) -> Figure:
    headings = ["image", "relevance", "overlay", "standard error"]
    look, shape = rows[0].look, rows[0].relevance.shape
    # Slices of a volume differ from row to row; a photo is drawn once.
    once = not any(row.sheet.note for row in rows)
    shown = headings[: 3 if errors is None else 4]
    page = RowsOfPanels((shape[0], shape[1]), len(rows), shown, first_once=once)
    one_scale = len({row.scale for row in rows}) == 1
    largest = 0.0 if errors is None else float(np.nanmax(errors))
    for index, (row, panels) in enumerate(zip(rows, page.panels, strict=True)):
        if len(panels) == len(shown):
            show_photo(panels[0], row)
        drawn, over = panels[-len(shown) + 1 :][:2]
        image = show_map(drawn, row)
        show_overlay(over, row)
        if not one_scale or index == 0:
            add_bar(image, unit, page.image_height, _largest(rows if one_scale else [row]))
        if errors is not None:
            spread = show_errors(panels[-1], row, largest if one_scale else None)
            if not one_scale or index == 0:
                add_bar(spread, f"standard error, {unit}", page.image_height, 0.0)
    page.finish_rows(names, caption_with_notes(caption, rows, MUTED, unit), look.title)
    return page


@with_look
def comparison_figure(
    image: ArrayLike | Sequence[ArrayLike],
    relevances: Sequence[ArrayLike],
    *,
    titles: Sequence[str],
    columns: Sequence[str],
    units: Sequence[str],
    caption: str,
    standard_errors: Sequence[ArrayLike] | None = None,
    look: Look,
) -> Figure:
    """Draw the relevance for the same classes in several layers or results, side by side.

    Each class has a row: a map for each layer, with the photo before those of the first row. Maps
    of the same unit share a scale; layers differ in unit (after figure 7 of Zintgraf et al.,
    2017).

    Parameters
    ----------
    image : array of float, (h, w, c), (d, h, w, c) or (n, c), or a sequence of them
        The image that was explained; or one for each of ``relevances``, and every map then lies
        over its own.
    relevances : sequence of array of float, (rows, *spatial)
        Relevance maps of each layer or result, the same classes in the same order.
    titles : sequence of str
        One for each row, such as ``"military uniform, p = 0.83"``. A long one is wrapped, then
        shortened before its last comma.
    columns : sequence of str
        Name of each layer or result, such as ``"loss3/classifier"`` and ``"prob"``.
    units : sequence of str
        Label of each one's colour bars, such as ``"activation difference"`` and
        ``"weight of evidence (bits)"``.
    caption : str
        The settings in words, printed small under the rows; may be empty.
    standard_errors : sequence of array of float, (rows, *spatial), optional
        Standard errors of each, in its unit, at least 0.
    look
        Keywords of `Look`: ``scale``, ``mode``, ``sign``, ``cmap`` and others. With a ``mode``
        other than ``"grey"`` every map lies over the photo.

    Returns
    -------
    matplotlib.figure.Figure
        A figure that belongs to no window; notebooks display it and `save_figure` writes it.

    Raises
    ------
    ValueError, TypeError
        If an array is not of floats, is infinite or does not belong to the others, or errors are
        to be used that are not given.
    """
    if len(relevances) == 0:
        raise ArgumentValueError("relevances", "is empty", "give an array for each layer")
    several = isinstance(image, list | tuple)
    images: list[ArrayLike] = list(image) if several else [image] * len(relevances)  # type: ignore
    if len(images) != len(relevances):
        raise ArgumentValueError(
            "image", f"are {len(images)} for {len(relevances)} maps", "give one, or one for each"
        )
    checked = [
        check_image_and_maps(each, maps, f"relevances[{index}]")
        for index, (each, maps) in enumerate(zip(images, relevances, strict=True))
    ]
    given, layers = [each for each, _ in checked], [maps for _, maps in checked]
    counts = [len(maps) for maps in layers]
    if len(set(counts)) > 1:
        raise ArgumentValueError(
            "relevances", f"have {counts} rows", "give the same classes for each layer"
        )
    names = check_names(titles, "titles", counts[0], "rows")
    headings = check_names(columns, "columns", len(layers), "layers")
    labels = check_names(units, "units", len(layers), "layers")
    spreads = [None] * len(layers) if standard_errors is None else list(standard_errors)
    if len(spreads) != len(layers):
        raise ArgumentValueError(
            "standard_errors",
            f"are of {len(spreads)} layers, and relevances of {len(layers)}",
            "give an array for each layer",
        )
    errors = [
        check_errors(
            each,
            maps,
            f"standard_errors[{index}]",
            mute_uncertain=look.mute_uncertain,
            levels_in_errors=look.levels_in == "errors",
        )
        for index, (each, maps) in enumerate(zip(spreads, layers, strict=True))
    ]
    scales = common_scales([look.of(maps) for maps in layers], labels, look.scale or "all")
    if any(maps.ndim == 2 for maps in layers):
        return _series_comparison(
            given, layers, errors, scales, look, names, headings, labels, caption
        )
    drawn = [drawings(displayed(given[0], look), layers[0], errors[0], scales[0], look)]
    for index in range(1, len(layers)):
        same = layers[index].shape == layers[0].shape
        sheets = [row.sheet for row in drawn[0]] if same else None
        photo = displayed(given[index], look)
        drawn.append(drawings(photo, layers[index], errors[index], scales[index], look, sheets))
    return _comparison_page(drawn, names, headings, labels, caption, over_photo=several)


def _comparison_page(
    columns: Sequence[Sequence[Drawing]],
    names: Sequence[str],
    headings: Sequence[str],
    units: Sequence[str],
    caption: str,
    *,
    over_photo: bool,
) -> Figure:
    rows = columns[0]
    look, shape = rows[0].look, rows[0].relevance.shape
    show = show_overlay if over_photo or look.mode != "grey" else show_map
    shown = headings if over_photo else ("image", *headings)
    once = not over_photo and not any(row.sheet.note for row in rows)
    page = RowsOfPanels((shape[0], shape[1]), len(rows), shown, first_once=once)
    for index, panels in enumerate(page.panels):
        if not over_photo and len(panels) == len(shown):
            show_photo(panels[0], rows[index])
        for axes, column, unit in zip(panels[-len(columns) :], columns, units, strict=True):
            image = show(axes, column[index])
            one_scale = len({each.scale for each in column}) == 1
            if not one_scale or index == 0:
                of = column if one_scale else [column[index]]
                add_bar(image, unit, page.image_height, _largest(of))
    every = [row for column in columns for row in column]
    note = "Grey" if show is show_map else "Uncoloured"
    symbol = units[0] if len(set(units)) == 1 else ""
    page.finish_rows(names, caption_with_notes(caption, every, note, symbol), look.title)
    return page


def _series_comparison(
    images: Sequence[np.ndarray],
    layers: Sequence[np.ndarray],
    errors: Sequence[np.ndarray | None],
    scales: Sequence[Sequence[float]],
    look: Look,
    names: Sequence[str],
    headings: Sequence[str],
    units: Sequence[str],
    caption: str,
) -> Figure:
    """Draw the same class of all layers one below the other, on the axis of the series."""
    if len({each.shape for each in images}) > 1:
        raise ArgumentValueError(
            "image", "are series of different lengths", "draw each with relevance_figure"
        )
    order = [(row, column) for row in range(len(names)) for column in range(len(layers))]
    spreads = None
    if all(each is not None for each in errors):
        spreads = np.stack([np.asarray(errors[column])[row] for row, column in order])
    series = Series(
        images[0],
        np.stack([layers[column][row] for row, column in order]),
        spreads,
        [scales[column][row] for row, column in order],
        look,
    )
    titles = [f"{names[row]}: {headings[column]}" for row, column in order]
    return series_figure(series, titles, [units[column] for _, column in order], caption)


def _largest(rows: Iterable[Drawing]) -> float:
    return max(float(np.nanmax(np.abs(row.relevance))) for row in rows)


def _places(ax: Axes | Sequence[Axes], count: int) -> list[Axes]:
    places = list(np.ravel(np.asarray(ax, dtype=object)))
    if not all(isinstance(each, Axes) for each in places):
        raise ArgumentTypeError("ax", "must be axes of matplotlib", "give one for each row")
    if len(places) != count:
        raise ArgumentValueError(
            "ax", f"are {len(places)} axes for {count} rows", "give one for each row, or fewer rows"
        )
    return places


def _on_axes(
    rows: Sequence[Drawing], names: Sequence[str], only: str, places: Sequence[Axes], look: Look
) -> Figure:
    for axes, row, name in zip(places, rows, names, strict=True):
        PANELS[only](axes, row)
        axes.set_aspect("equal")
        axes.set_title(name if look.title is None else look.title, color=INK, parse_math=False)
    figure = places[0].figure
    return figure if isinstance(figure, Figure) else figure.figure


def _bare(rows: Sequence[Drawing], only: str) -> Figure:
    if len(rows) > 1:
        raise ArgumentValueError(
            "only", f"is for one row, and there are {len(rows)}", "choose one with units=[0]"
        )
    shape = rows[0].relevance.shape
    picture = Bare((shape[0], shape[1]))
    PANELS[only](picture.panel, rows[0])
    picture.ready()
    return picture
