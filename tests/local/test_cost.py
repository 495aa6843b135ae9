"""Schedules: batch sizes that suit head and tail, within what is asked for and what there is."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import pytest

from pdjax.jaxprs.program import Program, trace
from pdjax.local.cost import DEVICES, Schedule, schedule

WINDOW = (9, 9)
"""Touches one entry less of a layer of stride 2 at every second place."""


def f(params: Any, images: jax.Array) -> jax.Array:
    """Convolutions of a large map, and a large matrix behind them."""
    x = images
    for kernel in params["convolutions"]:
        x = jax.lax.conv_general_dilated(
            x, kernel, (2, 2), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
    # Flattened with channels first, boxes do not stay together.
    return jnp.tanh(x.transpose(0, 3, 1, 2).reshape(len(x), -1) @ params["matrix"])


@pytest.fixture(scope="module")
def program() -> Program:
    shapes = {
        "convolutions": [(3, 3, 3, 32), (3, 3, 32, 32)],
        "matrix": (55 * 55 * 32, 1000),
    }
    params = jax.tree.map(
        lambda shape: jax.ShapeDtypeStruct(shape, jnp.float32),
        shapes,
        is_leaf=lambda leaf: isinstance(leaf, tuple),
    )
    return trace(f, params, jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)).program


def boxes(found: Schedule) -> list[tuple[int, ...]]:
    spans = [d.box for d in found.plan.decisions if d.box is not None]
    return [tuple(0 if span is None else span.size for span in box) for box in spans]


def test_the_tail_with_the_large_matrix_takes_more_images(program: Program) -> None:
    found = schedule(program, WINDOW, "cpu")
    assert 0 < found.cut < len(program.steps)
    assert found.head < found.tail
    assert found.crossing


def test_boxes_do_not_depend_on_the_batch_that_is_asked_for(program: Program) -> None:
    free = schedule(program, WINDOW, "cpu")
    for largest in (1, 8):
        bound = schedule(program, WINDOW, "cpu", largest_batch=largest)
        assert max(bound.head, bound.tail) <= largest
        assert boxes(bound) == boxes(free)
        assert bound.seconds >= free.seconds


def test_more_heads_are_compiled_for_long_runs_only(program: Program) -> None:
    few, many = (schedule(program, WINDOW, "cpu", num_images=n) for n in (100, 10**12))
    assert len(few.plans) == 1
    assert len(many.plans) == 4
    assert many.seconds < few.seconds


@pytest.mark.parametrize("platform", [*DEVICES, "another"])
def test_there_is_a_schedule_for_every_platform(program: Program, platform: str) -> None:
    found = schedule(program, WINDOW, platform)
    assert 0 < found.seconds < 1
    assert boxes(found)[0] == (0, 6, 6, 0)
