"""Engines: moments of a chunk of windows, evaluated one way or another.

Everything but the windows is bound when an engine is made. Each compiles once, whatever the number
of windows.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pdjax._types import Array, Float, Key, Sampler
from pdjax.method.evaluation import Evaluation, prepare
from pdjax.method.maps import Observe
from pdjax.method.marginalize import (
    Bias,
    Moments,
    draw,
    moments,
    shard_over_devices,
    summarise,
    windows_per_chunk,
)
from pdjax.method.schemes import Scheme
from pdjax.method.windows import WindowGrid, paste

__all__ = ["Engine", "callable_engine", "jax_engine"]

CALLABLE_BATCH_SIZE = 32


class Engine(NamedTuple):
    """How windows become moments.

    Attributes
    ----------
    run : callable
        From draws of windows, ints ``(n, 2)`` as `moments` takes them, to `Moments`.
    draws : int
        Draws that are best given to it in one call.
    """

    run: Callable[[np.ndarray], Moments]
    draws: int


def jax_engine(
    engine: str,
    observe: Observe,
    inputs: Any,
    image: Float[Array, "*spatial c"],
    sampler: Sampler,
    rng_key: Key[Array, ""],
    grid: WindowGrid,
    scheme: Scheme,
    bias: Bias | None,
    batch_size: int | None,
    lowerings: bool,
) -> Engine:
    """Evaluate a network written in JAX, on all devices."""
    devices = jax.local_device_count()
    images = grid.size * scheme.num_samples
    evaluation = prepare(engine, observe, inputs, image, grid.window, batch_size, images, lowerings)

    def run(draws: np.ndarray) -> Moments:
        return _moments(
            grid, scheme, bias, devices,
            evaluation, inputs, image, sampler, rng_key, jnp.asarray(draws, jnp.int32),
        )  # fmt: skip

    return Engine(run, devices * windows_per_chunk(evaluation.batch_size, scheme.num_samples))


def callable_engine(
    observe: Observe,
    inputs: Any,
    image: Float[Array, "*spatial c"],
    sampler: Sampler,
    rng_key: Key[Array, ""],
    grid: WindowGrid,
    scheme: Scheme,
    bias: Bias | None,
    batch_size: int | None,
) -> Engine:
    """Sample in JAX, and hand batches of perturbed images to a plain Python callable as NumPy."""
    params, classes = inputs
    at_once = batch_size or CALLABLE_BATCH_SIZE

    def evaluate(images: np.ndarray) -> Any:
        outputs = observe.predict(params, images, observe.layers)
        arrays = {layer: jnp.asarray(np.asarray(a), image.dtype) for layer, a in outputs.items()}
        return observe.reduce(arrays, classes)

    def run(draws: np.ndarray) -> Moments:
        images = _perturbed(grid, scheme, image, sampler, rng_key, jnp.asarray(draws, jnp.int32))
        batches = [images[i : i + at_once] for i in range(0, len(images), at_once)]
        outputs = [evaluate(np.asarray(batch)) for batch in batches]
        joined = jax.tree.map(lambda *parts: jnp.concatenate(parts), *outputs)
        return summarise(joined, scheme, bias)

    return Engine(run, windows_per_chunk(at_once, scheme.num_samples))


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _moments(
    grid: WindowGrid,
    scheme: Scheme,
    bias: Bias | None,
    devices: int,
    evaluation: Evaluation,
    inputs: Any,
    image: jax.Array,
    sampler: Sampler,
    rng_key: jax.Array,
    draws: jax.Array,
) -> Moments:
    step = functools.partial(moments, grid=grid, scheme=scheme, bias=bias)
    return shard_over_devices(step, devices)(evaluation, inputs, image, sampler, rng_key, draws)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _perturbed(
    grid: WindowGrid,
    scheme: Scheme,
    image: jax.Array,
    sampler: Sampler,
    rng_key: jax.Array,
    draws: jax.Array,
) -> jax.Array:
    origins, patches = draw(image, sampler, rng_key, draws, grid, scheme)
    pasted = jax.vmap(jax.vmap(paste, (None, 0, None)), (None, 0, 0))(image, patches, origins)
    return pasted.reshape(-1, *image.shape)
