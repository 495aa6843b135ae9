"""Blocks of windows of a run, drawn as often as one likes: enough of a map to know its errors.

A block is a square of neighbouring windows of the grid. All windows of the pixels in its middle
are among them, so that their relevance is that of the whole map.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import pdjax
from pdjax._explain.budget import Budget
from pdjax._explain.draws import pool
from pdjax._explain.job import Job, make_job
from pdjax.method.evaluation import ENGINES
from pdjax.method.maps import relevance_maps
from pdjax.method.marginalize import Moments
from pdjax.method.measures import MEASURES
from pdjax.method.windows import WindowGrid, root_bias

__all__ = ["Blocks", "Seen", "choose_blocks", "draws_of", "pooled", "reach", "run_of", "seen"]

LAYER = "prob"


class Blocks(NamedTuple):
    """Where the blocks are.

    Attributes
    ----------
    windows : int array (blocks, side * side)
        Their windows, by index in the whole grid.
    grid : WindowGrid
        One block, as an image of its own.
    corners : int array (blocks, 2)
        First pixel of each.
    middle : slice
        Its pixels, on both axes, all of whose windows are in the block.
    """

    windows: np.ndarray
    grid: WindowGrid
    corners: np.ndarray
    middle: slice

    def cut(self, maps: np.ndarray) -> np.ndarray:
        """Middles of the blocks ``(blocks, units, pixels, pixels)`` of maps ``(units, h, w)``."""
        span = self.grid.spatial[0]
        parts = [maps[:, y : y + span, x : x + span] for y, x in self.corners]
        return np.stack(parts)[..., self.middle, self.middle]


class Seen(NamedTuple):
    """Relevance in the blocks and its standard error, arrays ``(blocks, units, ...)``."""

    windows: np.ndarray
    window_errors: np.ndarray
    pixels: np.ndarray
    pixel_errors: np.ndarray


def run_of(
    net: pdjax.Classifier, image: np.ndarray, sampler: Any, key: jax.Array, stride: int,
    classes: int, sampling: str, num_samples: int,
) -> Job:  # fmt: skip
    """Set up what `pdjax.explain` would run."""
    return make_job(
        net, image, sampler, rng_key=key, num_samples=num_samples, budget=Budget(),
        strides=(stride,), sampling=sampling, bias_correction=True, measure=MEASURES[0],
        engine=ENGINES[0], batch_size=None, lowerings=True, checkpoint=None, start=None,
        classes=classes, layers=None, units=None,
    )  # fmt: skip


def choose_blocks(grid: WindowGrid, side: int, seed: int) -> Blocks:
    """Choose a block in each quarter of the image, at random."""
    (k, _), (step, _) = grid.window, grid.stride
    half = ((grid.spatial[0] - k) // step + 1) // 2
    rng = np.random.default_rng(seed)
    starts = np.array([(y, x) for y in (0, half) for x in (0, half)])
    starts = starts + rng.integers(0, half - side + 1, starts.shape)
    rows, columns = (starts[:, axis, None] + np.arange(side) for axis in (0, 1))
    windows = rows[:, :, None] * grid.shape[1] + columns[:, None, :]
    span = (side - 1) * step + k
    own = WindowGrid((span, span), k, step)
    return Blocks(windows.reshape(4, -1), own, starts * step, slice(k - step, side * step))


def draws_of(job: Job, blocks: Blocks, times: int, bar: Any) -> list[Moments]:
    """Draw every window of the blocks so many times; the moments of each time."""
    windows = blocks.windows.ravel()
    rows = np.stack([np.tile(windows, times), np.repeat(np.arange(times), len(windows))], axis=1)
    parts, size = [], job.engine.draws
    for start in range(0, len(rows), size):
        some = rows[np.minimum(np.arange(start, start + size), len(rows) - 1)]
        count = min(size, len(rows) - start)
        moments = job.engine.run(some)
        parts.append(jax.tree.map(lambda a, n=count: np.asarray(a)[:n], moments))
        bar.update(count * job.scheme.num_samples)
    joined = jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts)
    return [
        jax.tree.map(lambda a, t=t: a[t * len(windows) : (t + 1) * len(windows)], joined)
        for t in range(times)
    ]


def pooled(job: Job, draws: list[Moments]) -> Moments:
    """Moments of all draws together."""
    joined = jax.tree.map(lambda *arrays: np.concatenate(arrays), *draws)
    size = len(jax.tree.leaves(draws[0])[0])
    return pool(joined, np.tile(np.arange(size), len(draws)), size, job.scheme.replicates)


def seen(
    job: Job, blocks: Blocks, moments: Moments, times: int = 1, bias_correction: bool = True
) -> Seen:
    """Relevance from the moments of so many draws."""
    if not bias_correction:
        moments = moments._replace(bias={})
    count = blocks.grid.size
    replicates = jnp.full(count, times * job.scheme.replicates, jnp.int32)
    maps = [
        relevance_maps(
            job.task.reference,
            jax.tree.map(lambda a, b=b: jnp.asarray(a[b * count : (b + 1) * count]), moments),
            replicates, grid=blocks.grid, rule=job.task.observe.rule,
        )
        for b in range(len(blocks.windows))
    ]  # fmt: skip
    inside = (..., blocks.middle, blocks.middle)
    return Seen(
        np.stack([m.window_relevance[LAYER] for m in maps]),
        np.stack([m.window_standard_error[LAYER] for m in maps]),
        np.stack([np.asarray(m.relevance[LAYER])[inside] for m in maps]),
        np.stack([np.asarray(m.standard_error[LAYER])[inside] for m in maps]),
    )


def reach(blocks: Blocks, replicates: int) -> np.ndarray:
    """Half a 95 % interval of a pixel, in standard errors, by Student's t: ``(pixels, pixels)``."""
    import scipy.stats

    (span, _), (k, _) = blocks.grid.spatial, blocks.grid.window
    origins = blocks.grid.axis_origins(0)
    along = np.array([((origins <= p) & (origins > p - k)).sum() for p in range(span)])
    along = along[blocks.middle]
    freedom = np.multiply.outer(along, along) * (replicates - 1)
    return scipy.stats.t.ppf(0.975, freedom) * np.asarray(root_bias(jnp.asarray(freedom, float)))
