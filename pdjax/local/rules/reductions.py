"""Rules of operations along other axes: reductions, orderings and products with a matrix."""

from __future__ import annotations

import jax
import numpy as np

from pdjax.jaxprs.program import Step
from pdjax.local.boxes import Box, Ranges, Span, ranges
from pdjax.local.rules.rule import Boxes, Operands, Rule

__all__ = ["RULES"]


def _reduction_box(step: Step, boxes: Boxes) -> Box | None:
    (box,) = boxes
    # Only a sum is put together of the box and the rest (`_sum_apply`). Others are followed where
    # they go over axes that have changed as a whole, such as a maximum over channels.
    if box is None or any(box[axis] is not None for axis in step.params["axes"]):
        return None
    return _left(box, step.params["axes"])


def _reduction_apply(step: Step, box: Box, operands: Operands) -> list[jax.Array]:
    return operands.bind(operands.read(0, _operand_ranges(step, box)))


def _left(box: Box, axes: tuple[int | np.integer, ...]) -> Box:
    """Return the box on the axes that are left by a reduction."""
    return tuple(span for axis, span in enumerate(box) if axis not in axes)


def _operand_ranges(step: Step, box: Box) -> Ranges:
    """Return what is seen of the operand: a range on the axes that are left, else all."""
    spans = iter(box)
    rank = len(step.in_avals[0].shape)
    return ranges([None if axis in step.params["axes"] else next(spans) for axis in range(rank)])


def _sum_box(step: Step, boxes: Boxes) -> Box | None:
    (box,) = boxes
    return None if box is None else _left(box, step.params["axes"])


def _sum_apply(step: Step, box: Box, operands: Operands) -> list[jax.Array]:
    axes, own = step.params["axes"], operands.box(0)
    if all(own[axis] is None for axis in axes):
        return _reduction_apply(step, box, operands)
    # The sum over the box, added to that over the rest of the image as it is. Subtracting what the
    # box held before from the recorded total would be less work, but where the box holds nearly
    # all of the total, or an infinity, nothing of the result would be left.
    around = tuple(None if axis in axes else one for axis, one in enumerate(ranges(own)))
    rest = operands.bind(operands.read_outside(0, around))[0]
    return [rest + operands.bind(operands.read(0, ranges(own)))[0]]


def _along_axis_box(step: Step, boxes: Boxes) -> Box | None:
    (box,) = boxes
    return None if box is None or box[step.params["axis"]] is not None else box


def _along_axis_apply(step: Step, box: Box, operands: Operands) -> list[jax.Array]:
    return operands.bind(operands.read(0, ranges(box)))


def _product_box(step: Step, boxes: Boxes) -> Box | None:
    changed = [index for index, box in enumerate(boxes) if box is not None]
    if len(changed) != 1:
        return None
    # A sum over an axis of the box changes everything that it goes into; along the free axes of
    # the operand, the result has the box of the operand. Two operands that both change are left.
    (index,) = changed
    contracted, batch = step.params["dimension_numbers"]
    box = boxes[index] or ()
    if any(box[axis] is not None for axis in (*contracted[index], *batch[index])):
        return None
    spans: list[Span | None] = [None] * len(step.out_avals[0].shape)
    for source, target in _free_axes(step, index).items():
        spans[target] = box[source]
    return tuple(spans)


def _product_apply(step: Step, box: Box, operands: Operands) -> list[jax.Array]:
    values = []
    for index, aval in enumerate(step.in_avals):
        own: list[Span | None] = [None] * len(aval.shape)
        for source, target in _free_axes(step, index).items():
            own[source] = box[target]
        values.append(operands.read(index, ranges(own)))
    return operands.bind(*values)


def _free_axes(step: Step, index: int) -> dict[int, int]:
    """By axis of an operand that is neither contracted nor shared, the axis of the result.

    The result has the shared axes first, then the free ones of the first operand, then those of
    the second.
    """
    contracted, batch = step.params["dimension_numbers"]
    ranks = [len(aval.shape) for aval in step.in_avals]
    free = [
        [axis for axis in range(ranks[i]) if axis not in (*contracted[i], *batch[i])]
        for i in (0, 1)
    ]
    first = len(batch[0]) + (len(free[0]) if index else 0)
    return {axis: first + i for i, axis in enumerate(free[index])}


RULES: dict[str, Rule] = {
    **dict.fromkeys(
        ("reduce_max", "reduce_min", "reduce_prod", "reduce_and", "reduce_or", "argmax", "argmin"),
        Rule(_reduction_box, _reduction_apply),
    ),
    **dict.fromkeys(
        ("cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp"),
        Rule(_along_axis_box, _along_axis_apply),
    ),
    "reduce_sum": Rule(_sum_box, _sum_apply),
    "dot_general": Rule(_product_box, _product_apply),
}
