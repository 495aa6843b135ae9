"""Colours of relevance: red for evidence in favour, blue for evidence against, white for none.

The colour map is symmetric about zero by construction, so equal shades of red and blue mean equal
amounts of evidence. Laid over a photo, its opacity grows with the evidence, so that the object
parts that matter are coloured and the rest of the photo stays grey.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from pdjax._checks import ArgumentValueError
from pdjax.picture._checks import check_maps, check_photo, check_scale

__all__ = [
    "COLOR_STOPS",
    "overlay",
    "relevance_colors",
    "strength",
    "strongest",
    "symmetric_scale",
    "tinted",
]

COLOR_STOPS = ("#0b3c91", "#3f7fd6", "#a9c8f2", "#ffffff", "#f6b3a6", "#de4a3f", "#96101c")
"""sRGB colours at equal distances from -scale to +scale; the two arms are alike in lightness."""

PERCENTILE = 99.9
LIGHTNESS = 0.55
OPACITY = 0.9
OPACITY_EXPONENT = 1.4
FULL_COLOR = 0.7


def symmetric_scale(relevance: ArrayLike) -> float:
    """Return the limit that a colour bar from ``-scale`` to ``+scale`` should have.

    It is the 99.9th percentile of the absolute relevance. The largest value alone would not do: a
    pixel in a corner of the image lies in a single window, is therefore known far less well than
    any other, and could fade the whole map. Such pixels are fewer than one in a thousand of a
    photo; in a map of fewer than 1000 pixels the limit is the largest absolute value.

    Parameters
    ----------
    relevance : array of float
        Relevance of any shape, in any unit.

    Returns
    -------
    float
        The limit, positive and in the unit of ``relevance``; 1.0 for a map of nothing but zeros.

    Raises
    ------
    ValueError
        If a value is NaN or infinite, or there is none.

    Examples
    --------
    >>> import numpy as np
    >>> symmetric_scale(np.array([[0.25, -0.5]]))
    0.5
    >>> symmetric_scale(np.zeros((2, 2)))
    1.0
    """
    maps = check_maps(relevance, "relevance", num_dimensions=np.ndim(relevance))
    return strength(maps) or 1.0


def strength(relevance: Float[np.ndarray, "*shape"]) -> float:
    """Return the number by which maps are ordered: `symmetric_scale`, or 0.0 for nothing but zeros.

    Examples
    --------
    >>> import numpy as np
    >>> strength(np.array([[0.25, -0.5]])), strength(np.zeros((2, 2)))
    (0.5, 0.0)
    """
    amounts = np.abs(relevance if not np.ma.isMA(relevance) else relevance.compressed())
    if amounts.size == 0:
        return 0.0
    largest = float(amounts.max())
    if largest < np.finfo(np.float32).tiny:
        return 0.0
    limit = float(np.percentile(amounts, PERCENTILE, method="higher"))
    # A map with evidence at fewer than one pixel in a thousand must not lose all of it.
    return limit if limit > 1e-3 * largest else largest


def strongest(relevance: ArrayLike, count: int | None = None) -> list[int]:
    """Return the rows of maps in order of `strength`, those of equal strength by index.

    Parameters
    ----------
    relevance : array of float, (rows, h, w)
        Relevance maps in one unit.
    count : int, optional
        How many rows to return at most; by default all.

    Raises
    ------
    ValueError
        If the maps are not finite or there is none.
    """
    maps = check_maps(relevance, "relevance")
    order = np.argsort([-strength(each) for each in maps], kind="stable")
    return [int(index) for index in order[:count]]


def relevance_colors(relevance: ArrayLike, scale: float) -> Float[np.ndarray, "h w 3"]:
    """Return the colour of every pixel of a relevance map.

    Parameters
    ----------
    relevance : array of float, (h, w)
        Relevance; values beyond ``scale`` take the colour of the limit.
    scale : float
        The relevance that is fully red; its negative is fully blue.

    Returns
    -------
    array of float32, (h, w, 3)
        sRGB in [0, 1], exactly white where the relevance is 0.

    Raises
    ------
    ValueError
        If ``relevance`` is not a finite map or ``scale`` is not a positive number.

    Examples
    --------
    >>> import numpy as np
    >>> relevance_colors(np.zeros((1, 1)), scale=2.0).tolist()
    [[[1.0, 1.0, 1.0]]]
    """
    maps = check_maps(relevance, "relevance", num_dimensions=2)
    return _colors(_relative(maps, check_scale(scale)))


def overlay(
    image: ArrayLike, relevance: ArrayLike, scale: float, *, opacity: float = OPACITY
) -> Float[np.ndarray, "h w 3"]:
    """Return the photo in light grey with the relevance over it.

    Parameters
    ----------
    image : array of float, (h, w, 3) or (h, w, 1)
        The photo, in [0, 1].
    relevance : array of float, (h, w)
        Its relevance map.
    scale : float
        The relevance that is fully red; its negative is fully blue.
    opacity : float
        Opacity of the colours at ``scale``, in [0, 1]. It falls to 0 with the absolute relevance.

    Returns
    -------
    array of float32, (h, w, 3)
        sRGB in [0, 1]; the bare light grey photo where the relevance is 0.

    Raises
    ------
    ValueError
        If the arrays are not finite or of different sizes, or a number is out of its range.
    """
    photo = check_photo(image)
    maps = check_maps(relevance, "relevance", num_dimensions=2, shape=photo.shape[:2])
    if not 0 <= opacity <= 1:
        raise ArgumentValueError("opacity", "must be a number from 0 to 1", value=opacity)
    return tinted(photo, maps, check_scale(scale), opacity)


def tinted(
    photo: Float[np.ndarray, "h w 3"],
    relevance: Float[np.ndarray, "h w"],
    scale: float,
    opacity: float = OPACITY,
) -> Float[np.ndarray, "h w 3"]:
    """Do what `overlay` does with arrays that are checked already."""
    relative = _relative(relevance, scale)
    # The pale colours near white would only fade the photo: weak evidence is a thin coat of a
    # full colour instead.
    full = np.copysign(np.maximum(np.abs(relative), FULL_COLOR), relative)
    colors = _colors(full.astype(np.float32))
    amount = opacity * np.abs(relative)[..., None] ** OPACITY_EXPONENT
    # The luma (ITU-R BT.601) moved towards white, so that colours show.
    luma = photo @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    grey = (LIGHTNESS + (1 - LIGHTNESS) * luma)[..., None]
    return (grey + amount * (colors - grey)).astype(np.float32)


def _relative(relevance: Float[np.ndarray, "h w"], scale: float) -> Float[np.ndarray, "h w"]:
    return np.clip(np.ma.filled(relevance, 0).astype(np.float64) / scale, -1, 1)


def _colors(relative: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w 3"]:
    """Return the colours of relevance that is given as a share of the scale, in [-1, 1]."""
    stops = np.linspace(-1, 1, len(COLOR_STOPS))
    colors = np.array([tuple(bytes.fromhex(color[1:])) for color in COLOR_STOPS]) / 255
    channels = [np.interp(relative, stops, colors[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1).astype(np.float32)
