"""Rules of operations along whole axes: reductions, running totals, orderings."""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from pdjax.jaxprs.program import Step
from pdjax.local.boxes import Box, Ranges, hull, ranges
from pdjax.local.rules.rule import Boxes, Operands, Rule

__all__ = ["RULES"]

WHY = "it sees all places at once"


def _reduction_box(step: Step, boxes: Boxes) -> Box | None:
    changed = [box for box in boxes if box is not None]
    # What a reduction starts with is a scalar: where that changes, all changes.
    if any(len(box) != len(step.in_avals[0].shape) for box in changed):
        return None
    return _left(tuple(hull(spans) for spans in zip(*changed, strict=True)), _reduced(step))


def _reduction_apply(step: Step, box: Box, operands: Operands) -> list[jax.Array]:
    # Results that are left see all of the axes that are not.
    own = _operand_ranges(step, box)
    ranks = [len(aval.shape) for aval in step.in_avals]
    return operands.bind(*(operands.read(i, own if rank else ()) for i, rank in enumerate(ranks)))


def _reduced(step: Step) -> tuple[int, ...]:
    return tuple(step.params["dimensions" if step.name == "reduce" else "axes"])


def _left(box: Box, axes: tuple[int | np.integer, ...]) -> Box:
    """Return the box on the axes that are left by a reduction."""
    return tuple(span for axis, span in enumerate(box) if axis not in axes)


def _operand_ranges(step: Step, box: Box) -> Ranges:
    """Return what is seen of the operand: a range on the axes that are left, else all."""
    spans = iter(box)
    rank, axes = len(step.in_avals[0].shape), _reduced(step)
    return ranges([None if axis in axes else next(spans) for axis in range(rank)])


def _joined_apply(
    step: Step,
    box: Box,
    operands: Operands,
    join: Callable[[jax.Array, jax.Array], jax.Array],
    neutral: Callable[[np.dtype], int | float | bool],
) -> list[jax.Array]:
    """Put a result together of that over the box, and that over the rest of the image as it is."""
    axes, own = step.params["axes"], operands.box(0)
    if all(own[axis] is None for axis in axes):
        return _reduction_apply(step, box, operands)
    # Of a sum, subtracting what the box held before from the recorded total would be less work,
    # but where the box holds nearly all of the total, or an infinity, nothing of the result would
    # be left. The rest is the same for all contents of a window, which share it.
    around = tuple(None if axis in axes else one for axis, one in enumerate(ranges(own)))
    rest = operands.read_outside(0, around, neutral(step.in_avals[0].dtype))
    return [join(operands.bind(rest)[0], operands.bind(operands.read(0, ranges(own)))[0])]


def _limit(dtype: np.dtype, sign: int) -> int | float | bool:
    """Return what is beyond all numbers of a type, above or below."""
    if jnp.issubdtype(dtype, np.bool_):
        return sign > 0
    if jnp.issubdtype(dtype, np.integer):
        limits = jnp.iinfo(dtype)
        return int(limits.max if sign > 0 else limits.min)
    return sign * np.inf


def _joined(
    join: Callable[[jax.Array, jax.Array], jax.Array],
    neutral: Callable[[np.dtype], int | float | bool],
) -> Rule:
    apply = functools.partial(_joined_apply, join=join, neutral=neutral)
    return Rule(_reduction_box, apply, WHY, joins=True)


def _along_axis_box(step: Step, boxes: Boxes) -> Box | None:
    axis = step.params.get("axis", step.params.get("dimension"))
    changed = [box for box in boxes if box is not None]
    spans = [hull(spans) for spans in zip(*changed, strict=True)]
    # What is ordered or added up along an axis changes all along it.
    return tuple(None if i == axis else span for i, span in enumerate(spans))


def _along_axis_apply(step: Step, box: Box, operands: Operands) -> list[jax.Array]:
    return operands.bind(*(operands.read(i, ranges(box)) for i in range(len(step.inputs))))


RULES: dict[str, Rule] = {
    **dict.fromkeys(
        ("argmax", "argmin", "reduce", "reduce_xor"),
        Rule(_reduction_box, _reduction_apply, WHY),
    ),
    **dict.fromkeys(
        ["cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp", "sort", "top_k", "split"],
        Rule(_along_axis_box, _along_axis_apply, WHY),
    ),
    "reduce_sum": _joined(lax.add, lambda dtype: 0),
    "reduce_prod": _joined(lax.mul, lambda dtype: 1),
    "reduce_max": _joined(lax.max, functools.partial(_limit, sign=-1)),
    "reduce_min": _joined(lax.min, functools.partial(_limit, sign=1)),
    "reduce_and": _joined(lax.bitwise_and, lambda dtype: np.invert(np.zeros((), dtype)).item()),
    "reduce_or": _joined(lax.bitwise_or, lambda dtype: 0),
}
