"""What is read from a network's outputs: the units whose relevance is wanted.

Layers of class probabilities give a probability and its complement for the chosen classes, other
layers with one number per class give these, and layers with spatial axes give the mean of each
over its units, or the units asked for, and the mean over the whole layer. Reducing every perturbed
image to these numbers is what bounds memory.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from pdjax._types import Array, Float, Int, Params
from pdjax.method.marginalize import Moments
from pdjax.method.measures import Probability, activation_difference, measure_probability
from pdjax.method.windows import WindowGrid, box_average, box_average_error, root_bias

__all__ = ["Hidden", "Maps", "Observe", "Rule", "Units", "relevance_maps"]

Units = tuple[int | tuple[int, ...], ...]
"""Feature maps, by index, and single units, by index of the map and position in it."""


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
        The measure for probabilities, one of `pdjax.method.measures.MEASURES`.
    """

    probabilities: tuple[str, ...]
    num_classes: int
    num_training_images: int | None
    measure: str = "weight_of_evidence"


class Hidden(NamedTuple):
    """What is read from a hidden layer: its units, and the mean over all of it."""

    units: Float[Array, "n units"]
    whole: Float[Array, "n 1"]


@dataclasses.dataclass(frozen=True)
class Observe:
    """A network followed by the reduction to units, as one hashable function.

    Called with ``((params, classes), images)``, it returns by layer a `Probability` of arrays
    ``(n, classes)``, an array ``(n, classes)``, or `Hidden`.

    Attributes
    ----------
    predict : Predict
        The network.
    layers : tuple of str
        The layers to read.
    rule : Rule
        Which of them hold probabilities or one number per class.
    units : tuple of (str, Units)
        For some hidden layers, the feature maps and units to read; of the others all maps.
    """

    predict: Any
    layers: tuple[str, ...]
    rule: Rule
    units: tuple[tuple[str, Units], ...] = ()

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
            others = jnp.arange(values.shape[-1], dtype=classes.dtype)[:, None] != classes[None]
            complement = jnp.matmul(values, others.astype(values.dtype), precision="highest")
            return Probability(jnp.take(values, classes, axis=-1), complement)
        if values.ndim == 2 and values.shape[-1] == self.rule.num_classes:
            return jnp.take(values, classes, axis=-1)
        maps = values.mean(tuple(range(1, values.ndim - 1)))
        chosen = dict(self.units).get(layer)
        if chosen is None:
            return Hidden(maps, maps.mean(-1, keepdims=True))
        columns = [
            maps[:, unit] if isinstance(unit, int) else values[:, *unit[1:], unit[0]]
            for unit in chosen
        ]
        return Hidden(jnp.stack(columns, -1), maps.mean(-1, keepdims=True))


class Maps(NamedTuple):
    """Relevance and its Monte-Carlo standard error, each ``{layer: array (units, ...)}``.

    Attributes
    ----------
    relevance, standard_error : dict of float array (units, *spatial)
        Of every pixel. Bits for weight of evidence and information difference, otherwise the unit
        of the activation.
    window_relevance, window_standard_error : dict of float array (units, *grid)
        Of every window. See `pdjax.sampling` for intervals where samples are few.
    layer_relevance, layer_standard_error : dict of float array (*spatial)
        Of every pixel for the mean of a whole hidden layer.
    """

    relevance: dict[str, jax.Array]
    standard_error: dict[str, jax.Array]
    window_relevance: dict[str, jax.Array]
    window_standard_error: dict[str, jax.Array]
    layer_relevance: dict[str, jax.Array]
    layer_standard_error: dict[str, jax.Array]


@functools.partial(jax.jit, static_argnames=("grid", "rule"))
def relevance_maps(
    reference: Mapping[str, Any],
    moments: Moments,
    replicates: Int[Array, " windows"],
    grid: WindowGrid,
    rule: Rule,
) -> Maps:
    """Relevance of windows and pixels, with standard errors, from the moments of all windows.

    Parameters
    ----------
    reference : dict
        What `Observe` gives for the unperturbed image, arrays ``(1, units)``.
    moments : Moments
        What `marginalize` gives for it, arrays ``(windows, units)``. Where there is a bias of the
        relevance, it is subtracted, but never more of it than one standard error: where the
        estimate is larger, samples differ by orders of magnitude and it is worth nothing.
    replicates : int array, shape (windows,)
        Independent groups of samples of each window.
    grid : WindowGrid
        Where the windows are.
    rule : Rule
        How relevance is measured.
    """
    maps = Maps({}, {}, {}, {}, {}, {})
    freedom = jnp.reshape(replicates - 1, grid.shape)
    for layer, value in reference.items():
        mean, variance = moments.mean[layer], moments.variance[layer]
        if isinstance(value, Hidden):
            relevance, error = _difference(value.whole, mean.whole, variance.whole, replicates)
            relevance, error = _on_grid(relevance, grid), _on_grid(error, grid)
            maps.layer_relevance[layer] = box_average(relevance, grid)[0]
            maps.layer_standard_error[layer] = box_average_error(error, grid, freedom)[0]
            value, mean, variance = value.units, mean.units, variance.units
        if isinstance(value, Probability):
            # The same number twice, and lost to rounding in the one of them that is close to one.
            spread = jnp.where(mean.p < mean.complement, variance.p, variance.complement)
            error = _standard_error(spread, replicates)
            relevance, error = measure_probability(
                rule.measure, value, mean, error, rule.num_training_images, rule.num_classes
            )
            if layer in moments.bias:
                relevance -= jnp.clip(moments.bias[layer], -error, error)
        else:
            relevance, error = _difference(value, mean, variance, replicates)
        relevance, error = _on_grid(relevance, grid), _on_grid(error, grid)
        maps.window_relevance[layer] = relevance
        maps.window_standard_error[layer] = error / root_bias(freedom.astype(error.dtype))[None]
        maps.relevance[layer] = box_average(relevance, grid)
        maps.standard_error[layer] = box_average_error(error, grid, freedom)
    return maps


def _difference(
    value: jax.Array, mean: jax.Array, variance: jax.Array, replicates: jax.Array
) -> tuple[jax.Array, jax.Array]:
    return activation_difference(value, mean), _standard_error(variance, replicates)


def _standard_error(variance: jax.Array, replicates: jax.Array) -> jax.Array:
    return jnp.sqrt(variance / jnp.asarray(replicates, variance.dtype)[:, None])


def _on_grid(values: jax.Array, grid: WindowGrid) -> jax.Array:
    """(windows, units) -> (units, *grid)."""
    return values.T.reshape(-1, *grid.shape)
