"""What is explained: the units that are read, the array whose windows are hidden, the outputs."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pdjax._checks import ArgumentValueError
from pdjax._explain.request import Request
from pdjax._precision import AtPrecision
from pdjax._types import Array, Float, Params, Predict
from pdjax.jaxprs.cut import FromLayer
from pdjax.jaxprs.lowerings import tuned
from pdjax.method.measures import Probability, find_measure
from pdjax.method.reference import check_reference, pairs, reference_pass
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
    classes : dict of tuple of int
        The classes that are explained, by output layer.
    """

    readings: Readings
    inputs: Any
    field: Float[Array, "*spatial c"]
    reference: dict[str, Reading]
    names: dict[str, tuple[str, ...]]
    classes: dict[str, tuple[int, ...]]

    @classmethod
    def of(cls, request: Request) -> Target:
        """Run the network once on the image as it is and set up what to read from it.

        Raises
        ------
        ValueError
            If units do not exist, layers do not depend on the start, or the network returns NaN,
            what its outputs are not said to hold, or something else each time.
        """
        net, start, predict = request.classifier, request.start, _network(request)
        layers, deciding = request.wanted_layers, request.deciding
        first = () if start is None else (start,)
        outputs = _outputs(request, predict, tuple(dict.fromkeys((*first, *layers, deciding))))
        heads = {layer: head for layer, head in net.heads.items() if layer in layers}
        chosen = {layer: request.chosen_classes(layer, outputs) for layer in heads}
        reads = readouts(
            {layer: outputs[layer].shape[1:] for layer in layers},
            heads=heads,
            num_training_images=net.num_training_images,
            measure=find_measure(request.measure),
            units=request.units,
        )
        readings = Readings(predict, reads)
        indices = {layer: jnp.array(found, jnp.int32) for layer, found in chosen.items()}
        inputs: Any = (net.params, indices)
        reference = readings.reduce(outputs, indices)
        field = request.pixels
        if start is not None:
            readings = Readings(FromLayer(predict, start), reads)
            inputs, field = ((net.params, field), indices), outputs[start][0]
            jax.eval_shape(readings, inputs, field[None])
        names = {
            read.layer: tuple(heads[read.layer].labels[index] for index in chosen[read.layer])
            if read.layer in heads
            else _unit_names(reference[read.layer], read.units)
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


def _network(request: Request) -> Predict:
    """Return the network with the precision that is asked for; a callable has its own."""
    predict = request.classifier.predict
    return predict if request.plain else AtPrecision(predict, request.precision)


def _outputs(request: Request, predict: Predict, layers: tuple[str, ...]) -> dict[str, jax.Array]:
    """What the network gives for the image as it is, checked."""
    net, image = request.classifier, request.pixels
    tried: Mapping[str, Any]
    if request.plain:
        both = pairs(np.asarray(image))
        # Some functions take one image at a time.
        batches = both.reshape(4, 1, *image.shape) if request.batch_size == 1 else both
        asked = [predict(net.params, batch, layers) for batch in batches]
        rows = {layer: np.concatenate([np.asarray(of[layer]) for of in asked]) for layer in layers}
        tried = {layer: values.reshape(2, 2, *values.shape[1:]) for layer, values in rows.items()}
    else:
        tried = _reference(predict, net.params, image, layers, request.lowerings)
    check_reference(tried, net.heads)
    return {layer: jnp.asarray(tried[layer][0, :1]) for layer in layers}


@functools.partial(jax.jit, static_argnums=(0, 3, 4))
def _reference(
    predict: Predict, params: Params, image: jax.Array, layers: tuple[str, ...], lowerings: bool
) -> dict[str, jax.Array]:
    f = functools.partial(predict, capture=layers)
    own = tuned(f) if lowerings else f
    return reference_pass(lambda params, images, _: own(params, images), params, image, layers)


def _units(value: Reading) -> jax.Array:
    if isinstance(value, Probability):
        return value.p
    return value.units if isinstance(value, Hidden) else value


def _unit_names(value: Reading, units: Units | None) -> tuple[str, ...]:
    count = _units(value).shape[-1]
    return tuple(map(str, range(count) if units is None else units))
