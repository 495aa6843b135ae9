"""The figure of several layers: a row for each class, with the photo and a map for each layer."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from pdjax.picture._checks import checked_errors, checked_image, checked_maps, checked_names
from pdjax.picture._muted import muted_pixels, with_note
from pdjax.picture._page import panel_size, show
from pdjax.picture._rows import MapColumn, row_panels

__all__ = ["comparison_figure"]


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
    ValueError
        If an array is not finite, the shapes do not belong together, or errors are to be used that
        are not given.
    """
    photo = checked_image(image)
    if len(relevances) == 0:
        raise ValueError("relevances: is empty; give an array (rows, h, w) for each layer")
    layers = [
        checked_maps(maps, f"relevances[{index}]", shape=photo.shape[:2])
        for index, maps in enumerate(relevances)
    ]
    counts = [len(maps) for maps in layers]
    if len(set(counts)) > 1:
        raise ValueError(f"relevances: have {counts} rows; give the same classes for each layer")
    names = checked_names(titles, "titles", counts[0], of="rows")
    headings = checked_names(columns, "columns", len(layers), of="layers")
    labels = checked_names(units, "units", len(layers), of="layers")
    given = [None] * len(layers) if standard_errors is None else standard_errors
    if len(given) != len(layers):
        raise ValueError(
            f"standard_errors: are of {len(given)} layers, and relevances of {len(layers)}; "
            "give an array (rows, h, w) for each layer"
        )
    errors = [
        checked_errors(each, maps, f"standard_errors[{index}]", mute_uncertain=mute_uncertain)
        for index, (each, maps) in enumerate(zip(given, layers, strict=True))
    ]
    size = panel_size(*photo.shape[:2], side=2.9)
    drawings = [
        MapColumn.of_relevance(maps, label, size[1], muted_pixels(maps, each, mute_uncertain))
        for maps, label, each in zip(layers, labels, errors, strict=True)
    ]
    figure, panels = row_panels(
        names,
        ("image", *headings),
        with_note(caption, mute_uncertain, "Grey"),
        size=size,
        bar_widths=[0.0, *(drawing.bar_width for drawing in drawings)],
    )
    for row, axes in enumerate(panels):
        show(axes[0], photo)
        for drawing, panel in zip(drawings, axes[1:], strict=True):
            drawing.draw(figure, panel, row)
    return figure
