"""Equinox: a module for one image, channels first, and its state where it has one."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax

from pdjax._checks import ArgumentValueError
from pdjax._types import Params
from pdjax.adapters.calls import noted_calls
from pdjax.adapters.told import Outputs, Told, outputs_of
from pdjax.classifier import Classifier

__all__ = ["classifier"]

STATE = "state"


def classifier(module: eqx.Module, variables: tuple[Any, ...], told: Told) -> Classifier:
    """Make a classifier of a module in inference mode."""
    taken = inspect.signature(type(module).__call__).parameters
    stateful = STATE in taken and taken[STATE].default is inspect.Parameter.empty
    stateful |= bool(variables) and isinstance(variables[0], eqx.nn.State)
    if len(variables) != stateful:
        needs = "needs a state" if stateful else "takes no state"
        raise ArgumentValueError(
            "variables",
            f"are {len(variables)} for an Equinox module that {needs}",
            "pass pdjax.wrap(module, state) with what eqx.nn.make_with_state returned"
            if stateful
            else "pass the module alone",
        )
    arrays, static = eqx.partition((eqx.nn.inference_mode(module), *variables), eqx.is_array)
    arguments = told.with_arguments(type(module).__call__)
    f = functools.partial(_run, static, arguments)
    return told.classifier(f, arrays, name=type(module).__name__, channel_axis=1)


def _run(
    static: Any, arguments: Mapping[str, Any], arrays: Params, images: jax.Array
) -> tuple[Outputs, Outputs]:
    module, *state = eqx.combine(arrays, static)
    modules = dict(_submodules(module, ()))
    orders: list[tuple[list[str], list[str]]] = []

    def one(image: jax.Array) -> tuple[Outputs, Outputs]:
        hidden: Outputs = {}
        with noted_calls(modules, hidden):
            result = module(image, *state, **arguments)
        layers, outputs = outputs_of(result[0] if state else result, hidden)
        orders.append((list(layers), list(outputs)))
        return layers, outputs

    # The name is that which Equinox' documentation gives the batch; in inference mode nothing is
    # averaged over it.
    values = jax.vmap(one, axis_name="batch")(images)
    layers, outputs = (
        {name: one[name] for name in order} for one, order in zip(values, orders[0], strict=True)
    )
    return layers, outputs


def _submodules(node: Any, path: tuple[str, ...]) -> Any:
    """Yield the modules below a module, lists and dicts of them entered, by path."""
    below = [
        (key, child)
        for key, child in jax.tree_util.tree_flatten_with_path(
            node, is_leaf=lambda inner: inner is not node and isinstance(inner, eqx.Module)
        )[0]
        if isinstance(child, eqx.Module)
    ]
    for key, child in below:
        here = (*path, *(_part(entry) for entry in key))
        if callable(child):
            yield "/".join(here), child
        yield from _submodules(child, here)


def _part(entry: Any) -> str:
    """Name a step of a path: an attribute, a position or a key."""
    for kind in ("name", "idx", "key"):
        if hasattr(entry, kind):
            return str(getattr(entry, kind))
    return str(entry)
