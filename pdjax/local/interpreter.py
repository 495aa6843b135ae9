"""Running a plan for one window at one place.

A value that windows change is held as the entries of its box alone, an array of static shape. Where
an operation sees more than that, the rest is cut from what was recorded for the image as it is. All
of it is written for one window; the caller vmaps it over windows and their contents.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from pdjax.jaxprs.program import Operand, Perform, Step, Value
from pdjax.local.boxes import Box, Range, Ranges, ranges
from pdjax.local.plan import Decision, Plan

__all__ = ["Kept", "WindowRun", "keep"]

Kept = tuple[int, tuple[tuple[int, int], ...], int | float]
"""A value, the padding it is stored with on each axis, and what the padding is filled with.

Windows at the border see beyond the ends of an array. Stored with the padding that they see, any
window's surroundings are one slice of it.
"""

Start = jax.Array | np.int32
"""Where a slice starts on an axis; known, where it is the same at all places of the window."""


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
        fixed: Mapping[int, jax.Array],
        origin: jax.Array,
    ) -> None:
        self.plan = plan
        self.perform = perform
        self.record = record
        self.fixed = fixed
        self.place = [_place(own, origin[axis]) for axis, own in enumerate(plan.places)]
        self.values: dict[int, jax.Array] = {}
        self._tables: dict[tuple[int, tuple[int, ...], bytes], jax.Array] = {}

    def run(self, decisions: Sequence[Decision]) -> None:
        """Perform steps, in order."""
        for decision in decisions:
            # What does not depend on the image is among the fixed values, if it is read at all.
            if decision.box is None:
                continue
            operands = _StepOperands(self, decision.step)
            if decision.rule is None:
                results = operands.whole()
            else:
                results = decision.rule.apply(decision.step, decision.box, operands)
            self.values.update(zip(decision.step.outputs, results, strict=True))

    def head(self, patch: jax.Array, cut: int, wanted: Sequence[int], other: Plan) -> list[Operand]:
        """Perform steps up to ``cut``, and give what is wanted as another plan has it."""
        # The window's contents are the box of the image. From here on rules ask for operands, and
        # what they get is the box, the record around it, or both joined.
        self.values[self.plan.image] = patch
        self.run(self.plan.decisions[:cut])
        return [self.read_as(value, other) for value in wanted]

    def whole(self, value: Value) -> Operand:
        """All of a value, changed or not."""
        rank = np.ndim(value) if not isinstance(value, int) else len(self._shape(value))
        return self.read(value, (None,) * rank, None)

    def read(self, value: Value, ranges: Ranges, fill: int | float | None) -> Operand:
        """Values in these ranges, which may hang over the ends where there is a ``fill``.

        Seen along one axis, the box of a value either covers what is wanted of it, wherever the
        window lies, and is cut down to that; or it does not, and is put into what was recorded for
        the image around it::

            box               bbbbbbbbbb          box           bbbbbb
            wanted              wwwwww            wanted          wwwwwwww
            result              bbbbbb            record        rrrrrrrrrr
                                                  joined        bbbbbbrrrr
                                                  result          bbbbrrrr

        In the second case the record is cut wide enough to take in the whole box at every place,
        for an insertion that reached over its end would be moved; and then down to what is wanted.
        """
        if not isinstance(value, int):
            return self._cut_filled(value, ranges, fill)
        box = self.plan.boxes.get(value)
        if box is None:
            return self._read_fixed(value, ranges, fill)
        values: Operand = self.values[value]
        around: list[Range | None] = []  # what is cut from the record, by axis,
        places: list[Start] = []  # where the box goes in it,
        wanted_part: list[tuple[int, int]] = []  # and what is wanted of both together
        inserted = False
        for axis, (span, wanted) in enumerate(zip(box, ranges, strict=True)):
            dim = self._shape(value)[axis]
            held = Range(0, np.zeros(1, int), dim) if span is None else span.range
            asked = wanted or Range(held.axis, np.zeros_like(held.start), dim)
            offset = held.start - asked.start
            if span is None or ((offset <= 0) & (offset + held.size >= asked.size)).all():
                values = self._take(values, axis, Range(asked.axis, -offset, asked.size), fill)
                around.append(asked)
                places.append(np.int32(0))
                wanted_part.append((0, asked.size))
                continue
            inserted = True
            before = max(0, int(-offset.min()))
            after = max(0, int((offset + held.size).max()) - asked.size)
            around.append(Range(held.axis, asked.start - before, before + asked.size + after))
            places.append(self._start(held.axis, offset + before))
            wanted_part.append((before, before + asked.size))
        if not inserted:
            return values
        old = self.read_old(value, tuple(around), fill)
        joined = lax.dynamic_update_slice(old, values, places)
        return lax.slice(joined, *zip(*wanted_part, strict=True))

    def read_as(self, value: int, other: Plan) -> Operand:
        """What another plan, which holds for more windows, would have in the box of a value."""
        # Heads of several regions have boxes of several sizes, but there is one tail: each hands
        # its values over as the plan for all windows keeps them. The tables of that plan have a
        # row for every place, of which those of this plan are picked.
        index = [np.searchsorted(a, b) for a, b in zip(other.places, self.plan.places, strict=True)]
        wanted = ranges(other.boxes[value])
        return self.read(value, tuple(r and r.at(index[r.axis]) for r in wanted), None)

    def read_old(self, value: int, ranges: Ranges, fill: int | float | None = None) -> jax.Array:
        """What the value is for the image as it is, in these ranges."""
        # The padding is the most that any window reads beyond the ends. Reading with another
        # padding or fill asks for another copy, but few values are read in more than one way.
        pads, inside = [], []
        for dim, wanted in zip(self._shape(value), ranges, strict=True):
            before, after = _overhang(wanted, dim)
            pads.append((before, after))
            inside.append(wanted and wanted.moved(before))
        filled = any(before or after for before, after in pads)
        recorded = self.record[value, tuple(pads), (fill or 0.0) if filled else 0.0]
        return jnp.asarray(self._cut(recorded, tuple(inside)))

    def read_outside(self, value: int, ranges: Ranges, fill: int | float | bool = 0) -> jax.Array:
        """What is outside the box, for the image as it is, with ``fill`` in the place of the box.

        A range is that of the box, or all of an axis.
        """
        old = self.read_old(value, ranges)
        # The box is a product of intervals, so a place is in it if it is in every axis' interval.
        # The box may have more entries than change: with all of them blanked, what is added back is
        # the whole box as it is now.
        inside = jnp.ones((), bool)
        for axis, (span, wanted) in enumerate(zip(self.plan.boxes[value], ranges, strict=True)):
            if span is None or wanted is not None:
                continue
            start = jnp.asarray(self._start(span.axis, span.range.start), jnp.int32)
            place = lax.iota(jnp.int32, span.dim) - start
            within = (place >= 0) & (place < span.size)
            others = tuple(i for i in range(old.ndim) if i != axis)
            inside = inside & lax.expand_dims(within, others)
        return jnp.where(inside, jnp.asarray(fill, old.dtype), old)

    def _read_fixed(self, value: int, ranges: Ranges, fill: int | float | None) -> Operand:
        made_by = self.plan.fixed_broadcasts.get(value)
        hanging = any(map(any, map(_overhang, ranges, self._shape(value))))
        if made_by is None or hanging:
            return self._cut_filled(self.fixed[value], ranges, fill)
        # A parameter that is repeated to the shape of an activation, such as a bias, is repeated to
        # the size of the box instead: the whole result is never made.
        shape, axes = made_by.in_avals[0].shape, made_by.params["broadcast_dimensions"]
        inner = tuple(
            None if dim == 1 else ranges[axis] for dim, axis in zip(shape, axes, strict=True)
        )
        sizes = tuple(
            dim if wanted is None else wanted.size
            for wanted, dim in zip(ranges, self._shape(value), strict=True)
        )
        return self.perform(made_by, self.read(made_by.inputs[0], inner, None), shape=sizes)[0]

    def _take(self, values: Operand, axis: int, wanted: Range, fill: int | float | None) -> Operand:
        """Cut a range out of a whole axis, padded where the range hangs over."""
        ranges: list[Range | None] = [None] * values.ndim
        ranges[axis] = wanted
        return self._cut_filled(values, tuple(ranges), fill)

    def _cut_filled(self, values: Operand, ranges: Ranges, fill: int | float | None) -> Operand:
        """Cut ranges out of an array, padded where they hang over."""
        pads = [_overhang(*one) for one in zip(ranges, np.shape(values), strict=True)]
        if any(map(any, pads)):
            config = [(before, after, 0) for before, after in pads]
            values = lax.pad(values, jnp.asarray(fill, values.dtype), config)
        inside = (r and r.moved(before) for r, (before, _) in zip(ranges, pads, strict=True))
        return self._cut(values, tuple(inside))

    def _cut(self, values: Operand, ranges: Ranges) -> Operand:
        """Cut ranges, none of which hangs over, out of an array."""
        sizes = tuple(
            dim if wanted is None else wanted.size
            for wanted, dim in zip(ranges, np.shape(values), strict=True)
        )
        if sizes == np.shape(values):
            return values
        starts = [np.int32(0) if r is None else self._start(r.axis, r.start) for r in ranges]
        return lax.dynamic_slice(values, starts, sizes)

    def _start(self, axis: int, table: np.ndarray) -> Start:
        """Look up a start by the place of the window.

        Vmapped over windows, a slice from a start that differs becomes a gather. A start that is
        the same at all places stays a constant, and its slice a slice.
        """
        if (table == table[0]).all():
            return np.int32(table[0])
        return self.look_up(axis, table)

    def look_up(self, axis: int, table: np.ndarray) -> jax.Array:
        """Row of a table of ints that belongs to the place of the window on an axis."""
        # Neighbouring steps share their tables: each is looked up once.
        key = axis, table.shape, table.astype(np.int32).tobytes()
        if key not in self._tables:
            self._tables[key] = jnp.asarray(table, jnp.int32)[self.place[axis]]
        return self._tables[key]

    def _shape(self, value: int) -> tuple[int, ...]:
        return tuple(self.plan.program.avals[value].shape)


class _StepOperands:
    """The operands of one step, as its rule sees them."""

    def __init__(self, run: WindowRun, step: Step) -> None:
        self._run = run
        self._step = step

    def box(self, index: int) -> Box:
        return self._run.plan.box(self._step.inputs[index]) or ()

    def read(self, index: int, ranges: Ranges, fill: int | float | None = None) -> Operand:
        return self._run.read(self._step.inputs[index], ranges, fill)

    def read_outside(self, index: int, ranges: Ranges, fill: int | float | bool = 0) -> jax.Array:
        value = self._step.inputs[index]
        if not isinstance(value, int):
            raise TypeError(f"a constant of {self._step.name} has no box")
        return self._run.read_outside(value, ranges, fill)

    def look_up(self, axis: int, table: np.ndarray) -> jax.Array:
        return self._run.look_up(axis, table)

    def bind(self, *values: Operand, **changed: object) -> list[jax.Array]:
        return self._run.perform(self._step, *values, **changed)

    def whole(self) -> list[jax.Array]:
        return self.bind(*(self._run.whole(value) for value in self._step.inputs))


def _place(places: np.ndarray, origin: jax.Array) -> jax.Array:
    """Index of an origin among the places of a plan: the row of its tables."""
    # A plan for some places has no row for the others, which are never asked for.
    index = np.searchsorted(places, np.arange(places[-1] + 1))
    return jnp.asarray(index, jnp.int32)[origin]


def _overhang(wanted: Range | None, dim: int) -> tuple[int, int]:
    """Entries by which a range hangs over the two ends of an axis, at most."""
    if wanted is None:
        return 0, 0
    last = int(wanted.start.max()) + wanted.size
    return max(0, -int(wanted.start.min())), max(0, last - dim)
