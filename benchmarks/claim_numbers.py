"""The numbers that put sentences of the paper to the test, from explanations of one photograph.

All are made of the relevance of windows, on which no pixel is counted twice, or of maps of pixels
where places are compared.
"""

from __future__ import annotations

import itertools

import numpy as np
import scipy.stats

import pdjax
from pdjax.method.windows import WindowGrid

__all__ = [
    "beyond_chance",
    "block_moments",
    "correlation",
    "explained_variance",
    "flat_share",
    "frequency",
    "overlap",
    "pairwise",
    "rank",
    "ring_contrast",
    "surprise",
    "window_gini",
]


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's correlation of two maps; NaN where one is the same everywhere."""
    a, b = np.ravel(a), np.ravel(b)
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def pairwise(maps: np.ndarray) -> float:
    """Mean correlation of all pairs of maps ``(n, ...)``."""
    pairs = [correlation(a, b) for a, b in itertools.combinations(maps, 2)]
    pairs = [each for each in pairs if np.isfinite(each)]
    return float(np.mean(pairs)) if pairs else float("nan")


def overlap(maps: np.ndarray) -> float:
    """How much absolute relevance the maps of a layer have in common: mean cosine of all pairs."""
    flat = np.abs(maps).reshape(len(maps), -1)
    flat = flat[flat.any(1)]
    if len(flat) < 2:
        return float("nan")
    unit = flat / np.linalg.norm(flat, axis=1, keepdims=True)
    cosines = unit @ unit.T
    return float(cosines[np.triu_indices(len(flat), 1)].mean())


def window_gini(maps: np.ndarray) -> float:
    """Mean Gini coefficient of maps ``(n, ...)``, of those that are not 0 everywhere."""
    found = [pdjax.metrics.gini(each) for each in maps if np.any(each)]
    return float(np.mean(found)) if found else float("nan")


def rank(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's rank correlation; NaN where there is none."""
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return pdjax.metrics.rank_correlation(a, b)


def ring_contrast(image: np.ndarray, grid: WindowGrid, padding: int) -> np.ndarray:
    """Standard deviation of the pixels around each window, averaged over channels: one a window."""
    found = []
    for origin in _origins(grid):
        low = np.maximum(origin - padding, 0)
        box = tuple(
            slice(first, last + k + padding)
            for first, last, k in zip(low, origin, grid.window, strict=True)
        )
        around = np.ones(image[box].shape[:-1], bool)
        hidden = (slice(o - f, o - f + k) for o, f, k in zip(origin, low, grid.window, strict=True))
        around[tuple(hidden)] = False
        found.append(image[box][around].std(0).mean())
    return np.array(found).reshape(grid.shape)


def surprise(image: np.ndarray, grid: WindowGrid, sampler: pdjax.ConditionalGaussian) -> np.ndarray:
    """How badly the ring predicts each window: distance to the conditional mean, one a window.

    Root mean square over the pixels and channels of the window.
    """
    import jax
    import jax.numpy as jnp

    origins = jnp.asarray(_origins(grid), jnp.int32)
    noise = jnp.zeros((1, sampler.axes), jnp.float32)
    image = jnp.asarray(image, jnp.float32)

    @jax.jit
    def every(sampler: pdjax.ConditionalGaussian, image: jax.Array) -> jax.Array:
        def one(origin: jax.Array) -> jax.Array:
            mean = sampler.transform(noise, image, origin)[0]
            start, size = (*origin, 0), (*grid.window, image.shape[-1])
            true = jax.lax.dynamic_slice(image, start, size)
            return jnp.sqrt(jnp.square(true - mean).mean())

        return jax.lax.map(one, origins, batch_size=64)

    return np.asarray(every(sampler, image)).reshape(grid.shape)


def flat_share(relevance: np.ndarray, contrast: np.ndarray) -> float:
    """Share of absolute relevance on the third of the windows with the flattest surroundings."""
    flat = contrast <= np.quantile(contrast, 1 / 3)
    return float(np.abs(relevance[flat]).sum() / np.abs(relevance).sum())


def beyond_chance(relevance: np.ndarray, error: np.ndarray, samples: int) -> float:
    """Share of places whose 95 % interval (Student's t) leaves 0 out; 0.05 by chance."""
    known = np.isfinite(relevance) & (error > 0)
    half = scipy.stats.t.ppf(0.975, samples - 1)
    return float((np.abs(relevance[known]) > half * error[known]).mean())


def frequency(relevance: np.ndarray) -> float:
    """Mean spatial frequency of a map, weighted by power, in cycles an image side."""
    power = np.square(np.abs(np.fft.fft2(relevance - relevance.mean())))
    axes = (np.fft.fftfreq(side) * side for side in relevance.shape)
    distance = np.hypot(*np.meshgrid(*axes, indexing="ij"))
    return float((power * distance).sum() / power.sum())


def block_moments(
    large: tuple[np.ndarray, np.ndarray], small: tuple[np.ndarray, np.ndarray], across: int
) -> np.ndarray:
    """Moments of large windows beside the means of the small ones in them.

    Parameters
    ----------
    large, small : pairs of float arrays (n, n) and (m, m)
        Relevance and standard error of windows that tile the same block.
    across : int
        Small windows along a side of a large one, m / n.

    Returns
    -------
    float array (4,)
        For large ``x`` and mean small ``y`` about their means over the block: their correlation,
        the shares of the variances of ``x`` and of ``y`` that are Monte-Carlo error, and how many
        times larger ``x`` is than ``y``, in the root mean square.
    """
    (x, x_error), n = large, len(large[0])
    cells = [each.reshape(n, across, n, across) for each in small]
    y, y_square = cells[0].mean((1, 3)), np.square(cells[1]).mean() / across**2
    ratio = np.sqrt(np.square(x).mean() / np.square(y).mean())
    left = 1 - 1 / n**2
    errors = (np.square(x_error).mean() * left / x.var(), y_square * left / y.var())
    return np.array([correlation(x, y), *errors, ratio])


def explained_variance(moments: np.ndarray) -> np.ndarray:
    """Share of the variance of the large windows that a line in the small ones' mean explains.

    The Monte-Carlo errors of both are taken off their variances.
    """
    both, x_error, y_error, _ = np.moveaxis(moments, -1, 0)
    return both**2 / ((1 - x_error) * (1 - y_error))


def _origins(grid: WindowGrid) -> np.ndarray:
    axes = [grid.axis_origins(axis) for axis in range(len(grid.spatial))]
    return np.array(list(itertools.product(*axes)))
