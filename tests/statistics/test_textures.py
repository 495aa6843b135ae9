"""Fitting mixtures of textures, and files of them, trusted or not."""

from __future__ import annotations

import functools
import io
from importlib import resources
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pdjax import ConditionalMixture, PatchMixture
from pdjax.statistics.texture_steps import ascend, initial_textures

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
        flat, jax.random.key(0), patch=3, max_patch=4, num_patches=100, steps=2,
        textures=1, contrasts=1,
    )  # fmt: skip
    variance = mixed.scales[0, 0] * mixed.covariance[0, 3, 3, 0, 0]
    assert variance == pytest.approx(1 / 12 / 255**2, rel=0.3)


def test_volumes() -> None:
    images = [np.random.default_rng(s).random((8, 9, 10, 1)) for s in range(4)]
    mixed = PatchMixture.fit(
        images, jax.random.key(0), patch=3, max_patch=4, num_patches=200, steps=2,
        textures=1, contrasts=2,
    )  # fmt: skip
    sampler = ConditionalMixture(mixed, 2, padding=1)
    image, at = jnp.asarray(images[0], jnp.float32), jnp.full(3, 3)
    assert sampler.sample(jax.random.key(0), image, at, 2).shape == (2, 2, 2, 2, 1)


def test_files_keep_everything(tmp_path) -> None:
    fitted().save(tmp_path / "mine.npz")
    again = PatchMixture.load(tmp_path / "mine.npz")
    for name in ("scales", "weights", "covariance"):
        np.testing.assert_allclose(getattr(again, name), getattr(fitted(), name), atol=1e-12)
    assert (again.num_images, again.max_patch, again.channels) == (8, (8, 8), 2)


def test_the_mixture_of_photographs_is_small_and_whole() -> None:
    mixed = PatchMixture.natural_images()
    assert (mixed.max_patch, mixed.channels, mixed.num_images) == ((48, 48), 3, 600)
    assert mixed.weights.sum() == pytest.approx(1)
    covariances = mixed.covariances(14)
    assert np.linalg.eigvalsh(covariances).min() > 0
    file = resources.files("pdjax") / "data" / "natural_textures.npz"
    assert len(file.read_bytes()) < 4_000_000


BAD = [
    (lambda: FIT([], jax.random.key(0)), r"images: there are none"),
    (lambda: FIT([np.full((9, 9, 1), 2.0)], jax.random.key(0)), r"outside \[0, 1\]"),
    (lambda: FIT([np.ones((5, 9, 1))], jax.random.key(0)), r"number 0 .* smaller than the patch"),
    (lambda: FIT(IMAGES, jax.random.key(0), textures=0), r"textures=0 must be an int of at least"),
    (lambda: FIT(IMAGES, jax.random.key(0), contrasts=0), r"contrasts=0 must be an int"),
    (lambda: FIT(IMAGES, jax.random.key(0), steps=0), r"steps=0 must be an int"),
    (lambda: FIT(IMAGES, jax.random.key(0), levels=1), r"levels=1 must be an int of at least 2"),
    (lambda: FIT(IMAGES, jax.random.key(0), patch=9), r"max_patch=8 must be at least patch="),
    (lambda: FIT(IMAGES, jax.random.key(0), num_patches=99), r"num_patches=99 is too few .* 50 nu"),
    (lambda: FIT(IMAGES, jax.random.key(0), patch=1), r"of two pixels or more"),
    (lambda: fitted().covariances(9), r"\(9, 9\) pixels is needed .* at most \(8, 8\)"),
]


@pytest.mark.parametrize(("make", "words"), BAD, ids=[words for _, words in BAD])
def test_bad_inputs_are_named(untyped, make, words) -> None:
    with pytest.raises(ValueError, match=words):
        make()


GOOD = {
    "weights": np.array([[0.25, 0.75]]),
    "scales": np.array([[0.1, 1.0]]),
    "half": np.array([[0.1, 0.2, 0.1], [0.2, 1.0, 0.2]]).reshape(1, 2, 3, 1, 1),
    "num_images": np.array(3),
}
HOSTILE = {
    "pickled": GOOD | {"weights": np.array([[print, None]], object)},
    "words": GOOD | {"scales": np.array([["a", "b"]])},
    "missing": {"weights": GOOD["weights"]},
    "surplus": GOOD | {"more": np.zeros(1)},
    "statistics": {"mean": np.zeros(1), "covariance": np.ones((3, 3, 1, 1)), "num_images": 3},
    "NaN": GOOD | {"weights": np.array([[0.25, np.nan]])},
    "infinite": GOOD | {"half": np.full((1, 2, 3, 1, 1), np.inf)},
    "negative weight": GOOD | {"weights": np.array([[-0.25, 1.25]])},
    "weights of two": GOOD | {"weights": np.array([[1.0, 1.0]])},
    "no scale": GOOD | {"scales": np.array([[0.0, 1.0]])},
    "other shape": GOOD | {"scales": np.ones((2, 1))},
    "flat": GOOD | {"weights": np.ones(1), "scales": np.ones(1)},
    "asymmetric": GOOD | {"half": np.arange(6.0).reshape(1, 2, 3, 1, 1)},
    "even": GOOD | {"half": np.ones((1, 2, 2, 1, 1))},
    "channels": GOOD | {"half": np.ones((1, 2, 3, 1, 2))},
    "textures": GOOD | {"half": np.ones((2, 2, 3, 1, 1))},
    "empty": GOOD | {"half": np.ones((1, 2, 3, 0, 0))},
    "no offsets": GOOD | {"half": np.ones((1, 0, 3, 1, 1))},
    "no texture": GOOD | {"weights": np.ones((0, 2)), "scales": np.ones((0, 2))},
    "no variance": GOOD | {"half": np.zeros((1, 2, 3, 1, 1))},
    "complex": GOOD | {"half": GOOD["half"] + 1j},
    "count": GOOD | {"num_images": np.array([1, 2])},
}


def stored(arrays) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=True, **arrays)
    return buffer.getvalue()


FILES = {name: stored(arrays) for name, arrays in HOSTILE.items()} | {
    "truncated": stored(GOOD)[:-200],
    "nothing": b"",
    "text": b"weights = 1",
}


@pytest.mark.parametrize("name", FILES)
def test_files_that_hold_something_else_are_refused_in_a_sentence(tmp_path, name) -> None:
    path = tmp_path / "bad.npz"
    path.write_bytes(FILES[name])
    with pytest.raises(ValueError, match=r"^mixture: '.*bad.npz' (is|does not)") as caught:
        PatchMixture.load(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_the_good_file_of_that_table_is_read(tmp_path: Path) -> None:
    path = tmp_path / "good.npz"
    path.write_bytes(stored(GOOD))
    mixed = PatchMixture.load(path)
    assert mixed.max_patch == (2, 2)
    np.testing.assert_array_equal(mixed.covariance[0, :, :, 0, 0], [[0.1, 0.2, 0.1], [0.2, 1, 0.2],
                                                                    [0.1, 0.2, 0.1]])  # fmt: skip
    with pytest.raises(FileNotFoundError, match="mixture: there is no file"):
        PatchMixture.load(tmp_path / "missing.npz")
