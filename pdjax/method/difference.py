"""Prediction difference analysis as one pure function, for people who compile their own code."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp

from pdjax._checks import ArgumentValueError, check_key, check_sampler
from pdjax._types import Array, Float, Int, Key, Params, Sampler
from pdjax.classifier import NamedOutputs, activation_shapes, check_layers
from pdjax.method.evaluation import ENGINES
from pdjax.method.maps import Maps, relevance_maps
from pdjax.method.marginalize import marginalize
from pdjax.method.measures import Measure, find_measure
from pdjax.method.schemes import SCHEMES, Scheme
from pdjax.method.units import Readings, readouts
from pdjax.method.windows import WindowGrid

__all__ = ["prediction_difference"]


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
    classes: int | Sequence[int] | Int[Array, " classes"] | None = None,
    layers: Sequence[str] | None = None,
    probabilities: tuple[str, ...] = ("prob",),
    num_training_images: int | None = None,
    measure: str | Measure = "weight_of_evidence",
    engine: str = ENGINES[0],
    batch_size: int | None = None,
    lowerings: bool = True,
) -> Maps:
    """Relevance of every pixel for the outputs of any JAX function (Zintgraf et al., 2017).

    Pure: it may be compiled with ``jax.jit`` (``f`` and the settings bound with
    ``functools.partial``) and mapped over images or keys with ``jax.vmap``.

    Parameters
    ----------
    f : callable
        ``f(params, images (n, *spatial, c)) -> array (n, ...)`` or a dict of them by layer name.
        A bare array is called by the one name in ``probabilities``, or ``"output"``.
    params : PyTree of arrays
        Parameters of ``f``.
    image : float array, shape (*spatial, c)
        In pixel space, [0, 1].
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
        An int: so many highest-scoring classes. Otherwise their indices. All by default.
    layers : sequence of str, optional
        The layers to explain, of those that ``f`` returns; all by default.
    probabilities : tuple of str
        The layers that hold class probabilities; they are measured by ``measure``, all others by
        activation difference.
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

    Returns
    -------
    Maps
        ``relevance`` and ``standard_error`` of pixels, ``window_relevance`` and
        ``window_standard_error`` of windows, each ``{layer: float array (units, ...)}``.

    Raises
    ------
    ValueError
        If a setting is unknown, or the image, the window, the stride, the samples and the scheme
        of sampling do not fit each other.

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
    wanted = find_measure(measure)
    scheme = Scheme(sampling, num_samples)
    scheme.check_error(sampler)
    sampler.check(tuple(image.shape), num_samples)
    named = NamedOutputs.of(f, probabilities)
    shapes = activation_shapes(named, params, image.shape, image.dtype)
    layers = tuple(shapes) if layers is None else check_layers(layers, tuple(shapes))
    deciding = next((name for name in probabilities if name in shapes), list(shapes)[-1])
    num_classes = shapes[deciding].shape[-1]
    _check_classes(classes, num_classes)
    if classes is None:
        classes = jnp.arange(num_classes)
    elif isinstance(classes, int):
        scores = named(params, image[None], (deciding,))[deciding][0]
        classes = jax.lax.top_k(scores, classes)[1]
    reads = readouts(
        {layer: shapes[layer].shape[1:] for layer in layers},
        probabilities=probabilities,
        num_classes=num_classes,
        num_training_images=num_training_images,
        measure=wanted,
    )
    readings, inputs = Readings(named, reads), (params, jnp.asarray(classes, jnp.int32))
    moments = marginalize(
        readings,
        inputs,
        image,
        sampler,
        rng_key=rng_key,
        num_samples=num_samples,
        stride=stride,
        sampling=sampling,
        bias=readings.jackknife if bias_correction else None,
        engine=engine,
        batch_size=batch_size,
        lowerings=lowerings,
    )
    grid = WindowGrid(image.shape[:-1], sampler.window, stride)
    replicates = jnp.full(grid.size, scheme.replicates)
    return relevance_maps(readings(inputs, image[None]), moments, replicates, grid, reads)


def _check_classes(classes: object, num_classes: int) -> None:
    if isinstance(classes, int) and not 1 <= classes <= num_classes:
        raise ArgumentValueError(
            "classes",
            f"must be between 1 and {num_classes}, the number of classes",
            "put an index into a list to explain that one class",
            value=classes,
        )
    if isinstance(classes, Sequence) and any(not 0 <= c < num_classes for c in classes):
        raise ArgumentValueError(
            "classes", f"must be indices from 0 to {num_classes - 1}", value=classes
        )
