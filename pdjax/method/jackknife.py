"""The bias of relevance that is made of few samples, estimated from the samples themselves."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax

from pdjax.method.measures import Measure

__all__ = ["Jackknife"]


@dataclasses.dataclass(frozen=True)
class Jackknife:
    """The bias of relevance, by layer, for `marginalize`: static, hashable.

    The logarithm of a mean of few samples is not, on average, that of the mean of very many: it
    bends, and the error has the same sign in neighbouring windows, so that averaging over the
    windows of a pixel does not remove it. The jackknife estimates it from the replicates
    themselves (Quenouille, 1956; Tukey, 1958; Efron and Stein, 1981).

    With m the mean of R replicates, m_r that of all but replicate r, and g the measure's function
    of a probability (log2 of the odds, or log2, after Laplace's correction), the relevance
    ``g(p) - g(m)`` has an estimated bias of ``-(R - 1) (sum_r g(m_r) / R - g(m))``. Without it, it
    is ``g(p) - (R g(m) - (R - 1) / R sum_r g(m_r))``, whose bias falls with the square of the
    number of replicates instead of the number.

    Measures that are linear in the replicates have no bias, and neither has a single replicate.

    Attributes
    ----------
    measures : tuple of (str, Measure)
        Layers and their measures.
    """

    measures: tuple[tuple[str, Measure], ...]

    def __call__(self, replicates: Mapping[str, Any]) -> dict[str, jax.Array]:
        """Return arrays ``(windows, classes)``, in the measure's unit, for layers with a bias.

        ``replicates`` are arrays ``(windows, replicates, classes)`` by layer.
        """
        found = {
            layer: measure.bias(replicates[layer])
            for layer, measure in self.measures
            if measure.of_probabilities
        }
        return {layer: bias for layer, bias in found.items() if bias is not None}
