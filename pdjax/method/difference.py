"""Prediction difference analysis as one pure function, for people who compile their own code."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from pdjax._bounds import AUTO, Asked, check_range
from pdjax._checks import (
    ArgumentTypeError,
    ArgumentValueError,
    check_key,
    check_sampler,
    concrete,
    is_integer,
)
from pdjax._functions import NamedOutputs, activation_shapes
from pdjax._outputs import bare_name, heads_of
from pdjax._precision import PRECISIONS, AtPrecision, cancels
from pdjax._types import Array, Float, Int, Key, Params, Sampler, has_shared_samples
from pdjax.classifier import check_layers
from pdjax.method.channels import check_channels, named_by_channel
from pdjax.method.evaluation import ENGINES, Engine
from pdjax.method.maps import Maps, relevance_maps
from pdjax.method.marginalize import Design, moments_of_windows
from pdjax.method.measures import Measure, find_measure
from pdjax.method.reference import check_reference, reference_pass, sound, warn_of_rounding
from pdjax.method.schemes import SCHEMES, Scheme
from pdjax.method.units import Readings, readouts, readouts_by_channel
from pdjax.method.where import Part, check_where
from pdjax.method.windows import WindowGrid, check_windows

__all__ = ["prediction_difference"]

Classes = int | np.integer | Sequence[int] | Int[Array | np.ndarray, " classes"] | None
"""So many of the highest-scoring classes, or indices, or all."""


def prediction_difference(
    f: Callable[[Params, jax.Array], jax.Array | Mapping[str, jax.Array]],
    params: Params,
    image: Float[Array, "*spatial c"],
    sampler: Sampler,
    *,
    rng_key: Key[Array, ""],
    num_samples: int = 10,
    stride: int | tuple[int, ...] = 1,
    sampling: str = SCHEMES[0],
    bias_correction: bool = True,
    classes: Classes = None,
    layers: Sequence[str] | None = None,
    outputs: str | Mapping[str, str] | None = None,
    probabilities: tuple[str, ...] = ("prob",),
    num_training_images: int | None = None,
    measure: str | Measure = "weight_of_evidence",
    engine: str = ENGINES[0],
    batch_size: int | None = None,
    lowerings: bool = True,
    precision: str = PRECISIONS[0],
    bounds: Asked = AUTO,
    where: Part | None = None,
    channels: int | Sequence[int] | np.ndarray | jax.Array | None = None,
) -> Maps:
    """Relevance of every pixel for the outputs of any JAX function (Zintgraf et al., 2017).

    Pure: it may be compiled with ``jax.jit`` (``f`` and the settings bound with
    ``functools.partial``) and mapped over images or keys with ``jax.vmap``.

    Parameters
    ----------
    f : callable
        ``f(params, images (n, *spatial, c)) -> array (n, ...)`` or a dict of them by layer name.
        A bare array is called ``"prob"``, or ``"output"`` where it holds values, or by the one name
        in ``outputs`` or ``probabilities``.
    params : PyTree
        Parameters of ``f``; leaves that are no arrays are handed to it as they are.
    image : float array, shape (*spatial, c)
        Within ``bounds``; a photograph is RGB in [0, 1].
    sampler : Sampler
        What could have been in a window.
    rng_key : key
        Random key of the run.
    num_samples : int
        Samples per window: at least 2, unless all samples of the sampler are the same.
    stride : int or tuple of int
        Pixels between neighbouring windows, at most the window.
    sampling : {"independent", "sobol", "antithetic"}
        How the samples of a window go together; see `pdjax.sampling.Scheme`.
    bias_correction : bool
        Whether relevance in bits is corrected for the bias of a logarithm of few samples; see
        `pdjax.bias.Jackknife`.
    classes : int, sequence or array of int, optional
        An int: so many highest-scoring classes. Otherwise their indices. All by default. They are
        those of each output layer by itself.
    layers : sequence of str, optional
        The layers to explain, of those that ``f`` returns; all by default.
    outputs : str or mapping of str to str, optional
        What the output, or each output layer, holds: ``"softmax"``, ``"logits"``, ``"sigmoid"``,
        ``"sigmoid_logits"`` or ``"values"``; see `pdjax.Classifier.from_function`. Probabilities
        are measured by ``measure``, everything else by activation difference.
    probabilities : tuple of str
        Where ``outputs`` is left out: the layers that hold a softmax.
    num_training_images : int, optional
        N of Laplace's correction; None switches it off.
    measure : {"weight_of_evidence", "probability_difference", "information_difference"} or Measure
        The measure for probabilities.
    engine : {"local", "dense"}
        Whether only what a window can change is evaluated (see `pdjax.local`), or all of ``f``;
        the same numbers up to rounding.
    batch_size : int, optional
        Perturbed images evaluated at once, at most; by default what is predicted to be fastest.
    lowerings : bool
        Whether operations are put in the form that the device runs fastest.
    precision : {"highest", "high", "default"}
        Of the products of ``f``, wherever it does not ask for one itself: in float32; on TPUs of
        three bfloat16 parts and on GPUs in TF32; as the device is fastest, in bfloat16 on TPUs and
        in TF32 on GPUs. With the latter two, windows are compared with what the same program gives
        for their own contents, one more pass for each, so that rounding cancels.
    bounds : (float, float), None or "auto"
        Range of the values of the image, None being any; by default that of the sampler (what its
        statistics were fitted with) or, where that says nothing, [0, 1]. Values are checked where
        they are known, as they are not while JAX compiles.
    where : bool array (*spatial), or tuple of slices, optional
        Explain this part of the image alone: only windows that touch it are evaluated, and
        relevance is NaN elsewhere. Known before JAX compiles: bind it with ``functools.partial``.
    channels : int or sequence of int, optional
        Hide these channels of a window, one at a time, instead of all at once. Of several, there is
        a map for each: ``relevance["prob[channel 3]"]``.

    Returns
    -------
    Maps
        ``relevance`` and ``standard_error`` of pixels, ``window_relevance`` and
        ``window_standard_error`` of windows, each ``{layer: float array (units, ...)}``.
        Under ``jax.jit`` and ``jax.vmap``, where values cannot be looked at, those that would be
        refused otherwise give NaN.

    Raises
    ------
    ValueError, TypeError
        If a setting is unknown, the image, the window, the stride, the samples and the scheme
        of sampling do not fit each other, or ``f`` returns NaN, what its outputs are not said to
        hold, or something else each time.

    Examples
    --------
    >>> import functools, jax, jax.numpy as jnp, pdjax
    >>> def f(params, images):
    ...     return jax.nn.softmax(images.mean((1, 2)) @ params)
    >>> explain = jax.jit(functools.partial(
    ...     pdjax.prediction_difference, f, num_samples=1, stride=2))
    >>> image = jnp.zeros((8, 8, 3)).at[2:4, 2:4, 0].set(1.0)
    >>> maps = explain(jnp.eye(3) * 9.0, image, pdjax.Constant(0.0, window=2),
    ...                rng_key=jax.random.key(0))
    >>> maps.relevance["prob"].shape
    (3, 8, 8)
    >>> bool(maps.relevance["prob"][0, 2, 2] > 0)
    True
    """
    check_sampler(sampler)
    check_key(rng_key)
    check_range(image, bounds, sampler)
    image = jnp.asarray(image)
    wanted = find_measure(measure)
    scheme = Scheme(sampling, num_samples)
    scheme.check(sampler)
    scheme.check_error(sampler)
    sampler.check(tuple(image.shape), num_samples)
    network, params = NamedOutputs.of(f, bare_name(outputs, probabilities), params)
    named = AtPrecision(network, precision)
    shapes = activation_shapes(named, params, image.shape, image.dtype)
    known = tuple(layer for layer in probabilities if layer in shapes)
    heads = heads_of(shapes, outputs, known)
    layers = tuple(shapes) if layers is None else check_layers(layers, tuple(shapes))
    reads = readouts(
        {layer: shapes[layer] for layer in layers},
        heads=heads,
        num_training_images=num_training_images,
        measure=wanted,
    )
    tried = reference_pass(named, params, image, layers)
    if concrete(tried):
        check_reference(tried, heads)
    undisturbed = {layer: values[0, :1] for layer, values in tried.items()}
    chosen = {layer: _chosen(classes, undisturbed[layer][0]) for layer in layers if layer in heads}
    readings, inputs = Readings(named, reads), (params, chosen)
    hidden = check_channels(channels, image.shape[-1])
    grid = WindowGrid(image.shape[:-1], sampler.window, stride)
    check_windows(sampler, grid)
    part = None if where is None else check_where(where, grid.spatial)
    windows = np.arange(grid.size) if part is None else grid.touching(part)
    bias = readings.jackknife if bias_correction else None
    shared = has_shared_samples(sampler)
    design = Design(grid, scheme, bias, hidden, own=cancels(precision), shared=shared)
    how = Engine(engine, batch_size, lowerings)
    moments = moments_of_windows(readings, inputs, image, sampler, rng_key, design, how, windows)
    reads = readouts_by_channel(reads, hidden)
    own = moments.own if design.own else readings.reduce(undisturbed, chosen)
    reference = named_by_channel(own, hidden)
    if concrete((reference, moments.mean)):
        warn_of_rounding(reads, reference, moments.mean)
    replicates = jnp.full(grid.size, scheme.replicates)
    if part is not None:

        def placed(values: jax.Array) -> jax.Array:
            everywhere = jnp.zeros((grid.size, *values.shape[1:]), values.dtype)
            return everywhere.at[windows].set(values)

        moments = jax.tree.map(placed, moments)
        reference = jax.tree.map(placed, reference) if design.own else reference
        replicates = jnp.zeros_like(replicates).at[windows].set(scheme.replicates)
    pixels = None if part is None else jnp.asarray(part)
    maps = relevance_maps(reference, moments, replicates, grid, reads, pixels)
    if concrete(tried):
        return maps
    fine = named_by_channel(sound(tried, heads), hidden)
    return Maps(
        *(
            {layer: jnp.where(fine[layer], values, jnp.nan) for layer, values in each.items()}
            for each in maps
        )
    )


def _chosen(classes: Classes, scores: Float[Array, " k"]) -> Int[Array, " classes"]:
    """Return the indices of the classes of one layer, checked where they are no tracers."""
    count = len(scores)
    if classes is None:
        return jnp.arange(count)
    if not concrete(classes):
        _check_indices(jnp.asarray(classes))
        return jnp.asarray(classes, jnp.int32)
    if is_integer(classes):
        if not 1 <= classes <= count:
            raise ArgumentValueError(
                "classes",
                f"must be between 1 and {count}, the number of classes",
                "put an index into a list to explain that one class",
                value=classes,
            )
        return jax.lax.top_k(scores, int(classes))[1]
    indices = np.asarray(classes)
    _check_indices(indices)
    if indices.min() < 0 or indices.max() >= count:
        raise ArgumentValueError("classes", f"must be indices from 0 to {count - 1}", value=classes)
    return jnp.asarray(indices, jnp.int32)


def _check_indices(indices: Int[Array | np.ndarray, " classes"]) -> None:
    """Raise where an array, which may be traced, is of no indices."""
    if indices.dtype.kind not in "iu" or indices.ndim != 1 or indices.size == 0:
        raise ArgumentTypeError(
            "classes",
            f"of dtype {indices.dtype} and shape {indices.shape} must be an int, or indices of "
            "classes in one row, at least one",
            "bind an int with functools.partial before jax.jit",
        )
