"""The conditional mixture against the textbook; the contract of samplers is in test_contract."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from helpers.gaussian_reference import smooth
from helpers.mixture_reference import (
    FREE,
    changing,
    components,
    fields,
    log_normal,
    mixture,
    responsibilities,
    window_components,
)

from pdjax import ConditionalGaussian, ConditionalMixture, PatchMixture, PatchStatistics
from pdjax._checks import ArgumentError

IMAGE = smooth(12, 13, 3, seed=9)
PLACES = [(5, 6), (0, 6), (9, 0), (9, 9), (1, 8)]
draw = jax.jit(lambda sampler, *arguments: sampler.sample(*arguments), static_argnums=4)
log_density = jax.jit(lambda sampler, *arguments: sampler.log_density(*arguments))
shares_of = jax.jit(lambda sampler, *arguments: sampler.responsibilities(*arguments))


def sampler(window=3, mixed=None) -> ConditionalMixture:
    return ConditionalMixture(mixed or mixture(2), window, clip=None, jitter=0.0)


@pytest.mark.parametrize("origin", PLACES, ids=str)
def test_responsibilities_are_those_of_the_ring(x64, origin) -> None:
    parts = list(components(mixture(2), IMAGE, origin, (3, 3), 2))
    given = np.asarray(shares_of(sampler(), jnp.asarray(IMAGE), jnp.array(origin)))
    np.testing.assert_allclose(given[mixture(2).weights > 0], responsibilities(parts), atol=1e-3)
    assert given[mixture(2).weights == 0] == 0
    assert given.sum() == pytest.approx(1)


@pytest.mark.parametrize("origin", PLACES, ids=str)
def test_the_density_is_that_of_the_patch_over_that_of_the_ring(x64, origin) -> None:
    parts = list(components(mixture(2), IMAGE, origin, (3, 3), 2))
    patch = scipy.special.logsumexp([weight + whole for weight, _, _, _, whole in parts])
    ring = scipy.special.logsumexp([weight + ring for weight, _, _, ring, _ in parts])
    y, x = origin
    content = jnp.asarray(IMAGE[None, y : y + 3, x : x + 3])
    image = jnp.asarray(IMAGE).at[y : y + 3, x : x + 3].set(0.0)  # what is there does not matter
    density = log_density(sampler(), content, image, jnp.array(origin))
    np.testing.assert_allclose(density, [patch - ring], atol=2e-3)


@pytest.mark.parametrize("origin", PLACES, ids=str)
def test_the_density_of_a_window_whose_contrast_may_change(x64, origin) -> None:
    y, x = origin
    content = IMAGE[y : y + 3, x : x + 3]
    expected = scipy.special.logsumexp(
        [
            share + log_normal(content.ravel() - mean, covariance)
            for share, mean, covariance in window_components(changing(2), IMAGE, origin, (3, 3), 2)
        ]
    )
    given = sampler(mixed=changing(2)), jnp.asarray(content)[None], jnp.asarray(IMAGE)
    np.testing.assert_allclose(log_density(*given, jnp.array(origin)), [expected], atol=2e-3)


def test_the_density_of_a_window_of_one_number_has_an_area_of_one(x64) -> None:
    gray = PatchMixture(*parts_of(mixture(2), 1), 1)
    one = ConditionalMixture(gray, 1, 1, clip=None, jitter=0.0)
    levels = jnp.linspace(-1.0, 2.0, 3001)
    contents, image = levels.reshape(-1, 1, 1, 1), jnp.asarray(IMAGE[..., :1])
    density = log_density(one, contents, image, jnp.array([4, 4]))
    area = np.trapezoid(np.exp(np.asarray(density)), np.asarray(levels))
    assert area == pytest.approx(1, abs=1e-4)


def parts_of(mixed: PatchMixture, channels: int) -> tuple[np.ndarray, ...]:
    return mixed.weights, mixed.scales, mixed.covariance[..., :channels, :channels]


@pytest.mark.parametrize("mixed", [mixture, changing])
@pytest.mark.parametrize("origin", [(5, 6), (0, 6), (10, 11)], ids=str)
def test_samples_have_the_mean_and_covariance_of_the_mixture(origin, mixed) -> None:
    parts = window_components(mixed(2), IMAGE, origin, (2, 2), 2)
    shares, count = np.exp([part[0] for part in parts]), 40_000
    mean = sum(share * part[1] for share, part in zip(shares, parts, strict=True))
    covariance = sum(
        share * (part[2] + np.outer(part[1] - mean, part[1] - mean))
        for share, part in zip(shares, parts, strict=True)
    )
    image = jnp.asarray(IMAGE, jnp.float32)
    samples = draw(sampler(2, mixed(2)), jax.random.key(3), image, jnp.array(origin), count)
    samples = np.asarray(samples, np.float64).reshape(count, -1)
    variance = np.diag(covariance)
    assert (np.abs(samples.mean(0) - mean) / np.sqrt(variance / count)).max() < 5
    # A mixture has heavier tails than one Gaussian, so its spread is known less well than that.
    deviations = samples - mean
    products = deviations[:, :, None] * deviations[:, None, :]
    error = np.abs(products.mean(0) - covariance) / (products.std(0) / np.sqrt(count))
    assert error.max() < 5


def test_one_component_is_the_gaussian_with_a_free_mean(x64) -> None:
    table = fields(2)[0]
    single = PatchMixture(np.ones((1, 1)), np.full((1, 1), 0.7), table[None], 1)
    statistics = PatchStatistics(np.full(3, 0.5), 0.7 * table + FREE * np.eye(3), 1)
    gaussian = ConditionalGaussian(statistics, 3, clip=None, jitter=0.0)
    mixed = ConditionalMixture(single, 3, clip=None, jitter=0.0)
    image, count = jnp.asarray(IMAGE), 4_000
    for origin in (jnp.array([5, 6]), jnp.array([0, 9])):
        both = [
            np.asarray(draw(each, jax.random.key(1), image, origin, count)).reshape(count, -1)
            for each in (gaussian, mixed)
        ]
        spread = both[0].std(0)
        assert (np.abs(both[0].mean(0) - both[1].mean(0)) / spread).max() < 5 * (2 / count) ** 0.5
        assert np.abs(both[0].std(0) / both[1].std(0) - 1).max() < 5 / count**0.5
    white = np.ones((1, 3, 3, 3))
    expected = next(components(single, with_content(white[0]), (5, 6), (3, 3), 2))
    density = log_density(mixed, jnp.asarray(white), image, jnp.array([5, 6]))
    np.testing.assert_allclose(density, [expected[4] - expected[3]], atol=2e-3)


def with_content(content: np.ndarray) -> np.ndarray:
    image = IMAGE.copy()
    image[5:8, 6:9] = content
    return image


def test_a_change_of_colour_changes_samples_by_that_colour(x64) -> None:
    image, shift = jnp.asarray(IMAGE), jnp.array([0.3, -0.2, 0.1])
    at, key = jnp.array([0, 4]), jax.random.key(0)
    plain = draw(sampler(), key, image, at, 5)
    moved = draw(sampler(), key, image + shift[None, None], at, 5)
    np.testing.assert_allclose(moved, plain + shift.reshape(1, 1, 1, 3), atol=1e-8)


def test_single_precision_is_near_double() -> None:
    at, key = jnp.array([0, 4]), jax.random.key(0)
    single = np.asarray(shares_of(sampler(), jnp.asarray(IMAGE, jnp.float32), at))
    with jax.enable_x64(True):
        double = np.asarray(shares_of(sampler(), jnp.asarray(IMAGE), at))
    np.testing.assert_allclose(single, double, atol=1e-3)
    assert draw(sampler(), key, jnp.asarray(IMAGE, jnp.float32), at, 2).dtype == jnp.float32


def test_contrast_follows_the_ring() -> None:
    natural = ConditionalMixture(PatchMixture.natural_images(), 3, 1)
    noise = np.random.default_rng(0).standard_normal((20, 20, 3))
    spread = []
    for contrast in (0.004, 0.2):
        image = jnp.asarray(np.clip(0.5 + contrast * noise, 0, 1), jnp.float32)
        samples = draw(natural, jax.random.key(0), image, jnp.array([8, 8]), 50)
        spread.append(float(samples.std(0).mean()))
    assert spread[1] > 4 * spread[0]


def impossible() -> PatchMixture:
    """Differences of neighbours that vary less than nothing: no such field exists."""
    table = np.array([3.0, 1.0, 2.0, 1.0, 3.0]).reshape(1, 5, 1, 1)
    return PatchMixture(np.ones((1, 1)), np.ones((1, 1)), table, 1)


BAD = {
    "kind": ("mixture", lambda: ConditionalMixture(PatchStatistics.natural_images(), 3)),
    "reach": ("mixture", lambda: ConditionalMixture(mixture(2), 5)),
    "field": ("mixture", lambda: ConditionalMixture(impossible(), 1, 1)),
    "no ring": ("padding", lambda: ConditionalMixture(mixture(2), 3, 0)),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_inputs_are_named(untyped, name) -> None:
    argument, make = BAD[name]
    with pytest.raises(ArgumentError) as caught:
        make()
    assert caught.value.argument == argument
