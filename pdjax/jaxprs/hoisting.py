"""What does not depend on the arguments of a function, done once instead of in every call.

A function that is called in a loop may prepare parameters again and again: a kernel that is
transposed, or transformed as Winograd's convolution wants it. XLA leaves such work in the loop.
Traced, the function is steps on numbered values, and those on which no argument has an influence
can be performed before the loop.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax

from pdjax.jaxprs.program import Program, Step, bind, trace

__all__ = ["hoisted"]

GROWTH = 2
"""A step whose result is more than so many times larger than what it is made of stays in the loop:
repeated there, where it is read, a parameter takes neither memory nor time."""


def hoisted(f: Callable[..., Any], *examples: Any) -> Callable[..., Any]:
    """Perform what does not depend on the arguments of ``f`` now, and return the rest of it.

    Parameters
    ----------
    f : callable
        From PyTrees of arrays to another one. What it closes over may be traced.
    *examples : PyTree of arrays, or of their shapes
        Arguments like those with which the rest will be called.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> kernel = jnp.arange(6.0).reshape(2, 3)
    >>> rest = hoisted(lambda x: x @ jnp.sin(kernel.T), jnp.ones((1, 3)))
    >>> jax.make_jaxpr(rest)(jnp.ones((1, 3))).eqns[0].primitive.name
    'dot_general'
    """
    program, constants, outputs = trace(f, *examples)
    values = program.bound(constants, ())
    program.run(bind, values, _at_the_border(program))

    def rest(*arguments: Any) -> Any:
        found = values | program.bound(constants, jax.tree.leaves(arguments))
        program.run(bind, found)
        return jax.tree.unflatten(jax.tree.structure(outputs), program.outputs(found))

    return rest


def _at_the_border(program: Program) -> list[int]:
    """Values that are read in the loop and can be had before it."""
    inside = set(program.arguments)
    for step in program.steps:
        if _grows(step) or any(isinstance(v, int) and v in inside for v in step.inputs):
            inside.update(step.outputs)
    read = [v for step in program.steps if step.outputs[0] in inside for v in step.inputs]
    border = (v for v in (*read, *program.results) if isinstance(v, int) and v not in inside)
    return list(dict.fromkeys(border))


def _grows(step: Step) -> bool:
    made, of = (
        sum(math.prod(aval.shape) for aval in avals) for avals in (step.out_avals, step.in_avals)
    )
    return made > GROWTH * of
