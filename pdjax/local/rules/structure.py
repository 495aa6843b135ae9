"""Rules of operations that move entries: broadcast, reshape, transpose, slice, pad, reverse."""

from __future__ import annotations

import math

import jax
import numpy as np
from jax import lax

from pdjax.jaxprs.program import Step
from pdjax.local.boxes import Box, Range, Span, box_sizes, ranges
from pdjax.local.rules.rule import Boxes, Operands, Rule

__all__ = ["RULES"]


def _broadcast_box(step: Step, boxes: Boxes) -> Box | None:
    (box,) = boxes[:1]
    spans: list[Span | None] = [None] * len(step.out_avals[0].shape)
    for span, axis in zip(box or (), step.params["broadcast_dimensions"], strict=True):
        spans[axis] = span
    return tuple(spans)


def _broadcast_apply(step: Step, box: Box, operands: Operands) -> list[jax.Array]:
    shape, axes = step.out_avals[0].shape, step.params["broadcast_dimensions"]
    own = ranges([box[axis] for axis in axes])
    return operands.bind(operands.read(0, own), shape=box_sizes(box, shape))


def _reshape_box(step: Step, boxes: Boxes) -> Box | None:
    (box,) = boxes
    before, after = step.in_avals[0].shape, step.out_avals[0].shape
    spans: list[Span | None] = [None] * len(after)
    for axis, span in enumerate(box or ()):
        if span is None:
            continue
        target = _same_axis(before, after, axis)
        if target is None:
            return None
        spans[target] = span
    return tuple(spans)


def _reshape_apply(step: Step, box: Box, operands: Operands) -> list[jax.Array]:
    before, after = step.in_avals[0].shape, step.out_avals[0].shape
    own: list[Span | None] = [None] * len(before)
    for axis, span in enumerate(box):
        if span is not None:
            own[_same_axis(after, before, axis) or 0] = span
    return [lax.reshape(operands.read(0, ranges(own)), box_sizes(box, after))]


def _same_axis(before: tuple[int, ...], after: tuple[int, ...], axis: int) -> int | None:
    """Return where an axis goes that a reshape leaves alone, or None if it is split or joined."""
    # It has as many entries as before, and so have the axes ahead of it together.
    ahead = math.prod(before[:axis])
    for target, dim in enumerate(after):
        if dim == before[axis] and math.prod(after[:target]) == ahead:
            return target
    return None


def _transpose_box(step: Step, boxes: Boxes) -> Box | None:
    (box,) = boxes
    return tuple((box or ())[axis] for axis in step.params["permutation"])


def _transpose_apply(step: Step, box: Box, operands: Operands) -> list[jax.Array]:
    own: list[Span | None] = [None] * len(box)
    for span, axis in zip(box, step.params["permutation"], strict=True):
        own[axis] = span
    return operands.bind(operands.read(0, ranges(own)))


def _reverse_box(step: Step, boxes: Boxes) -> Box | None:
    (box,) = boxes
    return tuple(
        # Entry i has become entry dim - 1 - i: an interval is mirrored, its ends change places.
        Span(span.axis, span.dim - span.high, span.dim - span.low, span.dim)
        if span is not None and axis in step.params["dimensions"]
        else span
        for axis, span in enumerate(box or ())
    )


def _reverse_apply(step: Step, box: Box, operands: Operands) -> list[jax.Array]:
    own = list(ranges(box))
    for axis in step.params["dimensions"]:
        span = box[axis]
        if span is not None:
            own[axis] = Range(span.axis, span.dim - span.range.start - span.size, span.size)
    return operands.bind(operands.read(0, tuple(own)))


def _slice_box(step: Step, boxes: Boxes) -> Box | None:
    (box,) = boxes
    # A slice sees the operand as a window of one entry does, a stride at a time.
    starts, strides = step.params["start_indices"], _strides(step)
    return tuple(
        span and span.touched(stride, start, 1, dim)
        for span, start, stride, dim in zip(
            box or (), starts, strides, step.out_avals[0].shape, strict=True
        )
    )


def _slice_apply(step: Step, box: Box, operands: Operands) -> list[jax.Array]:
    starts, limits = list(step.params["start_indices"]), list(step.params["limit_indices"])
    strides = _strides(step)
    own: list[Range | None] = [None] * len(box)
    for axis, span in enumerate(box):
        if span is not None:
            own[axis] = taken = span.range.stretched(strides[axis], starts[axis], 1)
            starts[axis], limits[axis] = 0, taken.size
    return [lax.slice(operands.read(0, tuple(own)), starts, limits, strides)]


def _strides(step: Step) -> tuple[int, ...]:
    return tuple(step.params["strides"] or (1,) * len(step.params["start_indices"]))


def _pad_box(step: Step, boxes: Boxes) -> Box | None:
    box, padding = boxes[0], boxes[1]
    if box is None or padding is not None or not isinstance(step.inputs[1], np.ndarray):
        return None
    config, shape = step.params["padding_config"], step.out_avals[0].shape
    # With padding between its entries an interval is none any more.
    if any(span is not None and c[2] for span, c in zip(box, config, strict=True)):
        return None
    # What is padded sees the operand as a slice does that starts before it, or, where the padding
    # is negative, within it.
    return tuple(
        span and span.touched(1, -c[0], 1, dim)
        for span, c, dim in zip(box, config, shape, strict=True)
    )


def _pad_apply(step: Step, box: Box, operands: Operands) -> list[jax.Array]:
    config = step.params["padding_config"]
    own = tuple(
        None if span is None else span.range.stretched(1, -c[0], 1)
        for span, c in zip(box, config, strict=True)
    )
    # On axes of the box the padding has been read already, as what lies beyond the ends.
    rest = tuple((0, 0, 0) if span is not None else c for span, c in zip(box, config, strict=True))
    values = operands.read(0, own, fill=np.asarray(step.inputs[1]).item())
    return operands.bind(values, operands.read(1, ()), padding_config=rest)


def _split_box(step: Step, boxes: Boxes) -> Box | None:
    (box,) = boxes
    return None if box is None or box[step.params["axis"]] is not None else box


def _split_apply(step: Step, box: Box, operands: Operands) -> list[jax.Array]:
    return operands.bind(operands.read(0, ranges(box)))


RULES: dict[str, Rule] = {
    "broadcast_in_dim": Rule(_broadcast_box, _broadcast_apply),
    **dict.fromkeys(("reshape", "squeeze", "expand_dims"), Rule(_reshape_box, _reshape_apply)),
    "transpose": Rule(_transpose_box, _transpose_apply),
    "rev": Rule(_reverse_box, _reverse_apply),
    "slice": Rule(_slice_box, _slice_apply),
    "pad": Rule(_pad_box, _pad_apply),
    "split": Rule(_split_box, _split_apply),
}
