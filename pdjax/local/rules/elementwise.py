"""Rules of operations that treat every entry alone, and of joining arrays along an axis."""

from __future__ import annotations

import jax

from pdjax.jaxprs.layout import ELEMENTWISE
from pdjax.jaxprs.program import Step
from pdjax.local.boxes import Box, hull, ranges
from pdjax.local.rules.rule import Boxes, Operands, Rule

__all__ = ["RULES"]


def _elementwise_box(step: Step, boxes: Boxes) -> Box | None:
    shape = step.out_avals[0].shape
    changed = []
    for box, aval in zip(boxes, step.in_avals, strict=True):
        if box is None:
            continue
        if aval.shape != shape:  # one entry changes a whole axis
            return None
        changed.append(box)
    # Branches of a network meet here, which may have changed in different boxes.
    return tuple(hull(spans) for spans in zip(*changed, strict=True))


def _elementwise_apply(step: Step, box: Box, operands: Operands) -> list[jax.Array]:
    # Operands may have boxes of their own, within that of the result; all are read in the latter.
    wanted = ranges(box)
    values = []
    for index, aval in enumerate(step.in_avals):
        if not aval.shape:
            values.append(operands.read(index, ()))
            continue
        # Axes of one entry are repeated along those of the others.
        own = tuple(None if dim == 1 else one for dim, one in zip(aval.shape, wanted, strict=True))
        values.append(operands.read(index, own))
    return operands.bind(*values)


def _concatenate_box(step: Step, boxes: Boxes) -> Box | None:
    changed = [box for box in boxes if box is not None]
    axis = step.params["dimension"]
    # Joined along the channels, boxes lie side by side. Along an axis on which they have a place,
    # they would come to lie apart.
    if any(box[axis] is not None for box in changed):
        return None
    return tuple(hull(spans) for spans in zip(*changed, strict=True))


def _concatenate_apply(step: Step, box: Box, operands: Operands) -> list[jax.Array]:
    return operands.bind(*(operands.read(i, ranges(box)) for i in range(len(step.inputs))))


RULES: dict[str, Rule] = {
    **dict.fromkeys(ELEMENTWISE, Rule(_elementwise_box, _elementwise_apply)),
    "concatenate": Rule(_concatenate_box, _concatenate_apply),
}
