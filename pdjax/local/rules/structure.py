"""Rules of operations that move entries: broadcast, reshape, transpose, slice, pad, reverse."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jax import lax

from pdjax.local.boxes import Box, Range, Span, box_sizes, ranges
from pdjax.local.rules.rule import Boxes, Operands, Rule

__all__ = ["BROADCAST", "PAD", "RESHAPE", "REVERSE", "SLICE", "SPLIT", "TRANSPOSE"]


def _broadcast_box(step: Any, boxes: Boxes) -> Box | None:
    (box,) = boxes[:1]
    spans: list[Span | None] = [None] * len(step.out_avals[0].shape)
    for span, axis in zip(box or (), step.params["broadcast_dimensions"], strict=True):
        spans[axis] = span
    return tuple(spans)


def _broadcast_apply(step: Any, box: Box, operands: Operands) -> list[Any]:
    shape, axes = step.out_avals[0].shape, step.params["broadcast_dimensions"]
    own = ranges([box[axis] for axis in axes])
    return operands.bind(operands.read(0, own), shape=box_sizes(box, shape))


def _reshape_box(step: Any, boxes: Boxes) -> Box | None:
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


def _reshape_apply(step: Any, box: Box, operands: Operands) -> list[Any]:
    before, after = step.in_avals[0].shape, step.out_avals[0].shape
    own: list[Span | None] = [None] * len(before)
    for axis, span in enumerate(box):
        if span is not None:
            own[_same_axis(after, before, axis) or 0] = span
    return [lax.reshape(operands.read(0, ranges(own)), box_sizes(box, after))]


def _same_axis(before: tuple[int, ...], after: tuple[int, ...], axis: int) -> int | None:
    """Return where an axis that a reshape leaves alone has gone, or None if it does not."""
    ahead = math.prod(before[:axis])
    for target, dim in enumerate(after):
        if dim == before[axis] and math.prod(after[:target]) == ahead:
            return target
    return None


def _transpose_box(step: Any, boxes: Boxes) -> Box | None:
    (box,) = boxes
    return tuple((box or ())[axis] for axis in step.params["permutation"])


def _transpose_apply(step: Any, box: Box, operands: Operands) -> list[Any]:
    own: list[Span | None] = [None] * len(box)
    for span, axis in zip(box, step.params["permutation"], strict=True):
        own[axis] = span
    return operands.bind(operands.read(0, ranges(own)))


def _reverse_box(step: Any, boxes: Boxes) -> Box | None:
    (box,) = boxes
    return tuple(
        Span(span.axis, span.dim - span.high, span.dim - span.low, span.dim)
        if span is not None and axis in step.params["dimensions"]
        else span
        for axis, span in enumerate(box or ())
    )


def _reverse_apply(step: Any, box: Box, operands: Operands) -> list[Any]:
    own = list(ranges(box))
    for axis in step.params["dimensions"]:
        span = box[axis]
        if span is not None:
            own[axis] = Range(span.axis, span.dim - span.range.start - span.size, span.size)
    return operands.bind(operands.read(0, tuple(own)))


def _slice_box(step: Any, boxes: Boxes) -> Box | None:
    (box,) = boxes
    starts, strides = step.params["start_indices"], _strides(step)
    return tuple(
        span and span.touched(stride, start, 1, dim)
        for span, start, stride, dim in zip(
            box or (), starts, strides, step.out_avals[0].shape, strict=True
        )
    )


def _slice_apply(step: Any, box: Box, operands: Operands) -> list[Any]:
    starts, limits = list(step.params["start_indices"]), list(step.params["limit_indices"])
    strides = _strides(step)
    own: list[Range | None] = [None] * len(box)
    for axis, span in enumerate(box):
        if span is not None:
            own[axis] = taken = span.range.stretched(strides[axis], starts[axis], 1)
            starts[axis], limits[axis] = 0, taken.size
    return [lax.slice(operands.read(0, tuple(own)), starts, limits, strides)]


def _strides(step: Any) -> tuple[int, ...]:
    return tuple(step.params["strides"] or (1,) * len(step.params["start_indices"]))


def _pad_box(step: Any, boxes: Boxes) -> Box | None:
    box, padding = boxes[0], boxes[1]
    if box is None or padding is not None or not isinstance(step.inputs[1], np.ndarray):
        return None
    config, shape = step.params["padding_config"], step.out_avals[0].shape
    if any(span is not None and c[2] for span, c in zip(box, config, strict=True)):
        return None
    return tuple(
        span and span.touched(1, -c[0], 1, dim)
        for span, c, dim in zip(box, config, shape, strict=True)
    )


def _pad_apply(step: Any, box: Box, operands: Operands) -> list[Any]:
    config = step.params["padding_config"]
    own = tuple(
        None if span is None else span.range.stretched(1, -c[0], 1)
        for span, c in zip(box, config, strict=True)
    )
    rest = tuple((0, 0, 0) if span is not None else c for span, c in zip(box, config, strict=True))
    values = operands.read(0, own, fill=step.inputs[1].item())
    return operands.bind(values, operands.read(1, ()), padding_config=rest)


def _split_box(step: Any, boxes: Boxes) -> Box | None:
    (box,) = boxes
    return None if box is None or box[step.params["axis"]] is not None else box


def _split_apply(step: Any, box: Box, operands: Operands) -> list[Any]:
    return operands.bind(operands.read(0, ranges(box)))


BROADCAST = Rule(_broadcast_box, _broadcast_apply)
PAD = Rule(_pad_box, _pad_apply)
RESHAPE = Rule(_reshape_box, _reshape_apply)
REVERSE = Rule(_reverse_box, _reverse_apply)
SLICE = Rule(_slice_box, _slice_apply)
SPLIT = Rule(_split_box, _split_apply)
TRANSPOSE = Rule(_transpose_box, _transpose_apply)
