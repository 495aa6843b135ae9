"""The rule of products with a matrix, and of those that resize an axis."""

from __future__ import annotations

import jax
import numpy as np

from pdjax.jaxprs.program import Step
from pdjax.local.boxes import Box, Range, Span, hull, ranges
from pdjax.local.rules.rule import Boxes, Operands, Rule

__all__ = ["RULES"]


def _product_box(step: Step, boxes: Boxes) -> Box | None:
    spans: list[Span | None] = [None] * len(step.out_avals[0].shape)
    changed = [index for index, box in enumerate(boxes) if box is not None]
    # Along the free axes of an operand, the result has the box of the operand, unless the other one
    # changes as well, and with it all that it is multiplied by.
    if len(changed) == 1:
        box = boxes[changed[0]] or ()
        for source, target in _free_axes(step, changed[0]).items():
            spans[target] = box[source]
        band = _band(step, 1 - changed[0])
        if band is not None:
            spans[band.target] = band.touched(box[band.source])
    # Shared axes have a matrix for each entry, and entries have nothing to do with each other.
    batch = step.params["dimension_numbers"][1]
    for target in range(len(batch[0])):
        spans[target] = hull([(boxes[index] or ())[batch[index][target]] for index in changed])
    return tuple(spans)


def _product_apply(step: Step, box: Box, operands: Operands) -> list[jax.Array]:
    batch = step.params["dimension_numbers"][1]
    wanted: list[list[Range | None]] = []
    for index, aval in enumerate(step.in_avals):
        own: list[Span | None] = [None] * len(aval.shape)
        for source, target in _free_axes(step, index).items():
            own[source] = box[target]
        for target, source in enumerate(batch[index]):
            own[source] = box[target]
        wanted.append(list(ranges(own)))
    for index in (0, 1):
        band = _band(step, index)
        span = box[band.target] if band is not None else None
        if band is not None and span is not None:
            # Of the band, the rows that the results have, and of the operand what these see.
            seen = band.seen(span)
            wanted[index][band.contracted] = wanted[1 - index][band.source] = seen
    return operands.bind(*(operands.read(index, tuple(own)) for index, own in enumerate(wanted)))


class _Band:
    """A known matrix of which every row sees a stretch of an axis only, as where it is resized.

    Attributes
    ----------
    contracted, source : int
        The axis that is summed over: of the matrix, and of the other operand.
    target : int
        The axis of the result that has an entry for each row.
    first, last : int array
        The stretch that each row sees: its first entry, and one more than its last.
    """

    def __init__(self, matrix: np.ndarray, contracted: int, source: int, target: int) -> None:
        self.contracted, self.source, self.target = contracted, source, target
        self.dim = matrix.shape[contracted]
        seen = np.moveaxis(matrix, contracted, 1) != 0
        # Rows that see nothing follow their neighbours, so that they stretch nothing.
        some = seen.any(1)
        rows = np.arange(len(seen))
        near = rows[some][np.abs(rows[:, None] - rows[some]).argmin(1)]
        self.first = seen.argmax(1)[near]
        self.last = (self.dim - seen[:, ::-1].argmax(1))[near]

    def touched(self, span: Span | None) -> Span | None:
        """Return which rows see a span of the axis."""
        if span is None:
            return None
        sees = (self.first < span.high[:, None]) & (self.last > span.low[:, None])
        sees &= (span.high > span.low)[:, None]
        low, high = sees.argmax(1), len(self.first) - sees[:, ::-1].argmax(1)
        return Span.within(span.axis, low, np.where(sees.any(1), high, low), len(self.first))

    def seen(self, span: Span) -> Range:
        """Return what the rows of a span see."""
        rows = span.range.start[:, None] + np.arange(span.size)
        low, high = self.first[rows].min(1), self.last[rows].max(1)
        return Span(span.axis, low, high, self.dim).range


def _band(step: Step, index: int) -> _Band | None:
    """Return an operand as a band, where it is a known matrix."""
    matrix, contracted = step.inputs[index], step.params["dimension_numbers"][0]
    free = list(_free_axes(step, index).values())
    if not isinstance(matrix, np.ndarray) or (len(contracted[0]), len(free)) != (1, 1):
        return None
    (target,) = free
    return _Band(matrix, contracted[index][0], contracted[1 - index][0], target)


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
    "dot_general": Rule(_product_box, _product_apply, "it compares or adds up all places"),
}
