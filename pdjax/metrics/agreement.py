"""How alike two maps are."""

from __future__ import annotations

import numpy as np

from pdjax._checks import ArgumentValueError, check_values

__all__ = ["rank_correlation", "structural_similarity", "top_intersection"]

SSIM_SIGMA = 1.5
"""Standard deviation of the Gaussian weights of `structural_similarity`, in pixels."""


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's rank correlation of two maps of one shape, in [-1, 1].

    Raises
    ------
    ValueError
        If shapes differ, values are not finite, or one map is constant.

    Examples
    --------
    >>> round(rank_correlation(np.array([1.0, 2.0, 3.0]), np.array([10.0, 20.0, 500.0])), 6)
    1.0
    """
    from scipy.stats import spearmanr

    a, b = _pair(a, b)
    for name, values in (("a", a), ("b", b)):
        if np.ptp(values) == 0:
            raise ArgumentValueError(name, "is the same everywhere", "give a map that varies")
    return float(spearmanr(a.ravel(), b.ravel()).statistic)


def structural_similarity(a: np.ndarray, b: np.ndarray) -> float:
    """Mean structural similarity of two maps (SSIM; Wang et al., 2004), at most 1.

    With Gaussian weights of 1.5 pixels, and constants 0.01 and 0.03 of the range of both maps
    together. Used by Adebayo et al. (2018) to compare maps of randomised networks.

    Raises
    ------
    ValueError
        If shapes differ, or values are not finite.

    Examples
    --------
    >>> round(structural_similarity(np.eye(9), np.eye(9)), 6)
    1.0
    """
    from scipy.ndimage import gaussian_filter

    a, b = _pair(a, b)
    span = max(a.max(), b.max()) - min(a.min(), b.min()) or 1.0
    steady, sharp = (0.01 * span) ** 2, (0.03 * span) ** 2

    def local(values: np.ndarray) -> np.ndarray:
        return gaussian_filter(values, SSIM_SIGMA, truncate=3.5)

    mean_a, mean_b = local(a), local(b)
    spread_a = local(a * a) - mean_a**2
    spread_b = local(b * b) - mean_b**2
    common = local(a * b) - mean_a * mean_b
    above = (2 * mean_a * mean_b + steady) * (2 * common + sharp)
    below = (mean_a**2 + mean_b**2 + steady) * (spread_a + spread_b + sharp)
    return float((above / below).mean())


def top_intersection(a: np.ndarray, b: np.ndarray, count: int = 1000) -> float:
    """Share of the ``count`` pixels of highest relevance that two maps have in common.

    0 to 1 (Ghorbani, Abid and Zou, 2019). By chance it is ``count`` over the number of pixels.

    Raises
    ------
    ValueError
        If shapes differ, values are not finite, or there are fewer pixels.

    Examples
    --------
    >>> top_intersection(np.array([3.0, 2.0, 1.0, 0.0]), np.array([3.0, 0.0, 1.0, 2.0]), 2)
    0.5
    """
    a, b = _pair(a, b)
    if not 1 <= count <= a.size:
        raise ArgumentValueError(
            "count", f"must be between 1 and {a.size}, the number of pixels", value=count
        )
    tops = [set(np.argsort(-values.ravel(), kind="stable")[:count].tolist()) for values in (a, b)]
    return len(tops[0] & tops[1]) / count


def _pair(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    check_values(a, None, "a")
    check_values(b, None, "b")
    if a.shape != b.shape:
        raise ArgumentValueError(
            "b", f"of shape {b.shape} does not fit a of shape {a.shape}", "give maps of one shape"
        )
    return a, b
