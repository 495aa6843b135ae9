"""Haiku: a transformed function, its parameters and its state."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import haiku as hk
import jax

from pdjax._checks import ArgumentValueError
from pdjax._types import Params
from pdjax.adapters.told import INFERENCE, Outputs, Told, note, outputs_of
from pdjax.classifier import Classifier

__all__ = ["classifier"]

Transformed = hk.Transformed | hk.TransformedWithState


def classifier(transformed: Transformed, variables: tuple[Any, ...], told: Told) -> Classifier:
    """Make a classifier of ``hk.transform(f)`` and parameters, with state where there is one."""
    stateful = isinstance(transformed, hk.TransformedWithState)
    wanted = ("params", "state") if stateful else ("params",)
    if len(variables) != len(wanted):
        raise ArgumentValueError(
            "variables",
            f"are {len(variables)} for a Haiku function that needs {' and '.join(wanted)}",
            f"pass pdjax.wrap(transformed, {', '.join(wanted)}) with what transformed.init "
            "returned, as trained",
        )
    name = getattr(getattr(transformed.apply, "__wrapped__", None), "__name__", "haiku")
    makers = [
        functools.partial(_run, transformed, arguments) for arguments in _arguments(told.arguments)
    ]
    for f in makers[:-1]:
        try:
            return told.classifier(f, variables, name=name)
        except ArgumentValueError as error:
            # The function of the user is hidden in the transformed one, so whether it has an
            # argument is found by passing it.
            if not isinstance(error.__cause__, TypeError):
                raise
    return told.classifier(makers[-1], variables, name=name)


def _arguments(asked: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    """Return what to try as keyword arguments, one after the other."""
    if asked is not None:
        return [asked]
    return [*({name: value} for name, value in INFERENCE.items()), {}]


def _run(
    transformed: Transformed, arguments: Mapping[str, Any], variables: Params, images: jax.Array
) -> tuple[Outputs, Outputs]:
    hidden: Outputs = {}

    def noting(call: Any, args: Any, kwargs: Any, context: hk.MethodContext) -> Any:
        result = call(*args, **kwargs)
        if context.method_name == "__call__":
            note(hidden, context.module.module_name, result)
        return result

    with hk.intercept_methods(noting):
        result = transformed.apply(*variables, None, images, **arguments)
    return outputs_of(result[0] if len(variables) == 2 else result, hidden)
