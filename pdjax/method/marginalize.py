"""Mean and spread of a function over sampled contents of windows.

The one place that chunks, vmaps and shards. It knows nothing of networks or relevance: it takes a
function of images and gives, for every window, the mean and the variance of its outputs over
samples of that window. Samples that belong together (see `pdjax.sampling`) count as one replicate,
their mean. A window's random key is made from its index in the grid of stride 1, so results do not
depend on the chunk, on the number of devices, or on which windows are asked for.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec

from pdjax._checks import check_image, check_key, check_sampler, concrete
from pdjax._types import Array, Float, Function, Int, Key, Params, Sampler
from pdjax.local.evaluating import map_in_groups
from pdjax.method.evaluation import ENGINES, Engine, Evaluation, evaluate_at
from pdjax.method.schemes import SCHEMES, Scheme
from pdjax.method.windows import WindowGrid

__all__ = [
    "Bias",
    "Design",
    "Moments",
    "draw",
    "first_draws",
    "marginalize",
    "moments",
    "shard_over_devices",
    "summarise",
]

MIN_IMAGES_PER_CALL = 64


Bias = Callable[[Any], Mapping[str, jax.Array]]
"""A pure function of the replicates, a PyTree like the output of arrays ``(windows, replicates,
...)``, that estimates the bias of what will be made of their mean: arrays ``(windows, ...)``."""


class Moments(NamedTuple):
    """Per window, over its replicates; PyTrees of arrays with windows in front.

    Attributes
    ----------
    mean, variance : PyTree
        Like the function's output; the variance is unbiased, and 0 for one replicate.
    bias : mapping
        What the given function estimates; empty without one.
    """

    mean: Any
    variance: Any
    bias: Mapping[str, jax.Array]


@dataclasses.dataclass(frozen=True)
class Design:
    """Which windows there are, what is drawn for each, and what is made of it: static, hashable.

    Attributes
    ----------
    grid : WindowGrid
        All windows.
    scheme : Scheme
        The samples of one draw of a window, and how they go together.
    bias : callable or None
        What is estimated beside mean and variance.
    """

    grid: WindowGrid
    scheme: Scheme
    bias: Bias | None = None

    def windows_at_once(self, batch_size: int) -> int:
        """Windows given to a device in one call, so that calls are few and memory is bounded."""
        return max(1, max(batch_size, MIN_IMAGES_PER_CALL) // self.scheme.num_samples)


def marginalize(
    f: Function,
    params: Params,
    image: Float[Array, "*spatial c"],
    sampler: Sampler,
    *,
    rng_key: Key[Array, ""],
    num_samples: int,
    stride: int | tuple[int, ...] = 1,
    sampling: str = SCHEMES[0],
    bias: Bias | None = None,
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
    sampling : {"independent", "sobol", "antithetic"}
        How samples of one window go together; see `pdjax.sampling.Scheme`.
    bias : callable, optional
        Estimates the bias of what will be made of the mean, from the replicates. Hashable.
    engine : {"local", "dense"}
        Whether only what a window can change is evaluated, or all of ``f``.
    batch_size : int, optional
        Perturbed images evaluated at once; by default what is predicted to be fastest.
    lowerings : bool
        Whether operations are put in the form that the device runs fastest.

    Returns
    -------
    Moments
        ``mean`` and ``variance`` (unbiased; 0 for one replicate) over replicates, arrays
        ``(windows, ...)`` with windows in row-major order of their origins. The square of the
        mean's standard error is the variance over ``Scheme(sampling, num_samples).replicates``.

    Raises
    ------
    ValueError
        If the scheme is unknown, or does not fit the number of samples or the sampler, or the image
        has other values.

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
    check_sampler(sampler)
    check_key(rng_key)
    if concrete(image):
        check_image(image)
    how = Engine(engine, batch_size, lowerings)
    scheme = Scheme(sampling, num_samples)
    scheme.check(sampler)
    sampler.check(tuple(image.shape), num_samples)
    grid = WindowGrid(image.shape[:-1], sampler.window, stride)
    design = Design(grid, scheme, bias)
    evaluation = how.prepare(f, params, image, grid.window, grid.size * num_samples)

    def chunk(draws: jax.Array) -> Moments:
        return moments(evaluation, params, image, sampler, rng_key, draws, design)

    every_window = first_draws(np.arange(grid.size))
    return map_in_groups(chunk, every_window, design.windows_at_once(evaluation.batch_size))


def first_draws(windows: np.ndarray) -> Int[Array, "windows 2"]:
    """Return what `moments` takes for the first draw of windows: indices, and zeros."""
    return jnp.asarray(np.stack([windows, np.zeros_like(windows)], axis=1), jnp.int32)


def moments(
    evaluation: Evaluation,
    params: Params,
    image: Float[Array, "*spatial c"],
    sampler: Sampler,
    rng_key: Key[Array, ""],
    draws: Int[Array, "windows 2"],
    design: Design,
) -> Moments:
    """Moments of the evaluated function for some draws of windows.

    A row of ``draws`` has the index of a window in the grid, and how often samples have been drawn
    for it before: each draw has samples of its own.
    """
    origins, patches = draw(image, sampler, rng_key, draws, design)
    return summarise(evaluate_at(evaluation, params, origins, patches), design)


def draw(
    image: Float[Array, "*spatial c"],
    sampler: Sampler,
    rng_key: Key[Array, ""],
    draws: Int[Array, "windows 2"],
    design: Design,
) -> tuple[Int[Array, "windows d"], Float[Array, "windows samples ..."]]:
    """Origins and sampled contents of windows, for `moments`."""
    grid = design.grid
    origins = grid.origins(draws[:, 0])

    def sample(index: jax.Array, before: jax.Array, origin: jax.Array) -> jax.Array:
        first = jax.random.fold_in(rng_key, index)
        key = jnp.where(before == 0, first, jax.random.fold_in(first, before))
        return design.scheme.sample(sampler, key, image, origin)

    return origins, jax.vmap(sample)(grid.key_indices(origins), draws[:, 1], origins)


def summarise(outputs: Any, design: Design) -> Moments:
    """Moments over replicates of a PyTree of arrays ``(windows * num_samples, ...)``."""
    scheme = design.scheme
    groups = (scheme.replicates, scheme.num_samples // scheme.replicates)
    replicates = jax.tree.map(lambda a: a.reshape(-1, *groups, *a.shape[1:]).mean(2), outputs)
    mean = jax.tree.map(lambda a: a.mean(1), replicates)
    freedom = max(scheme.replicates - 1, 1)
    variance = jax.tree.map(
        lambda a, m: jnp.square(a - m[:, None]).sum(1) / freedom, replicates, mean
    )
    return Moments(mean, variance, {} if design.bias is None else design.bias(replicates))


def shard_over_devices(step: Callable[..., Moments], devices: int) -> Callable[..., Moments]:
    """Split the last argument of ``step``, an array of draws, over the devices."""
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
