"""How few pixels a map points at."""

from __future__ import annotations

import numpy as np

from pdjax._checks import ArgumentValueError, check_values

__all__ = ["effective_pixels", "gini"]


def gini(relevance: np.ndarray) -> float:
    """Gini coefficient of absolute relevance: 0 where all pixels have the same, near 1 for one.

    ``sum_i (2 i - n - 1) a_i / (n sum_i a_i)`` for absolute values ``a`` in ascending order, i from
    1 (Hurley and Rickard, 2009; of saliency maps: Chalasani et al., 2020).

    Parameters
    ----------
    relevance : float array, shape (*spatial)
        One map; pixels that are NaN are left out.

    Raises
    ------
    ValueError
        If the map is empty or 0 everywhere.

    Examples
    --------
    >>> gini(np.ones((4, 4))), round(gini(np.eye(1, 16)), 4)
    (0.0, 0.9375)
    """
    values = np.sort(_absolute(relevance))
    count = len(values)
    ranks = 2 * np.arange(1, count + 1) - count - 1
    return float((ranks * values).sum() / (count * values.sum()))


def effective_pixels(relevance: np.ndarray) -> float:
    """Number of pixels that a map is spread over: ``(sum a)^2 / sum a^2`` of absolute values.

    n for n pixels of the same absolute relevance and 0 elsewhere (the participation ratio).

    Parameters
    ----------
    relevance : float array, shape (*spatial)
        One map; pixels that are NaN are left out.

    Raises
    ------
    ValueError
        If the map is empty or 0 everywhere.

    Examples
    --------
    >>> effective_pixels(np.array([[2.0, -2.0], [0.0, 2.0]]))
    3.0
    """
    values = _absolute(relevance)
    return float(values.sum() ** 2 / np.square(values).sum())


def _absolute(relevance: np.ndarray) -> np.ndarray:
    values = np.abs(np.asarray(relevance, np.float64).ravel())
    values = values[~np.isnan(values)]
    check_values(values, None, "relevance")
    if not values.size or not values.any():
        raise ArgumentValueError(
            "relevance", "has no pixel that is not 0", "give a map with some relevance"
        )
    return values
