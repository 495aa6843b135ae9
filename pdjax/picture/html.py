"""The explanation as one page: choose a map, fade the overlay, read any pixel with its error.

The page is whole in itself and asks nothing of the network. Everything that comes from outside
(names of classes, the caption) is data to it: escaped in the markup, and in the script a JSON text
without any character that could end it.
"""

from __future__ import annotations

import base64
import html
import io
import json
import re
from collections.abc import Sequence
from importlib import resources

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image

from pdjax._checks import check_choice
from pdjax.picture._checks import check_errors, check_image_and_maps, check_names
from pdjax.picture._display import displayed
from pdjax.picture.look import Look, with_look
from pdjax.picture.overlay import (
    COLOR_STOPS,
    FULL_COLOR,
    LIGHTNESS,
    OPACITY,
    OPACITY_EXPONENT,
    strongest,
    symmetric_scale,
)

__all__ = ["relevance_html"]

WORDS = {
    "classes": {
        "heading": "Evidence in an image",
        "legend": "Class",
        "lead": '<span class="for">Red</span> parts of the image speak for the class, '
        '<span class="against">blue</span> parts against it.',
        "lowest": "against",
        "highest": "for",
        "unspread": "",
    },
    "units": {
        "heading": "What raises an activation",
        "legend": "Feature map or unit",
        "lead": 'Hide a <span class="for">red</span> part of the image and the activation falls: '
        'the part raises it. Hide a <span class="against">blue</span> part and it rises: the part '
        "lowers it. The strongest maps come first.",
        "lowest": "lowers it",
        "highest": "raises it",
        "unspread": ", the same in every sample,",
    },
}
"""What a page calls the rows and their colours; markup, and nothing in it is from outside."""


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
    look: Look,
) -> str:
    """Return a self-contained HTML page that shows the relevance of one image.

    Parameters
    ----------
    image : array of float, (h, w, 3) or (h, w, 1)
        The photo, in [0, 1].
    relevance : array of float, (rows, h, w)
        Relevance maps, in the unit that ``unit`` names; kept exactly, as float32.
    standard_error : array of float, (rows, h, w), or None
        Standard errors in the same unit, at least 0. Without them the page shows none.
    titles : sequence of str
        One for each map, such as ``"military uniform, p = 0.83"``.
    unit : str
        Label of the colour bar, such as ``"weight of evidence (bits)"``.
    symbol : str
        What follows every number, such as ``"bits"``.
    caption : str
        The settings in words, printed small under the pictures.
    rows : {"classes", "units"}
        What the maps are of. The colours of classes are put into words as evidence for and
        against, those of feature maps and units as what raises and lowers the activation; the
        latter are put in order, strongest first (see `strongest`).
    mute_uncertain : bool
        Whether, when the page is opened, pixels whose relevance is less than two standard errors
        from zero have no colour; a box in the page switches that.

    Returns
    -------
    str
        The page, to be written as UTF-8. Its element ``data`` holds JSON with the keys
        ``relevance`` and ``standardError``: little-endian float32 in C order, in base64, a string
        for each map.

    Raises
    ------
    ValueError, TypeError
        If an array is not of finite floats, the shapes do not belong together, ``rows`` is another
        word, or errors are to be used that are not given.
    """
    check_choice("rows", rows, WORDS)
    given, maps = check_image_and_maps(image, relevance)
    photo = displayed(given, look)
    names = check_names(titles, "titles", len(maps), "maps")
    errors = check_errors(standard_error, maps, mute_uncertain=look.mute_uncertain)
    if rows == "units":
        order = strongest(maps)
        maps, names = maps[order], tuple(names[index] for index in order)
        errors = None if errors is None else errors[order]
    data = {
        "height": photo.shape[0],
        "width": photo.shape[1],
        "titles": names,
        "symbol": symbol,
        "scales": [symmetric_scale(each) for each in maps],
        "relevance": [_base64(each) for each in maps],
        "standardError": None if errors is None else [_base64(each) for each in errors],
        "stops": COLOR_STOPS,
        "fullColor": FULL_COLOR,
        "lightness": LIGHTNESS,
        "exponent": OPACITY_EXPONENT,
        "unspread": WORDS[rows]["unspread"],
    }
    values = {
        "style": _resource("page.css"),
        "script": _resource("page.js"),
        "data": _script_json(data),
        "photo": _png(photo),
        "width": str(photo.shape[1]),
        "height": str(photo.shape[0]),
        "unit": html.escape(unit),
        "caption": html.escape(caption),
        "opacity": str(round(100 * OPACITY)),
        "certain": "checked" if look.mute_uncertain else "",
        "gradient": ", ".join(COLOR_STOPS),
        **WORDS[rows],
    }
    # One pass, so that a placeholder's name inside a caption stays what it is.
    return re.sub(r"\{\{(\w+)\}\}", lambda found: values[found[1]], _resource("page.html"))


def _resource(name: str) -> str:
    return resources.files("pdjax.picture").joinpath(name).read_text(encoding="utf-8")


def _base64(array: np.ndarray) -> str:
    known = np.ma.filled(array, np.nan)  # the page leaves out what is no number
    return base64.b64encode(known.astype("<f4").tobytes()).decode("ascii")


def _png(photo: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(np.rint(photo * 255).astype(np.uint8)).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _script_json(data: object) -> str:
    """Return JSON in which no character can end or comment out the script element around it."""
    text = json.dumps(data, allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
