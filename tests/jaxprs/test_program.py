"""Programs: nested calls opened, constants numbered, and parts of them run."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pdjax.jaxprs.program import Program, bind, trace

WEIGHTS = jnp.linspace(-1, 1, 12).reshape(3, 4)


@jax.custom_vjp
def doubled(x: jax.Array) -> jax.Array:
    return 2 * x


doubled.defvjp(lambda x: (2 * x, None), lambda _, t: (2 * t,))


@jax.custom_jvp
def steady(x: jax.Array) -> jax.Array:
    return jnp.maximum(x, 0)


steady.defjvp(lambda primals, tangents: (steady(*primals), tangents[0]))

CALLS: dict[str, Any] = {
    "jit": jax.jit(lambda x: jnp.sin(x) @ WEIGHTS),
    "jit in jit": jax.jit(lambda x: jax.jit(jnp.sin)(x) @ WEIGHTS + jax.jit(jnp.cos)(x[:, :1])),
    "checkpoint": jax.checkpoint(lambda x: jnp.sin(x) @ WEIGHTS),
    "custom derivative": lambda x: steady(x @ WEIGHTS),
    "custom gradient": lambda x: doubled(x @ WEIGHTS),
    "all": jax.jit(jax.checkpoint(lambda x: jax.jit(steady)(doubled(x) @ WEIGHTS))),
}


def run(program: Program, constants: Any, *arguments: Any) -> list[jax.Array]:
    values = program.bound(constants, arguments)
    program.run(bind, values)
    return program.outputs(values)


@pytest.mark.parametrize("name", CALLS)
def test_nested_calls_are_opened(name: str) -> None:
    x = jnp.linspace(0, 1, 6).reshape(2, 3)
    program, constants, outputs = trace(CALLS[name], x)
    assert "dot_general" in [step.name for step in program.steps]
    assert [np.shape(const) for const in constants] == [WEIGHTS.shape]
    (result,) = run(program, constants, x)
    assert (result.shape, result.dtype) == (outputs.shape, outputs.dtype)
    np.testing.assert_allclose(result, CALLS[name](x), rtol=1e-6)


def test_an_array_used_in_several_calls_is_one_constant() -> None:
    f = jax.jit(lambda x: x @ WEIGHTS)
    program, constants, _ = trace(lambda x: f(x) + f(2 * x) + x @ WEIGHTS, jnp.ones((2, 3)))
    assert len(constants) == len(program.constants) == 1


def test_scalars_and_random_keys_that_are_closed_over() -> None:
    half, key = jnp.asarray(0.5), jax.random.key(3)

    def f(x: jax.Array) -> jax.Array:
        return jax.jit(lambda x: half * x + jax.random.uniform(key, x.shape))(x)

    x = jnp.ones(3)
    program, constants, _ = trace(f, x)
    np.testing.assert_allclose(run(program, constants, x)[0], f(x), rtol=1e-6)


def test_steps_that_nothing_needs_are_left_out() -> None:
    def f(x: jax.Array) -> jax.Array:
        jnp.cos(x)
        return jnp.sin(x)

    assert [step.name for step in trace(f, jnp.ones(2)).program.steps] == ["sin"]


def test_a_given_value_is_not_computed_nor_what_only_it_needs() -> None:
    def f(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        low, high = jax.lax.top_k(jnp.sin(x), 2)
        return low, jnp.cos(low) + high.astype(float)

    program, constants, _ = trace(f, jnp.arange(4.0))
    low, result = program.results
    performed = []

    def perform(step: Any, *operands: Any, **changed: Any) -> list[jax.Array]:
        performed.append(step.name)
        return bind(step, *operands, **changed)

    values = program.bound(constants, [jnp.arange(4.0)]) | {low: jnp.zeros(2)}
    program.run(perform, values, [low])
    assert performed == []
    program.run(perform, values, [result])
    assert "top_k" in performed  # for its other result
    np.testing.assert_array_equal(values[low], jnp.zeros(2))
    np.testing.assert_allclose(values[result], 1 + jax.lax.top_k(jnp.sin(jnp.arange(4.0)), 2)[1])


def test_dependents_are_what_is_made_from_a_value() -> None:
    def f(x: jax.Array, y: jax.Array) -> tuple[jax.Array, ...]:
        hidden = jax.jit(jnp.sin)(x)
        return hidden, jax.jit(jnp.add)(hidden, y), jnp.cos(x), jnp.ones(2)

    program, *_ = trace(f, jnp.ones(2), jnp.ones(2))
    hidden, both, other, constant = program.results
    found = program.dependents(hidden)
    assert {hidden, both} <= found
    assert other not in found
    assert constant not in found
    assert set(program.arguments).isdisjoint(found)


def test_scopes_name_steps() -> None:
    def f(x: jax.Array) -> jax.Array:
        with jax.named_scope("layer"):
            return jax.jit(jnp.sin)(x)

    (step,) = trace(f, jnp.ones(2)).program.steps
    assert step.where.startswith("layer")
