"""Rules of operations that see a neighbourhood: convolutions and window reductions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from pdjax.local.boxes import Box, Range, Span
from pdjax.local.rules.rule import Boxes, Operands, Rule

__all__ = ["CONVOLUTION", "WINDOW_MAX", "WINDOW_MIN", "WINDOW_REDUCTION", "WINDOW_SUM"]


class _Reach(NamedTuple):
    """What one entry of the result sees of an axis: ``reach`` entries, dilation included."""

    stride: int
    before: int
    reach: int


def _convolution_reach(step: Any) -> dict[int, tuple[int, _Reach]]:
    """By axis of the result, the axis of the image and what is seen of it."""
    params, numbers = step.params, step.params["dimension_numbers"]
    kernel = step.in_avals[1].shape
    seen = {}
    for index, axis in enumerate(numbers.out_spec[2:]):
        taps = kernel[numbers.rhs_spec[2 + index]]
        reach = (taps - 1) * params["rhs_dilation"][index] + 1
        before = params["padding"][index][0]
        stride = params["window_strides"][index]
        seen[axis] = (numbers.lhs_spec[2 + index], _Reach(stride, before, reach))
    return seen


def _convolution_box(step: Any, boxes: Boxes) -> Box | None:
    image, kernel = boxes
    params, numbers = step.params, step.params["dimension_numbers"]
    plain = params["batch_group_count"] == 1 and all(d == 1 for d in params["lhs_dilation"])
    if image is None or kernel is not None or not plain:
        return None
    if any(image[axis] is not None for axis in numbers.lhs_spec[:2]):
        return None
    spans: list[Span | None] = [None] * len(image)
    for axis, (source, seen) in _convolution_reach(step).items():
        spans[axis] = _touched(image[source], seen, step.out_avals[0].shape[axis])
    return tuple(spans)


def _convolution_apply(step: Any, box: Box, operands: Operands) -> list[Any]:
    numbers = step.params["dimension_numbers"]
    ranges: list[Range | None] = [None] * len(box)
    padding = list(step.params["padding"])
    for index, (axis, (source, seen)) in enumerate(_convolution_reach(step).items()):
        span = box[axis]
        if span is not None:
            ranges[source] = _seen(span, seen)
            padding[index] = (0, 0)
    image = operands.read(0, tuple(ranges), fill=0.0)
    kernel = operands.read(1, (None,) * len(numbers.rhs_spec))
    return operands.bind(image, kernel, padding=tuple(padding))


def _window_box(step: Any, boxes: Boxes) -> Box | None:
    box, params = boxes[0], step.params
    if box is None or any(dilation != 1 for dilation in params["base_dilation"]):
        return None
    return tuple(
        _touched(span, seen, dim)
        for span, seen, dim in zip(box, _window_reach(step), step.out_avals[0].shape, strict=True)
    )


def _window_reach(step: Any) -> list[_Reach]:
    params = step.params
    return [
        _Reach(stride, pads[0], (taps - 1) * dilation + 1)
        for taps, stride, pads, dilation in zip(
            params["window_dimensions"], params["window_strides"], params["padding"],
            params["window_dilation"], strict=True,
        )
    ]  # fmt: skip


def _window_apply(step: Any, box: Box, operands: Operands, fill: int | float) -> list[Any]:
    padding = list(step.params["padding"])
    ranges: list[Range | None] = [None] * len(box)
    for axis, (span, seen) in enumerate(zip(box, _window_reach(step), strict=True)):
        if span is not None:
            ranges[axis] = _seen(span, seen)
            padding[axis] = (0, 0)
    values = operands.read(0, tuple(ranges), fill=fill)
    others = [operands.read(index, ()) for index in range(1, len(step.inputs))]
    return operands.bind(values, *others, padding=tuple(padding))


def _touched(span: Span | None, seen: _Reach, dim: int) -> Span | None:
    return span and span.touched(seen.stride, -seen.before, seen.reach, dim)


def _seen(span: Span, seen: _Reach) -> Range:
    return span.range.stretched(seen.stride, -seen.before, seen.reach)


def _sum_apply(step: Any, box: Box, operands: Operands) -> list[Any]:
    return _window_apply(step, box, operands, 0)


def _extreme(step: Any, sign: int) -> int | float:
    dtype = step.in_avals[0].dtype
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        return int(limits.max if sign > 0 else limits.min)
    return sign * np.inf


def _max_apply(step: Any, box: Box, operands: Operands) -> list[Any]:
    return _window_apply(step, box, operands, _extreme(step, -1))


def _min_apply(step: Any, box: Box, operands: Operands) -> list[Any]:
    return _window_apply(step, box, operands, _extreme(step, 1))


def _reduction_box(step: Any, boxes: Boxes) -> Box | None:
    inits: Sequence[Any] = step.inputs[1:]
    if len(inits) != 1 or not isinstance(inits[0], np.ndarray):
        return None
    return _window_box(step, boxes)


def _reduction_apply(step: Any, box: Box, operands: Operands) -> list[Any]:
    return _window_apply(step, box, operands, step.inputs[1].item())


CONVOLUTION = Rule(_convolution_box, _convolution_apply)
WINDOW_MAX = Rule(_window_box, _max_apply)
WINDOW_MIN = Rule(_window_box, _min_apply)
WINDOW_SUM = Rule(_window_box, _sum_apply)
WINDOW_REDUCTION = Rule(_reduction_box, _reduction_apply)
