"""A map that gets sharper: coarse windows first, each stage with all that was computed before."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from pdjax._explain.budget import Budget
from pdjax._explain.job import Job, make_job
from pdjax._types import Array, Float, Key, Sampler
from pdjax.classifier import Classifier
from pdjax.explanation import Explanation
from pdjax.method.evaluation import ENGINES
from pdjax.method.schemes import SCHEMES

__all__ = ["coarse_to_fine", "preview"]


def preview(
    net: Classifier | Callable[[np.ndarray], Any],
    image: Float[Array, "*spatial c"] | np.ndarray,
    sampler: Sampler,
    *,
    rng_key: Key[Array, ""],
    strides: Sequence[int] = (8, 4, 2, 1),
    num_samples: int | None = None,
    sampling: str = SCHEMES[0],
    bias_correction: bool = True,
    measure: str = "weight_of_evidence",
    engine: str = ENGINES[0],
    batch_size: int | None = None,
    lowerings: bool = True,
    progress: bool = False,
    checkpoint: str | os.PathLike[str] | None = None,
    classes: int | Sequence[int | str] | None = None,
    layers: Sequence[str] | None = None,
    units: Mapping[str, Sequence[int | tuple[int, ...]]] | None = None,
    start: str | None = None,
) -> Iterator[Explanation]:
    """Explain an image coarse to fine, giving an explanation after each stage.

    Windows of a coarse stage are among those of the finer ones and are not computed again, so that
    all stages together cost what the last one does alone; its explanation is that of `explain`
    with the last stride.

    Parameters
    ----------
    net, image, sampler, rng_key, num_samples, and everything not named below
        As for `explain`.
    strides : sequence of int
        Pixels between neighbouring windows, stage by stage: each a multiple of the next.

    Yields
    ------
    Explanation
        One for each stride; its ``settings["passes"]`` counts the passes of all stages so far.

    Raises
    ------
    ValueError
        If a stride is not a multiple of the next, or as for `explain`.

    Examples
    --------
    >>> import jax, jax.numpy as jnp, pdjax
    >>> def f(params, images):
    ...     return jax.nn.softmax(images.mean((1, 2)) @ params)
    >>> net = pdjax.Classifier.from_function(f, 9 * jnp.eye(3), image_size=8,
    ...                                      labels=("red", "green", "blue"))
    >>> stages = pdjax.preview(net, jnp.zeros((8, 8, 3)), pdjax.Constant(0.5, window=4),
    ...                        rng_key=jax.random.key(0), num_samples=1, strides=(4, 2))
    >>> [explanation.settings["passes"] for explanation in stages]
    [5, 10]
    """
    if not strides:
        raise ValueError("strides: there are none; give at least one, e.g. (8, 4, 2, 1)")
    job = make_job(
        net, image, sampler,
        rng_key=rng_key, num_samples=num_samples, budget=Budget(), strides=tuple(strides),
        sampling=sampling, bias_correction=bias_correction, measure=measure, engine=engine,
        batch_size=batch_size, lowerings=lowerings, checkpoint=checkpoint,
        classes=classes, layers=layers, units=units, start=start,
    )  # fmt: skip
    return _stages(job, progress)


def _stages(job: Job, progress: bool) -> Iterator[Explanation]:
    with job.run(progress) as run:
        for grid in job.grids:
            wanted = np.zeros(job.grid.size, int)
            wanted[job.grid.indices_of(grid)] = 1
            run.draw(wanted)
            yield job.explanation(run, job.maps(run, grid), grid)


def coarse_to_fine(stride: int, window: Sequence[int]) -> tuple[int, ...]:
    """Return the stride after up to three coarser ones, each twice the next, for `preview`.

    Examples
    --------
    >>> coarse_to_fine(1, (10, 10)), coarse_to_fine(5, (12, 10)), coarse_to_fine(8, (10, 10))
    ((8, 4, 2, 1), (10, 5), (8,))
    """
    strides = (stride * 2**k for k in (3, 2, 1))
    return (*(coarse for coarse in strides if coarse <= min(window)), stride)
