"""Rules of operations that see a neighbourhood: convolutions and window reductions.

Both work alike. Forwards, the box of the result holds every entry whose neighbourhood touches the
box of the operand (`Span.touched`). Backwards, what the entries of that box see of the operand is
read (`Range.stretched`), with the padding already around it where they see beyond its ends, and the
operation is done on that without padding.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import numpy as np

from pdjax.jaxprs.program import Step
from pdjax.local.boxes import Box, Range, Span
from pdjax.local.rules.rule import Boxes, Operands, Rule

__all__ = ["RULES"]


class _Reach(NamedTuple):
    """What an entry of the result sees of an axis.

    Entry ``i`` sees ``reach`` entries, holes included, from ``stride * i - before``.
    """

    stride: int
    before: int
    reach: int

    def touched(self, span: Span | None, dim: int) -> Span | None:
        """Return which of ``dim`` entries of the result see a span of the operand."""
        return span and span.touched(self.stride, -self.before, self.reach, dim)

    def seen(self, span: Span) -> Range:
        """Return what a span of the result sees of the operand."""
        return span.range.stretched(self.stride, -self.before, self.reach)


def _convolution_box(step: Step, boxes: Boxes) -> Box | None:
    image, kernel = boxes
    params, numbers = step.params, step.params["dimension_numbers"]
    plain = params["batch_group_count"] == 1 and all(d == 1 for d in params["lhs_dilation"])
    # With holes between the entries of the image, an interval of it is none any more; and a kernel
    # that depends on the image changes all results.
    if image is None or kernel is not None or not plain:
        return None
    if any(image[axis] is not None for axis in numbers.lhs_spec[:2]):
        return None
    spans: list[Span | None] = [None] * len(image)
    for axis, (source, reach) in _convolution_reach(step).items():
        spans[axis] = reach.touched(image[source], step.out_avals[0].shape[axis])
    return tuple(spans)


def _convolution_apply(step: Step, box: Box, operands: Operands) -> list[jax.Array]:
    numbers = step.params["dimension_numbers"]
    ranges: list[Range | None] = [None] * len(box)
    padding = list(step.params["padding"])
    for index, (axis, (source, reach)) in enumerate(_convolution_reach(step).items()):
        span = box[axis]
        if span is not None:
            # The padding is read along with the rest, where a window sees any of it.
            ranges[source] = reach.seen(span)
            padding[index] = (0, 0)
    image = operands.read(0, tuple(ranges), fill=0.0)
    kernel = operands.read(1, (None,) * len(numbers.rhs_spec))
    return operands.bind(image, kernel, padding=tuple(padding))


def _convolution_reach(step: Step) -> dict[int, tuple[int, _Reach]]:
    """By axis of the result, the axis of the image and what is seen of it."""
    params, numbers = step.params, step.params["dimension_numbers"]
    kernel = step.in_avals[1].shape
    seen = {}
    for index, axis in enumerate(numbers.out_spec[2:]):
        side = kernel[numbers.rhs_spec[2 + index]]
        reach = (side - 1) * params["rhs_dilation"][index] + 1
        before = params["padding"][index][0]
        stride = params["window_strides"][index]
        seen[axis] = (numbers.lhs_spec[2 + index], _Reach(stride, before, reach))
    return seen


def _window_box(step: Step, boxes: Boxes) -> Box | None:
    box, params = boxes[0], step.params
    if box is None or any(dilation != 1 for dilation in params["base_dilation"]):
        return None
    return tuple(
        reach.touched(span, dim)
        for span, reach, dim in zip(box, _window_reach(step), step.out_avals[0].shape, strict=True)
    )


def _window_apply(step: Step, box: Box, operands: Operands, fill: int | float) -> list[jax.Array]:
    padding = list(step.params["padding"])
    ranges: list[Range | None] = [None] * len(box)
    for axis, (span, reach) in enumerate(zip(box, _window_reach(step), strict=True)):
        if span is not None:
            ranges[axis] = reach.seen(span)
            padding[axis] = (0, 0)
    # The padding has what leaves the result of a window alone: 0 for a sum.
    values = operands.read(0, tuple(ranges), fill=fill)
    others = [operands.read(index, ()) for index in range(1, len(step.inputs))]
    return operands.bind(values, *others, padding=tuple(padding))


def _window_reach(step: Step) -> list[_Reach]:
    params = step.params
    return [
        _Reach(stride, before, (side - 1) * dilation + 1)
        for side, stride, (before, _), dilation in zip(
            params["window_dimensions"],
            params["window_strides"],
            params["padding"],
            params["window_dilation"],
            strict=True,
        )
    ]


def _sum_apply(step: Step, box: Box, operands: Operands) -> list[jax.Array]:
    return _window_apply(step, box, operands, 0)


def _extreme_apply(step: Step, box: Box, operands: Operands, sign: int) -> list[jax.Array]:
    """Take the largest or least of windows, with what is beyond all numbers as padding."""
    dtype = step.in_avals[0].dtype
    fill: int | float = sign * np.inf
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        fill = int(limits.max if sign > 0 else limits.min)
    return _window_apply(step, box, operands, fill)


def _any_reduction_box(step: Step, boxes: Boxes) -> Box | None:
    start = step.inputs[1:]
    # The padding has the number that the reduction starts with, which has to be known.
    if len(start) != 1 or not isinstance(start[0], np.ndarray):
        return None
    return _window_box(step, boxes)


def _any_reduction_apply(step: Step, box: Box, operands: Operands) -> list[jax.Array]:
    return _window_apply(step, box, operands, np.asarray(step.inputs[1]).item())


RULES: dict[str, Rule] = {
    "conv_general_dilated": Rule(_convolution_box, _convolution_apply),
    "reduce_window_max": Rule(_window_box, functools.partial(_extreme_apply, sign=-1)),
    "reduce_window_min": Rule(_window_box, functools.partial(_extreme_apply, sign=1)),
    "reduce_window_sum": Rule(_window_box, _sum_apply),
    "reduce_window": Rule(_any_reduction_box, _any_reduction_apply),
}
