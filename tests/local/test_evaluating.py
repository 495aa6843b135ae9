"""Local evaluation against the function on pasted images: networks as users write them, and random.

``PDJAX_TEST_EXAMPLES=300`` tries that many random networks, other ones at every run.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.local_reference import (
    assert_close,
    dense,
    evaluate,
    perturbations,
)
from helpers.random_networks import RandomNetwork, networks
from helpers.user_networks import NETWORKS, network
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from pdjax import local
from pdjax._checks import ArgumentError, per_axis
from pdjax.local.evaluating import evaluate_windows, map_in_groups

WINDOWS = (1, 3, 10, 30, (7, 3))
VOLUME_WINDOWS = (1, 3, 10, (14, 14, 15), (2, 7, 3))
CASES = [
    (name, window)
    for name in NETWORKS
    for window in (VOLUME_WINDOWS if name == "volume" else WINDOWS)
]


@pytest.mark.parametrize(("name", "window"), CASES)
def test_local_is_dense_at_corners_edges_and_between(name: str, window: Any) -> None:
    net = network(name)
    sides = per_axis(window, len(net.shape) - 1, "window")
    image, origins, patches = perturbations(net.shape, sides, seed=len(name))
    expected = dense(net.predict, net.params, image, origins, patches)
    record = local.record(net.predict, net.params, image, window=window)
    assert_close(evaluate(record, net.params, origins, patches), expected, origins, 1e-5)
    unchanged = jax.tree.map(lambda leaf: leaf[-1:], expected)
    assert_close(record.outputs, unchanged, origins[-1:], 1e-5)
    for leaf in map(np.asarray, jax.tree.leaves(expected)):
        if np.issubdtype(leaf.dtype, np.floating):
            assert np.abs(leaf - leaf[-1:]).max() > 1e-4, "the patches change nothing"


@pytest.mark.parametrize("name", ["resnet", "attention", "nested"])
def test_vmap_over_patches(name: str) -> None:
    net = network(name)
    image, origins, patches = perturbations(net.shape, (3, 3), seed=1)
    origins, patches = origins[::5], jnp.stack([patches[::5], 1 - patches[::5]])
    record = local.record(net.predict, net.params, image, window=3)
    mapped = jax.jit(jax.vmap(local.evaluate, in_axes=(None, None, None, 0)))
    each = mapped(record, net.params, origins, patches)
    again, joined = jnp.tile(origins, (2, 1)), patches.reshape(-1, *patches.shape[2:])
    expected = dense(net.predict, net.params, image, again, joined)
    each = jax.tree.map(lambda leaf: np.reshape(leaf, (-1, *leaf.shape[2:])), each)
    assert_close(each, expected, again, 1e-5)


def test_several_contents_of_a_window() -> None:
    net = network("nchw")
    image, origins, patches = perturbations(net.shape, (5, 4), seed=6)
    patches = jnp.stack([patches, 1 - patches, 2 * patches], axis=1)
    each, joined = jnp.repeat(origins, 3, axis=0), patches.reshape(-1, *patches.shape[2:])
    expected = dense(net.predict, net.params, image, each, joined)
    for batch_size in (2, 64):  # fewer and more than the contents of a window
        record = local.record(net.predict, net.params, image, window=(5, 4), batch_size=batch_size)
        outputs = jax.jit(evaluate_windows)(record, net.params, origins, patches)
        assert_close(outputs, expected, each, 1e-5)


def test_double_precision(x64: None) -> None:
    net = network("nested")
    params = jax.tree.map(functools.partial(jnp.asarray, dtype=jnp.float64), net.params)
    image, origins, patches = perturbations(net.shape, (5, 5), seed=2)
    assert image.dtype == jnp.float64
    expected = dense(net.predict, params, image, origins, patches)
    record = local.record(net.predict, params, image, window=5)
    assert_close(evaluate(record, params, origins, patches), expected, origins, 1e-12)


def test_without_jit_at_one_origin() -> None:
    net = network("dilated")
    image, origins, patches = perturbations(net.shape, (4, 2), seed=3)
    record = local.record(net.predict, net.params, image, window=(4, 2))
    outputs = local.evaluate(record, net.params, origins[2:3], patches[2:3])
    expected = dense(net.predict, net.params, image, origins[2:3], patches[2:3])
    assert_close(outputs, expected, origins[2:3], 1e-5)


@pytest.mark.parametrize(
    ("function", "outlier"), [(jnp.square, 1e5), (jnp.exp, 40), (jnp.log, 0), (jnp.sqrt, -1)]
)
def test_a_sum_of_which_the_window_hides_nearly_all(function: Any, outlier: float) -> None:
    image = jnp.linspace(0.1, 1, 64).reshape(8, 8, 1).at[3, 4].set(outlier)
    origins = jnp.array([[2, 3], [0, 0], [5, 5]])
    patches = jnp.full((3, 2, 2, 1), 0.5)

    def mean(params: None, images: jax.Array) -> jax.Array:
        return function(images).mean((1, 2))

    record = local.record(mean, None, image, window=2)
    expected = dense(mean, None, image, origins, patches)
    np.testing.assert_allclose(evaluate(record, None, origins, patches), expected, rtol=1e-5)


@pytest.mark.parametrize("lowerings", [True, False])
def test_lowerings_are_left_alone_everywhere(lowerings: bool) -> None:
    """A convolution of one entry is a matrix product where operations may take other forms."""

    def f(params: jax.Array, images: jax.Array) -> jax.Array:
        # The weights are convolved too, which is done once for all windows.
        letters = ("NHWC", "HWIO", "NHWC")
        kernel = jax.lax.conv_general_dilated(
            params, params, (1, 1), "VALID", dimension_numbers=letters
        )
        x = jax.lax.conv_general_dilated(images, kernel, (1, 1), "VALID", dimension_numbers=letters)
        return jnp.tanh(x).mean((1, 2))

    kernel, image = jnp.eye(4).reshape(1, 1, 4, 4), jnp.zeros((8, 8, 4))
    origins, patches = jnp.zeros((2, 2), int), jnp.ones((2, 3, 3, 4))

    def run(params: jax.Array, image: jax.Array) -> jax.Array:
        record = local.record(f, params, image, window=3, lowerings=lowerings)
        return local.evaluate(record, params, origins, patches)

    with jax.default_device("cpu"):
        program = str(jax.make_jaxpr(run)(kernel, image))
    # Recording is a single pass, which is performed as it was traced in either case.
    assert program.count("conv_general_dilated") == (2 if lowerings else 3)
    assert ("dot_general" in program) == lowerings


EXAMPLES = os.environ.get("PDJAX_TEST_EXAMPLES")
ORIGINS = 24
TOLERANCE = {"float64": 1e-10, "float32": 1e-4}  # shares of the largest value of an output

many = settings(
    max_examples=int(EXAMPLES or 15),
    deadline=None,
    derandomize=EXAMPLES is None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@st.composite
def perturbed(draw: Callable) -> tuple[RandomNetwork, tuple[int, ...], str]:
    """A network, a window and a precision."""
    net = draw(networks())
    window = tuple(draw(st.integers(1, min(size, 6))) for size in net.spatial)
    return net, window, draw(st.sampled_from(["float64", "float64", "float32"]))


def some_origins(spatial: tuple[int, ...], window: tuple[int, ...]) -> np.ndarray:
    """All origins, or if there are many the corners and some others."""
    last = [size - k for size, k in zip(spatial, window, strict=True)]
    every = np.stack(np.meshgrid(*(np.arange(end + 1) for end in last), indexing="ij"), -1)
    every = every.reshape(-1, len(last))
    corners = (every == 0) | (every == last)
    first = np.argsort(~corners.all(1), kind="stable")[: 2 ** len(last)]
    others = np.random.default_rng(0).permutation(np.setdiff1d(np.arange(len(every)), first))
    return every[np.concatenate([first, others])[:ORIGINS]]


@many
@given(perturbed())
def test_random_networks(case: tuple[RandomNetwork, tuple[int, ...], str]) -> None:
    net, window, precision = case
    note(f"{net}\nwindow {window}, {precision}")
    rng = np.random.default_rng(0)
    origins = some_origins(net.spatial, window)
    with jax.enable_x64(precision == "float64"):
        image = jnp.asarray(rng.random((*net.spatial, net.channels)), precision)
        patches = rng.standard_normal((len(origins), *window, net.channels))
        origins, patches = jnp.asarray(origins), jnp.asarray(patches, precision)
        params = jax.tree.map(functools.partial(jnp.asarray, dtype=precision), net.params)
        expected = dense(net, params, image, origins, patches)
        record = local.record(net, params, image, window=window)
        found = evaluate(record, params, origins, patches)
        assert_close(found, expected, origins, TOLERANCE[precision])


IMAGE, PARAMS = jnp.zeros((8, 9, 3)), {"kernel": jnp.ones((3, 2))}


def mean_scores(params: Any, images: jax.Array) -> dict[str, jax.Array]:
    return {"mean": images.mean((1, 2)) @ params["kernel"]}


def evaluate_mean_scores(**changed: Any) -> Any:
    wanted = {
        "params": PARAMS,
        "origins": jnp.array([[0, 5], [4, 0]]),
        "patches": jnp.ones((2, 4, 4, 3)),
    }
    return local.evaluate(local.record(mean_scores, PARAMS, IMAGE, window=4), **wanted | changed)


BAD = {
    "another structure": {"params": PARAMS["kernel"]},
    "another window": {"patches": jnp.ones((2, 3, 4, 3))},
    "too few axes": {"origins": jnp.array([[0], [1]])},
    "outside": {"origins": jnp.array([[0, 5], [5, 0]])},
    "negative": {"origins": jnp.array([[0, -1], [4, 0]])},
}


@pytest.mark.parametrize("case", BAD)
def test_arguments_that_do_not_fit_the_record(case: str) -> None:
    (argument,) = BAD[case]
    with pytest.raises(ArgumentError) as caught:
        evaluate_mean_scores(**BAD[case])
    assert caught.value.argument == argument


def test_no_windows_give_no_outputs() -> None:
    changed = {"origins": jnp.zeros((0, 2), int), "patches": jnp.zeros((0, 4, 4, 3))}
    assert evaluate_mean_scores(**changed)["mean"].shape == (0, 2)


@pytest.mark.parametrize("size", [1, 3, 7, 100])
def test_map_in_groups_of_at_most_so_many_rows(size: int) -> None:
    rows = {"a": jnp.arange(7), "b": jnp.ones((7, 2))}
    seen = []

    def double(some: dict[str, jax.Array]) -> jax.Array:
        seen.append(len(some["a"]))
        return some["a"][:, None] * some["b"].astype(int) * 2

    np.testing.assert_array_equal(
        map_in_groups(double, rows, size), 2 * np.arange(7)[:, None] * [[1, 1]]
    )
    assert max(seen) <= size
