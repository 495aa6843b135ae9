"""Tables made of constants become part of the program; weights do not."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from pdjax.jaxprs.known import with_known
from pdjax.jaxprs.program import bind, trace

X = jnp.linspace(0, 1, 24).reshape(1, 8, 3)
WEIGHTS = jnp.linspace(-1, 1, 24).reshape(8, 3)


def test_what_resizes_an_axis_is_known() -> None:
    def f(x: jax.Array) -> jax.Array:
        return jax.image.resize(x[:, jnp.array([0, 1, 2, -1])], (1, 8, 3), "linear")

    program, constants, _ = trace(f, X)
    known = with_known(program, constants)
    assert len(known.steps) < len(program.steps)
    tables = [v.shape for s in known.steps for v in s.inputs if isinstance(v, np.ndarray)]
    assert (4, 1) in tables
    assert any(sorted(shape) == [4, 8] for shape in tables)
    values = known.bound(constants, [X])
    known.run(bind, values)
    np.testing.assert_allclose(known.outputs(values)[0], f(X), rtol=1e-6)


def test_weights_stay_arguments() -> None:
    program, constants, _ = trace(lambda x: jnp.einsum("nhc,hd->ncd", x, WEIGHTS), X)
    assert with_known(program, constants).steps[0].inputs == program.steps[0].inputs


def test_what_a_caller_traces_is_not_known() -> None:
    def f(rows: jax.Array) -> jax.Array:
        program, constants, _ = trace(lambda x: x[:, rows], X)
        assert not any(
            isinstance(v, np.ndarray) and v.ndim
            for step in with_known(program, constants).steps
            for v in step.inputs
        )
        return rows

    jax.jit(f)(jnp.array([1, 0]))
