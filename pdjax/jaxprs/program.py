"""A traced function as a flat list of steps: nested calls entered, unused steps left out.

Tracing gives a jaxpr whose equations may hold further jaxprs (``jit``, ``custom_jvp``,
``checkpoint``). Here everything that merely wraps a computation is opened, so that whoever reads a
program sees one list of primitive operations on numbered values. This is the only place that walks
jaxprs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
from jax.core import ShapedArray
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Primitive, Var

__all__ = [
    "Builder",
    "Operand",
    "Perform",
    "Program",
    "Step",
    "Traced",
    "Value",
    "bind",
    "needed",
    "trace",
]

# Left out are loops, branches and scans: they perform what they hold many times, or not at all, and
# stay one step, unless `pdjax.jaxprs.unrolling` opens them.
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
    "composite": "jaxpr",
    "custom_vmap_call": "call",
}
"""Primitives that only wrap a computation, and the parameter that holds it."""

THROUGH = ("optimization_barrier",)
"""Primitives that hand on what they are given."""

Value = int | np.ndarray
"""A numbered value, or a constant that stands in the program itself: a scalar or a small table."""

Operand = jax.Array | np.ndarray
"""What a step is performed on: a constant of the program stays an array of NumPy."""

Perform = Callable[..., list[jax.Array]]
"""``perform(step, *operands, **changed parameters)``: how an operation is done on a device."""


# Steps and programs are equal only to themselves: they are static arguments of compiled functions,
# where comparing all parameters would be slow, and for jaxprs among them impossible.
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
        Shapes and dtypes with which it was traced.
    where : str
        The scope in which the function performs it, such as the name of a layer.
    """

    primitive: Primitive
    params: dict[str, Any]
    inputs: tuple[Value, ...]
    outputs: tuple[int, ...]
    in_avals: tuple[ShapedArray, ...]
    out_avals: tuple[ShapedArray, ...]
    where: str

    @property
    def name(self) -> str:
        """Name of the primitive."""
        return str(self.primitive.name)


@dataclasses.dataclass(frozen=True, eq=False)
class Program:
    """Steps in order, and the numbers of the values that go in and come out.

    Holds none of the arrays that go in, so that it can be kept and run on others of their shapes.

    Attributes
    ----------
    steps : tuple of Step
    constants : tuple of int
        Arrays that the function closes over.
    arguments : tuple of int
        Leaves of the arguments.
    results : tuple of Value
        Leaves of what comes out.
    avals : dict
        Shape and dtype of every value, by its number.
    """

    steps: tuple[Step, ...]
    constants: tuple[int, ...]
    arguments: tuple[int, ...]
    results: tuple[Value, ...]
    avals: dict[int, ShapedArray]

    def bound(self, constants: Iterable[Any], arguments: Iterable[Any]) -> dict[int, Any]:
        """Number what goes in; the last arguments may be left out."""
        known = dict(zip(self.constants, constants, strict=True))
        return known | dict(zip(self.arguments, arguments, strict=False))

    def outputs(self, values: Mapping[int, Any]) -> list[jax.Array]:
        """Return what comes out, once the steps have been run."""
        return [values[v] if isinstance(v, int) else jnp.asarray(v) for v in self.results]

    def run(
        self, perform: Perform, values: dict[int, Any], wanted: Iterable[Value] | None = None
    ) -> None:
        """Add to ``values`` what the steps give, or only what ``wanted`` values take.

        A value that is there already, be it an argument or in the middle, is taken as given: it
        is not computed again, nor is what only it would need.
        """
        wanted = self.results if wanted is None else wanted
        for step in needed(self.steps, wanted, values):
            operands = [values[v] if isinstance(v, int) else v for v in step.inputs]
            # A step with several results may make one that is given beside one that is needed.
            for number, result in zip(step.outputs, perform(step, *operands), strict=True):
                values.setdefault(number, result)

    def dependents(self, value: Value) -> set[int]:
        """Return the numbers of the values that depend on a value, itself included."""
        found = {value} if isinstance(value, int) else set()
        for step in self.steps:
            if any(isinstance(v, int) and v in found for v in step.inputs):
                found.update(step.outputs)
        return found


class Traced(NamedTuple):
    """A traced function.

    Attributes
    ----------
    program : Program
    constants : tuple of arrays
        What the function closes over, in the order of ``program.constants``.
    outputs : PyTree
        Shapes and dtypes of what it returns.
    """

    program: Program
    constants: tuple[Any, ...]
    outputs: Any


def trace(f: Callable[..., Any], *arguments: Any) -> Traced:
    """Trace a function of PyTrees of arrays, or of their shapes, to a flat program.

    Examples
    --------
    >>> f = jax.jit(lambda x: jax.checkpoint(jnp.sin)(2 * x))
    >>> [step.name for step in trace(f, jnp.ones(3)).program.steps]
    ['mul', 'sin']
    """
    closed, outputs = jax.make_jaxpr(f, return_shape=True)(*arguments)
    builder = Builder()
    numbers = tuple(builder.number(variable.aval) for variable in closed.jaxpr.invars)
    results = builder.enter(closed.jaxpr, closed.consts, numbers, "")
    return Traced(*builder.program(numbers, results), outputs)


def bind(step: Step, *operands: Any, **changed: Any) -> list[jax.Array]:
    """Perform a step on these operands, with some of its parameters replaced."""
    # What a primitive is bound with is not always what its equation holds: a jaxpr may have to
    # become a function again.
    params = step.primitive.get_bind_params({**step.params, **changed})
    # Before JAX 0.10 functions among the parameters were handed back apart from them.
    functions, params = params if isinstance(params, tuple) else ((), params)
    result = step.primitive.bind(*functions, *operands, **params)
    return list(result) if step.primitive.multiple_results else [result]


class Builder:
    """Steps, values and constants, as they are met while jaxprs are walked."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.avals: dict[int, ShapedArray] = {}
        self.constants: dict[int, tuple[int, Any]] = {}

    def program(
        self, arguments: tuple[int, ...], results: Sequence[Value]
    ) -> tuple[Program, tuple[Any, ...]]:
        """Return the program that has these results, and its constants."""
        program = Program(
            steps=needed(self.steps, results),
            constants=tuple(number for number, _ in self.constants.values()),
            arguments=arguments,
            results=tuple(results),
            avals=self.avals,
        )
        return program, tuple(const for _, const in self.constants.values())

    def number(self, aval: ShapedArray) -> int:
        """Give a value of this shape and type the next number."""
        self.avals[len(self.avals)] = aval
        return len(self.avals) - 1

    def enter(
        self, jaxpr: Jaxpr, consts: Sequence[Any], inputs: Sequence[Value], scope: str
    ) -> list[Value]:
        """Walk a jaxpr whose inputs are values of the program, and return its results."""
        constants = [self._constant(v, c) for v, c in zip(jaxpr.constvars, consts, strict=True)]
        names: dict[Var, Value] = dict(
            zip((*jaxpr.constvars, *jaxpr.invars), (*constants, *inputs), strict=True)
        )

        def read(variable: Var | Literal) -> Value:
            if isinstance(variable, Literal):
                return np.asarray(variable.val, _avals([variable])[0].dtype)
            return names[variable]

        for equation in jaxpr.eqns:
            # Variables are known inside their own jaxpr only, numbers in the whole program: opening
            # a call is giving its variables the numbers of the operands, and walking on.
            operands = [read(variable) for variable in equation.invars]
            where = "/".join(filter(None, (scope, str(equation.source_info.name_stack))))
            inner = _inner(equation)
            if equation.primitive.name in THROUGH:
                outputs: Sequence[Value] = operands
            elif inner is None:
                outputs = self._append(equation, operands, where)
            else:
                outputs = self.enter(*inner, operands, where)
            names.update(zip(equation.outvars, outputs, strict=True))
        return [read(variable) for variable in jaxpr.outvars]

    def _append(self, equation: JaxprEqn, operands: Sequence[Value], where: str) -> Sequence[Value]:
        step = Step(
            primitive=equation.primitive,
            params={name: _plain(value) for name, value in equation.params.items()},
            inputs=tuple(operands),
            outputs=(),
            in_avals=_avals(equation.invars),
            out_avals=_avals(equation.outvars),
            where=where,
        )
        folded = None if equation.effects else _folded(step)
        if folded is not None:
            return folded
        outputs = tuple(self.number(aval) for aval in step.out_avals)
        self.steps.append(dataclasses.replace(step, outputs=outputs))
        return outputs

    def _constant(self, variable: Var, const: Any) -> Value:
        """Number an array that is closed over, once however often it is used.

        A scalar stands in the program itself: rules ask for its value, such as that of a padding.
        """
        (aval,) = _avals([variable])
        known = not isinstance(const, jax.core.Tracer)
        if known and not aval.shape and not jnp.issubdtype(aval.dtype, jax.dtypes.extended):
            return np.asarray(const, aval.dtype)
        if id(const) not in self.constants:
            self.constants[id(const)] = (self.number(aval), const)
        return self.constants[id(const)][0]


def _plain(value: Any) -> Any:
    """Turn integers of NumPy, which batching leaves among axes, into those of Python."""
    if type(value) is tuple:
        return tuple(_plain(inner) for inner in value)
    return int(value) if isinstance(value, np.integer) else value


def _avals(variables: Sequence[Any]) -> tuple[ShapedArray, ...]:
    return tuple(variable.aval for variable in variables)


def holds_jaxpr(param: Any) -> bool:
    """Whether a parameter is a computation, or a tuple with such."""
    if isinstance(param, tuple):
        return any(map(holds_jaxpr, param))
    return isinstance(param, Jaxpr | ClosedJaxpr)


def _folded(step: Step) -> list[np.ndarray] | None:
    """Perform a step on known scalars: rules ask for such, converted to the type of an array."""
    known = step.inputs and all(isinstance(value, np.ndarray) for value in step.inputs)
    scalars = all(
        not aval.shape and not jnp.issubdtype(aval.dtype, jax.dtypes.extended)
        for aval in (*step.in_avals, *step.out_avals)
    )
    if not known or not scalars or any(map(holds_jaxpr, step.params.values())):
        return None
    with jax.ensure_compile_time_eval():
        return [np.asarray(result) for result in bind(step, *step.inputs)]


def _inner(equation: JaxprEqn) -> tuple[Jaxpr, Sequence[Any]] | None:
    """Return the jaxpr that an equation merely wraps, with its constants; None if it does not."""
    key = CALLS.get(equation.primitive.name)
    inner = equation.params.get(key) if key else None
    if isinstance(inner, ClosedJaxpr):
        return inner.jaxpr, inner.consts
    return None if inner is None else (inner, ())


def needed(
    steps: Sequence[Step], wanted: Iterable[Value], given: Container[int] = ()
) -> tuple[Step, ...]:
    """Return the steps on which wanted values depend, where some others are given."""
    # From the end backwards: a step is needed if any result of it is, and then so are its operands.
    missing = {v for v in wanted if isinstance(v, int) and v not in given}
    kept = []
    for step in reversed(steps):
        if missing.intersection(step.outputs):
            kept.append(step)
            missing.update(v for v in step.inputs if isinstance(v, int) and v not in given)
    return tuple(reversed(kept))
