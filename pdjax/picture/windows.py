"""Windows in a page: where they are, their numbers, and what was put into them as few pictures.

All first contents of the windows are the cells of one JPEG, all second ones those of another. A
cell is filled up to whole blocks of JPEG, so that neighbours do not run into each other.
"""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from PIL import Image

from pdjax._checks import ArgumentValueError
from pdjax.picture._display import displayed
from pdjax.picture._encoding import exact
from pdjax.picture.look import Look

__all__ = ["MOST_FILLS", "PageWindows", "WindowNumbers", "described_windows"]

MOST_FILLS = 4
BLOCK, QUALITY = 8, 90
LEFT_OUT = "What was put into windows is left out: with it this page would be larger than 5 MB."


@dataclasses.dataclass(frozen=True, eq=False)
class PageWindows:
    """The windows of a photo that a page tells of when a pixel is pointed at.

    Attributes
    ----------
    origins : int array, (n, 2)
        The first row and column of each.
    window : pair of int
        Rows and columns of a window.
    contents : float array, (n, samples, *window, c), or None
        What was put into them, in the unit of the image; the page has at most four of each.
    """

    origins: np.ndarray
    window: tuple[int, ...]
    contents: np.ndarray | None = None


class WindowNumbers(NamedTuple):
    """What is known of the windows of a page for the maps of one layer.

    Attributes
    ----------
    quantity : str
        What the output is called: ``"p"``.
    value : array of float, (rows,)
        The output for the image as it is.
    without : array of float, (rows, n), or None
        The output without each window, where it is known.
    relevance, standard_error : array of float, (rows, n)
        Of each window; NaN where it was not evaluated.
    """

    quantity: str
    value: np.ndarray
    without: np.ndarray | None
    relevance: np.ndarray
    standard_error: np.ndarray

    def rows(self, order: Sequence[int] | np.ndarray) -> WindowNumbers:
        """Return the rows in another order."""
        index = np.asarray(order)
        return self._replace(
            value=self.value[index],
            without=None if self.without is None else self.without[index],
            relevance=self.relevance[index],
            standard_error=self.standard_error[index],
        )


def described_windows(
    windows: PageWindows,
    numbers: Sequence[WindowNumbers | None],
    image: np.ndarray,
    look: Look,
    room: int,
) -> tuple[dict[str, object] | None, str]:
    """Return what the script needs to know of windows, and a sentence on what is left out.

    Parameters
    ----------
    windows : PageWindows
    numbers : sequence of WindowNumbers or None
        Of each layer of the page.
    image, look
        What contents are drawn like.
    room : int
        Letters that the page has left for it.
    """
    described: dict[str, object] = {
        "size": [int(side) for side in windows.window],
        "origins": np.asarray(windows.origins, int).tolist(),
        "layers": [None if each is None else _numbers(each) for each in numbers],
        "fills": [],
    }
    left = room - len(json.dumps(described))
    if left < 0:
        return None, "" if windows.contents is None else LEFT_OUT
    if windows.contents is None:
        return described, ""
    if look.display is not None:
        raise ArgumentValueError(
            "fills", "cannot be drawn where display stands for the image", "leave out one of them"
        )
    given, fills = windows.contents, list[str]()
    for sample in range(min(given.shape[1], MOST_FILLS)):
        cells = _cells(displayed(image, look, given[:, sample]))
        left -= len(cells)
        if left < 0:
            break
        fills.append(cells)
    return described | {
        "fills": fills,
        "samples": given.shape[1],
        "cell": [_filled_up(side) for side in windows.window],
        "columns": _columns(len(given)),
    }, "" if fills else LEFT_OUT


def _numbers(numbers: WindowNumbers) -> dict[str, object]:
    return {
        "quantity": numbers.quantity,
        "value": [float(each) for each in numbers.value],
        **{
            name: None if values is None else exact(np.asarray(values, np.float32))
            for name, values in (
                ("without", numbers.without),
                ("relevance", numbers.relevance),
                ("standardError", numbers.standard_error),
            )
        },
    }


def _columns(count: int) -> int:
    return math.ceil(math.sqrt(count))


def _filled_up(side: int) -> int:
    return -(-side // BLOCK) * BLOCK


def _cells(contents: Float[np.ndarray, "n h w 3"]) -> str:
    """Return the address of a JPEG of cells, row by row."""
    count, height, width, _ = contents.shape
    columns = _columns(count)
    rows = -(-count // columns)
    down, across = _filled_up(height), _filled_up(width)
    around = ((0, rows * columns - count), (0, down - height), (0, across - width), (0, 0))
    cells = np.pad(np.rint(255 * contents).astype(np.uint8), around, mode="edge")
    sheet = cells.reshape(rows, columns, down, across, 3).swapaxes(1, 2)
    buffer = io.BytesIO()
    Image.fromarray(sheet.reshape(rows * down, columns * across, 3)).save(
        buffer, "JPEG", quality=QUALITY, subsampling=0, optimize=True
    )
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
