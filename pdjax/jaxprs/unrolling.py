"""Loops of known length and branches as the steps that they perform.

A loop is one step of a program, of which nothing but its whole result can be evaluated. Where it
has few turns, the turns can be written one after the other; and of branches, all can be performed
and one be chosen afterwards.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import ClosedJaxpr, Jaxpr

from pdjax.jaxprs.program import Builder, Program, Step, Value, holds_jaxpr

__all__ = ["can_be_unrolled", "unrolled"]

MOST_STEPS = 1000
"""Steps up to which a loop or branches are written out: all of them are compiled."""


def can_be_unrolled(step: Step) -> bool:
    """Whether a step is a loop or a choice of branches that is short enough."""
    if step.name == "scan":
        return _steps(step.params["jaxpr"]) * step.params["length"] <= MOST_STEPS
    if step.name == "cond":
        return sum(map(_steps, step.params["branches"])) <= MOST_STEPS
    return False


def unrolled(
    program: Program, constants: Sequence[Any], number: int
) -> tuple[Program, tuple[Any, ...], list[Value]]:
    """Write out one step of a program.

    Parameters
    ----------
    program : Program
    constants : sequence of arrays
        What the function closes over.
    number : int
        The first result of the step.

    Returns
    -------
    Program
    tuple of arrays
        Its constants.
    list of Value
        The results that the step had.
    """
    builder = Builder()
    builder.avals.update(program.avals)
    pairs = zip(program.constants, constants, strict=True)
    builder.constants.update({id(const): (n, const) for n, const in pairs})
    names: dict[int, Value] = {}
    results: list[Value] = []

    def renamed(values: Sequence[Value]) -> list[Value]:
        return [names.get(v, v) if isinstance(v, int) else v for v in values]

    for step in program.steps:
        inputs = renamed(step.inputs)
        if number in step.outputs:
            write = _write_loop if step.name == "scan" else _write_branches
            results = write(builder, step, inputs)
            names.update(zip(step.outputs, results, strict=True))
        else:
            builder.steps.append(dataclasses.replace(step, inputs=tuple(inputs)))
    return (*builder.program(program.arguments, renamed(program.results)), results)


def _write_loop(builder: Builder, step: Step, inputs: list[Value]) -> list[Value]:
    params, body = step.params, step.params["jaxpr"]
    first, second = params["num_consts"], params["num_consts"] + params["num_carry"]
    fixed, carry, rows = inputs[:first], inputs[first:second], inputs[second:]
    turns = range(params["length"])
    outputs: list[list[Value]] = []
    for turn in reversed(turns) if params["reverse"] else turns:
        taken = [
            _write(builder, lambda x, i=turn: lax.index_in_dim(x, i, keepdims=False), [row], step)
            for row in rows
        ]
        made = builder.enter(body.jaxpr, body.consts, [*fixed, *carry, *taken], step.where)
        carry = made[: len(carry)]
        outputs.append(made[len(carry) :])
    if params["reverse"]:
        outputs.reverse()
    stacked = [_write(builder, lambda *rows: jnp.stack(rows), list(one), step)
               for one in zip(*outputs, strict=True)]  # fmt: off
    return [*carry, *stacked]


def _write_branches(builder: Builder, step: Step, inputs: list[Value]) -> list[Value]:
    index, *operands = inputs
    branches = step.params["branches"]
    if isinstance(index, np.ndarray):
        branches = [branches[int(np.clip(index, 0, len(branches) - 1))]]
    cases = [builder.enter(b.jaxpr, b.consts, operands, step.where) for b in branches]
    if len(cases) == 1:
        return cases[0]
    return [_write(builder, lax.select_n, [index, *one], step) for one in zip(*cases, strict=True)]


def _write(
    builder: Builder, f: Callable[..., jax.Array], inputs: Sequence[Value], step: Step
) -> Value:
    """Write the steps of a function."""
    avals = [builder.avals[v] if isinstance(v, int) else v for v in inputs]
    closed = jax.make_jaxpr(f)(*(jax.ShapeDtypeStruct(a.shape, a.dtype) for a in avals))
    return builder.enter(closed.jaxpr, closed.consts, inputs, step.where)[0]


def _steps(jaxpr: Jaxpr | ClosedJaxpr) -> float:
    """Count the steps that a computation has written out; infinite, if that is not known."""
    jaxpr = jaxpr.jaxpr if isinstance(jaxpr, ClosedJaxpr) else jaxpr
    # What has effects, or need not come to an end, must not be performed unless it is chosen.
    return math.inf if jaxpr.effects else sum(map(_steps_of_one, jaxpr.eqns), 0.0)


def _steps_of_one(equation: Any) -> float:
    if equation.primitive.name == "while":
        return math.inf
    turns = equation.params.get("length", 1) if equation.primitive.name == "scan" else 1
    inner = [
        one
        for param in equation.params.values()
        if holds_jaxpr(param)
        for one in (param if isinstance(param, tuple) else (param,))
    ]
    return 1.0 + turns * sum(map(_steps, inner), 0.0)
