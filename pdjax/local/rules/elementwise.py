"""The rule of operations that treat every entry alone."""

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
    for box in (box for box in boxes if box is not None):
        if len(box) != len(shape):  # one scalar changes everything
            return None
        # An axis of one entry is repeated: that entry changes all of the others' axis.
        changed.append(
            tuple(
                span.spread(dim) if span is not None and span.dim != dim else span
                for span, dim in zip(box, shape, strict=True)
            )
        )
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


RULES: dict[str, Rule] = {
    **dict.fromkeys(
        ELEMENTWISE,
        Rule(
            _elementwise_box,
            _elementwise_apply,
            "something that depends on all of the image is combined with every place",
        ),
    ),
}
