"""The loop over draws of windows: chunks, progress, checkpoint, and a stop at the first NaN."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pdjax._explain.checkpoint import Checkpoint
from pdjax._explain.engines import Engine
from pdjax._progress import progress_bar
from pdjax.method.marginalize import Bias, Moments, summarise
from pdjax.method.schemes import Scheme

__all__ = ["Run", "check_finite", "pool"]


class Run:
    """Moments of draws of windows, in the order in which they were asked for.

    What had been asked for before an interruption is asked for still: which draws they are is
    never decided again, as moments that another device rounds otherwise may decide otherwise.

    Every chunk has the same number of draws (the last one repeats its last draw), so that there is
    one compilation whatever is asked for. A context: what is done is kept when it is left.

    Parameters
    ----------
    engine : Engine
        What evaluates draws.
    reference : dict
        What the engine's function gives for the image as it is; it tells the structure of results.
    order : int array, shape (windows,)
        The windows of the grid, as they will be drawn for the first time.
    scheme : Scheme
        The samples of a draw.
    bias : Bias or None
        What the moments hold beside mean and variance.
    checkpoint : Checkpoint
        Where what is done is kept, and was kept before.
    progress : bool
        Whether to show a bar that counts images.
    """

    def __init__(
        self,
        engine: Engine,
        reference: Mapping[str, Any],
        order: np.ndarray,
        scheme: Scheme,
        bias: Bias | None,
        checkpoint: Checkpoint,
        progress: bool,
    ) -> None:
        self._engine, self._layers, self._checkpoint = engine, tuple(reference), checkpoint
        self._size, self._scheme = len(order), scheme
        one_window = jax.tree.map(
            lambda a: jax.ShapeDtypeStruct((scheme.num_samples, *a.shape[1:]), a.dtype),
            dict(reference),
        )
        pattern = jax.eval_shape(functools.partial(summarise, scheme=scheme, bias=bias), one_window)
        self._parts, self._done, self._draws = checkpoint.restore(pattern, order)
        self.times = np.bincount(self._draws[:, 0], minlength=self._size)
        self._bar = progress_bar(
            0, "images", progress, "explaining", initial=self._done * scheme.num_samples
        )

    def __enter__(self) -> Run:
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
        windows = np.repeat(np.arange(self._size), more)
        before = np.arange(len(windows)) - np.repeat(np.cumsum(more) - more, more)
        new = np.stack([windows, self.times[windows] + before], axis=1)
        self._draws = np.concatenate([self._draws, new])
        self.times = self.times + more
        samples = self._scheme.num_samples
        self._bar.total = len(self._draws) * samples
        self._bar.refresh()
        # Draws that are left of a later stage, from before an interruption, can wait.
        wanted = self._draws[:, 1] < times[self._draws[:, 0]]
        draws = self._draws[: np.max(np.flatnonzero(wanted), initial=-1) + 1]
        for start, result in _one_ahead(self._engine, draws, self._done):
            means = {layer: result.mean[layer] for layer in self._layers}
            check_finite(means, f"with a window hidden (draw {start} or one soon after)")
            count = min(self._engine.draws, len(draws) - start)
            self._parts.append(jax.tree.map(lambda a, n=count: np.asarray(a)[:n], result))
            self._done += count
            self._bar.update(count * samples)
            self._checkpoint.save(self._parts, self._done, self._draws)

    def moments(self) -> Moments:
        """Moments of all windows that have been drawn, the others being 0, ``(windows, units)``."""
        joined = jax.tree.map(lambda *arrays: np.concatenate(arrays), *self._parts)
        windows = self._draws[: self._done, 0]
        return pool(joined, windows, self._size, self._scheme.replicates)

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

    mean = jax.tree.map(lambda a: over(total(a), times), moments.mean)
    variance = jax.tree.map(spread, moments.mean, mean, moments.variance)
    bias = jax.tree.map(lambda a: over(total(a), np.square(times)), moments.bias)
    joined = Moments(mean, variance, bias)
    return jax.tree.map(lambda new, old: jnp.asarray(new, old.dtype), joined, moments)


def _placed(values: np.ndarray, windows: np.ndarray, size: int) -> jax.Array:
    places = np.zeros((size, *values.shape[1:]), values.dtype)
    places[windows] = values
    return jnp.asarray(places)


def check_finite(outputs: Mapping[str, Any], where: str) -> None:
    """Raise ValueError that names the first layer with a NaN or an infinity."""
    for layer, values in outputs.items():
        if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(values)):
            raise ValueError(
                f"layer {layer!r} of the network returned NaN or infinite values {where}; "
                "check its weights and the range of its input"
            )


def _one_ahead(engine: Engine, draws: np.ndarray, done: int) -> Iterator[tuple[int, Moments]]:
    """Give the device the next chunk before the last one is read, so that it never idles."""
    waiting: tuple[int, Moments] | None = None
    for start in range(done, len(draws), engine.draws):
        rows = np.minimum(np.arange(start, start + engine.draws), len(draws) - 1)
        ahead = (start, engine.run(draws[rows]))
        if waiting is not None:
            yield waiting[0], jax.device_get(waiting[1])
        waiting = ahead
    if waiting is not None:
        yield waiting[0], jax.device_get(waiting[1])
