"""Keras 3 on the JAX backend."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import keras

from pdjax._checks import ArgumentValueError
from pdjax._types import Params
from pdjax.adapters.calls import noted_calls
from pdjax.adapters.told import OUTPUT, Outputs, Told, outputs_of
from pdjax.classifier import Classifier

__all__ = ["classifier"]

ACTIVATIONS = ("softmax", "sigmoid")
"""Activations by which a last layer tells what it returns."""


def classifier(model: keras.Model, variables: tuple[Any, ...], told: Told) -> Classifier:
    """Make a classifier of a built model and the variables that it has now."""
    if variables:
        raise ArgumentValueError(
            "variables", "are given with a Keras model, which holds its own", "pass it alone"
        )
    backend = keras.backend.backend()
    if backend != "jax":
        raise ArgumentValueError(
            "model",
            f"is a Keras model on the {backend} backend",
            "set the environment variable KERAS_BACKEND=jax before Keras is imported",
        )
    if not model.built:
        raise ArgumentValueError(
            "model", "is a Keras model that is not built", "call it on a batch of images once"
        )
    params = {
        "trainable": [variable.value for variable in model.trainable_variables],
        "others": [variable.value for variable in model.non_trainable_variables],
    }
    shape = _image_shape(model)
    first = shape is not None and _channels_first(model)
    spatial, channels = None, None
    if shape is not None:
        channels = shape[0] if first else shape[-1]
        sides = shape[1:] if first else shape[:-1]
        spatial = tuple(side for side in sides if side is not None)
        spatial = spatial if len(spatial) == len(sides) else None
    last = [output._keras_history.operation for output in getattr(model, "outputs", None) or ()]
    names = tuple(layer.name for layer in last) if len(last) > 1 else (OUTPUT,)
    return told.classifier(
        functools.partial(_run, model, names, dict(told.arguments or {})),
        params,
        name=model.name,
        image_size=spatial,
        channels=channels,
        channel_axis=1 if first else -1,
        kinds=_kinds(names, last),
    )


def _run(
    model: keras.Model,
    names: tuple[str, ...],
    arguments: Mapping[str, Any],
    params: Params,
    images: jax.Array,
) -> tuple[Outputs, Outputs]:
    hidden: Outputs = {}
    with noted_calls(dict(_layers(model, "")), hidden):
        result, _ = model.stateless_call(
            params["trainable"], params["others"], images, training=False, **arguments
        )
    values = list(result) if isinstance(result, (list, tuple)) else [result]
    if not isinstance(result, Mapping) and len(values) == len(names):
        result = dict(zip(names, values, strict=True))
    return outputs_of(result, hidden)


def _layers(model: keras.Model, path: str) -> Iterator[tuple[str, Any]]:
    """Yield the layers of a model, and those of models in it, by path."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.InputLayer):
            continue
        yield path + layer.name, layer
        if isinstance(layer, keras.Model):
            yield from _layers(layer, f"{path}{layer.name}/")


def _image_shape(model: keras.Model) -> tuple[int | None, ...] | None:
    shape = getattr(model, "input_shape", None)
    return tuple(shape[1:]) if isinstance(shape, tuple) and len(shape) > 2 else None


def _channels_first(model: keras.Model) -> bool:
    formats = (getattr(layer, "data_format", None) for _, layer in _layers(model, ""))
    return next((form for form in formats if form), "channels_last") == "channels_first"


def _kinds(names: tuple[str, ...], last: list[Any]) -> dict[str, str]:
    """Say what outputs hold, of those whose last layer has an activation that tells."""
    kinds = {}
    for name, layer in zip(names, last, strict=False):
        while isinstance(layer, keras.Model):
            layer = layer.layers[-1]
        if isinstance(layer, keras.layers.Softmax):
            kinds[name] = "softmax"
            continue
        activation = getattr(getattr(layer, "activation", None), "__name__", None)
        if activation in ACTIVATIONS:
            kinds[name] = activation
    return kinds
