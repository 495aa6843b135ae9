"""Engines: moments of a chunk of windows, evaluated one way or another.

An engine is a function from window indices to `Moments`; everything else is bound when it is
made. Each compiles once, whatever the number of windows.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pdjax._typing import Array, Float, Key, Sampler
from pdjax.marginalize import Moments, draw, moments, shard_over_devices, summarise
from pdjax.observe import Observe
from pdjax.windows import WindowGrid, paste

__all__ = ["Engine", "callable_engine", "dense_engine"]

Engine = Callable[[np.ndarray], Moments]


def dense_engine(
    observe: Observe,
    inputs: Any,
    image: Float[Array, "*spatial c"],
    sampler: Sampler,
    rng_key: Key[Array, ""],
    grid: WindowGrid,
    num_samples: int,
    batch_size: int,
    devices: int,
) -> Engine:
    """Run the whole network on every perturbed image, on all devices."""

    def engine(indices: np.ndarray) -> Moments:
        return _dense(
            observe, grid, num_samples, batch_size, devices,
            inputs, image, sampler, rng_key, jnp.asarray(indices, jnp.int32),
        )  # fmt: skip

    return engine


def callable_engine(
    observe: Observe,
    inputs: Any,
    image: Float[Array, "*spatial c"],
    sampler: Sampler,
    rng_key: Key[Array, ""],
    grid: WindowGrid,
    num_samples: int,
    batch_size: int,
    devices: int = 1,
) -> Engine:
    """Sample in JAX, and hand batches of perturbed images to a plain Python callable as NumPy."""
    del devices  # sampling is a small part of the work
    params, classes = inputs

    def evaluate(images: np.ndarray) -> Any:
        outputs = observe.predict(params, images, observe.layers)
        arrays = {layer: jnp.asarray(np.asarray(a), image.dtype) for layer, a in outputs.items()}
        return observe.reduce(arrays, classes)

    def engine(indices: np.ndarray) -> Moments:
        images = _perturbed(
            grid, num_samples, image, sampler, rng_key, jnp.asarray(indices, jnp.int32)
        )
        batches = [images[i : i + batch_size] for i in range(0, len(images), batch_size)]
        outputs = [evaluate(np.asarray(batch)) for batch in batches]
        joined = jax.tree.map(lambda *parts: jnp.concatenate(parts), *outputs)
        return summarise(joined, num_samples)

    return engine


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3, 4))
def _dense(
    observe: Observe,
    grid: WindowGrid,
    num_samples: int,
    batch_size: int,
    devices: int,
    inputs: Any,
    image: jax.Array,
    sampler: Sampler,
    rng_key: jax.Array,
    indices: jax.Array,
) -> Moments:
    def step(inputs: Any, image: Any, sampler: Any, rng_key: Any, indices: Any) -> Moments:
        return moments(
            observe, inputs, image, sampler, rng_key, indices, grid, num_samples, batch_size
        )

    return shard_over_devices(step, devices)(inputs, image, sampler, rng_key, indices)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _perturbed(
    grid: WindowGrid,
    num_samples: int,
    image: jax.Array,
    sampler: Sampler,
    rng_key: jax.Array,
    indices: jax.Array,
) -> jax.Array:
    origins, patches = draw(image, sampler, rng_key, indices, grid, num_samples)
    pasted = jax.vmap(jax.vmap(paste, (None, 0, None)), (None, 0, 0))(image, patches, origins)
    return pasted.reshape(-1, *image.shape)
