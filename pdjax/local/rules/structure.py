"""Rules of operations that move entries: broadcast, reshape, transpose, slice, join, reverse."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from pdjax.jaxprs.layout import reshape_groups
from pdjax.jaxprs.program import Operand, Step
from pdjax.local.boxes import Box, Range, Span, box_sizes, hull, ranges
from pdjax.local.rules.rule import Boxes, Operands, Rule

__all__ = ["RULES"]


def _broadcast_box(step: Step, boxes: Boxes) -> Box | None:
    (box,) = boxes[:1]
    shape = step.out_avals[0].shape
    spans: list[Span | None] = [None] * len(shape)
    for span, axis in zip(box or (), step.params["broadcast_dimensions"], strict=True):
        spans[axis] = span.spread(shape[axis]) if span and span.dim != shape[axis] else span
    return tuple(spans)


def _broadcast_apply(step: Step, box: Box, operands: Operands) -> list[jax.Array]:
    shape, axes = step.out_avals[0].shape, step.params["broadcast_dimensions"]
    own = ranges([box[axis] for axis in axes])
    return operands.bind(operands.read(0, own), shape=box_sizes(box, shape))


def _reshape_box(step: Step, boxes: Boxes) -> Box | None:
    (box,) = boxes[:1]
    if step.params.get("dimensions") is not None and step.name == "reshape":
        return None
    before, after = step.in_avals[0].shape, step.out_avals[0].shape
    spans: list[Span | None] = [None] * len(after)
    for source, target, inner in _groups(before, after):
        span = (box or ())[source]
        # In the order in which axes are joined and split, an interval of the outermost axis is one
        # of all entries together. It may begin and end within an entry of the new outermost axis.
        if span is not None and (inner[0] % inner[1] == 0 or inner[1] % inner[0] == 0):
            low, high = span.low * inner[0] // inner[1], -(-span.high * inner[0] // inner[1])
            spans[target] = Span.within(span.axis, low, high, after[target])
    for source, span in enumerate(box or ()):
        # Where an axis of one entry does not change, nothing does: it may lend that to those that
        # come in its place.
        ahead = math.prod(before[:source])
        for target, dim in enumerate(after):
            sides = math.prod(after[:target]), math.prod(after[: target + 1])
            if span is not None and span.dim == 1 and spans[target] is None and ahead in sides:
                spans[target] = span.spread(dim)
    return tuple(spans)


def _reshape_apply(step: Step, box: Box, operands: Operands) -> list[jax.Array]:
    before, after = step.in_avals[0].shape, step.out_avals[0].shape
    own: list[Range | None] = [None] * len(before)
    sizes = list(after)
    for source, target, inner in _groups(before, after):
        span = box[target]
        if span is not None:
            # Whole entries of both outermost axes.
            start = span.range.start * inner[1] // inner[0]
            size = -(-span.size * inner[1] // inner[0])
            own[source] = Range(span.axis, start, size)
            sizes[target] = size * inner[0] // inner[1]
    values = lax.reshape(operands.read(0, tuple(own)), sizes)
    return [lax.slice(values, [0] * len(sizes), box_sizes(box, after))]


def _groups(
    before: Sequence[int], after: Sequence[int]
) -> Iterator[tuple[int, int, tuple[int, int]]]:
    """Pair the axes that a reshape turns into each other, in groups as small as can be.

    Of each group come the outermost axis before and after, and how many entries the other axes of
    the group have together, before and after.
    """
    # Axes of one entry may come and go anywhere, and change nothing.
    axes = [[axis for axis, dim in enumerate(shape) if dim > 1] for shape in (before, after)]
    sizes = [
        [shape[axis] for axis in own] for shape, own in zip((before, after), axes, strict=True)
    ]
    # An array without entries may change all its axes; where it does not, they are as in others.
    same = math.prod(sizes[0]) == math.prod(sizes[1])
    for first, second in reshape_groups(*sizes) if same else ():
        inner = (
            math.prod(sizes[0][axis] for axis in first[1:]),
            math.prod(sizes[1][axis] for axis in second[1:]),
        )
        yield axes[0][first[0]], axes[1][second[0]], inner


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


def _concatenate_box(step: Step, boxes: Boxes) -> Box | None:
    axis, shape = step.params["dimension"], step.out_avals[0].shape
    changed = []
    for box, offset in zip(boxes, _offsets(step), strict=True):
        if box is not None:
            span, spans = box[axis], list(box)
            if span is not None:
                ends = span.low + offset, span.high + offset
                spans[axis] = Span.within(span.axis, *ends, shape[axis])
            changed.append(spans)
    return tuple(hull(spans) for spans in zip(*changed, strict=True))


def _concatenate_apply(step: Step, box: Box, operands: Operands) -> list[jax.Array]:
    axis, span = step.params["dimension"], box[step.params["dimension"]]
    wanted = list(ranges(box))
    if span is None:
        return operands.bind(*(operands.read(i, tuple(wanted)) for i in range(len(step.inputs))))
    # Which operands there are in the box differs from place to place: of each is read what would
    # be there if it went on, and from where the next begins, the next is taken.
    start, size = span.range.start, span.size
    result: Operand | None = None
    for index, (offset, aval) in enumerate(zip(_offsets(step), step.in_avals, strict=True)):
        dim = aval.shape[axis]
        if not ((start < offset + dim) & (start + size > offset)).any():
            continue
        wanted[axis] = Range(span.axis, np.clip(start - offset, -size, dim), size)
        values = operands.read(index, tuple(wanted), fill=0)
        if result is not None:
            place = lax.broadcasted_iota(np.int32, values.shape, axis)
            first = operands.look_up(span.axis, offset - start)
            values = lax.select(place >= first, jnp.asarray(values), jnp.asarray(result))
        result = values
    return [jnp.asarray(result)]


def _stack_box(step: Step, boxes: Boxes) -> Box | None:
    changed = [box for box in boxes if box is not None]
    spans = [hull(spans) for spans in zip(*changed, strict=True)]
    return (*spans[: step.params["axis"]], None, *spans[step.params["axis"] :])


def _stack_apply(step: Step, box: Box, operands: Operands) -> list[jax.Array]:
    axis = step.params["axis"]
    own = ranges((*box[:axis], *box[axis + 1 :]))
    return operands.bind(*(operands.read(index, own) for index in range(len(step.inputs))))


def _unstack_box(step: Step, boxes: Boxes) -> Box | None:
    (box,) = boxes
    return tuple(span for axis, span in enumerate(box or ()) if axis != step.params["axis"])


def _unstack_apply(step: Step, box: Box, operands: Operands) -> list[jax.Array]:
    axis = step.params["axis"]
    return operands.bind(operands.read(0, ranges((*box[:axis], None, *box[axis:]))))


def _tile_box(step: Step, boxes: Boxes) -> Box | None:
    (box,) = boxes
    # Repeated, an interval comes several times.
    sides = zip(box or (), step.params["reps"], strict=True)
    return tuple(span if times == 1 else None for span, times in sides)


def _tile_apply(step: Step, box: Box, operands: Operands) -> list[jax.Array]:
    return operands.bind(operands.read(0, ranges(box)))


def _offsets(step: Step) -> list[int]:
    """Return where each operand begins in the result."""
    dims = [aval.shape[step.params["dimension"]] for aval in step.in_avals]
    return [sum(dims[:index]) for index in range(len(dims))]


RULES: dict[str, Rule] = {
    "broadcast_in_dim": Rule(_broadcast_box, _broadcast_apply),
    **dict.fromkeys(("reshape", "squeeze", "expand_dims"), Rule(_reshape_box, _reshape_apply)),
    "transpose": Rule(_transpose_box, _transpose_apply),
    "rev": Rule(_reverse_box, _reverse_apply),
    "slice": Rule(_slice_box, _slice_apply),
    "concatenate": Rule(_concatenate_box, _concatenate_apply),
    "tile": Rule(_tile_box, _tile_apply, "it repeats all places"),
    "stack": Rule(_stack_box, _stack_apply),
    "unstack": Rule(_unstack_box, _unstack_apply, "it takes the places apart"),
}
