"""Mean and spread of a function over sampled contents of windows.

The one place that chunks, vmaps and shards. It knows nothing of networks or relevance: it takes a
function of images and gives, for every window, the mean and the variance of its outputs over
samples of that window. A window's random key is made from its index in the grid of stride 1, so
results do not depend on the chunk, on the number of devices, or on which windows are asked for.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from pdjax._typing import Array, Float, Function, Int, Key, Params, Sampler
from pdjax.evaluation import ENGINES, Evaluation, evaluate_at, prepare
from pdjax.local.grouping import map_in_groups
from pdjax.windows import WindowGrid

__all__ = ["Moments", "draw", "marginalize", "moments"]

MIN_IMAGES_PER_CALL = 64


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
    engine: str = ENGINES[0],
    batch_size: int | None = None,
    lowerings: bool = True,
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
    engine : {"local", "dense"}
        Whether only what a window can change is evaluated, or all of ``f``.
    batch_size : int, optional
        Perturbed images evaluated at once; by default what is predicted to be fastest.
    lowerings : bool
        Whether operations are put in the form that the device runs fastest.

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
    images = grid.size * num_samples
    evaluation = prepare(engine, f, params, image, grid.window, batch_size, images, lowerings)
    windows = windows_per_chunk(evaluation.batch_size, num_samples)

    def chunk(indices: jax.Array) -> Moments:
        return moments(evaluation, params, image, sampler, rng_key, indices, grid, num_samples)

    return map_in_groups(chunk, jnp.arange(grid.size), windows)


def moments(
    evaluation: Evaluation,
    params: Params,
    image: Float[Array, "*spatial c"],
    sampler: Sampler,
    rng_key: Key[Array, ""],
    indices: Int[Array, " windows"],
    grid: WindowGrid,
    num_samples: int,
) -> Moments:
    """Moments of the evaluated function for the windows with these indices in the grid."""
    origins, patches = draw(image, sampler, rng_key, indices, grid, num_samples)
    return summarise(evaluate_at(evaluation, params, origins, patches), num_samples)


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
