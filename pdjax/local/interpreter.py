"""Running a plan: once for the image as it is, and for one window at a time.

What is written for one window is vmapped by the caller over windows and their samples. A value
that windows change is held as the entries of its box. Where an operation sees more than that, the
rest is cut from what was recorded for the image as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from pdjax.jaxprs.program import Perform, Step, Value
from pdjax.local.boxes import Box, Range, Ranges, ranges
from pdjax.local.plan import Decision, Plan

__all__ = ["Kept", "WindowRun", "keep"]

Kept = tuple[int, tuple[tuple[int, int], ...], int | float]
"""A value, the padding it is stored with on each axis, and what the padding is filled with."""


def keep(values: Mapping[int, Any], kept: Kept) -> jax.Array:
    """Pad a value as it is to be stored."""
    value, pads, fill = kept
    array = values[value]
    if not any(before or after for before, after in pads):
        return array
    config = [(before, after, 0) for before, after in pads]
    return lax.pad(array, jnp.asarray(fill, array.dtype), config)


class WindowRun:
    """One window at one place: a value for every step, as far as it can change.

    Parameters
    ----------
    plan : Plan
    perform : callable
        How operations are done.
    record : mapping from Kept to array
        What was recorded for the image as it is.
    fixed : mapping from int to array
        Values that depend on the parameters alone.
    origin : int array, shape (d,)
        First corner of the window.
    """

    def __init__(
        self,
        plan: Plan,
        perform: Perform,
        record: Mapping[Kept, jax.Array],
        fixed: Mapping[int, Any],
        origin: jax.Array,
    ) -> None:
        self.plan = plan
        self.perform = perform
        self.record = record
        self.fixed = fixed
        self.place = [_place(own, origin[axis]) for axis, own in enumerate(plan.places)]
        self.values: dict[int, jax.Array] = {}
        self._starts: dict[tuple[int, bytes], Any] = {}

    def run(self, decisions: Sequence[Decision]) -> None:
        """Perform steps, in order."""
        for decision in decisions:
            if decision.box is None:
                continue
            operands = _StepOperands(self, decision.step)
            if decision.rule is None:
                results = operands.whole()
            else:
                results = decision.rule.apply(decision.step, decision.box, operands)
            self.values.update(zip(decision.step.outputs, results, strict=True))

    def head(
        self, patch: jax.Array, cut: int, wanted: Sequence[int], other: Plan
    ) -> list[jax.Array]:
        """Perform steps up to ``cut``, and give what is wanted as another plan has it."""
        self.values[self.plan.image] = patch
        self.run(self.plan.decisions[:cut])
        return [self.read_as(value, other) for value in wanted]

    def whole(self, value: Value) -> Any:
        """All of a value, changed or not."""
        rank = np.ndim(value) if not isinstance(value, int) else len(self._shape(value))
        return self.read(value, (None,) * rank, None)

    def read(self, value: Value, ranges: Ranges, fill: int | float | None) -> Any:
        """Values in these ranges, which may hang over the ends where there is a ``fill``."""
        if not isinstance(value, int):
            return self._cut(value, ranges)
        box = self.plan.boxes.get(value)
        if box is None:
            return self._read_fixed(value, ranges)
        values, surround, places, trims = self.values[value], [], [], []
        inserted = False
        for axis, (span, wanted) in enumerate(zip(box, ranges, strict=True)):
            dim = self._shape(value)[axis]
            own = Range(0, np.zeros(1, int), dim) if span is None else span.range
            asked = wanted or Range(own.axis, np.zeros_like(own.start), dim)
            offset = own.start - asked.start
            if span is None or ((offset <= 0) & (offset + own.size >= asked.size)).all():
                taken = Range(asked.axis, -offset, asked.size)
                values = self._take(values, axis, taken, fill)
                surround.append(asked)
                places.append(np.int32(0))
                trims.append((0, asked.size))
                continue
            inserted = True
            before = max(0, int(-offset.min()))
            after = max(0, int((offset + own.size).max()) - asked.size)
            size = before + asked.size + after
            surround.append(Range(own.axis, asked.start - before, size))
            places.append(self._start(own.axis, offset + before))
            trims.append((before, before + asked.size))
        if not inserted:
            return values
        old = self.read_old(value, tuple(surround), fill)
        joined = lax.dynamic_update_slice(old, values, places)
        return lax.slice(joined, *zip(*trims, strict=True))

    def read_as(self, value: int, other: Plan) -> Any:
        """What another plan, which holds for more windows, would have in the box of a value."""
        index = [np.searchsorted(a, b) for a, b in zip(other.places, self.plan.places, strict=True)]
        wanted = ranges(other.boxes[value])
        return self.read(value, tuple(r and r.at(index[r.axis]) for r in wanted), None)

    def read_old(self, value: int, ranges: Ranges, fill: int | float | None = None) -> jax.Array:
        """What the value is for the image as it is, in these ranges."""
        pads, inside = [], []
        for dim, wanted in zip(self._shape(value), ranges, strict=True):
            before, after = _overhang(wanted, dim)
            pads.append((before, after))
            inside.append(wanted and Range(wanted.axis, wanted.start + before, wanted.size))
        filled = any(before or after for before, after in pads)
        recorded = self.record[value, tuple(pads), (fill or 0.0) if filled else 0.0]
        return self._cut(recorded, tuple(inside))

    def read_outside(self, value: int, ranges: Ranges) -> jax.Array:
        """What is outside the box, for the image as it is, with zeros in the place of the box.

        A range is that of the box, or all of an axis.
        """
        old = self.read_old(value, ranges)
        inside = jnp.ones((), bool)
        for axis, (span, wanted) in enumerate(zip(self.plan.boxes[value], ranges, strict=True)):
            if span is None or wanted is not None:
                continue
            start = jnp.asarray(self._start(span.axis, span.range.start), jnp.int32)
            place = lax.iota(jnp.int32, span.dim) - start
            within = (place >= 0) & (place < span.size)
            others = tuple(i for i in range(old.ndim) if i != axis)
            inside = inside & lax.expand_dims(within, others)
        return jnp.where(inside, jnp.zeros((), old.dtype), old)

    def _read_fixed(self, value: int, ranges: Ranges) -> Any:
        made_by = self.plan.fixed_broadcasts.get(value)
        if made_by is None:
            return self._cut(self.fixed[value], ranges)
        shape, axes = made_by.in_avals[0].shape, made_by.params["broadcast_dimensions"]
        inner = tuple(
            None if dim == 1 else ranges[axis] for dim, axis in zip(shape, axes, strict=True)
        )
        sizes = tuple(
            dim if wanted is None else wanted.size
            for wanted, dim in zip(ranges, self._shape(value), strict=True)
        )
        return self.perform(made_by, self.read(made_by.inputs[0], inner, None), shape=sizes)[0]

    def _take(self, values: Any, axis: int, wanted: Range, fill: int | float | None) -> Any:
        """Cut a range out of a whole axis, padded where the range hangs over."""
        before, after = _overhang(wanted, values.shape[axis])
        if before or after:
            config = [(0, 0, 0)] * values.ndim
            config[axis] = (before, after, 0)
            values = lax.pad(values, jnp.asarray(fill, values.dtype), config)
        ranges: list[Range | None] = [None] * values.ndim
        ranges[axis] = Range(wanted.axis, wanted.start + before, wanted.size)
        return self._cut(values, tuple(ranges))

    def _cut(self, values: Any, ranges: Ranges) -> Any:
        sizes = tuple(
            dim if wanted is None else wanted.size
            for wanted, dim in zip(ranges, np.shape(values), strict=True)
        )
        if sizes == np.shape(values):
            return values
        starts = [np.int32(0) if r is None else self._start(r.axis, r.start) for r in ranges]
        return lax.dynamic_slice(values, starts, sizes)

    def _start(self, axis: int, table: np.ndarray) -> Any:
        """Look up a start by the place of the window."""
        if (table == table[0]).all():
            return np.int32(table[0])
        key = axis, table.astype(np.int32).tobytes()
        if key not in self._starts:
            self._starts[key] = jnp.asarray(table, jnp.int32)[self.place[axis]]
        return self._starts[key]

    def _shape(self, value: int) -> tuple[int, ...]:
        return tuple(self.plan.program.avals[value].shape)


class _StepOperands:
    """The operands of one step, as its rule sees them."""

    def __init__(self, run: WindowRun, step: Step) -> None:
        self._run = run
        self._step = step

    def box(self, index: int) -> Box:
        return self._run.plan.box(self._step.inputs[index]) or ()

    def read(self, index: int, ranges: Ranges, fill: int | float | None = None) -> Any:
        return self._run.read(self._step.inputs[index], ranges, fill)

    def read_outside(self, index: int, ranges: Ranges) -> jax.Array:
        value = self._step.inputs[index]
        if not isinstance(value, int):
            raise TypeError(f"a constant of {self._step.name} has no box")
        return self._run.read_outside(value, ranges)

    def bind(self, *values: Any, **changed: Any) -> list[Any]:
        return self._run.perform(self._step, *values, **changed)

    def whole(self) -> list[Any]:
        return self.bind(*(self._run.whole(value) for value in self._step.inputs))


def _place(places: np.ndarray, origin: jax.Array) -> jax.Array:
    """Index of an origin among the places of a plan."""
    index = np.searchsorted(places, np.arange(places[-1] + 1))
    return jnp.asarray(index, jnp.int32)[origin]


def _overhang(wanted: Range | None, dim: int) -> tuple[int, int]:
    """Entries by which a range hangs over the two ends of an axis, at most."""
    if wanted is None:
        return 0, 0
    last = int(wanted.start.max()) + wanted.size
    return max(0, -int(wanted.start.min())), max(0, last - dim)
