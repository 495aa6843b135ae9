"""Maps as text inside a page: exactly, or where that would be very long, to a hundredth."""

from __future__ import annotations

import base64
import io
import zlib
from collections.abc import Iterable

import numpy as np
from jaxtyping import Float
from PIL import Image

__all__ = ["exact", "png", "rounded"]

Encoded = dict[str, str | float | None]
"""``bytes``: base64 of zlib's deflate; ``step``: None, or what the whole numbers are times."""


def exact(maps: Iterable[Float[np.ndarray, "*spatial"]]) -> list[Encoded]:
    """Return maps as little-endian float32, all first bytes of a map before all second ones.

    Bytes of one kind are alike, so that the whole becomes shorter.
    """
    return [
        {"bytes": _packed(each.astype("<f4").reshape(-1, 1).view(np.uint8).T), "step": None}
        for each in maps
    ]


def rounded(maps: Iterable[Float[np.ndarray, "*spatial"]], levels: int) -> list[Encoded]:
    """Return maps as whole numbers of a step, ``levels`` of which are the largest value.

    Each number is a byte, -128 where the map is masked, and stands as the difference from its
    neighbours in all directions, modulo 256: small in a smooth map.
    """
    encoded: list[Encoded] = []
    for each in maps:
        step = float(np.nanmax(np.abs(each))) / levels or 1.0
        whole = np.where(np.isnan(each), -128, np.rint(np.nan_to_num(each) / step)).astype(np.int64)
        for axis in range(each.ndim):
            whole = np.diff(whole, axis=axis, prepend=0)
        encoded.append({"bytes": _packed((whole % 256).astype(np.uint8)), "step": step})
    return encoded


def png(photo: Float[np.ndarray, "h w 3"]) -> str:
    """Return a photo as the address of a PNG."""
    buffer = io.BytesIO()
    Image.fromarray(np.rint(photo * 255).astype(np.uint8)).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _packed(array: np.ndarray) -> str:
    return base64.b64encode(zlib.compress(array.tobytes())).decode("ascii")
