"""A function at images that differ from one image in a window: all of it, or what can change."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pdjax._checks import check_choice, check_count
from pdjax._devices import memory_bytes, platform
from pdjax._types import Array, Float, Function, Int, Params, static
from pdjax.jaxprs.hoisting import hoisted
from pdjax.jaxprs.lowerings import tuned
from pdjax.jaxprs.program import trace
from pdjax.local import Record, record
from pdjax.local.evaluating import evaluate_windows, map_in_groups, shared_evenly
from pdjax.method.windows import paste

__all__ = ["ENGINES", "Dense", "Engine", "Evaluation", "evaluate_at", "suggest_batch_size"]

ENGINES = ("local", "dense")
"""Ways to evaluate a JAX function at perturbed images; the first is the default."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Dense:
    """A function to be run on whole images, ``batch_size`` of them at a time."""

    image: Any  # An array; while JAX compiles, what stands for one.
    f: Function = static()
    batch_size: int = static()
    lowerings: bool = static()


Evaluation = Record | Dense
"""A PyTree that knows how to evaluate a function at perturbed images."""


@dataclasses.dataclass(frozen=True)
class Engine:
    """How a function is evaluated at perturbed images: static, hashable.

    Parameters
    ----------
    engine : str
        One of `ENGINES`.
    batch_size : int, optional
        Perturbed images evaluated at once, at most; by default what is predicted to be fastest.
    lowerings : bool
        Whether operations are put in the form that the device runs fastest.
    max_memory : float, optional
        Gigabytes of the device to plan for, at most; by default what it has.
    """

    engine: str = ENGINES[0]
    batch_size: int | None = None
    lowerings: bool = True
    max_memory: float | None = None

    def __post_init__(self) -> None:
        check_choice("engine", self.engine, ENGINES)
        if self.batch_size is not None:
            batch_size = check_count("batch_size", self.batch_size)
            object.__setattr__(self, "batch_size", batch_size)

    def prepare(
        self,
        f: Function,
        params: Params,
        image: Float[Array, "*spatial c"],
        window: tuple[int, ...],
        num_images: int,
    ) -> Evaluation:
        """Make an evaluation for about ``num_images`` images that are perturbed in a window.

        For the local one the function is run once on the image as it is.
        """
        if self.engine == "local":
            return record(
                f,
                params,
                image,
                window,
                batch_size=self.batch_size,
                num_images=num_images,
                lowerings=self.lowerings,
                max_memory=self.max_memory,
            )
        batch_size = self.batch_size or suggest_batch_size(f, params, image, self.max_memory)
        return Dense(image, f, batch_size, self.lowerings)


def evaluate_at(
    evaluation: Evaluation,
    params: Params,
    origins: Int[Array, "w d"],
    patches: Float[Array, "w s *window c"],
) -> Any:
    """Return outputs ``(w * s, ...)``, with each of the ``s`` contents of a window in its place."""
    if isinstance(evaluation, Record):
        return evaluate_windows(evaluation, params, origins, patches)
    f = tuned(evaluation.f) if evaluation.lowerings else evaluation.f
    pairs = (jnp.repeat(origins, patches.shape[1], axis=0), patches.reshape(-1, *patches.shape[2:]))

    def some(pair: tuple[jax.Array, jax.Array]) -> Any:
        return f(params, jax.vmap(paste, (None, 0, 0))(evaluation.image, pair[1], pair[0]))

    each, groups = shared_evenly(len(pairs[0]), evaluation.batch_size)
    if evaluation.lowerings and groups > 1:
        group = jax.tree.map(lambda a: jax.ShapeDtypeStruct((each, *a.shape[1:]), a.dtype), pairs)
        some = hoisted(some, group)
    return map_in_groups(some, pairs, each)


def suggest_batch_size(
    f: Function,
    params: Params,
    image: Float[Array, "*spatial c"],
    max_memory: float | None = None,
) -> int:
    """Perturbed images to evaluate at once, by what they and the parameters take of the memory.

    On a CPU small batches stay in the cache, but the parameters are read once a batch: the batch
    is as large as it takes for that to add an eighth at most to the bytes read and written,
    between 4 and 64 images. Elsewhere it is up to 512 images. In both cases the largest step of
    ``f``, three times over, takes at most a quarter of the device's memory, of which
    ``max_memory`` gigabytes may be used.
    """
    one, two = (
        _step_bytes(f, params, jax.ShapeDtypeStruct((n, *image.shape), image.dtype)) for n in (1, 2)
    )
    # The difference leaves out what does not grow with the batch: parameters.
    steps = [b - a for a, b in zip(one, two, strict=False)]
    wanted = 512
    if platform() == "cpu":
        parameters = sum(leaf.nbytes for leaf in jax.tree.leaves(params))
        wanted = int(np.clip(8 * parameters / max(sum(steps), 1), 4, 64))
    memory = memory_bytes(max_memory) // 4
    return int(np.clip(memory // max(3 * max(steps, default=0), 1), 1, wanted))


def _step_bytes(f: Function, params: Params, images: jax.ShapeDtypeStruct) -> list[int]:
    """Bytes of the inputs and outputs of every step of a function."""
    return [
        sum(math.prod(a.shape) * a.dtype.itemsize for a in (*step.in_avals, *step.out_avals))
        for step in trace(f, params, images).program.steps
    ]
