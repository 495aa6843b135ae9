"""The explanation as one page: choose a map, fade the overlay, read any pixel with its error.

The page is whole in itself and asks nothing of the network. Everything that comes from outside
(names of classes, the caption) is data to it: escaped in the markup, and in the script a JSON text
without any character that could end it.
"""

from __future__ import annotations

import dataclasses
import html
import json
import re
from collections.abc import Sequence
from importlib import resources

import numpy as np
from numpy.typing import ArrayLike

from pdjax._checks import ArgumentValueError, check_choice
from pdjax.picture._checks import check_errors, check_image_and_maps, check_names
from pdjax.picture._display import displayed, lanes, lines_of
from pdjax.picture._encoding import exact, png, rounded
from pdjax.picture.look import Look, with_look
from pdjax.picture.overlay import (
    FULL_COLOR,
    LIGHTNESS,
    OPACITY,
    OPACITY_EXPONENT,
    OPACITY_OVER_COLOR,
    color_stops,
    common_scales,
    strongest,
)
from pdjax.picture.windows import PageWindows, WindowNumbers, described_windows

__all__ = ["PageLayer", "explanation_page", "relevance_html"]

WORDS = {
    "classes": {"legend": "Class", "lowest": "against", "highest": "for", "unspread": ""},
    "units": {
        "legend": "Feature map or unit",
        "lowest": "lowers it",
        "highest": "raises it",
        "unspread": ", the same in every sample,",
    },
}
"""What a page calls the rows and their colours."""

LARGEST = 4_800_000
ROUNDED = "Numbers here are rounded to a hundredth of each map's largest; the saved ones are exact."
SCRIPTS = ("painters.js", "windows.js", "page.js")
# A byte has room for these and for a mark of masked pixels; errors are seldom read.
LEVELS, ERROR_LEVELS = 127, 31


@dataclasses.dataclass(frozen=True, eq=False)
class PageLayer:
    """The maps of one layer in a page.

    Attributes
    ----------
    name : str
        What it is called where there are several.
    relevance : array of float, (rows, h, w) or (rows, n)
        Relevance maps, in the unit that ``unit`` names; NaN where pixels are masked.
    standard_error : array of float, of the shape of ``relevance``, or None
        Standard errors in the same unit, at least 0. Without them the page shows none.
    titles : sequence of str
        One for each map, such as ``"military uniform, p = 0.83"``.
    unit : str
        Label of the colour bar, such as ``"weight of evidence (bits)"``.
    symbol : str
        What follows every number, such as ``"bits"``.
    rows : {"classes", "units"}
        What the maps are of. The colours of classes are put into words as evidence for and
        against, those of feature maps and units as what raises and lowers the activation; the
        latter are put in order, strongest first (see `strongest`), with a small picture each.
    note : str
        A sentence on what the unit means; may be empty.
    windows : WindowNumbers, optional
        What is known of the windows that the page is given.
    """

    name: str
    relevance: ArrayLike
    standard_error: ArrayLike | None
    titles: Sequence[str]
    unit: str
    symbol: str = ""
    rows: str = "classes"
    note: str = ""
    windows: WindowNumbers | None = None


@with_look
def relevance_html(
    image: ArrayLike,
    relevance: ArrayLike,
    standard_error: ArrayLike | None,
    *,
    titles: Sequence[str],
    unit: str,
    symbol: str = "",
    caption: str,
    rows: str = "classes",
    note: str = "",
    look: Look,
) -> str:
    """Return a self-contained HTML page that shows the relevance of one image.

    Parameters
    ----------
    image, caption, look
        As for `explanation_page`.
    relevance, standard_error, titles, unit, symbol, rows, note
        As for `PageLayer`.

    Returns
    -------
    str
        The page, to be written as UTF-8.

    Raises
    ------
    ValueError, TypeError
        If an array is not of floats or infinite, the shapes do not belong together, ``rows`` is
        another word, errors are to be used that are not given, or the image is a volume.
    """
    layer = PageLayer(unit, relevance, standard_error, titles, unit, symbol, rows, note)
    return explanation_page(image, [layer], caption=caption, look=look)


@with_look
def explanation_page(
    image: ArrayLike,
    layers: Sequence[PageLayer],
    *,
    windows: PageWindows | None = None,
    opened: int = -1,
    caption: str,
    look: Look,
) -> str:
    """Return a self-contained HTML page that shows the relevance of one image in several layers.

    Parameters
    ----------
    image : array of float, (h, w, c) or (n, c)
        The image or series that was explained.
    layers : sequence of PageLayer
        At least one.
    windows : PageWindows, optional
        The windows of a photo, with what was put into them: whoever points at a pixel is told the
        output with and without the window around it, and whoever clicks is shown the contents.
    opened : int
        The one that is seen first.
    caption : str
        The settings in words, printed small under the pictures.
    look
        Keywords of `Look`, which the page opens with: ``scale``, ``sign``, ``mute_uncertain``,
        ``cmap``, ``alpha``, ``mode`` (grey or color), what the image is shown as, and ``title``,
        the words under the image.

    Returns
    -------
    str
        The page, to be written as UTF-8. Its element ``data`` holds JSON with, for every one of
        ``layers``, the keys ``relevance`` and ``standardError``: objects with ``bytes``, zlib's
        deflate in base64 of little-endian float32 whose first bytes all come before the second
        ones. Only where the page would be larger than 5 MB are numbers rounded, and what is known
        of windows, or their contents, left out; then the page says so.

    Raises
    ------
    ValueError, TypeError
        If an array is not of floats or infinite, the shapes do not belong together, ``rows`` is
        another word, errors are to be used that are not given, or the image is a volume.
    """
    if look.mode not in ("grey", "color"):
        raise ArgumentValueError(
            "mode",
            "is for figures",
            "give 'grey' or 'color', or draw it with plot",
            value=look.mode,
        )
    if not layers:
        raise ArgumentValueError("layers", "are none", "give at least one")
    checked = [_checked(image, layer, look) for layer in layers]
    given = checked[0][0]
    stops = [
        "#" + bytes(np.rint(255 * color).astype(int).tolist()).hex()
        for color in color_stops(look.cmap)
    ]
    data: dict[str, object] = {
        "windows": None,
        **(_series(given, look) if given.ndim == 2 else _photo(given, look)),
        "opened": range(len(layers))[opened],
        "stops": stops,
        "fullColor": FULL_COLOR,
        "lightness": LIGHTNESS,
        "exponent": OPACITY_EXPONENT,
    }
    data["layers"] = [_described(*each, look, whole=True) for each in checked]
    written = _script_json(data)
    if len(written) > LARGEST:
        data["layers"] = [_described(*each, look, whole=False) for each in checked]
        written, caption = _script_json(data), f"{ROUNDED}\n{caption}"
    if windows is not None:
        numbers = [layer.windows for *_, layer in checked]
        told, left_out = described_windows(windows, numbers, given, look, LARGEST - len(written))
        written = _script_json(data | {"windows": told})
        caption = f"{left_out}\n{caption}" if left_out else caption
    over_color = look.mode == "color"
    alpha = look.alpha
    if alpha is None:
        alpha = OPACITY_OVER_COLOR if over_color else OPACITY
    values = {
        "style": _resource("page.css"),
        "script": "".join(map(_resource, SCRIPTS)),
        "data": written,
        "heading": "Evidence in an image",
        "kind": "series" if given.ndim == 2 else "image",
        "name": html.escape(look.title or "Image"),
        "caption": html.escape(caption),
        "opacity": str(round(100 * alpha)),
        "color": "checked" if over_color else "",
        "certain": "checked" if look.mute_uncertain else "",
    }
    # One pass, so that a placeholder's name inside a caption stays what it is.
    return re.sub(r"\{\{(\w+)\}\}", lambda found: values[found[1]], _resource("page.html"))


def _checked(
    image: ArrayLike, layer: PageLayer, look: Look
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, PageLayer]:
    """Return the image, the maps and errors in the order in which they are shown, and the words."""
    check_choice("rows", layer.rows, WORDS)
    given, maps = check_image_and_maps(image, layer.relevance)
    if given.ndim > 3:
        raise ArgumentValueError(
            "image", "is a volume, which a page does not show", "draw slices of it with plot"
        )
    names = check_names(layer.titles, "titles", len(maps), "maps")
    errors = check_errors(layer.standard_error, maps, mute_uncertain=look.mute_uncertain)
    if layer.rows == "units":
        order = strongest(maps)
        maps, names = maps[order], tuple(names[index] for index in order)
        errors = None if errors is None else errors[order]
        if layer.windows is not None:
            layer = dataclasses.replace(layer, windows=layer.windows.rows(order))
    return given, look.of(maps), errors, dataclasses.replace(layer, titles=names)


def _described(
    image: np.ndarray,
    maps: np.ndarray,
    errors: np.ndarray | None,
    layer: PageLayer,
    look: Look,
    *,
    whole: bool,
) -> dict[str, object]:
    """Return what the script needs to know of a layer."""
    scale = look.scale or ("all" if layer.rows == "classes" else "each")
    fixed = not isinstance(scale, str)
    return {
        "name": layer.name,
        "titles": layer.titles,
        "unit": layer.unit,
        "symbol": layer.symbol,
        "note": layer.note,
        "rows": layer.rows,
        **WORDS[layer.rows],
        "oneScale": scale != "each",
        "scales": common_scales([maps], [layer.unit], scale if fixed else "each")[0],
        "relevance": exact(maps) if whole else rounded(maps, LEVELS),
        "standardError": None
        if errors is None
        else (exact(errors) if whole else rounded(errors, ERROR_LEVELS)),
    }


def _photo(image: np.ndarray, look: Look) -> dict[str, object]:
    photo = displayed(image, look)
    return {"kind": "image", "height": len(photo), "width": photo.shape[1], "photo": png(photo)}


def _series(image: np.ndarray, look: Look) -> dict[str, object]:
    lines = lanes(lines_of(image, look))
    return {"kind": "series", "height": 1, "width": len(lines), "lines": exact([lines])[0]}


def _resource(name: str) -> str:
    return resources.files("pdjax.picture").joinpath(name).read_text(encoding="utf-8")


def _script_json(data: object) -> str:
    """Return JSON in which no character can end or comment out the script element around it."""
    text = json.dumps(data, allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
