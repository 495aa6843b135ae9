"""Colours of relevance: red for evidence in favour, blue for evidence against, white for none.

The colour map is symmetric about zero by construction, so equal shades of red and blue mean equal
amounts of evidence. Laid over a photo, its opacity grows with the evidence, so that the object
parts that matter are coloured and the rest of the photo stays grey.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike

from pdjax._checks import ArgumentValueError
from pdjax.picture._checks import (
    check_errors,
    check_image_and_maps,
    check_maps,
    check_scale,
    check_share,
)
from pdjax.picture._display import displayed
from pdjax.picture.look import Look, with_look

__all__ = [
    "COLOR_STOPS",
    "color_stops",
    "common_scales",
    "muted_pixels",
    "overlay",
    "relevance_colors",
    "strength",
    "strongest",
    "symmetric_scale",
    "tinted",
]

COLOR_STOPS = ("#0b3c91", "#3f7fd6", "#a9c8f2", "#ffffff", "#f6b3a6", "#de4a3f", "#96101c")
"""sRGB colours at equal distances from -scale to +scale; the two arms are alike in lightness."""

NUM_STOPS = 255
PERCENTILE = 99.9
LIGHTNESS = 0.55
OPACITY = 0.9
OPACITY_EXPONENT = 1.4
FULL_COLOR = 0.7
# The colours of a photo compete with those of the evidence, and what is not strongest is pale.
OPACITY_OVER_COLOR = 0.75
PALE = 0.82
NUM_ERRORS = 2


def symmetric_scale(relevance: ArrayLike) -> float:
    """Return the limit that a colour bar from ``-scale`` to ``+scale`` should have.

    It is the 99.9th percentile of the absolute relevance. The largest value alone would not do: a
    pixel in a corner of the image lies in a single window, is therefore known far less well than
    any other, and could fade the whole map. Such pixels are fewer than one in a thousand of a
    photo; in a map of fewer than 1000 pixels the limit is the largest absolute value.

    Parameters
    ----------
    relevance : array of float
        Relevance of any shape, in any unit; NaN, where pixels are masked, is left out.

    Returns
    -------
    float
        The limit, positive and in the unit of ``relevance``; 1.0 for a map of nothing but zeros.

    Raises
    ------
    ValueError
        If a value is infinite, or there is none.

    Examples
    --------
    >>> import numpy as np
    >>> symmetric_scale(np.array([[0.25, -0.5]]))
    0.5
    >>> symmetric_scale(np.zeros((2, 2)))
    1.0
    """
    maps = check_maps(relevance, "relevance", spatial=(np.ndim(relevance),), rows=False)
    return strength(maps) or 1.0


def strength(relevance: Float[np.ndarray, "*shape"]) -> float:
    """Return the number by which maps are ordered: `symmetric_scale`, or 0.0 for nothing but zeros.

    Examples
    --------
    >>> import numpy as np
    >>> strength(np.array([[0.25, -0.5]])), strength(np.zeros((2, 2)))
    (0.5, 0.0)
    """
    amounts = np.abs(relevance[~np.isnan(relevance)])
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
    relevance : array of float, (rows, *spatial)
        Relevance maps in one unit.
    count : int, optional
        How many rows to return at most; by default all.

    Raises
    ------
    ValueError
        If the maps are infinite or there is none.
    """
    maps = check_maps(relevance, "relevance")
    order = np.argsort([-strength(each) for each in maps], kind="stable")
    return [int(index) for index in order[:count]]


def common_scales(
    columns: Sequence[np.ndarray],
    units: Sequence[str],
    scale: str | float | int,
) -> list[list[float]]:
    """Return the scale of every map, ``[column][row]``.

    Parameters
    ----------
    columns : sequence of array of float, (rows, *spatial)
        Maps, column by column of a figure.
    units : sequence of str
        Of each column; maps of different units never share a scale.
    scale : {"all", "row", "each"} or float
        As in `Look`.

    Raises
    ------
    ValueError
        If it is a number, and there are several units.
    """
    if not isinstance(scale, str):
        if len(set(units)) > 1:
            raise ArgumentValueError(
                "scale",
                f"is one number for different units ({', '.join(dict.fromkeys(units))})",
                "give 'all', 'row' or 'each'",
                value=scale,
            )
        return [[float(scale)] * len(maps) for maps in columns]
    found = np.array([[strength(each) for each in maps] for maps in columns])
    if scale != "each":
        for unit in units:
            same = [index for index, other in enumerate(units) if other == unit]
            found[same] = found[same].max(0 if scale == "row" else None)
    return np.where(found == 0, 1.0, found).tolist()


def muted_pixels(
    relevance: Float[np.ndarray, "*shape"],
    errors: Float[np.ndarray, "*shape"] | None,
    mute_uncertain: bool,
) -> Bool[np.ndarray, "*shape"]:
    """Return where relevance is less than two standard errors from zero; nowhere unless asked for.

    Relevance of 0 with an error of 0 is known to be 0, so it is not muted.
    """
    if errors is None or not mute_uncertain:
        return np.zeros(relevance.shape, bool)
    return np.abs(relevance) < NUM_ERRORS * errors


def color_stops(cmap: object = None) -> Float[np.ndarray, "stops 3"]:
    """Return colours at equal distances from -scale to +scale, sRGB in [0, 1].

    Parameters
    ----------
    cmap : str or matplotlib Colormap, optional
        By default the colours of this package, for which matplotlib is not needed.

    Raises
    ------
    ValueError
        If there is no colour map of that name.
    """
    if cmap is None:
        return np.array([tuple(bytes.fromhex(color[1:])) for color in COLOR_STOPS]) / 255
    from matplotlib import colormaps
    from matplotlib.colors import Colormap

    if not isinstance(cmap, Colormap) and cmap not in list(colormaps):
        raise ArgumentValueError(
            "cmap",
            "is no colour map of matplotlib",
            "give one such as 'RdBu_r' or 'PuOr'; matplotlib.colormaps lists them",
            value=cmap,
        )
    chosen = cmap if isinstance(cmap, Colormap) else colormaps[str(cmap)]
    return chosen(np.linspace(0, 1, NUM_STOPS))[:, :3]


def relevance_colors(
    relevance: ArrayLike, scale: float | int, *, cmap: object = None
) -> Float[np.ndarray, "*spatial 3"]:
    """Return the colour of every pixel of a relevance map.

    Parameters
    ----------
    relevance : array of float, (*spatial)
        Relevance; values beyond ``scale`` take the colour of the limit.
    scale : float
        The relevance that is fully red; its negative is fully blue.
    cmap : str or matplotlib Colormap, optional
        Other colours, from ``-scale`` to ``+scale``.

    Returns
    -------
    array of float32, (*spatial, 3)
        sRGB in [0, 1], exactly white where the relevance is 0; NaN where it is masked.

    Raises
    ------
    ValueError
        If ``relevance`` is not a map or ``scale`` is not a positive number.

    Examples
    --------
    >>> import numpy as np
    >>> relevance_colors(np.zeros((1, 1)), scale=2.0).tolist()
    [[[1.0, 1.0, 1.0]]]
    """
    maps = check_maps(relevance, "relevance", rows=False)
    return _colors(_relative(maps, check_scale(scale)), color_stops(cmap))


@with_look
def overlay(
    image: ArrayLike,
    relevance: ArrayLike,
    scale: float | int | None = None,
    *,
    opacity: float | int | None = None,
    standard_error: ArrayLike | None = None,
    look: Look,
) -> Float[np.ndarray, "*spatial 3"]:
    """Return the photo with the relevance over it, by default in light grey.

    Parameters
    ----------
    image : array of float, (h, w, c) or (d, h, w, c)
        The image that was explained; see `Look` for how other than photos are shown.
    relevance : array of float, (h, w) or (d, h, w)
        Its relevance map; NaN, where pixels are masked, has no colour.
    scale : float, optional
        The relevance that is fully red; its negative is fully blue. By default `symmetric_scale`.
    opacity : float, optional
        As ``alpha`` of `Look`: opacity of the colours at ``scale``. It falls to 0 with the
        absolute relevance.
    standard_error : array of float, of the shape of ``relevance``, optional
        For ``mute_uncertain``.

    Returns
    -------
    array of float32, (*spatial, 3)
        sRGB in [0, 1]; the bare photo where the relevance is 0.

    Raises
    ------
    ValueError
        If the arrays are not finite or of different sizes, or a number is out of its range.
    """
    given, maps = check_image_and_maps(image, relevance, rows=False)
    photo = displayed(given, look)
    errors = None if standard_error is None else np.asarray(standard_error)[None]
    spread = check_errors(errors, maps[None], mute_uncertain=look.mute_uncertain)
    if opacity is not None:
        look = dataclasses.replace(look, alpha=check_share("opacity", opacity))
    if look.mode == "contour":
        raise ArgumentValueError(
            "mode", "draws lines, which an array of pixels has none of", "use relevance_figure"
        )
    limit = symmetric_scale(maps) if scale is None else check_scale(scale)
    muted = muted_pixels(maps, None if spread is None else spread[0], look.mute_uncertain)
    return tinted(photo, np.where(muted, 0, look.of(maps)), limit, look)


def tinted(
    photo: Float[np.ndarray, "*spatial 3"],
    relevance: Float[np.ndarray, "*spatial"],
    scale: float,
    look: Look,
) -> Float[np.ndarray, "*spatial 3"]:
    """Do what `overlay` does with arrays that are checked already."""
    relative = np.nan_to_num(_relative(relevance, scale))
    if look.mode == "strongest":
        # Pixels as strong as the last of the share stay with it, and those of no evidence never.
        limit = np.quantile(np.abs(relative), 1 - look.share, method="higher")
        stay = (np.abs(relative) >= limit) & (relative != 0)
        return np.where(stay[..., None], photo, _greyed(photo, PALE)).astype(np.float32)
    # The pale colours near white would only fade the photo: weak evidence is a thin coat of a
    # full colour instead.
    full = np.copysign(np.maximum(np.abs(relative), FULL_COLOR), relative)
    colors = _colors(full.astype(np.float32), color_stops(look.cmap))
    over_color = look.mode == "color"
    alpha = look.alpha
    if alpha is None:
        alpha = OPACITY_OVER_COLOR if over_color else OPACITY
    amount = alpha * np.abs(relative)[..., None] ** OPACITY_EXPONENT
    below = photo if over_color else _greyed(photo, LIGHTNESS)
    return (below + amount * (colors - below)).astype(np.float32)


def _greyed(
    photo: Float[np.ndarray, "*spatial 3"], lightness: float
) -> Float[np.ndarray, "*spatial 1"]:
    """Return the luma of a photo (ITU-R BT.601), moved towards white so that colours show."""
    luma = photo @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    return (lightness + (1 - lightness) * luma)[..., None]


def _relative(relevance: Float[np.ndarray, "*spatial"], scale: float) -> np.ndarray:
    return np.clip(relevance.astype(np.float64) / scale, -1, 1)


def _colors(
    relative: Float[np.ndarray, "*spatial"], stops: Float[np.ndarray, "stops 3"]
) -> Float[np.ndarray, "*spatial 3"]:
    """Return the colours of relevance that is given as a share of the scale, in [-1, 1]."""
    places = np.linspace(-1, 1, len(stops))
    channels = [np.interp(relative, places, stops[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1).astype(np.float32)
