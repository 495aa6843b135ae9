"""Operations in the form that a device runs fastest give the same numbers."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from pdjax._devices import platform
from pdjax.jaxprs.lowerings import performer, tuned
from pdjax.jaxprs.program import trace


def noise(*shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(0).standard_normal(shape), jnp.float32)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.int32])
@pytest.mark.parametrize("size", [3, 17])
def test_window_reductions(dtype: type, size: int) -> None:
    x = jnp.asarray(8 * noise(2, 20, 21, 4), dtype)
    low = -jnp.inf if dtype == jnp.float32 else jnp.iinfo(dtype).min
    window, strides, padding = (1, size, 2, 1), (1, 2, 1, 1), ((0, 0), (1, 2), (0, 1), (0, 0))

    def f(x: jax.Array) -> list[jax.Array]:
        return [
            lax.reduce_window(x, jnp.asarray(low, dtype), lax.max, window, strides, padding),
            lax.reduce_window(x, jnp.asarray(0, dtype), lax.add, window, strides, padding),
        ]

    with jax.default_device("cpu"):
        results = jax.jit(lambda x: (tuned(f)(x), f(x)))(x)
    for result, expected in zip(*results, strict=True):
        np.testing.assert_allclose(result, expected, atol=1e-4)


def test_outputs_keep_their_structure_and_constants() -> None:
    def f(x: jax.Array) -> dict[str, object]:
        return {"twice": 2 * x, "rest": (jnp.ones(2), jax.nn.relu(x))}

    x = noise(3)
    assert jax.tree.structure(tuned(f)(x)) == jax.tree.structure(f(x))
    jax.tree.map(np.testing.assert_array_equal, tuned(f)(x), f(x))


def test_without_lowerings_steps_are_performed_as_they_were_traced() -> None:
    def f(x: jax.Array) -> jax.Array:
        return lax.reduce_window(x, -jnp.inf, lax.max, (1, 3, 3, 1), (1, 1, 1, 1), "SAME")

    (step,) = trace(f, noise(1, 6, 6, 2)).program.steps
    with jax.default_device("cpu"):
        plain, other = (
            str(jax.make_jaxpr(functools.partial(performer(lowerings), step))(noise(1, 6, 6, 2)))
            for lowerings in (False, True)
        )
    assert "reduce_window_max" in plain
    assert "reduce_window_max" not in other


def test_forms_are_those_of_the_default_platform() -> None:
    x, kernel = noise(1, 8, 8, 4), noise(1, 1, 4, 4)

    def f(x: jax.Array) -> jax.Array:
        return lax.conv_general_dilated(
            x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    program = str(jax.make_jaxpr(tuned(f))(x))
    assert ("conv_general_dilated" in program) == (platform() != "cpu")
