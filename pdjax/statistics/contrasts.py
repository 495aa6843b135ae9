"""How much a window varies, given how much the ring of pixels around it does.

In a mixture of textures a ring of a few hundred numbers tells the contrast of its patch to a few
percent, and photographs do not keep to it: there may be a branch in front of the sky, and what has
grain need not have shapes. Given the ring, the variance of a window is here that of its texture
times a ratio, drawn from a distribution that was fitted to windows of photographs. It depends on
the texture, and on the *relief* of the ring: the binary logarithm of the variance of its pixels
over what is expected of that texture at that contrast. Contrast is seen in the grain, as most
numbers of a ring are differences of neighbours, and relief in what is coarser.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import jax
import numpy as np

from pdjax._progress import progress_bar
from pdjax.statistics.autocovariance import largest_patch, patch_covariance
from pdjax.statistics.differences import difference_covariance
from pdjax.statistics.images import ImageSource
from pdjax.statistics.texture_fitting import noisy_differences

__all__ = ["ContrastChange", "expected_variance", "fit_change"]

RATIOS = 2.0 ** np.arange(-8, 9)
EDGES = np.arange(-4.0, 5.0)
PADDING = 2
LARGEST = 4000
"""Numbers of a patch up to which windows are fitted to; of larger ones, what holds for these."""

TOTAL = 20_000_000
"""Numbers in all patches of one size."""

NUMBERS = 32
"""Numbers of a window that its variance is fitted to, at random places."""

PRIOR = 20.0
"""Windows that one of the general kind counts for where there are few of a special one."""

ROUNDS = 50
JITTER = 1e-9


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class ContrastChange:
    """Probabilities of the variance of a window over that expected of its ring's texture.

    Attributes
    ----------
    ratios : float64 array (o,)
        Variances, above zero.
    edges : float64 array (r - 1,)
        Limits between the classes of relief, increasing.
    sides : float64 array (k,)
        Sides of the windows that were fitted to, increasing.
    probabilities : float64 array (k, j, r, o)
        Of each ratio, by side, texture and class of relief; they sum to one over the ratios.
    """

    ratios: np.ndarray
    edges: np.ndarray
    sides: np.ndarray
    probabilities: np.ndarray

    @classmethod
    def none(cls, textures: int) -> ContrastChange:
        """Every window has the contrast of its ring."""
        return cls(np.ones(1), np.zeros(0), np.ones(1), np.ones((1, textures, 1, 1)))

    def of(self, window: Sequence[int]) -> np.ndarray:
        """Probabilities ``(j, r, o)`` for a window: between those of the nearest sides.

        The side of an oblong window is the geometric mean of its sides.
        """
        side = math.log(math.prod(window)) / len(window)
        at = np.interp(side, np.log(self.sides), np.arange(len(self.sides)))
        low, high = math.floor(at), math.ceil(at)
        return (1 - at + low) * self.probabilities[low] + (at - low) * self.probabilities[high]

    def problem(self, textures: int) -> str | None:
        """Say why these are not probabilities for so many textures."""
        shape = (len(self.sides), textures, len(self.edges) + 1, len(self.ratios))
        flat = (self.ratios.ndim, self.edges.ndim, self.sides.ndim) == (1, 1, 1)
        if not flat or self.probabilities.shape != shape or 0 in shape:
            return "its shapes do not fit each other"
        if min(self.ratios.min(), self.sides.min()) <= 0 or self.probabilities.min() < 0:
            return "its ratios are not above zero or its changes not probabilities"
        if not np.allclose(self.probabilities.sum(-1), 1, 0, 1e-6):
            return "its changes of contrast are not probabilities"
        increasing = (np.diff(self.edges) > 0).all() and (np.diff(self.sides) > 0).all()
        return None if increasing else "its classes are not in order"


def expected_variance(covariance: np.ndarray, channels: int) -> float:
    """Variance of pixels about their mean that is expected of their covariance, over channels."""
    size = len(covariance) // channels
    same = np.trace(covariance.reshape(size, channels, size, channels), axis1=1, axis2=3)
    return float(np.trace(same) / size - same.mean()) / channels


def fit_change(
    weights: np.ndarray,
    scales: np.ndarray,
    covariance: np.ndarray,
    source: ImageSource,
    num_patches: int,
    seed: int,
    width: float,
) -> ContrastChange:
    """Fit to windows and rings of photographs, of sides from 4 by doubling, as far as they reach.

    For each window the most probable texture at the most probable contrast of its ring are taken.
    With d the deviation of a number of the window from what they let expect, and v its variance,
    the probabilities are those under which the numbers, each for itself, are most probable:

        sum log sum_o p_o N(d; 0, v ratio_o)

    by expectation-maximisation. Each for itself, because one ratio for all numbers of a window is
    a simplification: it is the variance of a pixel that has to be right, not of the finest grain,
    which the many numbers of a whole window speak of most.
    """
    textures, channels = len(weights), covariance.shape[-1]
    reach = min(largest_patch(covariance.shape[1:-2]))
    dimensions, padding = source.dimensions, min(PADDING, (reach - 1) // 2)
    most = min(reach, math.floor((LARGEST / channels) ** (1 / dimensions) + 1e-9)) - 2 * padding
    if padding == 0 or most < 1:
        return ContrastChange.none(textures)
    sides = [most]
    while sides[0] >= 8:
        sides.insert(0, sides[0] // 2)
    tables = []
    for number, side in enumerate(sides):
        patch = (side + 2 * padding,) * dimensions
        count = min(num_patches, TOTAL // (math.prod(patch) * channels))
        rows = noisy_differences(source, patch, count, [seed, number], width)
        squares, cells = _windows(rows, weights, scales, covariance, patch, padding, source)
        tables.append(_probabilities(squares, cells, textures))
    return ContrastChange(RATIOS, EDGES, np.array(sides, np.float64), np.stack(tables))


def _windows(
    rows: np.ndarray,
    weights: np.ndarray,
    scales: np.ndarray,
    covariance: np.ndarray,
    patch: tuple[int, ...],
    padding: int,
    source: ImageSource,
) -> tuple[np.ndarray, np.ndarray]:
    """Squared deviations over their variance ``(n, numbers)``, and texture and relief ``(n, 2)``.

    ``rows`` are the differences of the pixels of patches to their first pixel.
    """
    import scipy.linalg

    channels = source.channels
    around = np.ones(patch, bool)
    around[(slice(padding, -padding),) * len(patch)] = False
    ring, inside = np.flatnonzero(around), np.flatnonzero(~around)
    index = np.arange(math.prod(patch) * channels).reshape(-1, channels)
    order = np.concatenate([index[ring[1:]].ravel(), index[inside].ravel()]) - channels
    known = (len(ring) - 1) * channels
    some = np.random.default_rng(0).permutation(len(inside) * channels)[:NUMBERS]
    y, z = rows[:, order[:known]], rows[:, order[known + some]]
    pixels = np.pad(y.reshape(len(y), -1, channels), ((0, 0), (1, 0), (0, 0)))
    variance = pixels.var(1).mean(-1)
    best = np.full(len(rows), -np.inf)
    squares, cells = np.empty(z.shape), np.empty((len(rows), 2), int)
    with progress_bar(len(weights), "textures", source.progress, f"contrasts, {patch[0]}") as bar:
        for texture, (weight, scale, table) in enumerate(
            zip(weights, scales, covariance, strict=True)
        ):
            whole = patch_covariance(table, patch)
            whole[np.diag_indices(len(whole))] += JITTER * np.trace(whole) / len(whole)
            root = np.linalg.cholesky(difference_covariance(whole, channels)[np.ix_(order, order)])
            white = scipy.linalg.solve_triangular(root[:known, :known], y.T, lower=True)
            lower = root[known + some]
            square = np.square(z - (lower[:, :known] @ white).T)
            square /= np.square(lower[:, known:]).sum(1)
            determinant = 2 * np.log(np.diag(root)[:known]).sum()
            with np.errstate(divide="ignore"):
                logs = np.log(weight) - 0.5 * (
                    known * np.log(scale) + determinant + np.square(white).sum(0)[:, None] / scale
                )
            contrast = logs.argmax(1)
            at = index[ring].ravel()
            expected = scale[contrast] * expected_variance(whole[np.ix_(at, at)], channels)
            relief = np.digitize(np.log2(variance / expected), EDGES)
            better = logs.max(1) > best
            best = np.where(better, logs.max(1), best)
            squares[better] = (square / scale[contrast][:, None])[better]
            cells[better] = np.stack([np.full(len(rows), texture), relief], 1)[better]
            bar.update(1)
    return squares, cells


def _probabilities(squares: np.ndarray, cells: np.ndarray, textures: int) -> np.ndarray:
    """Fit the probabilities ``(j, r, o)`` to squares of known texture and relief."""
    shape = (textures, len(EDGES) + 1, len(RATIOS))
    likelihood = np.exp(-0.5 * squares[..., None] / RATIOS) / np.sqrt(RATIOS)
    likelihood = np.maximum(likelihood, 1e-30)
    found = np.full(shape, 1 / len(RATIOS))
    for _ in range(ROUNDS):
        shares = likelihood * found[tuple(cells.T)][:, None]
        shares /= shares.sum(-1, keepdims=True)
        counts = np.zeros(shape)
        np.add.at(counts, tuple(cells.T), shares.mean(1))
        general = counts.sum((0, 1)) / counts.sum()
        relief = counts.sum(0) + PRIOR * general
        relief /= relief.sum(-1, keepdims=True)
        found = counts + PRIOR * relief
        found /= found.sum(-1, keepdims=True)
    return found
