"""Budgets instead of counts: where further samples are drawn, until an error is met.

What matters to a reader is the error of a pixel, and a pixel averages many windows. The variance
that window w adds to the sum over all pixels is ``a_w v_w / n_w``: v_w the variance of one
replicate, n_w their number, and a_w the sum over its pixels of one over the squared number of
windows of the pixel. For a given number of forward passes the sum is least where n_w is
proportional to ``sqrt(a_w v_w)`` (Neyman, 1934).

The variances are known from few samples. So they are averaged over the windows that overlap, which
also keeps the samples of a window from deciding, by chance, how many more it gets; and a round
multiplies the samples of a window by 4 at most, before the next one looks again.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from pdjax._checks import ArgumentValueError, check_count
from pdjax._types import Sampler, has_shared_samples
from pdjax.method.maps import Maps
from pdjax.method.regions import RegionGrid
from pdjax.method.windows import WindowGrid, root_bias

__all__ = ["Budget", "further_draws", "reached_error"]

GROWTH = 4


@dataclasses.dataclass(frozen=True)
class Budget:
    """When to stop.

    Parameters
    ----------
    target_error : float or None
        Standard error of a pixel, root mean square over pixels and units, as a share of the
        layer's largest absolute relevance; between 0 and 1.
    max_passes : int or None
        Forward passes of the whole run.

    Raises
    ------
    ValueError
        If the target is not between 0 and 1, or the passes are not an int; see also `check`.
    """

    target_error: float | int | None = None
    max_passes: int | None = None

    def __post_init__(self) -> None:
        target = self.target_error
        if target is not None and not (isinstance(target, int | float) and 0 < target < 1):
            raise ArgumentValueError(
                "target_error",
                "must be above 0 and below 1, a share of the largest relevance",
                "2 percent, 0.02, is a good choice",
                value=self.target_error,
            )
        if self.max_passes is not None:
            passes = check_count("max_passes", self.max_passes)
            object.__setattr__(self, "max_passes", passes)

    @property
    def given(self) -> bool:
        """Whether there is a budget at all; otherwise every window is drawn once."""
        return self.target_error is not None or self.max_passes is not None

    def check(self, windows: int, images_per_draw: int, sampler: Sampler) -> None:
        """Raise ValueError where the first round is too much, or another one would say nothing."""
        # Where all samples are the same, the first round leaves no error to be met.
        if self.given and has_shared_samples(sampler):
            raise ArgumentValueError(
                "max_passes" if self.target_error is None else "target_error",
                "needs a sampler that gives other samples when it is drawn from again",
                "set the number of samples instead",
            )
        least = 1 + windows * images_per_draw
        if self.max_passes is not None and self.max_passes < least:
            raise ArgumentValueError(
                "max_passes",
                f"does not suffice for {images_per_draw} samples of each of the {windows:,} "
                f"windows, {least:,} forward passes",
                "use a larger stride, fewer samples or more passes",
                value=self.max_passes,
            )


def reached_error(maps: Maps) -> dict[str, float]:
    """Standard error of pixels as a share of the largest absolute relevance, by layer."""
    return {
        layer: _share(np.asarray(maps.standard_error[layer]), np.asarray(relevance))
        for layer, relevance in maps.relevance.items()
    }


def _share(error: np.ndarray, relevance: np.ndarray) -> float:
    # Where an image is explained in part, the rest is NaN.
    size, most = float(np.sqrt(np.nanmean(np.square(error)))), float(np.nanmax(np.abs(relevance)))
    return size / most if most > 0 else (np.inf if size > 0 else 0.0)


def further_draws(
    budget: Budget,
    maps: Maps,
    times: np.ndarray,
    grid: WindowGrid | RegionGrid,
    replicates: int,
    images_per_draw: int,
) -> np.ndarray:
    """How often each window is to be drawn again, ints ``(windows,)``; zeros end the run.

    Parameters
    ----------
    budget : Budget
        When to stop.
    maps : Maps
        What is known so far.
    times : int array, shape (windows,)
        How often each window has been drawn; those that never were are not in question.
    grid : WindowGrid or RegionGrid
        Where the windows are.
    replicates, images_per_draw : int
        Independent groups of samples of a draw, and images that it takes.
    """
    reached, target = reached_error(maps), budget.target_error or 0.0
    unmet = [layer for layer, error in reached.items() if error > target]
    left = _draws_left(budget, times, images_per_draw)
    drawn, every_time = times > 0, times
    times = times[drawn]
    if not budget.given or not unmet or left < 1:
        return np.zeros_like(every_time)
    # Squared errors as shares of what is allowed, for one draw of each window.
    allowed = target or 1.0
    errors = [np.asarray(maps.window_standard_error[layer]) for layer in unmet]
    needs = np.stack([_squares(each, every_time, grid, replicates)[drawn] for each in errors])
    now = np.array([[(reached[layer] / allowed) ** 2] for layer in unmet])
    needs *= now / (needs / times).sum(1, keepdims=True)
    every = needs.sum(0)

    def more(scale: float) -> np.ndarray:
        return np.maximum(np.rint(scale * np.sqrt(every)), times) - times

    def enough(further: np.ndarray) -> bool:
        met = target > 0 and (needs / (times + further)).sum(1).max() <= 1
        return bool(further.sum() >= left or (met and further.any()))

    scale = _least_scale(lambda scale: enough(more(scale)))
    further = np.minimum(more(scale), (GROWTH - 1) * times).astype(int)
    all_further = np.zeros_like(every_time)
    all_further[drawn] = _most_useful(further, every, times, left)
    return all_further


def _draws_left(budget: Budget, times: np.ndarray, images_per_draw: int) -> int:
    if budget.max_passes is None:
        return sys.maxsize
    return (budget.max_passes - 1) // images_per_draw - int(times.sum())


def _squares(
    window_errors: np.ndarray, times: np.ndarray, grid: WindowGrid | RegionGrid, replicates: int
) -> np.ndarray:
    """By window, what one draw of it would add to the summed squared errors of pixels."""
    freedom = np.maximum(times * replicates - 1, 0).reshape(grid.shape)
    errors = window_errors.astype(np.float64) * np.asarray(root_bias(jnp.asarray(freedom, float)))
    variances = np.square(errors).mean(0) * times.reshape(grid.shape)
    smooth = grid.smoothed(variances, (times > 0).reshape(grid.shape))
    return np.maximum(smooth.ravel(), np.finfo(float).tiny) * grid.pixel_shares


def _least_scale(enough: Callable[[float], bool]) -> float:
    """Find the smallest scale that is enough."""
    high = 1.0
    while not enough(high):
        high *= 2
    low = 0.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _most_useful(
    further: np.ndarray, needs: np.ndarray, times: np.ndarray, left: int
) -> np.ndarray:
    """Leave out draws that gain least, where there are more than ``left``."""
    if further.sum() <= left:
        return further
    windows = np.repeat(np.arange(len(further)), further)
    before = np.arange(len(windows)) - np.repeat(np.cumsum(further) - further, further)
    number = times[windows] + before
    gain = needs[windows] / (number * (number + 1))
    best = np.argsort(-gain, kind="stable")[:left]
    return np.bincount(windows[best], minlength=len(further))
