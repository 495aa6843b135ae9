"""The loop over all windows: chunks, progress, checkpoint, and a stop at the first NaN."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pdjax._progress import progress_bar
from pdjax.checkpoint import Checkpoint
from pdjax.engines import Engine
from pdjax.marginalize import Bias, Moments, summarise
from pdjax.sampling import Scheme
from pdjax.windows import WindowGrid

__all__ = ["check_finite", "run_windows"]


def run_windows(
    engine: Engine,
    reference: Mapping[str, Any],
    grid: WindowGrid,
    scheme: Scheme,
    bias: Bias | None,
    checkpoint: Checkpoint,
    progress: bool,
) -> Moments:
    """Moments of all windows of the grid, arrays ``(windows, units)``, as `summarise` makes them.

    Every chunk has the same number of windows (the last one repeats its last window), so that
    there is one compilation whatever the size of the grid. ``reference`` is what the engine's
    function gives for the image as it is; it tells the structure of the result.

    Raises
    ------
    ValueError
        If the network returns NaN or infinities, with the layer that does.
    """
    chunk = engine.windows
    num_samples = scheme.num_samples
    one_window = jax.tree.map(
        lambda a: jax.ShapeDtypeStruct((num_samples, *a.shape[1:]), a.dtype), dict(reference)
    )
    pattern = jax.eval_shape(functools.partial(summarise, scheme=scheme, bias=bias), one_window)
    parts, done = checkpoint.restore(pattern)
    total = grid.size * num_samples
    bar = progress_bar(total, "images", progress, "explaining", initial=done * num_samples)
    try:
        for start, result in _one_ahead(engine, range(done, grid.size, chunk), chunk, grid.size):
            means = {layer: result.mean[layer] for layer in reference}
            check_finite(means, f"with a window hidden (number {start} or one soon after)")
            count = min(chunk, grid.size - start)
            parts.append(jax.tree.map(lambda a, n=count: np.asarray(a)[:n], result))
            done += count
            bar.update(count * num_samples)
            checkpoint.save(parts, done)
    finally:
        checkpoint.save(parts, done, now=True)
        bar.close()
    return jax.tree.map(lambda *arrays: jnp.asarray(np.concatenate(arrays)), *parts)


def check_finite(outputs: Mapping[str, Any], where: str) -> None:
    """Raise ValueError that names the first layer with a NaN or an infinity."""
    for layer, values in outputs.items():
        if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(values)):
            raise ValueError(
                f"layer {layer!r} of the network returned NaN or infinite values {where}; "
                "check its weights and the range of its input"
            )


def _one_ahead(
    engine: Engine, starts: range, chunk: int, size: int
) -> Iterator[tuple[int, Moments]]:
    """Give the device the next chunk before the last one is read, so that it never idles."""
    waiting: tuple[int, Moments] | None = None
    for start in starts:
        indices = np.minimum(np.arange(start, start + chunk), size - 1)
        ahead = (start, engine.run(indices))
        if waiting is not None:
            yield waiting[0], jax.device_get(waiting[1])
        waiting = ahead
    if waiting is not None:
        yield waiting[0], jax.device_get(waiting[1])
