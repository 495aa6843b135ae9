"""What is explained: the units that are read, the array whose windows are hidden, the outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pdjax._checks import ArgumentValueError
from pdjax._explain.request import Request
from pdjax._types import Array, Float
from pdjax.classifier import Classifier
from pdjax.jaxprs.cut import FromLayer
from pdjax.method.measures import Probability, find_measure
from pdjax.method.units import Hidden, Reading, Readings, Units, readouts

__all__ = ["Target", "check_finite"]


class Target(NamedTuple):
    """A function of the array whose windows are hidden, and its outputs when nothing is.

    Attributes
    ----------
    readings : Readings
        The function; static.
    inputs : PyTree of arrays
        Its first argument.
    field : float array, shape (*spatial, c)
        The array whose windows are hidden: the image, or the activation of a hidden layer.
    reference : dict
        What ``readings`` gives for it, by layer.
    names : dict of tuple of str
        Names of the units of each layer.
    classes : tuple of int
        The classes that are explained.
    """

    readings: Readings
    inputs: Any
    field: Float[Array, "*spatial c"]
    reference: dict[str, Reading]
    names: dict[str, tuple[str, ...]]
    classes: tuple[int, ...]

    @classmethod
    def of(cls, request: Request) -> Target:
        """Run the network once on the image as it is and set up what to read from it.

        Raises
        ------
        ValueError
            If units do not exist, layers do not depend on the start, the network returns NaN, or
            what it declares as probabilities are none.
        """
        net, start = request.classifier, request.start
        layers, deciding = request.wanted_layers, request.deciding
        first = () if start is None else (start,)
        outputs = _outputs(request, tuple(dict.fromkeys((*first, *layers, deciding))))
        chosen = request.chosen_classes(np.asarray(outputs[deciding][0]))
        reads = readouts(
            {layer: outputs[layer].shape[1:] for layer in layers},
            probabilities=net.probabilities,
            num_classes=len(net.labels),
            num_training_images=net.num_training_images,
            measure=find_measure(request.measure),
            units=request.units,
        )
        readings = Readings(net.predict, reads)
        inputs: Any = (net.params, jnp.array(chosen, jnp.int32))
        reference = readings.reduce(outputs, inputs[1])
        field = request.pixels
        if start is not None:
            readings = Readings(FromLayer(net.predict, start), reads)
            inputs, field = ((net.params, field), inputs[1]), outputs[start][0]
            jax.eval_shape(readings, inputs, field[None])
        labels = tuple(net.labels[index] for index in chosen)
        names = {
            read.layer: _names(reference[read.layer], labels, read.units)
            for read in readings.readouts
        }
        return cls(readings, inputs, field, reference, names, chosen)

    @property
    def prediction(self) -> dict[str, np.ndarray]:
        """What each unit is for the image as it is, arrays ``(units,)`` by layer."""
        return {layer: np.asarray(_units(value))[0] for layer, value in self.reference.items()}


def check_finite(outputs: Mapping[str, Any], where: str) -> None:
    """Raise ValueError that names the first layer with a NaN or an infinity."""
    for layer, values in outputs.items():
        if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(values)):
            raise ArgumentValueError(
                "net",
                f"returned NaN or infinite values in layer {layer!r} {where}",
                "check its weights and the range of its input",
            )


def _outputs(request: Request, layers: tuple[str, ...]) -> dict[str, jax.Array]:
    """What the network gives for the image as it is, checked."""
    net, image = request.classifier, request.pixels
    if request.plain:
        raw = net.predict(net.params, np.asarray(image)[None], layers)  # type: ignore[arg-type]
        outputs = {layer: jnp.asarray(np.asarray(raw[layer]), image.dtype) for layer in layers}
    else:
        outputs = net.activations(image[None], layers, request.lowerings)
    check_finite(outputs, "for the image as it is")
    _check_probabilities(net, outputs)
    return outputs


def _check_probabilities(net: Classifier, outputs: Mapping[str, jax.Array]) -> None:
    for layer in set(outputs) & set(net.probabilities):
        total, least = float(outputs[layer].sum()), float(outputs[layer].min())
        if abs(total - 1) > 1e-3 or least < 0:
            raise ArgumentValueError(
                "net",
                f"declares layer {layer!r} to hold class probabilities, which sum to {total:.4g} "
                f"with a least value of {least:.4g}",
                "apply a softmax, or leave the layer out of probabilities",
            )


def _units(value: Reading) -> jax.Array:
    if isinstance(value, Probability):
        return value.p
    return value.units if isinstance(value, Hidden) else value


def _names(value: Reading, labels: tuple[str, ...], units: Units | None) -> tuple[str, ...]:
    if not isinstance(value, Hidden):
        return labels
    return tuple(map(str, range(value.units.shape[-1]) if units is None else units))
