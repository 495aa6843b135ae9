"""Loops and branches written out: the same numbers, step by step."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from pdjax.jaxprs.program import bind, trace
from pdjax.jaxprs.unrolling import MOST_STEPS, can_be_unrolled, unrolled

X = jnp.linspace(0, 1, 6).reshape(2, 3)
ROWS = jnp.linspace(-1, 1, 4)

FUNCTIONS: dict[str, Callable[[jax.Array], object]] = {
    "scan": lambda x: lax.scan(lambda c, w: (c * w + 1, (c, w)), x, ROWS),
    "backwards": lambda x: lax.scan(lambda c, w: (c - w, c), x, ROWS, reverse=True),
    "loop": lambda x: lax.fori_loop(0, 3, lambda i, c: c * i + 1, x),
    "branches": lambda x: lax.cond(ROWS.sum() > 1, jnp.sin, lambda y: 2 * y, x),
    "one of three": lambda x: lax.switch(ROWS.argmax(), [jnp.sin, jnp.cos, jnp.tanh], x),
    "known branch": lambda x: lax.switch(jnp.int32(1), [jnp.sin, jnp.cos], x),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_written_out_they_give_the_same(name: str) -> None:
    f = FUNCTIONS[name]
    program, constants, outputs = trace(f, X)
    (step,) = [step for step in program.steps if can_be_unrolled(step)]
    program, constants, results = unrolled(program, constants, step.outputs[0])
    assert len(results) == len(step.outputs)
    assert {"scan", "cond"}.isdisjoint(step.name for step in program.steps)
    values = program.bound(constants, [X])
    program.run(bind, values)
    found = jax.tree.unflatten(jax.tree.structure(outputs), program.outputs(values))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), found, f(X))


@pytest.mark.parametrize(
    "f",
    [
        lambda x: lax.scan(lambda c, _: (jnp.sin(c), None), x, None, length=MOST_STEPS + 1)[0],
        lambda x: lax.while_loop(lambda c: c.sum() < 9, lambda c: c + 1, x),
        lambda x: lax.cond(
            x.sum() < 9, lambda y: lax.while_loop(lambda c: c.sum() < 9, jnp.exp, y), jnp.sin, x
        ),
    ],
    ids=["long", "of unknown length", "such a loop in a branch"],
)
def test_what_is_long_or_may_not_end_stays(f: Callable[[jax.Array], object]) -> None:
    assert not any(map(can_be_unrolled, trace(f, X).program.steps))
