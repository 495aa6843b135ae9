"""What is read from a network's outputs: the units whose relevance is wanted.

Layers of class probabilities give a probability and its complement for the chosen classes, other
layers with one number per class give these, and layers with spatial axes give the mean of each
feature map over its units. Reducing every perturbed image to these numbers is what bounds memory.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from pdjax._typing import Array, Float, Int, Params
from pdjax.marginalize import Moments
from pdjax.relevance import Probability, activation_difference, measure_probability
from pdjax.windows import WindowGrid, box_average, box_average_error, root_bias

__all__ = ["Maps", "Observe", "Rule", "relevance_maps"]


@dataclasses.dataclass(frozen=True)
class Rule:
    """How relevance is measured: static, hashable.

    Attributes
    ----------
    probabilities : tuple of str
        Layers that hold class probabilities.
    num_classes : int
        K of Laplace's correction, and the width of layers from which classes are picked.
    num_training_images : int or None
        N of Laplace's correction; None switches it off.
    measure : str
        The measure for probabilities, one of `pdjax.relevance.MEASURES`.
    """

    probabilities: tuple[str, ...]
    num_classes: int
    num_training_images: int | None
    measure: str = "weight_of_evidence"


@dataclasses.dataclass(frozen=True)
class Observe:
    """A network followed by the reduction to units, as one hashable function.

    Called with ``((params, classes), images)``, it returns by layer a `Probability` of arrays
    ``(n, classes)``, or an array ``(n, units)``.
    """

    predict: Any
    layers: tuple[str, ...]
    rule: Rule

    def __call__(
        self, params: tuple[Params, Int[Array, " classes"]], images: Float[Array, "n *spatial c"]
    ) -> dict[str, Any]:
        """Run the network and reduce its outputs."""
        network, classes = params
        return self.reduce(self.predict(network, images, self.layers), classes)

    def reduce(
        self, outputs: Mapping[str, jax.Array], classes: Int[Array, " classes"]
    ) -> dict[str, Any]:
        """Reduce the activations of all layers to units."""
        return {layer: self._units(layer, outputs[layer], classes) for layer in self.layers}

    def _units(self, layer: str, values: jax.Array, classes: jax.Array) -> Any:
        if layer in self.rule.probabilities:
            # The sum over all other classes is exact where one minus the probability is not.
            others = jnp.arange(values.shape[-1])[:, None] != classes[None]
            complement = jnp.matmul(values, others.astype(values.dtype), precision="highest")
            return Probability(jnp.take(values, classes, axis=-1), complement)
        if values.ndim > 2:
            return values.mean(tuple(range(1, values.ndim - 1)))
        if values.shape[-1] == self.rule.num_classes:
            return jnp.take(values, classes, axis=-1)
        return values


class Maps(NamedTuple):
    """Relevance and its Monte-Carlo standard error, each ``{layer: array (units, ...)}``.

    Attributes
    ----------
    relevance, standard_error : dict of float array (units, *spatial)
        Of every pixel. Bits for weight of evidence and information difference, otherwise the unit
        of the activation.
    window_relevance, window_standard_error : dict of float array (units, *grid)
        Of every window.
    """

    relevance: dict[str, jax.Array]
    standard_error: dict[str, jax.Array]
    window_relevance: dict[str, jax.Array]
    window_standard_error: dict[str, jax.Array]


def relevance_maps(
    reference: Mapping[str, Any], moments: Moments, grid: WindowGrid, num_samples: int, rule: Rule
) -> Maps:
    """Relevance of windows and pixels, with standard errors, from the moments of all windows.

    Parameters
    ----------
    reference : dict
        What `Observe` gives for the unperturbed image, arrays ``(1, units)``.
    moments : Moments
        What `marginalize` gives for it, arrays ``(windows, units)``.
    grid : WindowGrid
        Where the windows are.
    num_samples : int
        Samples per window.
    rule : Rule
        How relevance is measured.
    """
    maps = Maps({}, {}, {}, {})
    freedom = num_samples - 1
    for layer, value in reference.items():
        mean, variance = moments.mean[layer], moments.variance[layer]
        if isinstance(value, Probability):
            error = jnp.sqrt(variance.p / num_samples)
            relevance, error = measure_probability(
                rule.measure, value, mean, error, rule.num_training_images, rule.num_classes
            )
        else:
            relevance = activation_difference(value, mean)
            error = jnp.sqrt(variance / num_samples)
        relevance, error = (a.T.reshape(-1, *grid.shape) for a in (relevance, error))
        maps.window_relevance[layer] = relevance
        maps.window_standard_error[layer] = error / float(root_bias(freedom))
        maps.relevance[layer] = box_average(relevance, grid)
        maps.standard_error[layer] = box_average_error(error, grid, freedom)
    return maps
