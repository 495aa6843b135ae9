"""Tables that are known when a program is traced: indices, starts, matrices that resize an axis.

A rule that is to say where entries go has to know them. They are made of nothing but constants, by
steps of the program like all others, so these are run beforehand, and what they give takes the
place of the operand. Weights that a function closes over stay what they are: as constants of a
compiled program they would be stored with it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pdjax.jaxprs.program import Program, Step, Value, bind, needed

__all__ = ["with_known"]

LARGEST = 4 * 2**20
"""Bytes that a table may have, and what it is made of."""

TABLES: dict[str, slice] = {
    "gather": slice(1, 2),
    "dynamic_slice": slice(1, None),
    "dynamic_update_slice": slice(2, None),
    "pad": slice(1, 2),
    "reduce_window": slice(1, None),
    "dot_general": slice(0, 2),
}
"""By primitive, operands that are asked for."""

DENSEST = 0.5
"""Share of a matrix that may differ from zero: of others nothing is gained by knowing them."""


def with_known(program: Program, constants: Sequence[Any]) -> Program:
    """Replace operands by the tables that they are.

    Parameters
    ----------
    program : Program
    constants : sequence of arrays
        What the function closes over, as given by `pdjax.jaxprs.program.trace`.

    Examples
    --------
    >>> from pdjax.jaxprs.program import trace
    >>> program, constants, _ = trace(lambda x: x[jnp.array([2, 0])], jnp.ones(3))
    >>> [step.name for step in with_known(program, constants).steps]
    ['gather']
    """
    given = {
        number: const
        for number, const in zip(program.constants, constants, strict=True)
        if not isinstance(const, jax.core.Tracer)
    }
    fixed = set(given)
    for step in program.steps:
        small = all(aval.size * aval.dtype.itemsize <= LARGEST for aval in step.out_avals)
        if small and all(not isinstance(v, int) or v in fixed for v in step.inputs):
            fixed.update(step.outputs)
    wanted = {
        value: None
        for step in program.steps
        for value in step.inputs[TABLES.get(step.name, slice(0))]
        if isinstance(value, int)
        and value in fixed
        and program.avals[value].size * program.avals[value].dtype.itemsize <= LARGEST
        and not all(_is_fixed(v, fixed) for v in step.inputs)
    }
    if not wanted:
        return program

    def evaluate(given: dict[int, Any]) -> list[jax.Array]:
        values = dict(given)
        program.run(bind, values, wanted)
        return [jnp.asarray(values[value]) for value in wanted]

    # At once, while whatever is traced around it waits.
    with jax.ensure_compile_time_eval():
        found = map(np.asarray, jax.jit(evaluate)(given))
    known = dict(zip(wanted, found, strict=True))
    steps = [_filled_in(step, known) for step in program.steps]
    return dataclasses.replace(program, steps=needed(steps, program.results))


def _is_fixed(value: Value, fixed: set[int]) -> bool:
    return not isinstance(value, int) or value in fixed


def _filled_in(step: Step, known: dict[int, np.ndarray]) -> Step:
    asked = range(len(step.inputs))[TABLES.get(step.name, slice(0))]
    inputs = tuple(
        known[value] if index in asked and isinstance(value, int) and value in known else value
        for index, value in enumerate(step.inputs)
    )
    sparse = all(
        np.ndim(value) == 2 and np.mean(np.asarray(value) != 0) <= DENSEST
        for value in inputs
        if not isinstance(value, int)
    )
    if step.name == "dot_general" and not sparse:
        return step
    return dataclasses.replace(step, inputs=inputs)
