"""Flax NNX: a module that holds its variables."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import jax
from flax import nnx

from pdjax._checks import ArgumentValueError
from pdjax._types import Params
from pdjax.adapters.calls import noted_calls
from pdjax.adapters.told import Outputs, Told, outputs_of
from pdjax.classifier import Classifier

__all__ = ["classifier"]


def classifier(module: nnx.Module, variables: tuple[Any, ...], told: Told) -> Classifier:
    """Make a classifier of a copy of a module, in evaluation mode."""
    if variables:
        raise ArgumentValueError(
            "variables",
            "are given with a Flax NNX module, which holds its own",
            "pass the module alone, after nnx.update(module, variables)",
        )
    copy = nnx.clone(module)
    copy.eval()
    # Keys and counters of random numbers are no weights.
    graph, *states = nnx.split(copy, nnx.RngState, ...)
    chance, weights = states
    arguments = told.with_arguments(type(module).__call__)
    f = functools.partial(_run, graph, chance, arguments)
    return told.classifier(f, weights, name=type(module).__name__)


def _run(
    graph: Any,
    chance: Any,
    arguments: Mapping[str, Any],
    weights: Params,
    images: jax.Array,
) -> tuple[Outputs, Outputs]:
    module = nnx.merge(graph, chance, weights)
    parts = {
        "/".join(map(str, path)): part
        for path, part in nnx.iter_graph(module)
        if path and isinstance(part, nnx.Module) and callable(part)
    }
    hidden: Outputs = {}
    with noted_calls(parts, hidden):
        result = module(images, **arguments)
    return outputs_of(result, hidden)
