"""What a network gives for the image as it is, and whether that follows from the image alone."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pdjax._checks import ArgumentValueError
from pdjax._functions import at_least_float32
from pdjax._outputs import SLACK, Head, check_head
from pdjax._types import Array, Float, Params, Predict
from pdjax.method.units import Readout

__all__ = ["check_reference", "pairs", "reference_pass", "sound", "warn_of_rounding"]


def pairs(image: Float[Array | np.ndarray, "*spatial c"]) -> Float[Array | np.ndarray, "2 2 ..."]:
    """Return two batches of two images: the image twice, and the image with another one.

    A network that is a function of each image alone gives the same for all three. Batch norm in
    training mode does not, as another image changes its statistics; nor does what draws random
    numbers for every row, or for every call.
    """
    turned = image[(slice(None, None, -1),) * (image.ndim - 1)] * 0.5
    numpy = jnp if isinstance(image, jax.Array) else np
    return numpy.stack([numpy.stack([image, image]), numpy.stack([image, turned])])


def reference_pass(
    predict: Predict,
    params: Params,
    image: Float[Array, "*spatial c"],
    layers: tuple[str, ...],
) -> dict[str, Float[Array, "2 2 ..."]]:
    """Run a network on `pairs` of an image: pure. Row ``[0, 0]`` is the reference."""
    return jax.lax.map(lambda images: predict(params, images, layers), pairs(image))


def sound(
    outputs: Mapping[str, Float[Array, "2 2 ..."]], heads: Mapping[str, Head]
) -> dict[str, Array]:
    """Whether each layer holds what it is said to, and follows from the image alone: bools.

    For traced outputs, of which nothing can be said in words; see `check_reference`.
    """
    found = {}
    for layer, values in outputs.items():
        kind = heads[layer].kind if layer in heads else None
        reference = at_least_float32(values[0, 0])
        fine = _unlike(values) <= 1
        if kind == "softmax":
            fine &= (jnp.abs(reference.sum(-1) - 1) <= SLACK) & (reference.min() >= 0)
        if kind == "sigmoid":
            fine &= (reference.min() >= -SLACK) & (reference.max() <= 1 + SLACK)
        found[layer] = fine
    return found


def check_reference(
    outputs: Mapping[str, Float[Array | np.ndarray, "2 2 ..."]], heads: Mapping[str, Head]
) -> None:
    """Raise where the outputs of `reference_pass` are not those of a network that can be explained.

    Raises
    ------
    ValueError
        If a layer has NaN or infinite values, does not hold what it is said to, or depends on more
        than the image.
    """
    for layer, values in outputs.items():
        reference = np.asarray(values[0, 0], np.float64)
        if not np.isfinite(reference).all():
            raise ArgumentValueError(
                "net",
                f"returned NaN or infinite values in layer {layer!r} for the image as it is",
                "check its weights and the range of its input",
            )
        if layer in heads:
            check_head(layer, heads[layer], reference[None])
            _warn_of_two_softmaxes(layer, heads[layer], np.asarray(values, np.float64))
        if not _unlike(values) <= 1:
            raise ArgumentValueError(
                "net",
                f"gives other values in layer {layer!r} for the same image when it is asked again "
                "or with another image in the batch: it is not a function of the image alone",
                "switch off what is random or belongs to training, such as dropout and batch norm "
                "by batch: model.eval() in PyTorch, train=False or deterministic=True in Flax, "
                "training=False in Keras",
            )


def warn_of_rounding(
    readouts: Iterable[Readout], reference: Mapping[str, Any], without: Mapping[str, Any]
) -> None:
    """Warn where bits are asked for of probabilities that rounding has made 0 or 1.

    Parameters
    ----------
    readouts : iterable of Readout
    reference, without : mapping
        What they read by layer, arrays ``(1, units)`` for the image as it is, and ``(windows,
        units)`` on average with windows hidden.
    """
    for read in readouts:
        if not read.measure.logarithmic:
            continue
        parts = [np.asarray(part) for values in (reference, without) for part in values[read.layer]]
        least = min(part.min(initial=1) for part in parts)
        # One minus a probability is known to the spacing of floats at one only.
        finest = 64 * np.finfo(parts[0].dtype).eps if read.kind == "sigmoid" else 0
        if least <= finest:
            before = "sigmoid_logits" if read.kind == "sigmoid" else "logits"
            warnings.warn(
                f"probabilities of layer {read.layer!r} are 0 or 1, or too close to it to be told "
                "from it in this precision: bits are cut there, or 0; explain what comes before "
                f"(return the scores and say outputs={before!r}), or use "
                "measure='probability_difference'",
                stacklevel=2,
            )


def _warn_of_two_softmaxes(layer: str, head: Head, values: np.ndarray) -> None:
    """Warn where scores ``(2, 2, k)`` of two images are probabilities already."""
    if head.kind == "logits" and values.min() >= 0 and np.ptp([*values.sum(-1).flat, 1]) <= SLACK:
        warnings.warn(
            f"outputs of layer {layer!r} are said to be logits, and sum to one for every image: if "
            "they are probabilities, a softmax is taken twice; pass outputs='softmax' then",
            stacklevel=2,
        )


def _unlike(values: Float[Array | np.ndarray, "2 2 ..."]) -> Array:
    """How far outputs for one image lie apart, as a multiple of what rounding may do."""
    dtype = values.dtype if jnp.issubdtype(values.dtype, jnp.floating) else np.float32
    allowed = 1e-4 if jnp.finfo(dtype).bits >= 32 else 4 * float(jnp.finfo(dtype).eps)
    values = at_least_float32(jnp.asarray(values))
    apart = [jnp.abs(values[0, 0] - values[at]).max() for at in ((0, 1), (1, 0))]
    largest = jnp.maximum(jnp.abs(values[0, 0]).max(), jnp.finfo(values.dtype).tiny)
    return jnp.maximum(*apart) / (allowed * largest)
