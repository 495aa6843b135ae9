"""Every sampler through one contract: what is drawn, and that JAX can take it apart and back."""

from __future__ import annotations

import copy
import dataclasses
import functools
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.gaussian_reference import JITTERED, smooth, statistics
from helpers.mixture_reference import mixture

from pdjax import Blur, ConditionalMixture, Constant, ImageMean, Marginal
from pdjax._types import Sampler, is_random

SIZES = {1: (14,), 2: (12, 13), 3: (9, 10, 9)}
SAMPLERS = {
    "joint": lambda d: JITTERED(statistics(d), 3),
    "independent": lambda d: JITTERED(statistics(d), 3, color="independent"),
    "unconditional": lambda d: JITTERED(statistics(d), 3, padding=0),
    "oblong": lambda d: JITTERED(statistics(d), (1, 3, 2)[:d], padding=1),
    "mixture": lambda d: ConditionalMixture(mixture(d), 3),
    "marginal": lambda d: Marginal(np.stack([smooth(*SIZES[d], 3, seed=s) for s in range(5)]), 3),
    "constant": lambda d: Constant((0.2, 0.5, 0.9), (3,) * d),
    "grey": lambda d: Constant(0.25, (3,) * d),
    "mean": lambda d: ImageMean((3, 4, 2)[:d]),
    "blur": lambda d: Blur((3,) * d, sigma=1.0),
}
CASES = [
    pytest.param(name, dimensions, double, id=f"{name}-{dimensions}d-{'x64' if double else 'x32'}")
    for name in SAMPLERS
    for dimensions, double in [(1, False), (2, False), (2, True), (3, False)]
    if dimensions < 3 or name not in ("joint", "independent", "mixture", "constant")
    if not double or name in ("joint", "independent", "mixture", "marginal", "grey", "blur")
]
draw = jax.jit(lambda sampler, *arguments: sampler.sample(*arguments), static_argnums=4)


@pytest.mark.parametrize(("name", "dimensions", "double"), CASES)
def test_contract(name: str, dimensions: int, double: bool) -> None:
    with jax.enable_x64(double):
        dtype = jnp.float64 if double else jnp.float32
        sampler = SAMPLERS[name](dimensions)
        image = jnp.asarray(smooth(*SIZES[dimensions], 3), dtype)
        assert isinstance(sampler, Sampler)
        assert len(sampler.window) == dimensions
        assert str(sampler)
        sampler.check(image.shape, 4)

        last = np.array(SIZES[dimensions]) - sampler.window
        origins = jnp.array([0 * last, last // 2, last], jnp.int32)
        keys = jax.random.split(jax.random.key(7), 3)

        @jax.jit
        def sample(sampler, keys, image, origins):
            one = functools.partial(sampler.sample, num_samples=4)
            return jax.vmap(one, (0, None, 0))(keys, image, origins)

        samples = sample(sampler, keys, image, origins)
        assert samples.shape == (3, 4, *sampler.window, 3)
        assert samples.dtype == dtype
        assert float(samples.min()) >= 0
        assert float(samples.max()) <= 1

        leaves, structure = jax.tree.flatten(sampler)
        again = jax.tree.unflatten(structure, leaves)
        np.testing.assert_array_equal(sample(again, keys, image, origins), samples)
        assert bool((samples == samples[:, :1]).all()) == sampler.constant
        other = sample(again, jnp.roll(keys, 1), image, origins)
        assert bool((jnp.abs(other - samples) > 1e-3).any()) == is_random(sampler)
        assert sample._cache_size() == 1


made = functools.cache(lambda name: SAMPLERS[name](2))
every = pytest.mark.parametrize("name", SAMPLERS)
IMAGE = jnp.asarray(smooth(12, 13, 3), jnp.float32)
KEYS = jax.random.split(jax.random.key(3), 3)
AT = jnp.array([4, 5])


@every
@pytest.mark.parametrize(
    "rebuild",
    [
        lambda sampler: jax.tree.map(lambda leaf: leaf, sampler),
        jax.jit(lambda sampler: sampler),
        copy.deepcopy,
        lambda sampler: pickle.loads(pickle.dumps(sampler)),
    ],
    ids=["mapped", "compiled", "copied", "pickled"],
)
def test_a_rebuilt_sampler_is_the_same(name, rebuild) -> None:
    sampler = made(name)
    again = rebuild(sampler)
    assert type(again) is type(sampler)
    assert jax.tree.structure(again) == jax.tree.structure(sampler)
    wanted = draw(sampler, KEYS[0], IMAGE, AT, 4)
    np.testing.assert_array_equal(draw(again, KEYS[0], IMAGE, AT, 4), wanted)


@every
def test_samplers_in_a_batch_are_samplers(name) -> None:
    sampler = made(name)
    batch = jax.tree.map(lambda leaf: jnp.stack([leaf] * len(KEYS)), sampler)
    several = jax.vmap(lambda each, key: each.sample(key, IMAGE, AT, 4))
    samples = jax.jit(several)(batch, KEYS)
    for index, key in enumerate(KEYS):
        wanted = draw(sampler, key, IMAGE, AT, 4)
        np.testing.assert_allclose(samples[index], wanted, atol=1e-5)


@every
def test_samplers_hold_whatever_stands_for_their_arrays(untyped, name) -> None:
    sampler = made(name)
    structure = jax.tree.structure(sampler)
    for leaf in (None, object(), 0, np.nan):
        held = jax.tree.unflatten(structure, [leaf] * structure.num_leaves)
        assert type(held) is type(sampler)
        assert held.window == sampler.window
        leaves = jax.tree.leaves(held, is_leaf=lambda each: each is None)
        assert leaves == [leaf] * structure.num_leaves
    whole = jax.vmap(lambda each: each, in_axes=(None,), out_axes=None, axis_size=1)(sampler)
    assert jax.tree.structure(whole) == structure


@every
def test_settings_are_hashable_and_fixed(name) -> None:
    sampler = made(name)
    assert hash(jax.tree.structure(sampler)) == hash(jax.tree.structure(SAMPLERS[name](2)))
    with pytest.raises(dataclasses.FrozenInstanceError):
        sampler.window = (1, 1)
