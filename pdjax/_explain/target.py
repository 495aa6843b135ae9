"""What is to be explained: a network from some array onwards, the units read, the plain case."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pdjax._explain.classes import select_classes
from pdjax._explain.draws import check_finite
from pdjax._types import Array, Float
from pdjax.classifier import Classifier, NamedOutputs, check_layers, check_units
from pdjax.jaxprs.cut import FromLayer
from pdjax.method.maps import Hidden, Observe, Rule, Units
from pdjax.method.measures import Probability

__all__ = ["Task", "check_spatial", "make_task", "wrap_callable"]


class Task(NamedTuple):
    """A function of the array whose windows are hidden, and its outputs when nothing is.

    Attributes
    ----------
    observe : Observe
        The function; static.
    inputs : PyTree of arrays
        Its first argument.
    field : float array, shape (*spatial, c)
        The array whose windows are hidden: the image, or the activation of a hidden layer.
    reference : dict
        What ``observe`` gives for it, by layer.
    names : dict of tuple of str
        Names of the units of each layer.
    classes : tuple of int
        The classes that are explained.
    """

    observe: Observe
    inputs: Any
    field: Float[Array, "*spatial c"]
    reference: dict[str, Any]
    names: dict[str, tuple[str, ...]]
    classes: tuple[int, ...]

    @property
    def prediction(self) -> dict[str, np.ndarray]:
        """What each unit is for the image as it is, arrays ``(units,)`` by layer."""
        return {layer: np.asarray(_units(value))[0] for layer, value in self.reference.items()}


def make_task(
    net: Classifier,
    image: Float[Array, "*spatial c"],
    *,
    classes: int | Sequence[int | str] | None,
    layers: Sequence[str] | None,
    units: Mapping[str, Sequence[int | tuple[int, ...]]] | None,
    start: str | None,
    measure: str,
    engine: str,
) -> Task:
    """Run the network once on the image as it is and set up what to read from it.

    Raises
    ------
    ValueError
        If classes, layers, units or the start do not exist or do not fit, the network returns
        NaN, or what it declares as probabilities are none.
    """
    if image.shape != net.image_shape:
        raise ValueError(
            f"image of shape {image.shape} does not fit {net.name}, which takes "
            f"{net.image_shape}; load it with pdjax.load_image(path, size=net.image_size)"
        )
    deciding = (net.probabilities or net.layers)[-1]
    layers = check_layers((deciding,) if layers is None else layers, net.layers)
    first = () if start is None else check_layers((start,), net.layers)
    outputs = _outputs(net, image, tuple(dict.fromkeys((*first, *layers, deciding))), engine)
    classes = min(3, len(net.labels)) if classes is None else classes
    chosen = select_classes(classes, net.labels, np.asarray(outputs[deciding][0]))
    rule = Rule(net.probabilities, len(net.labels), net.num_training_images, measure)
    picked = _picked(units or {}, layers, outputs, rule)
    observe = Observe(net.predict, layers, rule, picked)
    inputs: Any = (net.params, jnp.array(chosen, jnp.int32))
    field = image
    if start is not None:
        _check_start(start, outputs[start], engine)
        observe = Observe(FromLayer(net.predict, start), layers, rule, picked)
        inputs, field = ((net.params, image), inputs[1]), outputs[start][0]
        jax.eval_shape(observe, inputs, field[None])
    reference = observe.reduce(outputs, inputs[1])
    labels = tuple(net.labels[index] for index in chosen)
    names = {layer: _names(reference[layer], labels, dict(picked).get(layer)) for layer in layers}
    return Task(observe, inputs, field, reference, names, chosen)


def wrap_callable(f: Callable[[np.ndarray], Any], image: jax.Array, engine: str) -> Classifier:
    """Make a classifier of a plain callable, by asking it once what it returns."""
    if engine != "callable":
        raise TypeError(
            f"net={f!r} is no Classifier; make one with pdjax.Classifier.from_function, or pass "
            'engine="callable" for a function that is not written in JAX'
        )
    predict = NamedOutputs.of(lambda params, images: f(images), ("prob",))
    outputs = predict(None, np.asarray(image)[None])
    layers = tuple(outputs)
    check_units({layer: np.shape(values) for layer, values in outputs.items()})
    last = np.shape(outputs[layers[-1]])[-1]
    return Classifier(
        name=getattr(f, "__name__", type(f).__name__),
        predict=predict,
        params=None,
        image_size=image.shape[:-1],
        layers=layers,
        labels=tuple(str(index) for index in range(last)),
        probabilities=tuple(layer for layer in layers if layer == "prob"),
        channels=image.shape[-1],
    )


def _outputs(
    net: Classifier, image: jax.Array, layers: tuple[str, ...], engine: str
) -> dict[str, jax.Array]:
    """What the network gives for the image as it is, checked."""
    if engine == "callable":
        raw = net.predict(net.params, np.asarray(image)[None], layers)  # type: ignore[arg-type]
        outputs = {layer: jnp.asarray(np.asarray(raw[layer]), image.dtype) for layer in layers}
    else:
        raw = net(image[None], layers)
        # JAX sorts the keys of what a compiled function returns.
        outputs = {layer: raw[layer] for layer in layers}
    check_finite(outputs, "for the image as it is")
    for layer in set(layers) & set(net.probabilities):
        total, least = float(outputs[layer].sum()), float(outputs[layer].min())
        if abs(total - 1) > 1e-3 or least < 0:
            raise ValueError(
                f"layer {layer!r} is declared to hold class probabilities but sums to {total:.4g} "
                f"with a least value of {least:.4g}; apply a softmax, or leave it out of "
                "probabilities"
            )
    return outputs


def _picked(
    units: Mapping[str, Sequence[int | tuple[int, ...]]],
    layers: tuple[str, ...],
    outputs: Mapping[str, jax.Array],
    rule: Rule,
) -> tuple[tuple[str, Units], ...]:
    """Check the units asked for and make them hashable."""
    for layer, chosen in units.items():
        if layer not in layers:
            raise ValueError(f"units: {layer!r} is not among the layers; add it to layers")
        shape = outputs[layer].shape[1:]
        if layer in rule.probabilities or shape == (rule.num_classes,):
            raise ValueError(f"units: {layer!r} has one unit per class; choose them by classes")
        if len(chosen) == 0:
            raise ValueError(f"units: none are given for {layer!r}; leave it out for all of them")
        order = (shape[-1], *shape[:-1])
        for unit in chosen:
            position = (unit,) if isinstance(unit, int) else tuple(unit)
            inside = all(0 <= i < side for i, side in zip(position, order, strict=False))
            if len(position) not in (1, len(order)) or not inside:
                raise ValueError(
                    f"units: {layer!r} has no unit {unit!r}; give the index of one of its "
                    f"{order[0]} feature maps, or (map, position) within {order}"
                )
    return tuple(
        (layer, tuple(unit if isinstance(unit, int) else tuple(unit) for unit in chosen))
        for layer, chosen in units.items()
    )


def _check_start(start: str, activation: jax.Array, engine: str) -> None:
    if engine == "callable":
        raise ValueError(
            f"start={start!r} needs a network written in JAX; leave it out with engine='callable'"
        )
    check_spatial(start, activation.shape[1:])


def check_spatial(start: str, shape: tuple[int, ...]) -> None:
    """Raise ValueError where an activation ``(*spatial, c)`` has no windows to hide."""
    if len(shape) < 2:
        raise ValueError(
            f"start={start!r} has no spatial axes to hide windows of; choose a convolutional layer"
        )


def _units(value: Any) -> jax.Array:
    if isinstance(value, Probability):
        return value.p
    return value.units if isinstance(value, Hidden) else value


def _names(value: Any, labels: tuple[str, ...], picked: Units | None) -> tuple[str, ...]:
    if not isinstance(value, Hidden):
        return labels
    return tuple(map(str, range(value.units.shape[-1]) if picked is None else picked))
