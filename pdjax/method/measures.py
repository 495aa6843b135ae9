"""Measures of relevance: how an output differs when a window is unknown, and its standard error.

Weight of evidence, probability difference and information difference are for class
probabilities; the activation difference is for everything else.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax.numpy as jnp

from pdjax._types import Array, Float

__all__ = [
    "MEASURES",
    "Probability",
    "activation_difference",
    "information_difference",
    "laplace",
    "laplace_slope",
    "measure_probability",
    "probability_difference",
    "weight_of_evidence",
]

MEASURES = ("weight_of_evidence", "probability_difference", "information_difference")
"""Names of the measures for class probabilities."""


class Probability(NamedTuple):
    """A probability and its complement, held apart because ``1 - p`` is lost to rounding near 1."""

    p: Float[Array, ...]
    complement: Float[Array, ...]


def weight_of_evidence(
    p: Float[Array, ...],
    p_without: Float[Array, ...],
    *,
    complement: Float[Array, ...] | None = None,
    complement_without: Float[Array, ...] | None = None,
    num_training_images: int | None = None,
    num_classes: int | None = None,
) -> Float[Array, ...]:
    """Weight of evidence of a window for a class, in bits.

    ``log2 odds(p) - log2 odds(p_without)`` with ``odds(p) = p / (1 - p)``, after Laplace's
    correction ``p <- (p N + 1) / (N + K)`` (Zintgraf et al., 2017, equation 3; Robnik-Sikonja and
    Kononenko, 2008). Positive where the window spoke for the class.

    Parameters
    ----------
    p, p_without : float array in [0, 1]
        The class's probability for the image, and with the window marginalised out.
    complement, complement_without : float array in [0, 1], optional
        ``1 - p`` where it is known better than by subtraction, e.g. as the sum over all other
        classes.
    num_training_images : int, optional
        N of Laplace's correction; None switches it off.
    num_classes : int, optional
        K of Laplace's correction; needed with ``num_training_images``.

    Returns
    -------
    float array
        Bits. Always finite: without the correction, probabilities and complements are taken as
        at least the smallest normal number of their dtype (a complement found by subtraction: at
        least half the spacing below one).

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> float(weight_of_evidence(jnp.array(0.8), jnp.array(0.5)))
    2.0
    """
    with_window = _probability(p, complement)
    without = _probability(p_without, complement_without)
    return _log_odds(with_window, num_training_images, num_classes) - _log_odds(
        without, num_training_images, num_classes
    )


def activation_difference(z: Float[Array, ...], z_without: Float[Array, ...]) -> Float[Array, ...]:
    """Activation minus its mean over samples of the window, in the unit of the activation."""
    return jnp.asarray(z) - jnp.asarray(z_without)


def probability_difference(p: Float[Array, ...], p_without: Float[Array, ...]) -> Float[Array, ...]:
    """Probability minus the probability with the window marginalised out, in [-1, 1]."""
    return jnp.asarray(p) - jnp.asarray(p_without)


def information_difference(
    p: Float[Array, ...],
    p_without: Float[Array, ...],
    *,
    num_training_images: int | None = None,
    num_classes: int | None = None,
) -> Float[Array, ...]:
    """``log2 p - log2 p_without`` in bits, after Laplace's correction where N is given.

    Always finite: without the correction, probabilities are taken as at least the smallest normal
    number of their dtype.
    """
    corrected = [
        laplace(_probability(value, None), num_training_images, num_classes)
        for value in (p, p_without)
    ]
    return jnp.log2(corrected[0].p) - jnp.log2(corrected[1].p)


def measure_probability(
    measure: str,
    reference: Probability,
    without: Probability,
    error: Float[Array, ...],
    num_training_images: int | None,
    num_classes: int,
) -> tuple[Float[Array, ...], Float[Array, ...]]:
    """Relevance by one of `MEASURES`, and its standard error by the delta method.

    ``error`` is the standard error of ``without.p``. The derivative of ``log2 odds`` with respect
    to p is ``a / (p (1 - p) ln 2)`` and that of ``log2 p`` is ``a / (p ln 2)``, at the corrected
    probabilities, with ``a = N / (N + K)`` the slope of the correction.
    """
    if measure == "probability_difference":
        return probability_difference(reference.p, without.p), error
    counts = (num_training_images, num_classes)
    corrected = laplace(without, *counts)
    slope = laplace_slope(*counts)
    # One factor after the other: their product would leave the normal numbers.
    bits_per_unit = slope / math.log(2) / corrected.p
    if measure == "information_difference":
        difference = jnp.log2(laplace(reference, *counts).p) - jnp.log2(corrected.p)
        return difference, error * bits_per_unit
    difference = _log_odds(reference, *counts) - _log_odds(without, *counts)
    return difference, error * bits_per_unit / corrected.complement


def laplace(
    value: Probability, num_training_images: int | None, num_classes: int | None
) -> Probability:
    """Laplace's correction ``p <- (p N + 1) / (N + K)``; both parts are positive after it."""
    p, complement = value
    if num_training_images is not None:
        total = _total(num_training_images, num_classes)
        scale = num_training_images / total
        p = p * scale + 1 / total
        complement = complement * scale + (total - num_training_images - 1) / total
    tiny = jnp.finfo(p.dtype).tiny
    return Probability(jnp.maximum(p, tiny), jnp.maximum(complement, tiny))


def laplace_slope(num_training_images: int | None, num_classes: int | None) -> float:
    """Change of the corrected probability with the probability, ``N / (N + K)``; 1 without N."""
    if num_training_images is None:
        return 1.0
    return num_training_images / _total(num_training_images, num_classes)


def _total(num_training_images: int | None, num_classes: int | None) -> int:
    """N + K, the denominator of Laplace's correction."""
    if num_classes is None:
        raise ValueError(
            "num_classes is needed for Laplace's correction; give it with num_training_images"
        )
    return (num_training_images or 0) + num_classes


def _probability(p: Array, complement: Array | None) -> Probability:
    p = jnp.asarray(p)
    p = p if jnp.issubdtype(p.dtype, jnp.floating) else p.astype(float)
    if complement is None:
        return Probability(p, jnp.maximum(1 - p, jnp.finfo(p.dtype).epsneg / 2))
    return Probability(p, jnp.asarray(complement, p.dtype))


def _log_odds(
    value: Probability, num_training_images: int | None, num_classes: int | None
) -> Array:
    corrected = laplace(value, num_training_images, num_classes)
    return jnp.log2(corrected.p) - jnp.log2(corrected.complement)
