"""The loop over draws of windows: chunks, progress, checkpoint, and a stop at the first NaN."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from pdjax._explain.checkpoint import Checkpoint
from pdjax._explain.request import Request
from pdjax._explain.target import Target, check_finite
from pdjax._explain.workers import Worker, Workers, design_of
from pdjax._progress import progress_bar
from pdjax.method.marginalize import Moments, summarise

__all__ = ["Draws", "pool"]


class Draws:
    """Moments of draws of windows, in the order in which they were asked for.

    What had been asked for before an interruption is asked for still: which draws they are is
    never decided again, as moments that another device rounds otherwise may decide otherwise.

    Every chunk has the same number of draws (the last one repeats its last draw), so that there is
    one compilation whatever is asked for. A context: what is done is kept when it is left.

    Parameters
    ----------
    request : Request
        What was asked for.
    target : Target
        What is explained.
    checkpoint : Checkpoint
        Where what is done is kept, and was kept before.

    Attributes
    ----------
    times : int array, shape (windows,)
        How often each window has been asked for.
    kept : int
        Draws whose results the checkpoint had.
    """

    def __init__(self, request: Request, target: Target, checkpoint: Checkpoint) -> None:
        self._grid, self._scheme, self._checkpoint = request.grid, request.scheme, checkpoint
        design = design_of(request, target)
        one_window = jax.tree.map(
            lambda a: jax.ShapeDtypeStruct((design.images_per_draw, *a.shape[1:]), a.dtype),
            target.reference,
        )
        pattern = jax.eval_shape(functools.partial(summarise, design=design), one_window)
        self._parts, self.kept, self._draws = checkpoint.restore(pattern, _order(request))
        self._done = self.kept
        left = max(0, len(request.chosen(request.grid)) - self._done)
        self._workers = Workers(request, target, design, left)
        self.times = np.bincount(self._draws[:, 0], minlength=self._grid.size)
        self._images = design.images_per_draw
        initial = self._done * self._images
        self._bar = progress_bar(0, "images", request.progress, "explaining", initial=initial)

    def __enter__(self) -> Draws:
        return self

    def __exit__(self, *_: object) -> None:
        self._checkpoint.save(self._parts, self._done, self._draws, now=True)
        self._bar.close()

    def draw(self, times: np.ndarray) -> None:
        """Draw samples until every window has been drawn so many times: ints ``(windows,)``.

        Raises
        ------
        ValueError
            If the network returns NaN or infinities, with the layer that does.
        """
        more = np.maximum(times - self.times, 0)
        windows = np.repeat(np.arange(self._grid.size), more)
        before = np.arange(len(windows)) - np.repeat(np.cumsum(more) - more, more)
        new = np.stack([windows, self.times[windows] + before], axis=1)
        self._draws = np.concatenate([self._draws, new])
        self.times = self.times + more
        self._bar.total = len(self._draws) * self._images
        self._bar.refresh()
        # Draws that are left of a later stage, from before an interruption, can wait.
        wanted = self._draws[:, 1] < times[self._draws[:, 0]]
        draws = self._draws[: np.max(np.flatnonzero(wanted), initial=-1) + 1]
        if self._done < len(draws):
            self._workers.do(functools.partial(self._advance, draws))

    def _advance(self, draws: np.ndarray, worker: Worker) -> None:
        """Do what is left of these draws."""
        for start, result in _one_ahead(worker, draws, self._done):
            check_finite(result.mean, f"with a window hidden (draw {start} or one soon after)")
            count = min(worker.draws, len(draws) - start)
            self._parts.append(jax.tree.map(lambda a, n=count: np.asarray(a)[:n], result))
            self._done += count
            self._bar.update(count * self._images)
            self._checkpoint.save(self._parts, self._done, self._draws)

    def moments(self) -> Moments:
        """Moments of all windows that have been drawn, the others being 0, ``(windows, units)``."""
        joined = jax.tree.map(lambda *arrays: np.concatenate(arrays), *self._parts)
        windows = self._draws[: self._done, 0]
        return pool(joined, windows, self._grid.size, self._scheme.replicates)

    @property
    def rates(self) -> dict[str, float]:
        """Images a second of the engines that were tried at the start; empty where none were."""
        return getattr(self._workers.worker, "rates", {})

    @property
    def replicates(self) -> np.ndarray:
        """Independent groups of samples asked for of each window, ints ``(windows,)``."""
        return self.times * self._scheme.replicates


def pool(moments: Moments, windows: np.ndarray, size: int, replicates: int) -> Moments:
    """Join the moments of draws ``(draws, units)``, each of so many replicates, by window.

    The sum of squares about the common mean is that within draws and that between them (Chan,
    Golub and LeVeque, 1983). The bias of a mean falls with the number of replicates: what draws
    find for theirs is averaged and divided by the number of draws.
    """
    times = np.bincount(windows, minlength=size)
    if times.max(initial=0) <= 1:
        return jax.tree.map(lambda a: _placed(a, windows, size), moments)

    def total(values: np.ndarray) -> np.ndarray:
        sums = np.zeros((size, *values.shape[1:]))
        np.add.at(sums, windows, np.asarray(values, np.float64))
        return sums

    def over(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
        return values / np.maximum(counts, 1).reshape(-1, *(1,) * (values.ndim - 1))

    def spread(mean: np.ndarray, pooled: np.ndarray, variance: np.ndarray) -> np.ndarray:
        between = np.square(mean - pooled[windows])
        squares = (replicates - 1) * np.asarray(variance, np.float64) + replicates * between
        return over(total(squares), times * replicates - 1)

    mean, own = jax.tree.map(lambda a: over(total(a), times), (moments.mean, moments.own))
    variance = jax.tree.map(spread, moments.mean, mean, moments.variance)
    bias = jax.tree.map(lambda a: over(total(a), np.square(times)), moments.bias)
    joined = Moments(mean, variance, bias, own)
    return jax.tree.map(lambda new, old: jnp.asarray(new, old.dtype), joined, moments)


def _placed(values: np.ndarray, windows: np.ndarray, size: int) -> jax.Array:
    places = np.zeros((size, *values.shape[1:]), values.dtype)
    places[windows] = values
    return jnp.asarray(places)


def _order(request: Request) -> np.ndarray:
    """The windows in question, as they are drawn for the first time: stage by stage."""
    stages = np.concatenate([request.chosen(grid) for grid in request.grids])
    _, first = np.unique(stages, return_index=True)
    return stages[np.sort(first)]


def _one_ahead(worker: Worker, draws: np.ndarray, done: int) -> Iterator[tuple[int, Moments]]:
    """Give the device the next chunk before the last one is read, so that it never idles."""
    waiting: tuple[int, Moments] | None = None
    for start in range(done, len(draws), worker.draws):
        rows = np.minimum(np.arange(start, start + worker.draws), len(draws) - 1)
        ahead = (start, worker(draws[rows]))
        if waiting is not None:
            yield waiting[0], jax.device_get(waiting[1])
        waiting = ahead
    if waiting is not None:
        yield waiting[0], jax.device_get(waiting[1])
