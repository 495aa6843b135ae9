"""Boxes against what changes when entries are changed one by one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from pdjax.local.boxes import Span, hull, settled

DIM, WINDOW = 13, 3
PLACES = np.arange(DIM - WINDOW + 1)
SEEN = [case for case in itertools.product((1, 2, 3), (-2, 0, 1), (1, 2, 5)) if case != (1, -2, 1)]


@pytest.mark.parametrize(("stride", "first", "reach"), SEEN)
def test_results_that_see_a_change(stride: int, first: int, reach: int) -> None:
    results = (DIM - first - 1) // stride + 1
    span = Span(0, PLACES, PLACES + WINDOW, DIM).touched(stride, first, reach, results)
    starts = first + stride * np.arange(results)
    for place in PLACES:
        changed = (starts < place + WINDOW) & (starts + reach > place)
        if span is None:
            continue
        found = (np.arange(results) >= span.low[place]) & (np.arange(results) < span.high[place])
        np.testing.assert_array_equal(found, changed)
        # What is kept has all that changes, at whatever place, and lies on the axis.
        kept = span.range.start[place] + np.arange(span.size)
        assert set(np.flatnonzero(changed)) <= set(kept)
        assert set(kept) <= set(range(results))
        # What is read back holds all that these results see.
        read = span.range.stretched(stride, first, reach)
        assert read.start[place] == starts[kept[0]]
        assert read.start[place] + read.size == starts[kept[-1]] + reach


def test_a_span_that_is_all_of_its_axis_is_none() -> None:
    whole_axis = Span.within(0, np.array([0, 1]), np.array([5, 6]), dim=5)
    assert settled((whole_axis,)) == (None,)
    assert Span.within(0, np.array([0, 1]), np.array([4, 5]), dim=5).size == 4


def test_the_hull_holds_both_and_no_more() -> None:
    one = Span(0, np.array([1, 4]), np.array([3, 6]), 20)
    other = Span(0, np.array([2, 9]), np.array([5, 9]), 20)  # empty at the second place
    both = hull([one, other])
    assert both.low.tolist() == [1, 4]
    assert both.high.tolist() == [5, 6]
    assert hull([other, one]).high.tolist() == [5, 6]
    assert hull([one, None]) is None
    assert hull([one, Span(1, one.low, one.high, 20)]) is None
