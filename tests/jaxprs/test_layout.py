"""Programs in channels-last form: the same numbers, and no transposition that is not due.

``PDJAX_TEST_EXAMPLES=300`` tries that many random networks, other ones at every run.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.local_reference import assert_close
from helpers.random_networks import RandomNetwork, networks
from helpers.user_networks import network
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from jax import lax

from pdjax.jaxprs.layout import channels_last, reshape_groups
from pdjax.jaxprs.program import Program, Step, bind, trace

NCHW = ("NCHW", "OIHW", "NCHW")
LAST = (0, 3, 1, 2)


def noise(*shape: int, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


def convolved(x: jax.Array, kernel: jax.Array, **options: Any) -> jax.Array:
    return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=NCHW, **options)


# Each is given a convolution's result (2, 6, 5, 7) and a matrix, and is followed by a convolution
# where it leaves four axes. With it stands how many transpositions of activations are left.
FRAGMENTS: dict[str, tuple[Callable[[jax.Array, jax.Array], Any], int]] = {
    "activation": (lambda x, w: jax.nn.gelu(x), 0),
    "bias": (lambda x, w: x + w[0].reshape(1, 6, 1, 1), 0),
    "two branches": (lambda x, w: jnp.concatenate([x, convolved(x, w[:, :, None, None])], 1), 0),
    "padding": (lambda x, w: jnp.pad(x, ((0, 0), (0, 0), (1, 0), (2, 1))), 0),
    "crop": (lambda x, w: x[:, 1:5, ::-1, ::2], 0),
    "pool": (
        lambda x, w: lax.reduce_window(x, -jnp.inf, lax.max, (1, 1, 2, 3), (1, 1, 2, 1), "SAME"),
        0,
    ),
    "pool of its own": (
        lambda x, w: lax.reduce_window(x, 0.5, lax.max, (1, 1, 2, 3), (1, 1, 2, 1), "SAME"),
        0,
    ),
    "layer norm": (lambda x, w: (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True), 0),
    "squeeze and excite": (lambda x, w: x * jax.nn.sigmoid(x.mean((2, 3), keepdims=True)), 0),
    "split": (lambda x, w: jnp.multiply(*jnp.split(x, 2, axis=1)), 0),
    "sort": (lambda x, w: jnp.sort(x, 1), 0),
    "cumulative": (lambda x, w: jnp.cumsum(x, 2), 0),
    "take": (lambda x, w: jnp.take(x, np.array([4, 1, 1]), axis=2), 0),
    "take pairs": (lambda x, w: x[:, np.array([5, 0, 2]), np.array([0, 4, 4])], 0),
    "take channels": (lambda x, w: x[:, np.array([5, 0, 2])], 0),
    "dynamic slice": (lambda x, w: lax.dynamic_slice(x, (0, 1, 2, 3), (2, 3, 2, 4)), 0),
    "write": (lambda x, w: lax.dynamic_update_slice(x, 2 * x[:, :3], (0, 2, 0, 0)), 0),
    "product, first": (lambda x, w: jnp.einsum("nchw,cd->ndhw", x, w), 0),
    "product, second": (lambda x, w: jnp.einsum("dc,nchw->ndhw", w, x), 0),
    "product over places": (lambda x, w: jnp.tensordot(x, noise(6, 5, 7, 3), 3), 0),
    "largest": (lambda x, w: jnp.argmax(x, 1), 0),
    "mean": (lambda x, w: x.mean((2, 3)) @ w, 0),
    "tokens": (lambda x, w: jax.nn.softmax(x.reshape(2, 6, 35).swapaxes(1, 2) @ w), 0),
    "space into axes": (lambda x, w: x[..., :4].reshape(2, 6, 5, 2, 2).max(4), 0),
    "shuffle": (lambda x, w: x.reshape(2, 2, 3, 5, 7).swapaxes(1, 2).reshape(x.shape), 1),
    "depth to space": (
        lambda x, w: (
            jnp.concatenate([x, x], 1)
            .reshape(2, 3, 2, 2, 5, 7)
            .transpose(0, 1, 4, 2, 5, 3)
            .reshape(2, 3, 10, 14)
        ),
        1,
    ),
    "flatten": (lambda x, w: x.reshape(2, -1), 1),
    "no rule": (lambda x, w: lax.fori_loop(0, 2, lambda _, y: jnp.sin(y), x), 2),
}


def moved(step: Step) -> bool:
    """Whether a step brings entries into another order in memory."""
    if step.name != "transpose":
        return False
    long = [a for a in step.params["permutation"] if step.in_avals[0].shape[a] > 1]
    return long != sorted(long)


def moves(program: Program) -> int:
    """Transpositions of what depends on the images."""
    changed = program.dependents(program.arguments[-1])
    return sum(moved(step) and step.inputs[0] in changed for step in program.steps)


def run(program: Program, constants: Any, arguments: list[jax.Array]) -> list[jax.Array]:
    values = program.bound(constants, arguments)
    program.run(bind, values)
    return program.outputs(values)


@pytest.mark.parametrize("name", FRAGMENTS)
def test_fragments_of_channels_first_networks(name: str) -> None:
    fragment, expected = FRAGMENTS[name]

    def f(params: Any, images: jax.Array) -> jax.Array:
        x = fragment(convolved(images.transpose(0, 3, 1, 2), params[0]), params[1])
        if x.ndim != 4:
            return x
        return convolved(x, jnp.repeat(params[2], x.shape[1], 1)).mean((2, 3))

    params = (noise(6, 3, 3, 3), noise(6, 6, seed=1), noise(4, 1, 3, 3, seed=2))
    images = noise(2, 5, 7, 3, seed=3)
    program, constants, _ = trace(f, params, images)
    last = channels_last(program)
    assert moves(last) == expected
    layouts = [
        step.params["dimension_numbers"]
        for step in last.steps
        if step.name == "conv_general_dilated"
    ]
    assert layouts
    assert all(numbers.lhs_spec == numbers.out_spec == LAST for numbers in layouts)
    assert all(numbers.rhs_spec == (3, 2, 0, 1) for numbers in layouts)
    (result,), (wanted,) = jax.jit(
        lambda *arguments: [run(p, constants, [*arguments]) for p in (last, program)]
    )(*params, images)
    np.testing.assert_allclose(result, wanted, atol=2e-6 * float(jnp.abs(wanted).max()))


@pytest.mark.parametrize("name", ["resnet", "separable", "dilated", "volume"])
def test_channels_last_programs_keep_their_steps(name: str) -> None:
    net = network(name)
    program = trace(net.predict, net.params, noise(2, *net.shape)).program
    last = channels_last(program)
    assert [*map(id, last.steps)] == [*map(id, program.steps)]
    assert last.results == program.results


def test_without_a_convolution_nothing_is_rewritten() -> None:
    program = trace(lambda x: jnp.sin(x.T), noise(2, 3)).program
    assert channels_last(program) is program


def test_kernels_are_transposed_apart_from_the_images() -> None:
    def f(kernel: jax.Array, images: jax.Array) -> jax.Array:
        return convolved(convolved(images, kernel), kernel)

    program = channels_last(trace(f, noise(3, 3, 3, 3), noise(2, 3, 8, 8)).program)
    # One for a kernel that is used twice, and the images in and out.
    assert [step.name for step in program.steps].count("transpose") == 3
    assert moves(program) == 2


@settings(
    max_examples=int(os.environ.get("PDJAX_TEST_EXAMPLES", "12")),
    derandomize="PDJAX_TEST_EXAMPLES" not in os.environ,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(net=networks())
def test_random_networks(net: RandomNetwork) -> None:
    note(repr(net))
    images = noise(2, *net.spatial, net.channels)
    leaves = [jnp.asarray(leaf, jnp.float32) for leaf in jax.tree.leaves(net.params)]
    program, constants, outputs = trace(net, net.params, images)
    last = channels_last(program)
    result, wanted = jax.jit(
        lambda *arguments: [run(p, constants, [*arguments]) for p in (last, program)]
    )(*leaves, images)
    assert [leaf.shape for leaf in wanted] == [leaf.shape for leaf in jax.tree.leaves(outputs)]
    assert_close(result, wanted, np.arange(2), 1e-5)


@given(st.data())
def test_reshape_groups_cover_all_axes_in_order_with_equal_sizes(data: st.DataObject) -> None:
    base = data.draw(st.lists(st.sampled_from([1, 2, 3, 4, 6, 0]), max_size=5))

    def regrouped() -> list[int]:
        sizes, rest = [], base
        while rest:
            count = data.draw(st.integers(1, len(rest)))
            sizes += [math.prod(rest[:count]), *[1] * data.draw(st.integers(0, 1))]
            rest = rest[count:]
        return sizes

    before, after = regrouped(), regrouped()
    groups = list(reshape_groups(before, after))
    assert [axis for first, _ in groups for axis in first] == list(range(len(before)))
    assert [axis for _, second in groups for axis in second] == list(range(len(after)))
    for first, second in groups:
        assert math.prod(before[a] for a in first) == math.prod(after[a] for a in second)
