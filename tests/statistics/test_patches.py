"""Statistics of patches: what is fitted, and what is assembled."""

from __future__ import annotations

import functools
import itertools
import pickle
from pathlib import Path

import jax
import numpy as np
import pytest

import pdjax
from pdjax import PatchStatistics
from pdjax._checks import ArgumentError

COLOR = np.array([[1.0, 0.6], [0.6, 0.8]])


@functools.cache
def field(seed: int, size: int = 96) -> np.ndarray:
    """White noise averaged over 2 by 3 pixels: its autocovariance is a product of triangles."""
    noise = np.random.default_rng(seed).standard_normal((size + 1, size + 2, 2))
    noise = noise @ np.linalg.cholesky(COLOR).T
    mean = sum(noise[i : i + size, j : j + size] for i in range(2) for j in range(3)) / 6
    return 0.5 + 0.1 * mean


def exact_autocovariance(lag: tuple[int, int]) -> np.ndarray:
    shares = [max(0, width - abs(h)) / width for width, h in zip((2, 3), lag, strict=True)]
    return 0.01 / 6 * shares[0] * shares[1] * COLOR


@functools.cache
def fitted() -> PatchStatistics:
    return PatchStatistics.fit([field(seed) for seed in range(20)], max_patch=6)


def test_stationary_fit_recovers_a_known_autocovariance() -> None:
    statistics = fitted()
    assert statistics.stationary
    assert (statistics.channels, statistics.dimensions, statistics.num_images) == (2, 2, 20)
    assert statistics.max_patch == (6, 6)
    variance = 0.01 / 6
    # 20 images of 96 by 96 pixels, tapered (which leaves 4 / 9 of the pixels' weight), hold about
    # 82,000 pixels and, averaged over 6 of them, 14,000 independent ones: an entry has a standard
    # error of variance * sqrt(2 / 14,000) = 1.2 %, the mean one of sqrt(variance / 30,000).
    np.testing.assert_allclose(statistics.mean, 0.5, atol=5 * np.sqrt(variance / 30_000))
    for lag in itertools.product(range(-5, 6), repeat=2):
        found = statistics.covariance[5 + lag[0], 5 + lag[1]]
        np.testing.assert_allclose(found, exact_autocovariance(lag), atol=0.05 * variance)


def test_offsets_have_the_documented_direction() -> None:
    """Channel 1 is channel 0 moved by two pixels: the covariance peaks at that offset."""
    noise = np.clip(0.5 + 0.1 * np.random.default_rng(0).standard_normal((60, 64)), 0, 1)
    image = np.stack([noise[:, 2:], noise[:, :-2]], -1)  # x_1 at i + (0, 2) is x_0 at i
    covariance = PatchStatistics.fit([image], max_patch=4).covariance
    peak = np.unravel_index(covariance[..., 0, 1].argmax(), (7, 7))
    assert tuple(int(p) - 3 for p in peak) == (0, 2)


@pytest.mark.parametrize("patch", [1, 2, (1, 6), (4, 3), 6])
def test_patch_covariance_is_assembled_symmetric_and_positive(patch) -> None:
    statistics = fitted()
    mean, covariance = statistics.gaussian(patch)
    sizes = (patch, patch) if isinstance(patch, int) else patch
    assert mean.shape == (*sizes, 2)
    assert mean.dtype == covariance.dtype == np.float64
    np.testing.assert_array_equal(mean, np.broadcast_to(statistics.mean, mean.shape))
    entries = list(itertools.product(*map(range, (*sizes, 2))))
    for a, b in itertools.product(range(len(entries)), repeat=2):
        (*i, c), (*j, d) = entries[a], entries[b]
        lag = tuple(5 + y - x for x, y in zip(i, j, strict=True))
        assert covariance[a, b] == statistics.covariance[(*lag, c, d)]
    np.testing.assert_allclose(covariance, covariance.T, atol=1e-15)
    assert np.linalg.eigvalsh(covariance).min() > 0


@pytest.mark.parametrize("shape", [(30,), (14, 17), (9, 8, 10)])
def test_fits_are_positive_in_any_number_of_dimensions(shape) -> None:
    images = [np.random.default_rng(s).random((*shape, 1)).round() for s in range(2)]
    statistics = PatchStatistics.fit(images, max_patch=5)
    assert statistics.dimensions == len(shape)
    assert np.linalg.eigvalsh(statistics.gaussian(5)[1]).min() > 0


def conditional_variance(covariance: np.ndarray, side: int, padding: int) -> float:
    """Summed variance of the middle of a patch of one channel given the rest."""
    inside = np.zeros((side, side), bool)
    inside[padding:-padding, padding:-padding] = True
    inner, outer = np.flatnonzero(inside), np.flatnonzero(~inside)
    gain = np.linalg.solve(covariance[np.ix_(outer, outer)], covariance[np.ix_(outer, inner)])
    return float(
        np.trace(covariance[np.ix_(inner, inner)] - covariance[np.ix_(inner, outer)] @ gain)
    )


def test_small_images_do_not_vary_more_than_they_should() -> None:
    """Of a smooth field the taper alone would give 40 % too much."""
    offsets = np.stack(np.meshgrid(*[np.arange(28)] * 2, indexing="ij"), -1).reshape(-1, 2)
    distance = np.linalg.norm(offsets[:, None] - offsets, axis=-1)
    exact = (1 + distance / 3 + distance**2 / 27) * np.exp(-distance / 3) + 1e-4 * np.eye(784)
    root = np.linalg.cholesky(exact)
    rows = root @ np.random.default_rng(0).standard_normal((784, 1000))
    images = rows.T.reshape(-1, 28, 28, 1)
    patch = np.arange(784).reshape(28, 28)[:14, :14].ravel()
    wanted = conditional_variance(exact[np.ix_(patch, patch)], 14, 2)
    for max_patch in (14, 28):
        fitted = PatchStatistics.fit(images, max_patch=max_patch, bounds=None)
        found = conditional_variance(fitted.gaussian(14)[1], 14, 2)
        # 0.7 % is what the sampling error of so many images leaves.
        assert found == pytest.approx(wanted, rel=0.03)


def test_few_small_images_give_a_covariance_all_the_same() -> None:
    smooth = np.cumsum(np.cumsum(np.random.default_rng(0).standard_normal((3, 12, 12, 1)), 1), 2)
    fitted = PatchStatistics.fit(smooth, max_patch=12, bounds=None)
    assert np.linalg.eigvalsh(fitted.gaussian(12)[1]).min() > -1e-12 * fitted.covariance.max()


def test_empirical_fit_is_the_covariance_of_patches() -> None:
    # In images as small as the patch every patch is the image, so that np.cov sees the same.
    images = np.random.default_rng(0).random((40, 3, 2, 2))
    statistics = PatchStatistics.fit_patches(images, (3, 2), num_patches=40)
    assert not statistics.stationary
    assert (statistics.max_patch, statistics.channels) == ((3, 2), 2)
    mean, covariance = statistics.gaussian((3, 2))
    np.testing.assert_allclose(mean, images.mean(0), atol=1e-12)
    np.testing.assert_allclose(covariance, np.cov(images.reshape(40, -1).T), atol=1e-12)


def test_patches_come_from_everywhere_and_the_middle_of_them_is_a_patch() -> None:
    ramp = np.linspace(0, 1, 50)[:, None, None] * np.ones((50, 8, 1))
    statistics = PatchStatistics.fit_patches([ramp, 1 - ramp], (5, 5), num_patches=4000)
    mean, covariance = statistics.gaussian((5, 5))
    np.testing.assert_allclose(mean, 0.5, atol=0.03)
    assert covariance[0, 0] == pytest.approx(1 / 12, rel=0.2)
    inner, block = statistics.gaussian((3, 1))
    rows = np.arange(25).reshape(5, 5)[1:4, 2]
    np.testing.assert_array_equal(inner, statistics.mean[1:4, 2:3])
    np.testing.assert_array_equal(block, covariance[np.ix_(rows, rows)])


@pytest.mark.parametrize("kind", ["stationary", "empirical"])
def test_saving_and_loading_keeps_every_bit(tmp_path: Path, kind: str) -> None:
    images = np.random.default_rng(0).random((40, 6, 6, 2))
    statistics = fitted() if kind == "stationary" else PatchStatistics.fit_patches(images, 2)
    path = tmp_path / "statistics.npz"
    statistics.save(path)
    again = PatchStatistics.load(path)
    for name in ("mean", "covariance"):
        one, two = getattr(statistics, name), getattr(again, name)
        assert one.dtype == two.dtype
        assert one.tobytes() == two.tobytes()
    assert again.num_images == statistics.num_images


def test_statistics_are_a_pytree() -> None:
    double = jax.tree.map(lambda table: 2 * table, fitted())
    assert isinstance(double, PatchStatistics)
    assert double.num_images == 20
    np.testing.assert_array_equal(double.gaussian(2)[1], 2 * fitted().gaussian(2)[1])
    again = pickle.loads(pickle.dumps(fitted()))
    np.testing.assert_array_equal(again.covariance, fitted().covariance)


def test_natural_images_come_with_the_package() -> None:
    path = Path(pdjax.__file__).parent / "data" / "natural_images.npz"
    assert path.stat().st_size < 1_000_000
    with np.load(path, allow_pickle=False) as arrays:
        assert {arrays[name].dtype.kind for name in arrays.files} <= set("fiu")
    statistics = PatchStatistics.natural_images()
    assert statistics.max_patch == (48, 48)
    mean, covariance = statistics.gaussian(14)
    assert np.linalg.eigvalsh(covariance).min() > 0
    assert mean.min() > 0.3
    assert mean.max() < 0.6
    deviation = np.sqrt(np.diag(covariance))
    assert 0.2 < deviation.min() <= deviation.max() < 0.35
    neighbours = covariance[0, 3] / covariance[0, 0]  # red, one pixel further along the row
    assert 0.9 < neighbours < 1


BAD = {
    "no patch": ("max_patch", lambda: PatchStatistics.fit([np.ones((4, 4, 1))], max_patch=0)),
    "few": ("num_patches", lambda: PatchStatistics.fit_patches([IMAGE], 3, num_patches=9)),
    "seed": ("seed", lambda: PatchStatistics.fit_patches([IMAGE], 3, seed=-1)),
    "large": ("statistics", lambda: fitted().gaussian(7)),
    "axes": ("patch", lambda: fitted().gaussian((2, 2, 2))),
}
IMAGE = np.ones((8, 8, 1))


@pytest.mark.parametrize("name", BAD)
def test_bad_inputs_are_named(untyped, name) -> None:
    argument, make = BAD[name]
    with pytest.raises(ArgumentError) as caught:
        make()
    assert caught.value.argument == argument
