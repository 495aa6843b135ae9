"""Writing a program anew with its values stored in other orders of axes than the logical ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from jax import lax
from jax.core import ShapedArray

from pdjax.jaxprs.program import Program, Step, Value

__all__ = ["Order", "Writer", "straight"]

Order = tuple[int, ...]
"""Logical axes of a value, in the order in which they are stored."""


class Writer:
    """The program as it is written anew, and where each of its values is by now."""

    def __init__(self, program: Program) -> None:
        self.steps: list[Step] = []
        self.avals = dict(program.avals)
        self._logical = program.avals
        images = program.arguments[-1:]
        self._images = program.dependents(images[0]) if images else set()
        # By value of the old program, the value of the new one and how it is stored.
        self._places: dict[int, tuple[int, Order]] = {}
        self._copies: dict[tuple[int, Order], int] = {}
        self._made_by = {value: step for step in program.steps for value in step.outputs}

    def moving(self, value: Value) -> bool:
        """Whether a value depends on the images."""
        return isinstance(value, int) and value in self._images

    def order(self, value: Value) -> Order:
        """Tell how a value is stored."""
        if isinstance(value, int) and value in self._places:
            return self._places[value][1]
        return tuple(range(len(self.shape(value))))

    def shape(self, value: Value) -> tuple[int, ...]:
        """Return the logical shape of a value."""
        return tuple(self._logical[value].shape) if isinstance(value, int) else value.shape

    def stored(self, value: Value, order: Order | None = None) -> Value:
        """Return a value of the new program that is stored in an order, by default the logical."""
        order = tuple(range(len(self.shape(value)))) if order is None else order
        if not isinstance(value, int):
            return value if value.ndim < 2 else np.transpose(value, order)
        number, present = self._places.get(value, (value, self.order(value)))
        if order == present:
            return number
        permutation = tuple(present.index(axis) for axis in order)
        if (number, permutation) not in self._copies:
            new = self._number(self._logical[value], order)
            self._copies[number, permutation] = new
            if not self._repeated(value, new, order):
                where = self._made_by[value].where if value in self._made_by else ""
                step = Step(lax.transpose_p, {}, (), (), (self.avals[number],), (), where)
                self._append(step, [number], [new], {"permutation": permutation})
        return self._copies[number, permutation]

    def emit(
        self, step: Step, inputs: Sequence[Value], orders: Sequence[Order], **changed: Any
    ) -> bool:
        """Write a step with other operands and parameters, its results stored in ``orders``."""
        same = (
            all(
                old is new or (isinstance(old, int) and old == new)
                for old, new in zip(step.inputs, inputs, strict=True)
            )
            and all(step.params[name] == value for name, value in changed.items())
            and list(orders) == straight(step)
        )
        if same:
            self.steps.append(step)
            return True
        outputs = [
            self._number(aval, order) for aval, order in zip(step.out_avals, orders, strict=True)
        ]
        self._append(step, inputs, outputs, {**step.params, **changed})
        for value, number, order in zip(step.outputs, outputs, orders, strict=True):
            self._places[value] = (number, order)
        return True

    def alias(self, step: Step, order: Order) -> bool:
        """Note that the only result of a step is its operand, with its axes named otherwise."""
        (value,) = step.inputs
        if not isinstance(value, int):
            return False
        number, _ = self._places.get(value, (value, ()))
        self._places[step.outputs[0]] = (number, order)
        return True

    def common_order(self, values: Sequence[Value]) -> Order:
        """Choose how operands of one rank are stored: as one is that depends on the images.

        Of several orders the first that is not the logical one; whatever differs is transposed.
        """
        full = [value for value in values if len(self.shape(value)) > 0]
        orders = [self.order(value) for value in [*filter(self.moving, full)] or full]
        turned = [order for order in orders if order != tuple(sorted(order))]
        return (turned or orders or [()])[0]

    def whole_or_scalar(self, values: Sequence[Value], order: Order) -> list[Value]:
        """Return operands stored in an order, but for scalars, which have none."""
        return [self.stored(value, order if self.shape(value) else ()) for value in values]

    def _repeated(self, value: int, new: int, order: Order) -> bool:
        """Make a value of repeated entries in another order by repeating them in it."""
        step = self._made_by.get(value)
        if step is None or step.name != "broadcast_in_dim" or len(step.inputs) > 1:
            return False
        axes = [order.index(axis) for axis in step.params["broadcast_dimensions"]]
        operand = self.stored(step.inputs[0], tuple(sorted(range(len(axes)), key=axes.__getitem__)))
        shape = self.avals[new].shape
        changed = {"shape": shape, "broadcast_dimensions": tuple(sorted(axes))}
        self._append(step, [operand], [new], {**step.params, **changed})
        return True

    def _number(self, aval: ShapedArray, order: Order) -> int:
        number = len(self.avals)
        self.avals[number] = aval.update(shape=tuple(aval.shape[axis] for axis in order))
        return number

    def _append(
        self, step: Step, inputs: Sequence[Value], outputs: Sequence[int], params: dict[str, Any]
    ) -> None:
        in_avals = tuple(
            self.avals[value] if isinstance(value, int) else aval.update(shape=value.shape)
            for value, aval in zip(inputs, step.in_avals, strict=True)
        )
        out_avals = tuple(self.avals[value] for value in outputs)
        self.steps.append(
            dataclasses.replace(
                step,
                params=params,
                inputs=tuple(inputs),
                outputs=tuple(outputs),
                in_avals=in_avals,
                out_avals=out_avals,
            )
        )


def straight(step: Step) -> list[Order]:
    """Return the logical order of every result of a step."""
    return [tuple(range(len(aval.shape))) for aval in step.out_avals]
