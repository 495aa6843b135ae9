"""Measures of relevance: what an output loses when a window is unknown, its error and its bias.

Weight of evidence, probability difference and information difference are for class
probabilities; the activation difference is for everything else. A measure of one's own is a
subclass of `Measure` that says what it makes of a probability.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from pdjax._checks import ArgumentTypeError, ArgumentValueError, check_choice
from pdjax._types import Array, Float

__all__ = [
    "ACTIVATION_DIFFERENCE",
    "MEASURES",
    "ActivationDifference",
    "InformationDifference",
    "Measure",
    "Probability",
    "ProbabilityDifference",
    "WeightOfEvidence",
    "activation_difference",
    "find_measure",
    "information_difference",
    "probability_difference",
    "weight_of_evidence",
]


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
        Bits. Always finite: without the correction, where one of the two probabilities is exactly
        0, or one of the two complements, both are taken as at least half the spacing of floats
        below one (of float32: 6e-8, or 24 bits), as rounding has left nothing finer of them.

    Raises
    ------
    ValueError
        If only one of the two counts is given.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> float(weight_of_evidence(jnp.array(0.8), jnp.array(0.5)))
    2.0
    """
    measure = WeightOfEvidence(num_training_images, num_classes)
    return measure.difference(
        _probability(p, complement), _probability(p_without, complement_without)
    )


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

    Always finite: without the correction, where one of the two probabilities is exactly 0, both
    are taken as at least half the spacing of floats below one.
    """
    measure = InformationDifference(num_training_images, num_classes)
    return measure.difference(_probability(p, None), _probability(p_without, None))


def activation_difference(z: Float[Array, ...], z_without: Float[Array, ...]) -> Float[Array, ...]:
    """Activation minus its mean over samples of the window, in the unit of the activation."""
    return jnp.asarray(z) - jnp.asarray(z_without)


@dataclasses.dataclass(frozen=True)
class Measure:
    """What relevance is: what a function of the output loses when a window is unknown.

    Static and hashable. A measure of class probabilities of one's own names itself and gives that
    function, `transform`; its standard error then follows by the delta method and its bias by the
    jackknife. An instance is passed as ``measure=`` to `explain` and `prediction_difference`.

    Parameters
    ----------
    num_training_images : int, optional
        N of Laplace's correction; None switches it off. Filled in for each layer.
    num_classes : int, optional
        K of Laplace's correction. Filled in for each layer.

    Attributes
    ----------
    name : str
        The name by which it is asked for, as an identifier.
    title : str
        What it is called in pictures.
    unit : str
        The unit of relevance; empty where it has none, or that of the activation.
    of_probabilities : bool
        Whether it is of class probabilities (`Probability`), or of any other activation.
    linear : bool
        Whether it is linear in the output, and so has no bias.
    logarithmic : bool
        Whether it tells apart probabilities that are close to 0, however close.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> class ArcSine(Measure):
    ...     name, title = "arc_sine", "difference of arc sines"
    ...     def transform(self, probability):
    ...         return 2 * jnp.arcsin(jnp.sqrt(probability.p))
    >>> half, none = (Probability(jnp.array(p), jnp.array(1 - p)) for p in (0.5, 0.0))
    >>> round(float(ArcSine().difference(half, none)), 4)
    1.5708
    """

    num_training_images: int | None = None
    num_classes: int | None = None

    name: ClassVar[str] = "measure"
    title: ClassVar[str] = "relevance"
    unit: ClassVar[str] = ""
    of_probabilities: ClassVar[bool] = True
    linear: ClassVar[bool] = False
    logarithmic: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.num_training_images is not None and self.num_classes is None:
            raise ArgumentValueError(
                "num_classes",
                "is needed for Laplace's correction",
                "give it with num_training_images",
            )

    @property
    def label(self) -> str:
        """Title and unit, as a colour bar has them."""
        return f"{self.title} ({self.unit})" if self.unit else self.title

    def transform(self, probability: Probability) -> Float[Array, ...]:
        """Return what the window's absence takes something from, entry by entry."""
        raise NotImplementedError

    def difference(self, reference: Any, without: Any) -> Float[Array, ...]:
        """Relevance: what is lost from ``reference``, the output as it is, to ``without``."""
        reference, without = self.resolved(reference, without)
        return self.transform(reference) - self.transform(without)

    def resolved(self, reference: Any, without: Any) -> tuple[Any, Any]:
        """Return the two outputs, without digits that one of them has and the other has lost."""
        return reference, without

    def standard_error(self, without: Any, error: Float[Array, ...]) -> Float[Array, ...]:
        """Standard error of relevance, from the standard error of the probability ``without.p``."""
        return jnp.abs(self.deviation(without, error))

    def deviation(self, without: Any, change: Float[Array, ...]) -> Float[Array, ...]:
        """By how much the transform changes with a small change of the probability."""
        # What is added to a probability is taken from its complement.
        tangent = Probability(change, -change)
        return jax.jvp(self.transform, (without,), (tangent,))[1]

    def bias(self, replicates: Probability) -> Float[Array, "windows classes"] | None:
        """Estimate the bias of relevance by the jackknife (see `Jackknife`); None if it has none.

        ``replicates`` are arrays ``(windows, replicates, classes)``.
        """
        if self.linear:
            return None
        count = replicates.p.shape[1]
        mean = jax.tree.map(lambda a: a.mean(1, keepdims=True), replicates)
        others = jax.tree.map(lambda a, m: m + (m - a) / max(count - 1, 1), replicates, mean)
        change = self.transform(Probability(*others)) - self.transform(Probability(*mean))
        return -change.mean(1) * max(count - 1, 1)

    def _corrected(self, probability: Probability) -> Probability:
        """Laplace's correction ``p <- (p N + 1) / (N + K)``; both parts are positive after it."""
        p, complement = probability
        if self.num_training_images is not None:
            total = self._total
            scale = self.num_training_images / total
            p = p * scale + 1 / total
            complement = complement * scale + (total - self.num_training_images - 1) / total
        tiny = jnp.finfo(p.dtype).tiny
        return Probability(jnp.maximum(p, tiny), jnp.maximum(complement, tiny))

    @property
    def _total(self) -> int:
        """N + K, the denominator of Laplace's correction."""
        return (self.num_training_images or 0) + (self.num_classes or 0)

    @property
    def _slope(self) -> float:
        """Change of the corrected probability with the probability: ``N / (N + K)``, or 1."""
        if self.num_training_images is None:
            return 1.0
        return self.num_training_images / self._total


class _Logarithmic(Measure):
    """A measure that would make many bits of a probability that was rounded to 0."""

    logarithmic = True

    def resolved(
        self, reference: Probability, without: Probability
    ) -> tuple[Probability, Probability]:
        """Return both, at least half the spacing below one where one of them is exactly 0.

        A probability of 0 is a small one of which rounding left nothing: what the other one has
        below that spacing cannot be compared with it. Laplace's correction leaves no zeros.
        """
        if self.num_training_images is not None:
            return reference, without
        pairs = [_floored(a, b) for a, b in zip(reference, without, strict=True)]
        return Probability(*(a for a, _ in pairs)), Probability(*(b for _, b in pairs))


class WeightOfEvidence(_Logarithmic):
    """``log2 odds(p) - log2 odds(p_without)`` in bits; see `weight_of_evidence`."""

    name, title, unit = "weight_of_evidence", "weight of evidence", "bits"

    def transform(self, probability: Probability) -> Float[Array, ...]:
        """Log-odds of the corrected probability, base 2."""
        corrected = self._corrected(probability)
        return jnp.log2(corrected.p) - jnp.log2(corrected.complement)

    def deviation(self, without: Probability, change: Float[Array, ...]) -> Float[Array, ...]:
        """``change * a / (p (1 - p) ln 2)``, with ``a = N / (N + K)`` of the correction."""
        corrected = self._corrected(without)
        # One factor after the other: their product would leave the normal numbers.
        return change * (self._slope / math.log(2) / corrected.p) / corrected.complement

    def bias(self, replicates: Probability) -> Float[Array, "windows classes"]:
        """Bias of the logarithm of the probability and of that of its complement, together."""
        mean = Probability(replicates.p.mean(1), replicates.complement.mean(1))
        corrected = self._corrected(mean)
        bias = -_log2_bias(replicates.p, mean.p, corrected.p, self._slope)
        return bias + _log2_bias(
            replicates.complement, mean.complement, corrected.complement, self._slope
        )


class InformationDifference(_Logarithmic):
    """``log2 p - log2 p_without`` in bits; see `information_difference`."""

    name, title, unit = "information_difference", "information difference", "bits"

    def transform(self, probability: Probability) -> Float[Array, ...]:
        """Logarithm of the corrected probability, base 2."""
        return jnp.log2(self._corrected(probability).p)

    def deviation(self, without: Probability, change: Float[Array, ...]) -> Float[Array, ...]:
        """``change * a / (p ln 2)``, with ``a = N / (N + K)`` of the correction."""
        return change * (self._slope / math.log(2) / self._corrected(without).p)

    def bias(self, replicates: Probability) -> Float[Array, "windows classes"]:
        """Bias of the logarithm of the probability."""
        mean = Probability(replicates.p.mean(1), replicates.complement.mean(1))
        return -_log2_bias(replicates.p, mean.p, self._corrected(mean).p, self._slope)


class ProbabilityDifference(Measure):
    """``p - p_without``; see `probability_difference`."""

    name, title = "probability_difference", "probability difference"
    linear = True

    def transform(self, probability: Probability) -> Float[Array, ...]:
        """Return the probability itself."""
        return probability.p

    def deviation(self, without: Probability, change: Float[Array, ...]) -> Float[Array, ...]:
        """Return that of the probability."""
        return change


class ActivationDifference(Measure):
    """``z - z_without`` of any activation, in its unit; see `activation_difference`."""

    name, title = "activation_difference", "activation difference"
    of_probabilities = False
    linear = True

    def difference(
        self, reference: Float[Array, ...], without: Float[Array, ...]
    ) -> Float[Array, ...]:
        """Activation minus its mean over samples."""
        return activation_difference(reference, without)

    def deviation(self, without: Float[Array, ...], change: Float[Array, ...]) -> Float[Array, ...]:
        """Return that of the mean activation."""
        return change


ACTIVATION_DIFFERENCE = ActivationDifference()

MEASURES: Mapping[str, type[Measure]] = {
    measure.name: measure
    for measure in (WeightOfEvidence, ProbabilityDifference, InformationDifference)
}
"""The measures of class probabilities that can be asked for by name; the first is the default."""


def find_measure(measure: str | Measure) -> Measure:
    """Return a measure of class probabilities that is asked for by name, or given."""
    if isinstance(measure, str):
        return MEASURES[check_choice("measure", measure, MEASURES)]()
    if not isinstance(measure, Measure) or not measure.of_probabilities:
        raise ArgumentTypeError(
            "measure",
            "is no measure of probabilities",
            f"give one of {', '.join(MEASURES)}, or an instance of your own pdjax.Measure",
            value=measure,
        )
    if type(measure).transform is Measure.transform:
        raise ArgumentTypeError(
            "measure",
            f"of type {type(measure).__name__} does not say what it makes of a probability",
            "give its class a method transform(self, probability)",
        )
    return measure


def _log2_bias(values: jax.Array, mean: jax.Array, corrected: jax.Array, slope: float) -> jax.Array:
    """Jackknife bias of the log2 of the corrected mean.

    Each term is made of the small difference that leaving one replicate out makes, so that the
    factor R - 1 does not multiply the rounding of the logarithms. Always finite: a mean over the
    other replicates is taken as at least the spacing of floats at one, as a share of the mean.
    """
    others = max(values.shape[1] - 1, 1)
    change = (mean[:, None] - values) * (slope / others) / corrected[:, None]
    least = float(jnp.finfo(values.dtype).eps) - 1
    return jnp.log1p(jnp.maximum(change, least)).mean(1) * (others / math.log(2))


def _floored(a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
    least = jnp.where((a == 0) | (b == 0), jnp.finfo(a.dtype).epsneg / 2, 0).astype(a.dtype)
    return jnp.maximum(a, least), jnp.maximum(b, least)


def _probability(p: Any, complement: Any | None) -> Probability:
    p = jnp.asarray(p)
    p = p if jnp.issubdtype(p.dtype, jnp.floating) else p.astype(float)
    if complement is None:
        return Probability(p, jnp.maximum(1 - p, jnp.finfo(p.dtype).epsneg / 2))
    return Probability(p, jnp.asarray(complement, p.dtype))
