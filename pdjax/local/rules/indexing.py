"""Rules of operations that take entries at given places: slices from a start, and gathers.

A result along an axis of the window's is followed where the places are known; along other axes they
may be anything that is the same for all windows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from pdjax.jaxprs.program import Step, Value
from pdjax.local.boxes import Box, Range, Span, hull, ranges
from pdjax.local.rules.rule import Boxes, Operands, Rule

__all__ = ["RULES"]

WHY = "it takes entries at places that are not known beforehand"


def _slice_box(step: Step, boxes: Boxes) -> Box | None:
    box = boxes[0]
    if box is None or any(start is not None for start in boxes[1:]):
        return None
    shape, sizes = step.in_avals[0].shape, step.params["slice_sizes"]
    starts = _starts(step.inputs[1:], shape, sizes)
    return tuple(
        None if span is None or start is None else span.touched(1, start, 1, size)
        for span, start, size in zip(box, starts, sizes, strict=True)
    )


def _slice_apply(step: Step, box: Box, operands: Operands) -> list[jax.Array]:
    shape, sizes = step.in_avals[0].shape, list(step.params["slice_sizes"])
    own: list[Range | None] = [None] * len(box)
    values = []
    starts = _starts(step.inputs[1:], shape, sizes)
    for axis, (span, start) in enumerate(zip(box, starts, strict=True)):
        if span is None or start is None:
            values.append(operands.read(1 + axis, ()))
        else:
            own[axis], sizes[axis] = span.range.moved(start), span.size
            values.append(np.zeros((), step.in_avals[1 + axis].dtype))
    return operands.bind(operands.read(0, tuple(own)), *values, slice_sizes=tuple(sizes))


def _update_box(step: Step, boxes: Boxes) -> Box | None:
    old, new = boxes[:2]
    if any(start is not None for start in boxes[2:]):
        return None
    shape, sizes = (aval.shape for aval in step.in_avals[:2])
    starts = _starts(step.inputs[2:], shape, sizes)
    spans: list[Span | None] = []
    for axis, (start, dim) in enumerate(zip(starts, shape, strict=True)):
        changed = [] if old is None else [old[axis]]
        span = None if new is None else new[axis]
        if span is not None and start is not None:
            changed.append(Span.within(span.axis, span.low + start, span.high + start, dim))
        elif new is not None:
            changed.append(None)
        spans.append(hull(changed))
    return tuple(spans)


def _update_apply(step: Step, box: Box, operands: Operands) -> list[jax.Array]:
    shape, sizes = (aval.shape for aval in step.in_avals[:2])
    own, starts, written = list(ranges(box)), [], jnp.ones((), bool)
    old = operands.read(0, ranges(box))
    known = _starts(step.inputs[2:], shape, sizes)
    for axis, (span, start) in enumerate(zip(box, known, strict=True)):
        if span is None:
            starts.append(operands.read(2 + axis, ()))
            continue
        # What is written over is read where it would lie if it went on, and taken where it does.
        starts.append(np.zeros((), step.in_avals[2 + axis].dtype))
        first, size = span.range.start - start, span.size
        own[axis] = Range(span.axis, np.clip(first, -size, sizes[axis]), size)
        place = operands.look_up(span.axis, first) + lax.broadcasted_iota(np.int32, old.shape, axis)
        written = written & (place >= 0) & (place < sizes[axis])
    values = operands.read(1, tuple(own), fill=0)
    (joined,) = operands.bind(old, values, *starts)
    return [lax.select(jnp.broadcast_to(written, old.shape), joined, jnp.asarray(old))]


def _starts(
    starts: Sequence[Value], shape: Sequence[int], sizes: Sequence[int]
) -> list[int | None]:
    """Return where slices start that are moved to lie within their array; None if not known."""
    return [
        0 if dim == size else None if isinstance(one, int) else int(np.clip(one, 0, dim - size))
        for one, dim, size in zip(starts, shape, sizes, strict=True)
    ]


@dataclasses.dataclass(frozen=True)
class _Gather:
    """How the axes of a gather belong together.

    Attributes
    ----------
    kept : dict
        By axis of the operand, the axis of the result that has a slice of it.
    rows : list of int
        The axes of the result that have an entry for each row of indices.
    shared : dict
        By axis of the operand, that of the rows which goes along with it.
    components : dict
        By axis of the operand, which of the numbers of a row is its index.
    starts : int array or None
        The indices, if they are known and lie within the operand.
    """

    kept: dict[int, int]
    rows: list[int]
    shared: dict[int, int]
    components: dict[int, int]
    starts: np.ndarray | None

    @classmethod
    def of(cls, step: Step) -> _Gather:
        numbers, sizes = step.params["dimension_numbers"], step.params["slice_sizes"]
        shape, rank = step.in_avals[0].shape, len(step.out_avals[0].shape)
        batching = getattr(numbers, "operand_batching_dims", ())
        gone = (*numbers.collapsed_slice_dims, *batching)
        left = [axis for axis in range(len(shape)) if axis not in gone]
        shared = zip(batching, getattr(numbers, "start_indices_batching_dims", ()), strict=True)
        indices, starts = step.inputs[1], None
        if isinstance(indices, np.ndarray):
            last = np.array([shape[axis] - sizes[axis] for axis in numbers.start_index_map])
            clipped = np.clip(indices, 0, last)
            inside = step.params["mode"] == lax.GatherScatterMode.CLIP or (clipped == indices).all()
            starts = clipped if inside else None
        return cls(
            kept=dict(zip(left, numbers.offset_dims, strict=True)),
            rows=[axis for axis in range(rank) if axis not in numbers.offset_dims],
            shared=dict(shared),
            components={axis: i for i, axis in enumerate(numbers.start_index_map)},
            starts=starts,
        )

    def start(self, step: Step, axis: int) -> int | None:
        """Return where the slices of an axis start, if all start at one known place."""
        size = step.params["slice_sizes"][axis]
        if axis not in self.components or size == step.in_avals[0].shape[axis]:
            return 0
        if self.starts is None or not self.starts.size:
            return None
        own = self.starts[..., self.components[axis]]
        return int(own.flat[0]) if (own == own.flat[0]).all() else None

    def index(self, axis: int) -> tuple[int, np.ndarray] | None:
        """Return the only axis of the rows along which the index of an axis differs, and it."""
        if self.starts is None or axis not in self.components:
            return None
        own = self.starts[..., self.components[axis]]
        differs = [i for i in range(own.ndim) if (own != own.take([0], i)).any()]
        if len(differs) != 1:
            return None
        return differs[0], np.moveaxis(own, differs[0], 0).reshape(own.shape[differs[0]], -1)[:, 0]


def _gather_box(step: Step, boxes: Boxes) -> Box | None:
    operand, indices = boxes
    gather, shape = _Gather.of(step), step.out_avals[0].shape
    spans: list[Span | None] = [None] * len(shape)
    if operand is not None:
        for axis, span in enumerate(operand):
            if span is None:
                continue
            start, index = gather.start(step, axis), gather.index(axis)
            if axis in gather.kept and start is not None:
                spans[gather.kept[axis]] = span.touched(1, start, 1, shape[gather.kept[axis]])
            elif axis in gather.shared:
                spans[gather.rows[gather.shared[axis]]] = span
            elif index is not None and axis not in gather.kept:
                spans[gather.rows[index[0]]] = _hit(span, index[1])
    if indices is None:
        return tuple(spans)
    # Where an index changes, all that it takes does; elsewhere what it takes may have changed.
    for axis, target in enumerate(gather.rows):
        both = [indices[axis]] if operand is None else [indices[axis], spans[target]]
        spans[target] = hull(both)
    return tuple(None if axis in gather.kept.values() else s for axis, s in enumerate(spans))


def _hit(span: Span, index: np.ndarray) -> Span:
    """Return the stretch of an index that has all places in a span."""
    hits = (index >= span.low[:, None]) & (index < span.high[:, None])
    low, high = hits.argmax(1), len(index) - hits[:, ::-1].argmax(1)
    return Span.within(span.axis, low, np.where(hits.any(1), high, low), len(index))


def _gather_apply(step: Step, box: Box, operands: Operands) -> list[jax.Array]:
    gather, sizes = _Gather.of(step), list(step.params["slice_sizes"])
    own: list[Range | None] = [None] * len(step.in_avals[0].shape)
    rows: list[Range | None] = [None] * len(step.in_avals[1].shape)
    dtype = step.in_avals[1].dtype
    # What is to be taken off the indices, as less than all of the operand is at hand.
    moved: list[jax.Array] = [jnp.zeros((), dtype)] * step.in_avals[1].shape[-1]
    rows[: len(gather.rows)] = [ranges(box)[target] for target in gather.rows]
    for axis in range(len(own)):
        start, index = gather.start(step, axis), gather.index(axis)
        span = box[gather.kept[axis]] if axis in gather.kept else None
        if span is not None and start is not None:
            own[axis], sizes[axis] = span.range.moved(start), span.size
            if axis in gather.components:
                moved[gather.components[axis]] = jnp.asarray(start, dtype)
        elif axis in gather.shared:
            own[axis] = ranges(box)[gather.rows[gather.shared[axis]]]
        elif index is not None and axis not in gather.kept:
            span = box[gather.rows[index[0]]]
            if span is not None:
                places = index[1][span.range.start[:, None] + np.arange(span.size)]
                dim = step.in_avals[0].shape[axis]
                seen = Span(span.axis, places.min(1), places.max(1) + 1, dim).range
                own[axis] = seen
                first = operands.look_up(span.axis, seen.start)
                moved[gather.components[axis]] = first.astype(dtype)
    indices = operands.read(1, tuple(rows))
    indices = indices - lax.expand_dims(jnp.stack(moved), range(indices.ndim - 1))
    return operands.bind(operands.read(0, tuple(own)), indices, slice_sizes=tuple(sizes))


RULES: dict[str, Rule] = {
    "dynamic_slice": Rule(_slice_box, _slice_apply, WHY),
    "dynamic_update_slice": Rule(_update_box, _update_apply, WHY),
    "gather": Rule(_gather_box, _gather_apply, WHY),
}
