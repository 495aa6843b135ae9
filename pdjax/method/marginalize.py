"""Mean and spread of a function over sampled contents of windows.

The one place that chunks, vmaps and shards. It knows nothing of networks or relevance: it takes a
function of images and gives, for every window, the mean and the variance of its outputs over
samples of that window. Samples that belong together (see `pdjax.sampling`) count as one replicate,
their mean. A window's random key is made from its index in the grid of stride 1, so results do not
depend on the chunk, on the number of devices, or on which windows are asked for.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec

from pdjax._bounds import AUTO, Asked, check_range
from pdjax._checks import ArgumentTypeError, check_key, check_sampler
from pdjax._precision import PRECISIONS, AtPrecision
from pdjax._types import Array, Float, Function, Int, Key, Params, Sampler
from pdjax.local.evaluating import map_in_groups
from pdjax.method.channels import (
    Channels,
    check_channels,
    in_channels,
    joined_by_channel,
    split_by_channel,
)
from pdjax.method.evaluation import ENGINES, Engine, Evaluation, evaluate_at
from pdjax.method.regions import RegionGrid
from pdjax.method.schemes import SCHEMES, Scheme
from pdjax.method.where import Part, check_where
from pdjax.method.windows import WindowGrid, crop

__all__ = [
    "Bias",
    "Design",
    "Moments",
    "draw",
    "evaluated",
    "first_draws",
    "marginalize",
    "moments",
    "moments_of_windows",
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
    own : PyTree or None
        Like the function's output, for the window's own contents; None where it was not asked for.
    shared : PyTree or None
        Where windows have their samples in common, the replicates less their mean, arrays
        ``(windows, replicates, ...)``: what the errors of several windows together follow from.
    """

    mean: Any
    variance: Any
    bias: Mapping[str, jax.Array]
    own: Any = None
    shared: Any = None


@dataclasses.dataclass(frozen=True)
class Design:
    """Which windows there are, what is drawn for each, and what is made of it: static, hashable.

    Attributes
    ----------
    grid : WindowGrid or RegionGrid
        All windows; `draw` is for windows alone.
    scheme : Scheme
        The samples of one draw of a window, and how they go together.
    bias : callable or None
        What is estimated beside mean and variance.
    channels : tuple of int or None
        The channels that are hidden one at a time; None hides all of a window at once.
    own : bool
        Whether a window is evaluated with its own contents as well, before the others.
    shared : bool
        Whether sample s of every window goes with sample s of all others; see `has_shared_samples`.
    """

    grid: WindowGrid | RegionGrid
    scheme: Scheme
    bias: Bias | None = None
    channels: Channels = None
    own: bool = False
    shared: bool = False

    @property
    def images_per_draw(self) -> int:
        """Images that are evaluated in a draw of one window."""
        return self.scheme.num_samples * len(self.channels or (0,)) + self.own

    def windows_at_once(self, batch_size: int) -> int:
        """Windows given to a device in one call, so that calls are few and memory is bounded."""
        return max(1, max(batch_size, MIN_IMAGES_PER_CALL) // self.images_per_draw)


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
    precision: str = PRECISIONS[0],
    bounds: Asked = AUTO,
    where: Part | None = None,
    channels: int | Sequence[int] | np.ndarray | jax.Array | None = None,
) -> Moments:
    """Marginalise every window of an image out of a function: pure, for use under jit and vmap.

    Parameters
    ----------
    f : callable
        ``f(params, images (n, *spatial, c))`` -> PyTree of arrays ``(n, ...)``.
    params : PyTree of arrays
        Parameters of ``f``.
    image : float array, shape (*spatial, c)
        Within ``bounds``; a photograph is RGB in [0, 1].
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
    precision : {"highest", "high", "default"}
        Of the products of ``f``, as for `prediction_difference`.
    bounds : (float, float), None or "auto"
        Range of the values of the image, as for `prediction_difference`.
    where : bool array (*spatial), or tuple of slices, optional
        Only windows that touch this part of the image, those of `WindowGrid.touching`; known
        before JAX compiles.
    channels : int or sequence of int, optional
        Hide these channels of a window, one at a time. Of several, ``f`` must return a dict, and
        its keys carry the channel: ``"prob[channel 3]"``.

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
    check_range(image, bounds, sampler)
    scheme = Scheme(sampling, num_samples)
    scheme.check(sampler)
    sampler.check(tuple(image.shape), num_samples)
    grid = WindowGrid(image.shape[:-1], sampler.window, stride)
    design = Design(grid, scheme, bias, check_channels(channels, image.shape[-1]))
    windows = np.arange(grid.size)
    if where is not None:
        windows = grid.touching(check_where(where, grid.spatial))
    how, f = Engine(engine, batch_size, lowerings), AtPrecision(f, precision)
    return moments_of_windows(f, params, image, sampler, rng_key, design, how, windows)


def moments_of_windows(
    f: Function,
    params: Params,
    image: Float[Array, "*spatial c"],
    sampler: Sampler,
    rng_key: Key[Array, ""],
    design: Design,
    how: Engine,
    windows: np.ndarray,
) -> Moments:
    """Do what `marginalize` does for the windows of these indices; all is checked already."""
    images = len(windows) * design.images_per_draw
    evaluation = how.prepare(f, params, image, design.grid.window, images)

    def chunk(draws: jax.Array) -> Moments:
        return moments(evaluation, params, image, sampler, rng_key, draws, design)

    return map_in_groups(chunk, first_draws(windows), design.windows_at_once(evaluation.batch_size))


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
    return evaluated(evaluation, params, image, origins, patches, design)


def evaluated(
    evaluation: Evaluation,
    params: Params,
    image: Float[Array, "*spatial c"],
    origins: Int[Array, "windows d"],
    patches: Float[Array, "windows samples ..."],
    design: Design,
) -> Moments:
    """Moments of the evaluated function for contents that have been drawn."""
    if design.own:
        own = jax.vmap(crop, (None, 0, None))(image, origins, design.grid.window)
        patches = jnp.concatenate([own[:, None], patches], axis=1)
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
    if not isinstance(grid, WindowGrid):
        raise TypeError("regions are drawn on the host")
    origins = grid.origins(draws[:, 0])

    def sample(index: jax.Array, before: jax.Array, origin: jax.Array) -> jax.Array:
        first = jax.random.fold_in(rng_key, index)
        key = jnp.where(before == 0, first, jax.random.fold_in(first, before))
        return design.scheme.sample(sampler, key, image, origin)

    patches = jax.vmap(sample)(grid.key_indices(origins), draws[:, 1], origins)
    if design.channels is not None:
        own = jax.vmap(crop, (None, 0, None))(image, origins, grid.window)
        patches = in_channels(patches, own, design.channels)
    return origins, patches


def summarise(outputs: Any, design: Design) -> Moments:
    """Moments over replicates of a PyTree of arrays ``(windows * images_per_draw, ...)``.

    Windows come first, then channels, then samples; before these, a window's own contents.
    """
    if design.own:
        count = design.images_per_draw
        by_window = jax.tree.map(lambda a: a.reshape(-1, count, *a.shape[1:]), outputs)
        rest = jax.tree.map(lambda a: a[:, 1:].reshape(-1, *a.shape[2:]), by_window)
        own = jax.tree.map(lambda a: a[:, 0], by_window)
        return summarise(rest, dataclasses.replace(design, own=False))._replace(own=own)
    if design.channels is None or len(design.channels) == 1:
        return _summarise(outputs, design)
    split = split_by_channel(outputs, design.channels, design.scheme.num_samples)
    if not isinstance(outputs, Mapping):
        raise ArgumentTypeError(
            "f",
            "must return a dict where there are several channels",
            "its keys are what the channel is added to",
        )
    parts = [_summarise(each, design) for each in split]
    fields: list[Any] = [
        None if each[0] is None else joined_by_channel(each, design.channels)
        for each in zip(*parts, strict=True)
    ]
    return Moments(*fields)


def _summarise(outputs: Any, design: Design) -> Moments:
    scheme = design.scheme
    groups = (scheme.replicates, scheme.num_samples // scheme.replicates)
    replicates = jax.tree.map(lambda a: a.reshape(-1, *groups, *a.shape[1:]).mean(2), outputs)
    mean = jax.tree.map(lambda a: a.mean(1), replicates)
    freedom = max(scheme.replicates - 1, 1)
    variance = jax.tree.map(
        lambda a, m: jnp.square(a - m[:, None]).sum(1) / freedom, replicates, mean
    )
    bias = {} if design.bias is None else design.bias(replicates)
    apart = jax.tree.map(lambda a, m: a - m[:, None], replicates, mean) if design.shared else None
    return Moments(mean, variance, bias, shared=apart)


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
