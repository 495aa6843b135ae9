"""What the results of an operation see of an axis, and what has to be read for some of them.

Forwards, the box of the result holds every entry whose neighbourhood touches the box of the
operand. Backwards, what the entries of that box see of the operand is read, with the padding
already around it where they see beyond its ends, and the operation is done on that without padding.

Where there are holes between the entries of the operand, as in a transposed convolution, results
see entries in a pattern that repeats after some of them, the period. A window may lie anywhere in
the pattern, but a compiled program knows one beginning only. So results are made from the last
beginning of a period, and the ones that are not wanted are cut off.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import numpy as np
from jax import lax

from pdjax.local.boxes import Range, Span
from pdjax.local.rules.rule import Operands

__all__ = ["Reach", "Seen", "cut_results"]


class Seen(NamedTuple):
    """What some results see of an axis.

    Attributes
    ----------
    taken : Range
        Entries to read; they may hang over the ends.
    padding : tuple of int
        Places without an entry before and behind them.
    skipped : int array
        Results before the wanted ones, by place of the window.
    made : int
        Results there are in all.
    """

    taken: Range
    padding: tuple[int, int]
    skipped: np.ndarray
    made: int


class Reach(NamedTuple):
    """What an entry of the result sees of an axis, ``dilation`` places from entry to entry.

    Result ``i`` sees ``reach`` places, holes included, from ``stride * i - before``.
    """

    stride: int
    before: int
    reach: int
    dilation: int = 1

    def touched(self, span: Span | None, dim: int) -> Span | None:
        """Return which of ``dim`` entries of the result see a span of the operand."""
        if span is None:
            return None
        low, last = span.low * self.dilation, (span.high - 1) * self.dilation
        spread = Span(span.axis, low, np.where(span.high > span.low, last + 1, low), span.dim)
        return spread.touched(self.stride, -self.before, self.reach, dim)

    def seen(self, span: Span) -> Seen:
        """Return what a span of the result sees of the operand."""
        if self.dilation == 1:
            taken = span.range.stretched(self.stride, -self.before, self.reach)
            return Seen(taken, (0, 0), np.zeros_like(taken.start), span.size)
        start, period = span.range.start, self.dilation // math.gcd(self.stride, self.dilation)
        begin = start // period * period
        first = begin * self.stride - self.before
        entry = -(-first // self.dilation)
        # The same at all places, as they all begin with a period.
        lead = int((entry * self.dilation - first)[0])
        made = span.size + period - 1
        while self._extent(made) <= lead:  # of holes alone
            made += 1
        size = (self._extent(made) - 1 - lead) // self.dilation + 1
        behind = self._extent(made) - lead - (size - 1) * self.dilation - 1
        return Seen(Range(span.axis, entry, size), (lead, behind), start - begin, made)

    def _extent(self, results: int) -> int:
        return self.stride * (results - 1) + self.reach


def cut_results(
    result: jax.Array, axis: int, span: Span, seen: Seen, operands: Operands
) -> jax.Array:
    """Cut the results of a span out of those that were made."""
    if seen.made == span.size:
        return result
    start = operands.look_up(span.axis, seen.skipped)
    return lax.dynamic_slice_in_dim(result, start, span.size, axis)
