"""Rules of operations that see a neighbourhood: convolutions, window reductions and padding.

All work alike: `Reach` says which results see a span of the operand, and what they see of it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping

import jax
import numpy as np

from pdjax.jaxprs.program import Step
from pdjax.local.boxes import Box, Range, Span
from pdjax.local.rules.reach import Reach, Seen, cut_results
from pdjax.local.rules.rule import Boxes, Operands, Rule

__all__ = ["RULES"]

Reaches = Callable[[Step], list[Reach]]
"""By axis, what a result of a step sees of the operand."""


def _convolution_box(step: Step, boxes: Boxes) -> Box | None:
    image, kernel = boxes
    # A kernel that depends on the image changes all results.
    if image is None or kernel is not None or step.params["batch_group_count"] != 1:
        return None
    # A span of channels, or what is convolved as such, goes into all channels.
    spans: list[Span | None] = [None] * len(image)
    numbers = step.params["dimension_numbers"]
    spans[numbers.out_spec[0]] = image[numbers.lhs_spec[0]]
    for axis, (source, reach) in _convolution_reach(step).items():
        spans[axis] = reach.touched(image[source], step.out_avals[0].shape[axis])
    return tuple(spans)


def _convolution_apply(step: Step, box: Box, operands: Operands) -> list[jax.Array]:
    numbers = step.params["dimension_numbers"]
    ranges: list[Range | None] = [None] * len(box)
    batch = box[numbers.out_spec[0]]
    ranges[numbers.lhs_spec[0]] = batch and batch.range
    padding, parts = list(step.params["padding"]), {}
    for index, (axis, (source, reach)) in enumerate(_convolution_reach(step).items()):
        span = box[axis]
        if span is not None:
            # The padding is read along with the rest, where a window sees any of it.
            parts[axis] = seen = reach.seen(span)
            ranges[source], padding[index] = seen.taken, seen.padding
    image = operands.read(0, tuple(ranges), fill=0.0)
    kernel = operands.read(1, (None,) * len(numbers.rhs_spec))
    return _cut(operands.bind(image, kernel, padding=tuple(padding)), box, parts, operands)


def _convolution_reach(step: Step) -> dict[int, tuple[int, Reach]]:
    """By axis of the result, the axis of the image and what is seen of it."""
    params, numbers = step.params, step.params["dimension_numbers"]
    kernel = step.in_avals[1].shape
    seen = {}
    for index, axis in enumerate(numbers.out_spec[2:]):
        side = kernel[numbers.rhs_spec[2 + index]]
        reach = (side - 1) * params["rhs_dilation"][index] + 1
        before = int(params["padding"][index][0])
        stride, dilation = params["window_strides"][index], params["lhs_dilation"][index]
        seen[axis] = (numbers.lhs_spec[2 + index], Reach(stride, before, reach, dilation))
    return seen


def _cut(
    results: list[jax.Array], box: Box, parts: Mapping[int, Seen], operands: Operands
) -> list[jax.Array]:
    (result,) = results
    for axis, seen in parts.items():
        span = box[axis]
        if span is not None:
            result = cut_results(result, axis, span, seen, operands)
    return [result]


def _window_box(step: Step, boxes: Boxes, reaches: Reaches) -> Box | None:
    box = boxes[0]
    sides = zip(box or (), reaches(step), step.out_avals[0].shape, strict=True)
    return tuple(reach.touched(span, dim) for span, reach, dim in sides)


def _window_apply(step: Step, box: Box, operands: Operands, fill: int | float) -> list[jax.Array]:
    padding, parts = list(step.params["padding"]), {}
    ranges: list[Range | None] = [None] * len(box)
    for axis, (span, reach) in enumerate(zip(box, _window_reach(step), strict=True)):
        if span is not None:
            parts[axis] = seen = reach.seen(span)
            ranges[axis], padding[axis] = seen.taken, seen.padding
    # The padding has what leaves the result of a window alone: 0 for a sum.
    values = operands.read(0, tuple(ranges), fill=fill)
    others = [operands.read(index, ()) for index in range(1, len(step.inputs))]
    return _cut(operands.bind(values, *others, padding=tuple(padding)), box, parts, operands)


def _window_reach(step: Step) -> list[Reach]:
    params = step.params
    return [
        Reach(stride, int(before), (side - 1) * holes + 1, dilation)
        for side, stride, (before, _), holes, dilation in zip(
            params["window_dimensions"],
            params["window_strides"],
            params["padding"],
            params["window_dilation"],
            params["base_dilation"],
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
    return _window_box(step, boxes, _window_reach)


def _any_reduction_apply(step: Step, box: Box, operands: Operands) -> list[jax.Array]:
    return _window_apply(step, box, operands, np.asarray(step.inputs[1]).item())


def _pad_box(step: Step, boxes: Boxes) -> Box | None:
    if boxes[0] is None or not isinstance(step.inputs[1], np.ndarray):
        return None
    return _window_box(step, boxes, _pad_reach)


def _pad_apply(step: Step, box: Box, operands: Operands) -> list[jax.Array]:
    config, parts = list(step.params["padding_config"]), {}
    ranges: list[Range | None] = [None] * len(box)
    for axis, (span, reach) in enumerate(zip(box, _pad_reach(step), strict=True)):
        if span is not None:
            # Where they hang over the ends of the operand, the entries read are padding.
            parts[axis] = seen = reach.seen(span)
            ranges[axis], config[axis] = seen.taken, (*seen.padding, config[axis][2])
    values = operands.read(0, tuple(ranges), fill=np.asarray(step.inputs[1]).item())
    results = operands.bind(values, operands.read(1, ()), padding_config=tuple(config))
    return _cut(results, box, parts, operands)


def _pad_reach(step: Step) -> list[Reach]:
    # What is padded sees the operand as a window of one entry does that starts before it, or, where
    # the padding is negative, within it.
    config = step.params["padding_config"]
    return [Reach(1, int(before), 1, int(between) + 1) for before, _, between in config]


_plain_window_box = functools.partial(_window_box, reaches=_window_reach)

RULES: dict[str, Rule] = {
    "conv_general_dilated": Rule(_convolution_box, _convolution_apply),
    "reduce_window_max": Rule(_plain_window_box, functools.partial(_extreme_apply, sign=-1)),
    "reduce_window_min": Rule(_plain_window_box, functools.partial(_extreme_apply, sign=1)),
    "reduce_window_sum": Rule(_plain_window_box, _sum_apply),
    "reduce_window": Rule(_any_reduction_box, _any_reduction_apply),
    "pad": Rule(_pad_box, _pad_apply),
}
