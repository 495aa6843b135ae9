"""Pointing games: whether relevance lies where the object is known to be."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pdjax._checks import ArgumentValueError, check_count

__all__ = ["grid_pointing_game", "mosaic", "pointing_game"]


def mosaic(images: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    """Four images of one size, each at half its size, as the quarters of one: (h, w, c).

    Every second pixel of the mean over 2 by 2 pixels. Quarters are in reading order: top left, top
    right, bottom left, bottom right.

    Raises
    ------
    ValueError
        If there are not four images of one shape with even sides.

    Examples
    --------
    >>> quarters = [np.full((4, 4, 1), level) for level in (0.0, 0.1, 0.2, 0.3)]
    >>> mosaic(quarters)[:, :, 0].tolist()[0]
    [0.0, 0.0, 0.1, 0.1]
    """
    shapes = {np.shape(image) for image in images}
    shape = next(iter(shapes)) if shapes else ()
    if len(images) != 4 or len(shapes) != 1 or len(shape) != 3 or shape[0] % 2 or shape[1] % 2:
        raise ArgumentValueError(
            "images", "must be four of one shape (h, w, c) with even sides", "crop them alike"
        )
    h, w, c = shape
    small = [np.asarray(a).reshape(h // 2, 2, w // 2, 2, c).mean((1, 3)) for a in images]
    return np.concatenate([np.concatenate(small[:2], 1), np.concatenate(small[2:], 1)])


def grid_pointing_game(relevance: np.ndarray, quarter: int) -> float:
    """Share of the positive relevance of a `mosaic` that lies in one quarter, 0 to 1.

    The localisation metric of Bohle, Fritz and Schiele (2021): a map for a class that only one of
    the four images shows should point into it. By chance it is 1/4.

    Parameters
    ----------
    relevance : float array, shape (h, w)
        A map for the class of the image in that quarter.
    quarter : int
        0 to 3 in reading order.

    Raises
    ------
    ValueError
        If there is no such quarter, or no pixel has positive relevance.

    Examples
    --------
    >>> relevance = np.array([[3.0, -5.0], [0.0, 1.0]])
    >>> grid_pointing_game(relevance, 0)
    0.75
    """
    if quarter not in range(4):
        raise ArgumentValueError("quarter", "must be 0, 1, 2 or 3", value=quarter)
    positive = np.maximum(np.nan_to_num(np.asarray(relevance, np.float64)), 0)
    if positive.ndim != 2 or not positive.any():
        raise ArgumentValueError(
            "relevance", "must be a map (h, w) with positive relevance somewhere"
        )
    h, w = (side // 2 for side in positive.shape)
    rows = slice(None, h) if quarter < 2 else slice(h, None)
    columns = slice(None, w) if quarter % 2 == 0 else slice(w, None)
    return float(positive[rows, columns].sum() / positive.sum())


def pointing_game(
    relevance: np.ndarray, boxes: Sequence[Sequence[int]], tolerance: int = 15
) -> bool:
    """Whether the pixel of highest relevance lies in one of the boxes (Zhang et al., 2016).

    Parameters
    ----------
    relevance : float array, shape (h, w)
    boxes : sequence of (top, left, bottom, right)
        In pixels; bottom and right do not belong to the box.
    tolerance : int
        Pixels around a box that count as within.

    Raises
    ------
    ValueError
        If there is no box.

    Examples
    --------
    >>> pointing_game(np.eye(1, 25).reshape(5, 5), [(1, 1, 3, 3)], tolerance=0)
    False
    """
    check_count("tolerance", tolerance, least=0)
    if len(boxes) == 0:
        raise ArgumentValueError("boxes", "are none", "give at least one")
    at = np.unravel_index(np.nanargmax(relevance), np.shape(relevance))
    row, column = (int(index) for index in at)
    return any(
        top - tolerance <= row < bottom + tolerance
        and left - tolerance <= column < right + tolerance
        for top, left, bottom, right in boxes
    )
