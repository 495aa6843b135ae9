"""Bias of relevance in bits: what a logarithm of the mean of few samples gets wrong on average.

The logarithm of a mean of few samples is not, on average, that of the mean of very many: it bends,
and the error has the same sign in neighbouring windows, so that averaging over the windows of a
pixel does not remove it. The jackknife estimates it from the replicates themselves (Quenouille,
1956; Tukey, 1958; Efron and Stein, 1981).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from pdjax._types import Array, Float
from pdjax.method.maps import Rule
from pdjax.method.measures import Probability, laplace, laplace_slope

__all__ = ["Jackknife", "jackknife_bias"]


@dataclasses.dataclass(frozen=True)
class Jackknife:
    """The bias of relevance, by layer, for `marginalize`: static, hashable.

    With m the mean of R replicates, m_r that of all but replicate r, and g the measure's function
    of a probability (log2 of the odds, or log2, after Laplace's correction), the relevance
    ``g(p) - g(m)`` has an estimated bias of ``-(R - 1) (sum_r g(m_r) / R - g(m))``. Without it, it
    is ``g(p) - (R g(m) - (R - 1) / R sum_r g(m_r))``, whose bias falls with the square of the
    number of replicates instead of the number.

    Measures that are linear in the replicates have no bias, and neither has a single replicate.

    Attributes
    ----------
    rule : Rule
        How relevance is measured.
    """

    rule: Rule

    def __call__(self, replicates: Mapping[str, Any]) -> dict[str, jax.Array]:
        """Return arrays ``(windows, classes)`` in bits for the layers that have a bias.

        ``replicates`` is what `Observe` gives, arrays ``(windows, replicates, units)``.
        """
        rule = self.rule
        if rule.measure == "probability_difference":
            return {}
        counts = (rule.num_training_images, rule.num_classes)
        return {
            layer: jackknife_bias(rule.measure, value, *counts)
            for layer, value in replicates.items()
            if isinstance(value, Probability)
        }


def jackknife_bias(
    measure: str,
    replicates: Probability,
    num_training_images: int | None,
    num_classes: int,
) -> Float[Array, "windows classes"]:
    """Estimate the bias of relevance in bits from probabilities ``(windows, replicates, classes)``.

    Always finite: a mean over the other replicates is taken as at least the spacing of floats at
    one, as a share of the mean over all.
    """
    mean = Probability(replicates.p.mean(1), replicates.complement.mean(1))
    corrected = laplace(mean, num_training_images, num_classes)
    slope = laplace_slope(num_training_images, num_classes)
    bias = -_log2_bias(replicates.p, mean.p, corrected.p, slope)
    if measure == "information_difference":
        return bias
    return bias + _log2_bias(replicates.complement, mean.complement, corrected.complement, slope)


def _log2_bias(values: jax.Array, mean: jax.Array, corrected: jax.Array, slope: float) -> jax.Array:
    """Jackknife bias of the log2 of the corrected mean.

    Each term is made of the small difference that leaving one replicate out makes, so that the
    factor R - 1 does not multiply the rounding of the logarithms.
    """
    others = max(values.shape[1] - 1, 1)
    change = (mean[:, None] - values) * (slope / others) / corrected[:, None]
    least = float(jnp.finfo(values.dtype).eps) - 1
    return jnp.log1p(jnp.maximum(change, least)).mean(1) * (others / math.log(2))
