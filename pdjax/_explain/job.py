"""What explaining an image takes, checked and put together: everything but the order of windows."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pdjax._checks import check_image
from pdjax._explain.budget import Budget, reached_error
from pdjax._explain.checkpoint import Checkpoint, digest
from pdjax._explain.draws import Run
from pdjax._explain.engines import Engine, callable_engine, jax_engine
from pdjax._explain.target import Task, make_task, wrap_callable
from pdjax._types import Array, Key, Sampler
from pdjax.classifier import Classifier
from pdjax.explanation import Explanation
from pdjax.local.grouping import check_batch_size
from pdjax.method.bias import Jackknife
from pdjax.method.difference import check_choice, check_drawing, check_samples
from pdjax.method.evaluation import ENGINES
from pdjax.method.maps import Maps, relevance_maps
from pdjax.method.measures import MEASURES
from pdjax.method.schemes import Scheme
from pdjax.method.windows import WindowGrid

__all__ = ["Job", "count_passes", "make_job", "samples_of_a_draw"]

UNITS = {
    "weight_of_evidence": "weight of evidence (bits)",
    "information_difference": "information difference (bits)",
    "probability_difference": "probability difference",
    "activation_difference": "activation difference",
}


@dataclasses.dataclass(frozen=True, eq=False)
class Job:
    """An image to explain: what is evaluated, and what becomes of the moments.

    Attributes
    ----------
    net : Classifier
    image : float array, shape (*spatial, c)
    task : Task
        What is observed, and the array whose windows are hidden.
    grids : tuple of WindowGrid
        Windows that will be asked for, stage by stage; each has those of the one before.
    scheme : Scheme
        The samples of a draw.
    engine : Engine
        What evaluates draws.
    bias : Jackknife or None
    checkpoint : Checkpoint
    settings : dict
        How it is computed, for the explanation.
    """

    net: Classifier
    image: Any
    task: Task
    grids: tuple[WindowGrid, ...]
    scheme: Scheme
    engine: Engine
    bias: Jackknife | None
    checkpoint: Checkpoint
    settings: dict[str, Any]

    @property
    def grid(self) -> WindowGrid:
        """All windows."""
        return self.grids[-1]

    def run(self, progress: bool) -> Run:
        """Start, or go on from the checkpoint."""
        stages = np.concatenate([self.grid.indices_of(grid) for grid in self.grids])
        _, first = np.unique(stages, return_index=True)
        order = stages[np.sort(first)]
        return Run(
            self.engine, self.task.reference, order, self.scheme, self.bias, self.checkpoint,
            progress,
        )  # fmt: skip

    def maps(self, run: Run, grid: WindowGrid) -> Maps:
        """Relevance from the windows of a grid, which must have been drawn."""
        chosen = self.grid.indices_of(grid)
        moments = jax.tree.map(lambda a: a[chosen], run.moments())
        replicates = jnp.asarray(run.replicates[chosen], jnp.int32)
        rule = self.task.observe.rule
        return relevance_maps(self.task.reference, moments, replicates, grid=grid, rule=rule)

    def explanation(self, run: Run, maps: Maps, grid: WindowGrid) -> Explanation:
        """Assemble the result."""
        layers = self.task.observe.layers
        measures = {layer: self._measure(layer) for layer in layers}
        times = run.times[self.grid.indices_of(grid)]
        samples = [int(count) * self.scheme.num_samples for count in (times.min(), times.max())]
        settings = self.settings | {
            "stride": grid.stride, "num_samples": samples[0], "most_samples": samples[1],
            "passes": int(times.sum()) * self.scheme.num_samples + 1,
            "reached_error": reached_error(maps),
        }  # fmt: skip
        return Explanation(
            image=np.asarray(self.image),
            prediction=self.task.prediction,
            names=self.task.names,
            measures=measures,
            settings=json.loads(json.dumps(settings)),
            **{name: _in_order(values, layers) for name, values in maps._asdict().items()},
        )

    def _measure(self, layer: str) -> str:
        named = layer in self.net.probabilities
        return UNITS[self.settings["measure"] if named else "activation_difference"]


def make_job(
    net: Any,
    image: Any,
    sampler: Sampler,
    *,
    rng_key: Key[Array, ""],
    num_samples: int | None,
    budget: Budget,
    strides: tuple[Any, ...],
    sampling: str,
    bias_correction: bool,
    measure: str,
    engine: str,
    batch_size: int | None,
    lowerings: bool,
    checkpoint: str | os.PathLike[str] | None,
    start: str | None,
    **chosen: Any,
) -> Job:
    """Check the arguments of `explain` and run the network once; see there.

    There may be several strides, in the order in which their windows will be asked for; each has
    the windows of those before.
    """
    image = jnp.asarray(check_image(np.asarray(image)), jax.dtypes.canonicalize_dtype(np.float64))
    check_drawing(sampler, rng_key)
    check_choice("engine", engine, (*ENGINES, "callable"))
    check_choice("measure", measure, MEASURES)
    check_batch_size(batch_size)
    if num_samples is None:
        num_samples = 1 if sampler.constant else samples_of_a_draw(sampling, budget)
    scheme = Scheme(sampling, num_samples)
    if not isinstance(net, Classifier):
        net = wrap_callable(net, image, engine)
    if start is None:
        check_samples(sampler, net.image_shape, scheme)
    task = make_task(net, image, start=start, measure=measure, engine=engine, **chosen)
    check_samples(sampler, task.field.shape, scheme)
    grids = tuple(WindowGrid(task.field.shape[:-1], sampler.window, each) for each in strides)
    for coarse, fine in itertools.pairwise(grids):
        fine.indices_of(coarse)
    grid = grids[-1]
    budget.check(grid, scheme, sampler)
    rule = task.observe.rule
    bias = Jackknife(rule) if bias_correction else None
    bound = (*task[:3], sampler, rng_key, grid, scheme, bias, batch_size)
    if engine == "callable":
        moments_of = callable_engine(*bound)
    else:
        moments_of = jax_engine(engine, *bound, lowerings)
    keeper = Checkpoint(checkpoint, lambda: {
        "image": digest(image), "model": f"{net.name} {digest(net.params)}",
        "sampler": digest(sampler), "rng_key": digest(jax.random.key_data(rng_key)),
        "window": str(grid.window), "num_samples": str(num_samples), 
        "stride": str((*strides[:-1], grid.stride)),
        "target_error": str(budget.target_error), "max_passes": str(budget.max_passes),
        "sampling": sampling, "bias_correction": str(bias_correction),
        "classes": str(task.classes), "layers": str(task.observe.layers),
        "units": str(task.observe.units), "start": str(start),
        **({} if bias is None else {
            "measure": measure, "num_training_images": str(rule.num_training_images),
        }),
    }, task.reference)  # fmt: skip
    settings = {
        "model": net.name, "sampler": _in_words(sampler), "window": grid.window, "start": start,
        "sampling": sampling, "bias_correction": bias_correction,
        "target_error": budget.target_error, "max_passes": budget.max_passes,
        "measure": measure, "engine": engine,
        "num_training_images": net.num_training_images, "probabilities": net.probabilities,
        "classes": task.classes, "rng_key": np.asarray(jax.random.key_data(rng_key)).tolist(),
    }  # fmt: skip
    return Job(net, image, task, grids, scheme, moments_of, bias, keeper, settings)


def samples_of_a_draw(sampling: str, budget: Budget) -> int:
    """Samples that a window is drawn with where none are asked for."""
    if not budget.given:
        return 10
    return 2 if sampling == "independent" else 4


def count_passes(grid: WindowGrid, num_samples: int) -> int:
    """Forward passes for every window once: one for the image as it is, the rest for windows."""
    return grid.size * num_samples + 1


def _in_order(values: dict[str, jax.Array], layers: Iterable[str]) -> dict[str, np.ndarray]:
    return {layer: np.asarray(values[layer]) for layer in layers if layer in values}


def _in_words(sampler: Sampler) -> str:
    own = type(sampler).__str__ is not object.__str__
    return str(sampler) if own else type(sampler).__name__
