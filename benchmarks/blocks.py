"""Blocks of windows of a run, drawn as often as one likes: enough of a map to know its errors.

A block is a square of neighbouring windows of the grid. All windows of the pixels in its middle
are among them, so that their relevance is that of the whole map.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pdjax._explain.draws import pool
from pdjax._explain.request import Request
from pdjax._explain.target import Target
from pdjax._explain.workers import Worker, design_of, make_worker
from pdjax.method.maps import relevance_maps
from pdjax.method.marginalize import Moments
from pdjax.method.schemes import Scheme
from pdjax.method.windows import WindowGrid, root_bias

__all__ = [
    "Blocks",
    "Seen",
    "Setup",
    "choose_blocks",
    "draws_of",
    "pooled",
    "reach",
    "seen",
    "set_up",
]

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


class Setup(NamedTuple):
    """What `pdjax.explain` would run.

    Attributes
    ----------
    grid : WindowGrid
    scheme : Scheme
        The samples of a draw.
    target : Target
        What is explained.
    worker : Worker
        What makes moments of draws.
    """

    grid: WindowGrid
    scheme: Scheme
    target: Target
    worker: Worker


def set_up(request: Request) -> Setup:
    """Set up what `pdjax.explain` would run."""
    request.check()
    target = Target.of(request)
    design = design_of(request, target)
    worker = make_worker(request, target, design, batch_size=request.batch_size)
    return Setup(request.grid, request.scheme, target, worker)


def choose_blocks(grid: WindowGrid, side: int, seed: int, along: int = 2) -> Blocks:
    """Choose a block at random in each of ``along**2`` parts of the image, by default quarters."""
    (k, _), (step, _) = grid.window, grid.stride
    part = ((grid.spatial[0] - k) // step + 1) // along
    rng = np.random.default_rng(seed)
    starts = np.array([(y, x) for y in range(along) for x in range(along)]) * part
    starts = starts + rng.integers(0, part - side + 1, starts.shape)
    rows, columns = (starts[:, axis, None] + np.arange(side) for axis in (0, 1))
    windows = rows[:, :, None] * grid.shape[1] + columns[:, None, :]
    span = (side - 1) * step + k
    own = WindowGrid((span, span), k, step)
    return Blocks(windows.reshape(along**2, -1), own, starts * step, slice(k - step, side * step))


def draws_of(run: Setup, blocks: Blocks, times: int, bar: Any) -> list[Moments]:
    """Draw every window of the blocks so many times; the moments of each time."""
    windows = blocks.windows.ravel()
    rows = np.stack([np.tile(windows, times), np.repeat(np.arange(times), len(windows))], axis=1)
    parts, size = [], run.worker.draws
    for start in range(0, len(rows), size):
        some = rows[np.minimum(np.arange(start, start + size), len(rows) - 1)]
        count = min(size, len(rows) - start)
        moments = run.worker(some)
        parts.append(jax.tree.map(lambda a, n=count: np.asarray(a)[:n], moments))
        bar.update(count * run.scheme.num_samples)
    joined = jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts)
    return [
        jax.tree.map(lambda a, t=t: a[t * len(windows) : (t + 1) * len(windows)], joined)
        for t in range(times)
    ]


def pooled(run: Setup, draws: list[Moments]) -> Moments:
    """Moments of all draws together."""
    joined = jax.tree.map(lambda *arrays: np.concatenate(arrays), *draws)
    size = len(jax.tree.leaves(draws[0])[0])
    return pool(joined, np.tile(np.arange(size), len(draws)), size, run.scheme.replicates)


def seen(
    run: Setup, blocks: Blocks, moments: Moments, times: int = 1, bias_correction: bool = True
) -> Seen:
    """Relevance from the moments of so many draws."""
    if not bias_correction:
        moments = moments._replace(bias={})
    count = blocks.grid.size
    replicates = jnp.full(count, times * run.scheme.replicates, jnp.int32)
    maps = [
        relevance_maps(
            run.target.reference,
            jax.tree.map(lambda a, b=b: jnp.asarray(a[b * count : (b + 1) * count]), moments),
            replicates,
            blocks.grid,
            run.target.readings.readouts,
        )
        for b in range(len(blocks.windows))
    ]
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
