"""Fitting mixtures of textures."""

from __future__ import annotations

import dataclasses
import functools
from importlib import resources

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pdjax import ConditionalMixture, PatchMixture
from pdjax._checks import ArgumentError
from pdjax.statistics.contrasts import ContrastChange
from pdjax.statistics.texture_fitting import ascend, initial_textures

SIZE = 40


def stripes(seed: int) -> np.ndarray:
    """An image of streaks, along the first axis or along the second, of one of two contrasts."""
    noise = np.random.default_rng(seed).standard_normal((SIZE + 4, SIZE + 4, 2))
    axis = seed % 2
    streaks = sum(np.roll(noise, shift, axis) for shift in range(5))[4:, 4:]
    return np.clip(0.5 + (0.01 if seed // 2 % 2 else 0.04) * streaks, 0, 1)


IMAGES = [stripes(seed) for seed in range(8)]
FIT = functools.partial(
    PatchMixture.fit, patch=5, max_patch=8, num_patches=1600, textures=2, contrasts=2, steps=15
)


@functools.cache
def fitted() -> PatchMixture:
    return FIT(IMAGES, jax.random.key(1))


def test_every_step_raises_the_likelihood(x64) -> None:
    generator = np.random.default_rng(0)
    views = [np.lib.stride_tricks.sliding_window_view(i, (5, 5), (0, 1)) for i in IMAGES]
    places = generator.integers(SIZE - 4, size=(8, 2, 100))
    rows = np.concatenate([v[tuple(p)] for v, p in zip(views, places, strict=True)])
    rows = np.moveaxis(rows, 1, -1).reshape(800, 25, 2)
    differences = jnp.asarray((rows[:, 1:] - rows[:, :1]).reshape(800, -1))
    table = np.zeros((15, 15, 2, 2))
    table[7, 7] = 1e-3 * np.eye(2)
    state = initial_textures(jax.random.key(1), table, 2, 3, 1e-6)
    heights = []
    for _ in range(15):
        state, height = ascend(state, differences, (5, 5))
        heights.append(float(height))
    assert np.diff(heights).min() > -1e-9
    assert heights[-1] > heights[0] + 5
    assert float(state.weights.sum()) == pytest.approx(1)
    assert float(jnp.linalg.eigvalsh(state.spectra).min()) > 0


def test_textures_of_either_direction_are_found() -> None:
    mixed = fitted()
    across = mixed.covariance[:, 7 + 3, 7, 0, 0] - mixed.covariance[:, 7, 7 + 3, 0, 0]
    assert sorted(np.sign(across)) == [-1, 1]
    assert np.abs(across).min() > 0.2  # of a variance of one
    np.testing.assert_allclose(mixed.weights, 0.25, atol=0.05)
    for texture in range(2):
        low, high = sorted(mixed.scales[texture])
        assert high / low == pytest.approx(16, rel=0.3)


def test_the_same_key_gives_the_same_mixture_and_another_key_another() -> None:
    few = functools.partial(FIT, IMAGES, steps=1)
    first, again, other = (few(jax.random.key(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.covariance, again.covariance)
    assert np.abs(first.covariance - other.covariance).max() > 1e-3


def test_images_of_one_value_have_a_density() -> None:
    flat = [np.full((12, 12, 1), 1.0), np.full((12, 12, 1), 0.5)]
    mixed = PatchMixture.fit(
        flat,
        jax.random.key(0),
        patch=3,
        max_patch=4,
        num_patches=100,
        steps=2,
        textures=1,
        contrasts=1,
    )
    variance = mixed.scales[0, 0] * mixed.covariance[0, 3, 3, 0, 0]
    assert variance == pytest.approx(1 / 12 / 255**2, rel=0.3)


def test_volumes() -> None:
    images = [np.random.default_rng(s).random((8, 9, 10, 1)) for s in range(4)]
    mixed = PatchMixture.fit(
        images,
        jax.random.key(0),
        patch=3,
        max_patch=4,
        num_patches=200,
        steps=2,
        textures=1,
        contrasts=2,
    )
    sampler = ConditionalMixture(mixed, 2, padding=1)
    image, at = jnp.asarray(images[0], jnp.float32), jnp.full(3, 3)
    assert sampler.sample(jax.random.key(0), image, at, 2).shape == (2, 2, 2, 2, 1)


def test_files_keep_everything(tmp_path) -> None:
    fitted().save(tmp_path / "mine.npz")
    again = PatchMixture.load(tmp_path / "mine.npz")
    for name in ("scales", "weights", "covariance"):
        np.testing.assert_allclose(getattr(again, name), getattr(fitted(), name), atol=1e-12)
    assert (again.num_images, again.max_patch, again.channels) == (8, (8, 8), 2)
    for mine, kept in zip(*map(jax.tree.leaves, (fitted().change, again.change)), strict=True):
        np.testing.assert_array_equal(kept, mine)


def test_files_of_before_say_nothing_of_changes_of_contrast(tmp_path) -> None:
    dataclasses.replace(fitted(), change=None).save(tmp_path / "old.npz")
    again = PatchMixture.load(tmp_path / "old.npz")
    assert again.change is None
    assert ConditionalMixture(again, 3).mixture.ratios.tolist() == [1]


@pytest.mark.parametrize("name", ["ratios", "edges", "sides", "probabilities"])
def test_damaged_changes_of_contrast_are_refused(tmp_path, name) -> None:
    fitted().save(tmp_path / "mine.npz")
    with np.load(tmp_path / "mine.npz") as stored:
        arrays = dict(stored)
    for bad in (-arrays[name] - 1, arrays[name][:-1], None):
        kept = {key: value for key, value in arrays.items() if key != name or bad is not None}
        np.savez(tmp_path / "bad.npz", **kept | ({} if bad is None else {name: bad}))
        with pytest.raises(ArgumentError):
            PatchMixture.load(tmp_path / "bad.npz")


def test_windows_that_vary_more_than_their_rings() -> None:
    rough = np.random.default_rng(0)
    images = []
    for _ in range(6):
        image = 0.5 + 0.01 * rough.standard_normal((48, 48, 1))
        flat = rough.random((8, 8)) < 0.5
        # Blocks of four times the contrast beside blocks of the plain one.
        image += (
            0.04 * np.kron(flat, np.ones((6, 6)))[..., None] * rough.standard_normal(image.shape)
        )
        images.append(np.clip(image, 0, 1))
    mixed = PatchMixture.fit(
        images,
        jax.random.key(0),
        patch=6,
        max_patch=10,
        num_patches=3000,
        steps=10,
        textures=1,
        contrasts=3,
    )
    change = mixed.change
    assert change.sides.tolist() == [6]
    np.testing.assert_allclose(change.probabilities.sum(-1), 1)
    odds = change.of((6, 6))[0]
    # Of windows in calm rings some are rough, and of those in rough ones some are calm.
    assert (odds[:, change.ratios > 2].sum(-1) > 0.03).any()
    assert (odds[:, change.ratios < 0.5].sum(-1) > 0.1).any()


def test_probabilities_between_two_sides() -> None:
    ends = np.array([[[[1.0, 0.0]]], [[[0.0, 1.0]]]])
    change = ContrastChange(np.array([1.0, 4.0]), np.zeros(0), np.array([4.0, 16.0]), ends)
    for window, share in (((4, 4), 1), ((2, 2), 1), ((8, 8), 0.5), ((4, 16), 0.5), ((40, 40), 0)):
        np.testing.assert_allclose(change.of(window)[0, 0], [share, 1 - share], atol=1e-12)


def test_a_mixture_is_a_pytree() -> None:
    again = jax.tree.map(lambda table: table.copy(), fitted())
    assert isinstance(again, PatchMixture)
    np.testing.assert_array_equal(again.covariances(3), fitted().covariances(3))


def test_the_mixture_of_photographs_is_small_and_whole() -> None:
    mixed = PatchMixture.natural_images()
    assert (mixed.max_patch, mixed.channels, mixed.num_images) == ((48, 48), 3, 600)
    assert mixed.weights.sum() == pytest.approx(1)
    covariances = mixed.covariances(14)
    assert np.linalg.eigvalsh(covariances).min() > 0
    file = resources.files("pdjax") / "data" / "natural_textures.npz"
    assert len(file.read_bytes()) < 4_000_000


KEY = jax.random.key(0)
BAD = {
    "key": ("rng_key", lambda: FIT(IMAGES, 0)),
    "textures": ("textures", lambda: FIT(IMAGES, KEY, textures=0)),
    "contrasts": ("contrasts", lambda: FIT(IMAGES, KEY, contrasts=0)),
    "steps": ("steps", lambda: FIT(IMAGES, KEY, steps=0)),
    "levels": ("levels", lambda: FIT(IMAGES, KEY, levels=1)),
    "large patch": ("max_patch", lambda: FIT(IMAGES, KEY, patch=9)),
    "one pixel": ("patch", lambda: FIT(IMAGES, KEY, patch=1)),
    "few patches": ("num_patches", lambda: FIT(IMAGES, KEY, num_patches=99)),
    "bad image": ("images[0]", lambda: FIT([np.full((9, 9, 1), 2.0)], KEY)),
    "reach": ("mixture", lambda: fitted().covariances(9)),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_inputs_are_named(untyped, name) -> None:
    argument, make = BAD[name]
    with pytest.raises(ArgumentError) as caught:
        make()
    assert caught.value.argument == argument
