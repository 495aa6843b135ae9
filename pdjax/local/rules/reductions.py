"""Rules of operations along other axes: reductions, orderings and products with a matrix."""

from __future__ import annotations

from typing import Any

from pdjax.local.boxes import Box, Ranges, Span, ranges
from pdjax.local.rules.rule import Boxes, Operands, Rule

__all__ = ["ALONG_AXIS", "PRODUCT", "REDUCTION", "SUM"]


def _reduction_box(step: Any, boxes: Boxes) -> Box | None:
    (box,) = boxes
    if box is None or any(box[axis] is not None for axis in step.params["axes"]):
        return None
    return _kept(box, step.params["axes"])


def _reduction_apply(step: Any, box: Box, operands: Operands) -> list[Any]:
    return operands.bind(operands.read(0, _before(step, box)))


def _sum_box(step: Any, boxes: Boxes) -> Box | None:
    (box,) = boxes
    return None if box is None else _kept(box, step.params["axes"])


def _sum_apply(step: Any, box: Box, operands: Operands) -> list[Any]:
    """Add the sum over the box to the sum over the rest of the image as it is.

    Subtracting what the box held before from the recorded total would be less work, but loses the
    result where the box holds nearly all of it.
    """
    axes, own = step.params["axes"], operands.box(0)
    if all(own[axis] is None for axis in axes):
        return _reduction_apply(step, box, operands)
    kept = tuple(None if axis in axes else one for axis, one in enumerate(ranges(own)))
    rest = operands.bind(operands.read_outside(0, kept))[0]
    return [rest + operands.bind(operands.read(0, ranges(own)))[0]]


def _kept(box: Box, axes: tuple[int, ...]) -> Box:
    return tuple(span for axis, span in enumerate(box) if axis not in axes)


def _before(step: Any, box: Box) -> Ranges:
    spans = iter(box)
    rank = len(step.in_avals[0].shape)
    return ranges([None if axis in step.params["axes"] else next(spans) for axis in range(rank)])


def _along_box(step: Any, boxes: Boxes) -> Box | None:
    (box,) = boxes
    return None if box is None or box[step.params["axis"]] is not None else box


def _along_apply(step: Any, box: Box, operands: Operands) -> list[Any]:
    return operands.bind(operands.read(0, ranges(box)))


def _product_box(step: Any, boxes: Boxes) -> Box | None:
    changed = [index for index, box in enumerate(boxes) if box is not None]
    if len(changed) != 1:
        return None
    (index,) = changed
    contracted, batch = step.params["dimension_numbers"]
    box = boxes[index] or ()
    if any(box[axis] is not None for axis in (*contracted[index], *batch[index])):
        return None
    spans: list[Span | None] = [None] * len(step.out_avals[0].shape)
    for source, target in _free(step, index).items():
        spans[target] = box[source]
    return tuple(spans)


def _product_apply(step: Any, box: Box, operands: Operands) -> list[Any]:
    values = []
    for index, aval in enumerate(step.in_avals):
        own: list[Span | None] = [None] * len(aval.shape)
        for source, target in _free(step, index).items():
            own[source] = box[target]
        values.append(operands.read(index, ranges(own)))
    return operands.bind(*values)


def _free(step: Any, index: int) -> dict[int, int]:
    """By axis of an operand that is neither contracted nor shared, the axis of the result."""
    contracted, batch = step.params["dimension_numbers"]
    ranks = [len(aval.shape) for aval in step.in_avals]
    free = [
        [axis for axis in range(ranks[i]) if axis not in (*contracted[i], *batch[i])]
        for i in (0, 1)
    ]
    first = len(batch[0]) + (len(free[0]) if index else 0)
    return {axis: first + i for i, axis in enumerate(free[index])}


ALONG_AXIS = Rule(_along_box, _along_apply)
PRODUCT = Rule(_product_box, _product_apply)
REDUCTION = Rule(_reduction_box, _reduction_apply)
SUM = Rule(_sum_box, _sum_apply)
