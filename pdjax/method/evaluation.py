"""A function at images that differ from one image in a window: all of it, or what can change."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.extend
import jax.numpy as jnp
import numpy as np

from pdjax._types import Array, Float, Function, Int, Params
from pdjax.jaxprs.lowerings import tuned
from pdjax.local import Record, record
from pdjax.local.evaluating import evaluate_windows
from pdjax.local.grouping import map_in_groups
from pdjax.method.windows import paste

__all__ = ["ENGINES", "Dense", "Evaluation", "evaluate_at", "prepare", "suggest_batch_size"]

ENGINES = ("local", "dense")
"""Ways to evaluate a JAX function at perturbed images; the first is the default."""


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=("image",),
    meta_fields=("f", "batch_size", "lowerings"),
)
@dataclasses.dataclass(frozen=True, eq=False)
class Dense:
    """A function to be run on whole images, ``batch_size`` of them at a time."""

    image: Any
    f: Function
    batch_size: int
    lowerings: bool


Evaluation = Record | Dense
"""A PyTree that knows how to evaluate a function at perturbed images."""


def prepare(
    engine: str,
    f: Function,
    params: Params,
    image: Float[Array, "*spatial c"],
    window: tuple[int, ...],
    batch_size: int | None,
    num_images: int,
    lowerings: bool,
) -> Evaluation:
    """Make an evaluation for about ``num_images`` perturbed images.

    For the local one the function is run once on the image as it is.
    """
    if engine == "local":
        return record(
            f, params, image, window,
            batch_size=batch_size, num_images=num_images, lowerings=lowerings,
        )  # fmt: skip
    return Dense(image, f, batch_size or suggest_batch_size(f, params, image), lowerings)


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

    return map_in_groups(some, pairs, evaluation.batch_size)


def suggest_batch_size(f: Function, params: Params, image: Float[Array, "*spatial c"]) -> int:
    """Perturbed images to evaluate at once, by what they and the parameters take of the memory.

    On a CPU small batches stay in the cache, but the parameters are read once a batch: the batch
    is as large as it takes for that to add an eighth at most to the bytes read and written,
    between 4 and 64 images. Elsewhere it is up to 512 images. In both cases the largest step of
    ``f``, three times over, takes at most 1 GiB, or a quarter of the device's memory.
    """
    one, two = (
        _step_bytes(jax.make_jaxpr(f)(params, jax.ShapeDtypeStruct((n, *image.shape), image.dtype)))
        for n in (1, 2)
    )
    # The difference leaves out what does not grow with the batch: parameters.
    steps = [b - a for a, b in zip(one, two, strict=False)]
    device = jax.local_devices()[0]
    if device.platform == "cpu":
        parameters = sum(leaf.nbytes for leaf in jax.tree.leaves(params))
        memory, wanted = 2**30, int(np.clip(8 * parameters / max(sum(steps), 1), 4, 64))
    else:
        stats = device.memory_stats() or {}
        memory, wanted = stats.get("bytes_limit", 8 * 2**30) // 4, 512
    return int(np.clip(memory // max(3 * max(steps, default=0), 1), 1, wanted))


def _step_bytes(closed: jax.extend.core.ClosedJaxpr) -> list[int]:
    """Bytes of the inputs and outputs of every step of a traced function."""
    sizes = []
    for equation in closed.jaxpr.eqns:
        arrays = [v.aval for v in (*equation.invars, *equation.outvars)]
        sizes.append(sum(math.prod(a.shape) * a.dtype.itemsize for a in arrays if a.shape))
        for inner in jax.tree.leaves(tuple(equation.params.values())):
            if isinstance(inner, jax.extend.core.ClosedJaxpr):
                sizes += _step_bytes(inner)
    return sizes
