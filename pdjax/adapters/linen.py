"""Flax linen: a module and its variables."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax

from pdjax._checks import ArgumentTypeError, ArgumentValueError
from pdjax._types import Params
from pdjax.adapters.told import Outputs, Told, note, outputs_of
from pdjax.classifier import Classifier

__all__ = ["classifier"]

SOWN = "intermediates"
CALL = "__call__"


def classifier(module: nn.Module, variables: tuple[Any, ...], told: Told) -> Classifier:
    """Make a classifier of a module and the variables that `init` or training returned."""
    if len(variables) != 1:
        raise ArgumentValueError(
            "variables",
            f"are {len(variables)} for a Flax linen module, which needs one",
            "pass the dict that module.init returned, as trained: pdjax.wrap(module, variables)",
        )
    (values,) = variables
    if not isinstance(values, Mapping):
        raise ArgumentTypeError(
            "variables",
            f"of a Flax linen module are a {type(values).__name__}",
            "pass a dict such as {'params': params, 'batch_stats': batch_stats}",
        )
    if "params" not in values:
        raise ArgumentValueError(
            "variables",
            f"have no 'params', but {', '.join(map(repr, values)) or 'nothing'}",
            "pass a dict such as {'params': params, 'batch_stats': batch_stats}",
        )
    kept = {name: value for name, value in values.items() if name != SOWN}
    arguments = told.with_arguments(type(module).__call__)
    f = functools.partial(_run, module, arguments)
    return told.classifier(f, kept, name=type(module).__name__)


def _run(
    module: nn.Module, arguments: Mapping[str, Any], variables: Params, images: jax.Array
) -> tuple[Outputs, Outputs]:
    order: list[tuple[str, ...]] = []

    def noting(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
        result = call(*args, **kwargs)
        order.append(tuple(context.module.path))
        return result

    # Flax hands out what submodules return, also of those inside its own transformations; only
    # the order of their calls is noted here.
    with nn.intercept_methods(noting):
        result, state = module.apply(
            variables, images, **arguments, capture_intermediates=True, mutable=[SOWN]
        )
    captured = dict(_captured(state.get(SOWN, {})))
    captured.pop((CALL,), None)
    position = {path: index for index, path in reversed(list(enumerate(order)))}
    hidden: Outputs = {}
    for path in sorted(captured, key=lambda path: position.get(_module(path), len(order))):
        for value in captured[path]:
            note(hidden, "/".join(part for part in path if part != CALL), value)
    return outputs_of(result, hidden)


def _module(path: tuple[str, ...]) -> tuple[str, ...]:
    return path[:-1]


def _captured(tree: Any, path: tuple[str, ...] = ()) -> Any:
    """Yield the path and the values of everything that was kept, a tuple for repeated calls."""
    if isinstance(tree, Mapping):
        for name, below in tree.items():
            yield from _captured(below, (*path, name))
    else:
        yield path, tree if isinstance(tree, tuple) else (tree,)
