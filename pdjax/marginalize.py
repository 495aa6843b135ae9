"""Mean and spread of a function over sampled contents of windows.

The one place that chunks, vmaps and shards. It knows nothing of networks or relevance: it takes a
function of images and gives, for every window, the mean and the variance of its outputs over
samples of that window. A window's random key is made from its index in the grid of stride 1, so
results do not depend on the chunk, on the number of devices, or on which windows are asked for.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec

from pdjax._typing import Array, Float, Int, Key, Params, Sampler
from pdjax.windows import WindowGrid, paste

__all__ = ["Moments", "draw", "marginalize", "moments", "suggest_batch_size"]

MIN_IMAGES_PER_CALL = 64

Function = Callable[[Params, jax.Array], Any]


class Moments(NamedTuple):
    """Per window, over its samples; PyTrees like the function's output, with windows in front."""

    mean: Any
    variance: Any


def marginalize(
    f: Function,
    params: Params,
    image: Float[Array, "*spatial c"],
    sampler: Sampler,
    *,
    rng_key: Key[Array, ""],
    num_samples: int,
    stride: int | tuple[int, ...] = 1,
    batch_size: int | None = None,
) -> Moments:
    """Marginalise every window of an image out of a function: pure, for use under jit and vmap.

    Parameters
    ----------
    f : callable
        ``f(params, images (n, *spatial, c))`` -> PyTree of arrays ``(n, ...)``.
    params : PyTree of arrays
        Parameters of ``f``.
    image : float array, shape (*spatial, c)
        In pixel space, [0, 1].
    sampler : Sampler
        What could have been in a window; it has the window's size.
    rng_key : key
        Random key of the whole run.
    num_samples : int
        Samples per window.
    stride : int or tuple of int
        Pixels between neighbouring windows.
    batch_size : int, optional
        Perturbed images evaluated at once; by default what fits into a modest memory.

    Returns
    -------
    Moments
        ``mean`` and ``variance`` (unbiased; 0 for one sample) over samples, arrays
        ``(windows, ...)`` with windows in row-major order of their origins.

    Examples
    --------
    >>> import jax, jax.numpy as jnp, pdjax
    >>> image = jnp.ones((6, 6, 1))
    >>> result = marginalize(
    ...     lambda params, images: images.sum((1, 2, 3)), None, image,
    ...     pdjax.Constant(0.0, window=2), rng_key=jax.random.key(0), num_samples=1)
    >>> result.mean.shape, float(result.mean[0])
    ((25,), 32.0)
    """
    grid = WindowGrid(image.shape[:-1], sampler.window, stride)
    if batch_size is None:
        batch_size = suggest_batch_size(f, params, image)
    windows = min(windows_per_chunk(batch_size, num_samples), grid.size)
    chunks = -(-grid.size // windows)
    indices = jnp.minimum(jnp.arange(chunks * windows), grid.size - 1).reshape(chunks, windows)

    def chunk(indices: jax.Array) -> Moments:
        return moments(f, params, image, sampler, rng_key, indices, grid, num_samples, batch_size)

    stacked = jax.lax.map(chunk, indices)
    return jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:])[: grid.size], stacked)


def moments(
    f: Function,
    params: Params,
    image: Float[Array, "*spatial c"],
    sampler: Sampler,
    rng_key: Key[Array, ""],
    indices: Int[Array, " windows"],
    grid: WindowGrid,
    num_samples: int,
    batch_size: int,
) -> Moments:
    """Moments of ``f`` for the windows with these indices in the grid."""
    origins, patches = draw(image, sampler, rng_key, indices, grid, num_samples)
    pairs = (
        jnp.repeat(origins, num_samples, axis=0),
        patches.reshape(-1, *patches.shape[2:]),
    )

    def evaluate(pair: tuple[jax.Array, jax.Array]) -> Any:
        return f(params, jax.vmap(paste, (None, 0, 0))(image, pair[1], pair[0]))

    outputs = _in_batches(evaluate, pairs, len(indices) * num_samples, batch_size)
    return summarise(outputs, num_samples)


def draw(
    image: Float[Array, "*spatial c"],
    sampler: Sampler,
    rng_key: Key[Array, ""],
    indices: Int[Array, " windows"],
    grid: WindowGrid,
    num_samples: int,
) -> tuple[Int[Array, "windows d"], Float[Array, "windows samples ..."]]:
    """Origins and sampled contents of the windows with these indices in the grid."""
    origins = grid.origins(indices)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(rng_key, grid.key_indices(origins))
    sample = functools.partial(sampler.sample, num_samples=num_samples)
    return origins, jax.vmap(sample, (0, None, 0))(keys, image, origins)


def summarise(outputs: Any, num_samples: int) -> Moments:
    """Moments over samples of a PyTree of arrays ``(windows * num_samples, ...)``."""
    samples = jax.tree.map(lambda a: a.reshape(-1, num_samples, *a.shape[1:]), outputs)
    mean = jax.tree.map(lambda a: a.mean(1), samples)
    freedom = max(num_samples - 1, 1)
    variance = jax.tree.map(lambda a, m: jnp.square(a - m[:, None]).sum(1) / freedom, samples, mean)
    return Moments(mean, variance)


def windows_per_chunk(batch_size: int, num_samples: int) -> int:
    """Windows given to a device in one call, so that calls are few and memory is bounded."""
    return max(1, max(batch_size, MIN_IMAGES_PER_CALL) // num_samples)


def shard_over_devices(step: Callable[..., Moments], devices: int) -> Callable[..., Moments]:
    """Split the last argument of ``step``, an array of window indices, over the devices."""
    if devices == 1:
        return step
    mesh = jax.make_mesh((devices,), ("windows",), axis_types=(jax.sharding.AxisType.Auto,))
    whole, split = PartitionSpec(), PartitionSpec("windows")

    def sharded(*arguments: Any) -> Moments:
        specs = (whole,) * (len(arguments) - 1) + (split,)
        return jax.shard_map(step, mesh=mesh, in_specs=specs, out_specs=split, check_vma=False)(
            *arguments
        )

    return sharded


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


def _in_batches(evaluate: Callable[[Any], Any], pairs: Any, count: int, batch_size: int) -> Any:
    """Apply ``evaluate`` to at most ``batch_size`` perturbed images at a time, evenly shared."""
    batches = -(-count // batch_size)
    if batches == 1:
        return evaluate(pairs)
    each = -(-count // batches)
    take = jnp.minimum(jnp.arange(batches * each), count - 1).reshape(batches, each)
    outputs = jax.lax.map(lambda rows: evaluate(jax.tree.map(lambda a: a[rows], pairs)), take)
    return jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:])[:count], outputs)
