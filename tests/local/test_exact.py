"""Local re-evaluation of networks as users write them, against the function on pasted images."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.local_reference import assert_close, pasted, quick_compilation
from helpers.user_networks import NETWORKS, UserNetwork, network

import pdjax.local
from pdjax._checks import per_axis

WINDOWS = (1, 3, 10, 30, (7, 3))
VOLUME_WINDOWS = (1, 3, 10, (14, 14, 15), (2, 7, 3))
CASES = [
    (name, window)
    for name in NETWORKS
    for window in (VOLUME_WINDOWS if name == "volume" else WINDOWS)
]
evaluate = jax.jit(pdjax.local.evaluate)
dense = jax.jit(lambda predict, params, images: predict(params, images), static_argnums=0)


def perturbations(
    net: UserNetwork, window: int | tuple[int, ...], seed: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """An image, origins at every corner, edge and middle and some between, and patches."""
    rng = np.random.default_rng(seed)
    spatial = net.shape[:-1]
    sizes = per_axis(window, len(spatial), "window")
    last = [size - k for size, k in zip(spatial, sizes, strict=True)]
    border = [*itertools.product(*((0, end // 2, end) for end in last))]
    between = rng.integers(0, np.asarray(last) + 1, (6, len(last)))
    origins = np.concatenate([border, between])
    # patches beyond the range of the image, so that even one pixel of them is felt everywhere
    patches = 3 * rng.standard_normal((len(origins), *sizes, net.shape[-1]))
    image = rng.random(net.shape)
    return jnp.asarray(image, float), jnp.asarray(origins), jnp.asarray(patches, float)


@pytest.mark.parametrize(("name", "window"), CASES)
def test_local_is_dense_at_corners_edges_and_between(name: str, window: Any) -> None:
    net = network(name)
    image, origins, patches = perturbations(net, window, seed=len(name))
    images = jnp.concatenate([pasted(image, origins, patches), image[None]])
    with quick_compilation():
        every = dense(net.predict, net.params, images)
        record = pdjax.local.record(net.predict, net.params, image, window=window)
        local = evaluate(record, net.params, origins, patches)
    assert_close(local, jax.tree.map(lambda leaf: leaf[:-1], every), origins, 1e-5)
    for leaf in jax.tree.leaves(every):
        if jnp.issubdtype(leaf.dtype, jnp.floating):
            assert float(jnp.abs(leaf - leaf[-1:]).max()) > 1e-4, "the patches change nothing"


@pytest.mark.parametrize("name", ["resnet", "dilated", "separable"])
def test_regions_for_long_runs(name: str) -> None:
    net = network(name)
    image, origins, patches = perturbations(net, (3, 5), seed=4)
    record = functools.partial(pdjax.local.record, net.predict, net.params, image, window=(3, 5))
    with quick_compilation():
        expected = dense(net.predict, net.params, pasted(image, origins, patches))
        one, several = record(batch_size=3), record(batch_size=3, num_images=10**12)
        local = evaluate(several, net.params, origins, patches)
    assert_close(local, expected, origins, 1e-5)
    assert len(several.report().shares) == 4
    assert several.report().share < one.report().share == several.report().shares[-1]


@pytest.mark.parametrize("name", ["resnet", "attention", "nested"])
def test_vmap_over_patches(name: str) -> None:
    net = network(name)
    image, origins, patches = perturbations(net, 3, seed=1)
    origins, patches = origins[::5], jnp.stack([patches[::5], 1 - patches[::5]])
    record = pdjax.local.record(net.predict, net.params, image, window=3)
    mapped = jax.jit(jax.vmap(pdjax.local.evaluate, in_axes=(None, None, None, 0)))
    local = mapped(record, net.params, origins, patches)
    images = jnp.concatenate([pasted(image, origins, samples) for samples in patches])
    expected = dense(net.predict, net.params, images)
    joined = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), local)
    assert_close(joined, expected, jnp.tile(origins, (2, 1)), 1e-5)


def test_double_precision(x64: None) -> None:
    net = network("nested")
    params = jax.tree.map(functools.partial(jnp.asarray, dtype=jnp.float64), net.params)
    image, origins, patches = perturbations(net, 5, seed=2)
    assert image.dtype == jnp.float64
    with quick_compilation():
        expected = dense(net.predict, params, pasted(image, origins, patches))
        record = pdjax.local.record(net.predict, params, image, window=5)
        local = evaluate(record, params, origins, patches)
    assert_close(local, expected, origins, 1e-12)


def test_without_jit_at_one_origin() -> None:
    net = network("dilated")
    image, origins, patches = perturbations(net, (4, 2), seed=3)
    record = pdjax.local.record(net.predict, net.params, image, window=(4, 2))
    local = pdjax.local.evaluate(record, net.params, origins[-1:], patches[-1:])
    expected = dense(net.predict, net.params, pasted(image, origins[-1:], patches[-1:]))
    assert_close(local, expected, origins[-1:], 1e-5)
    assert str(record.report()).strip()


@pytest.mark.parametrize(
    ("function", "outlier"), [(jnp.square, 1e5), (jnp.exp, 40), (jnp.log, 0), (jnp.sqrt, -1)]
)
def test_a_sum_of_which_the_window_hides_nearly_all(function: Any, outlier: float) -> None:
    image = jnp.linspace(0.1, 1, 64).reshape(8, 8, 1).at[3, 4].set(outlier)
    origins = jnp.array([[2, 3], [0, 0], [5, 5]])
    patches = jnp.full((3, 2, 2, 1), 0.5)

    def mean(params: None, images: jax.Array) -> jax.Array:
        return function(images).mean((1, 2))

    record = pdjax.local.record(mean, None, image, window=2)
    local = pdjax.local.evaluate(record, None, origins, patches)
    expected = mean(None, pasted(image, origins, patches))
    np.testing.assert_allclose(local, expected, rtol=1e-5)
