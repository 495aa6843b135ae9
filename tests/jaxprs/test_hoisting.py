"""Work on parameters is done once, before a loop, and what it makes there is not larger."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pdjax.jaxprs.hoisting import hoisted
from pdjax.method.evaluation import Engine, evaluate_at

CALLS = ("jit", "pjit")


def primitives(f: Any, *arguments: Any) -> list[str]:
    return [equation.primitive.name for equation in jax.make_jaxpr(f)(*arguments).eqns]


def test_the_rest_depends_on_the_arguments() -> None:
    kernel, bias = jnp.arange(6.0).reshape(2, 3), jnp.ones((1, 2))

    @jax.jit
    def f(x: jax.Array) -> dict[str, jax.Array]:
        return {"y": x @ jnp.sin(kernel).T + bias, "kernel": 2 * kernel}

    x = jnp.ones((4, 3))
    rest = hoisted(f, jax.ShapeDtypeStruct(x.shape, x.dtype))
    assert primitives(rest, x) == ["dot_general", "add"]
    jax.tree.map(np.testing.assert_array_equal, rest(x), f(x))


def test_what_is_repeated_stays_in_the_loop() -> None:
    bias = jnp.arange(3.0)

    def f(x: jax.Array) -> jax.Array:
        return x + jnp.exp(jnp.broadcast_to(-bias, x.shape))

    assert primitives(hoisted(f, jnp.ones((64, 3))), jnp.ones((64, 3))) == [
        "broadcast_in_dim",
        "exp",
        "add",
    ]


def test_inside_transformations() -> None:
    def f(kernel: jax.Array, x: jax.Array) -> jax.Array:
        return hoisted(lambda y: y * jnp.sin(kernel), x)(x).sum()

    kernels, x = jnp.arange(6.0).reshape(2, 3), jnp.ones(3)
    result = jax.jit(jax.vmap(jax.grad(f), (0, None)))(kernels, x)
    np.testing.assert_allclose(result, jnp.cos(kernels), rtol=1e-6)


@pytest.mark.parametrize("engine", ["local", "dense"])
def test_kernels_are_made_ready_outside_of_the_loop_over_groups(engine: str) -> None:
    """Channels first: the kernel is transposed, and then transformed as its convolution wants."""

    def f(kernel: jax.Array, images: jax.Array) -> jax.Array:
        x = jnp.tile(images.transpose(0, 3, 1, 2), (1, 64, 1, 1))
        letters = ("NCHW", "OIHW", "NCHW")
        x = jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=letters)
        return jnp.tanh(x).mean((2, 3))

    kernel, image = jnp.ones((64, 64, 3, 3)), jnp.zeros((12, 12, 1))
    origins, patches = jnp.zeros((4, 2), jnp.int32), jnp.ones((4, 1, 5, 5, 1))

    def run(kernel: jax.Array, image: jax.Array) -> jax.Array:
        evaluation = Engine(engine, batch_size=2).prepare(f, kernel, image, (5, 5), 4)
        return evaluate_at(evaluation, kernel, origins, patches)

    def loops(jaxpr: Any) -> list[Any]:
        inner = [e.params["jaxpr"].jaxpr for e in jaxpr.eqns if e.primitive.name in CALLS]
        own = [e.params["jaxpr"].jaxpr for e in jaxpr.eqns if e.primitive.name == "scan"]
        return own + [loop for j in inner for loop in loops(j)]

    with jax.default_device("cpu"):
        found = loops(jax.make_jaxpr(run)(kernel, image).jaxpr)
    assert found
    for loop in found:
        sizes = [variable.aval.shape for variable in loop.invars]
        assert kernel.shape not in sizes
        assert (3, 3, 64, 64) not in sizes
