"""A traced function as a flat list of steps: nested calls entered, unused steps left out.

Tracing gives a jaxpr whose equations may hold further jaxprs (``jit``, ``custom_jvp``,
``checkpoint``). Here everything that merely wraps a computation is opened, so that what follows
sees one list of primitive operations on numbered values.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.extend
import jax.numpy as jnp
import numpy as np

__all__ = ["Perform", "Program", "Step", "Value", "bind", "flatten"]

CALLS = {
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "closed_call": "call_jaxpr",
    "core_call": "call_jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "custom_vjp_call_jaxpr": "fun_jaxpr",
    "checkpoint": "jaxpr",
    "remat2": "jaxpr",
}
"""Primitives that only wrap a computation, and the parameter that holds it."""

Value = int | np.ndarray
"""A numbered value, or a constant scalar that stands in the program itself."""


Perform = Callable[..., list[Any]]
"""``perform(step, *operands, **changed parameters)``: how an operation is done on a device."""


@dataclasses.dataclass(frozen=True, eq=False)
class Step:
    """One primitive operation.

    Attributes
    ----------
    primitive : jax.extend.core.Primitive
    params : dict
        Its static parameters.
    inputs : tuple of Value
    outputs : tuple of int
    in_avals, out_avals : tuple of abstract arrays
        Shapes and dtypes for a batch of one image.
    where : str
        The scope in which the function performs it, such as the name of a layer.
    """

    primitive: Any
    params: dict[str, Any]
    inputs: tuple[Value, ...]
    outputs: tuple[int, ...]
    in_avals: tuple[Any, ...]
    out_avals: tuple[Any, ...]
    where: str

    @property
    def name(self) -> str:
        """Name of the primitive."""
        return str(self.primitive.name)


@dataclasses.dataclass(frozen=True, eq=False)
class Program:
    """Steps in order, and the numbers of the values that go in and come out."""

    steps: tuple[Step, ...]
    constants: tuple[int, ...]
    arguments: tuple[int, ...]
    results: tuple[Value, ...]
    avals: dict[int, Any]

    def bound(self, constants: Iterable[Any], arguments: Iterable[Any]) -> dict[int, Any]:
        """Number what goes in; the last arguments may be left out."""
        known = dict(zip(self.constants, constants, strict=True))
        return known | dict(zip(self.arguments, arguments, strict=False))

    def outputs(self, values: Mapping[int, Any]) -> list[jax.Array]:
        """Return what comes out, once the steps have been run."""
        return [values[v] if isinstance(v, int) else jnp.asarray(v) for v in self.results]

    def run(
        self, perform: Perform, values: dict[int, Any], wanted: Iterable[int] | None = None
    ) -> None:
        """Add to ``values`` what the steps give, or only what ``wanted`` values take."""
        steps = self.steps if wanted is None else _used(self.steps, tuple(wanted))
        for step in steps:
            operands = [values[v] if isinstance(v, int) else v for v in step.inputs]
            values.update(zip(step.outputs, perform(step, *operands), strict=True))


def flatten(closed: jax.extend.core.ClosedJaxpr) -> Program:
    """Open nested calls and leave out steps on which no result depends."""
    builder = _Builder()
    jaxpr = closed.jaxpr
    constants = [builder.number(variable) for variable in jaxpr.constvars]
    arguments = [builder.number(variable) for variable in jaxpr.invars]
    names: dict[Any, Value] = dict(
        zip((*jaxpr.constvars, *jaxpr.invars), (*constants, *arguments), strict=True)
    )
    results = builder.walk(jaxpr, names, "")
    return Program(
        steps=_used(builder.steps, results),
        constants=tuple(constants),
        arguments=tuple(arguments),
        results=tuple(results),
        avals=builder.avals,
    )


def bind(step: Step, *operands: Any, **changed: Any) -> list[Any]:
    """Perform a step on these operands, with some of its parameters replaced."""
    params = step.primitive.get_bind_params({**step.params, **changed})
    # Before JAX 0.10 functions among the parameters were handed back apart from them.
    functions, params = params if isinstance(params, tuple) else ((), params)
    result = step.primitive.bind(*functions, *operands, **params)
    return list(result) if step.primitive.multiple_results else [result]


class _Builder:
    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.avals: dict[int, Any] = {}

    def number(self, variable: Any) -> int:
        self.avals[len(self.avals)] = variable.aval
        return len(self.avals) - 1

    def walk(self, jaxpr: Any, names: dict[Any, Value], scope: str) -> list[Value]:
        def read(variable: Any) -> Value:
            if isinstance(variable, jax.extend.core.Literal):
                aval: Any = variable.aval
                return np.asarray(variable.val, aval.dtype)
            return names[variable]

        for equation in jaxpr.eqns:
            inputs = [read(variable) for variable in equation.invars]
            where = "/".join(filter(None, (scope, str(equation.source_info.name_stack))))
            inner = _inner(equation)
            if inner is not None:
                outputs = self._enter(inner, inputs, where)
            else:
                outputs = [self.number(variable) for variable in equation.outvars]
                self.steps.append(
                    Step(
                        primitive=equation.primitive,
                        params=equation.params,
                        inputs=tuple(inputs),
                        outputs=tuple(value for value in outputs if isinstance(value, int)),
                        in_avals=tuple(variable.aval for variable in equation.invars),
                        out_avals=tuple(variable.aval for variable in equation.outvars),
                        where=where,
                    )
                )
            names.update(zip(equation.outvars, outputs, strict=True))
        return [read(variable) for variable in jaxpr.outvars]

    def _enter(self, inner: Any, inputs: Sequence[Value], where: str) -> list[Value]:
        """Walk a nested jaxpr; what it closes over can only be constants."""
        jaxpr, consts = inner
        known: list[Value] = [np.asarray(const) for const in consts]
        names = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*known, *inputs), strict=True))
        return self.walk(jaxpr, names, where)


def _inner(equation: Any) -> tuple[Any, Sequence[Any]] | None:
    key = CALLS.get(equation.primitive.name)
    inner = equation.params.get(key) if key else None
    if inner is None:
        return None
    if not isinstance(inner, jax.extend.core.ClosedJaxpr):
        return inner, ()
    if any(isinstance(const, jax.core.Tracer) for const in inner.consts):
        return None
    return inner.jaxpr, inner.consts


def _used(steps: Sequence[Step], results: Sequence[Value]) -> tuple[Step, ...]:
    wanted = {value for value in results if isinstance(value, int)}
    kept = []
    for step in reversed(steps):
        if wanted.intersection(step.outputs):
            kept.append(step)
            wanted.update(value for value in step.inputs if isinstance(value, int))
    return tuple(reversed(kept))
