"""The conditional Gaussian against the textbook; the contract of samplers is in test_contract."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.gaussian_reference import JITTERED, closed_form, smooth, statistics

from pdjax import ConditionalGaussian, PatchStatistics
from pdjax._checks import ArgumentError
from pdjax._types import NormalSampler

draw = jax.jit(lambda sampler, *arguments: sampler.sample(*arguments), static_argnums=4)
transform = jax.jit(lambda sampler, *arguments: sampler.transform(*arguments))


@functools.cache
def unclipped(window, padding: int, color: str, jitter: float) -> ConditionalGaussian:
    return ConditionalGaussian(statistics(2), window, padding, color, clip=None, jitter=jitter)


@pytest.mark.parametrize("color", ["joint", "independent"])
@pytest.mark.parametrize(
    ("padding", "origin"), [(2, (5, 6)), (2, (0, 6)), (2, (10, 11)), (2, (1, 10)), (0, (5, 11))]
)
def test_conditional_gaussian_has_the_mean_and_covariance_of_the_closed_form(
    origin, color, padding
) -> None:
    image = smooth(12, 13, 3).astype(np.float32)
    sampler = unclipped(2, padding, color, 1e-6)
    count = 20_000
    samples = draw(sampler, jax.random.key(3), jnp.array(image), jnp.array(origin), count)
    samples = np.asarray(samples, np.float64).reshape(count, -1)
    mean, covariance = closed_form(statistics(2), image, origin, (2, 2), padding, color, 1e-6)
    # The mean of n draws has the standard error sd / sqrt(n), an entry of their covariance that
    # of the Wishart distribution, sqrt((c_ii c_jj + c_ij^2) / n). Over the 12 + 78 numbers of
    # these 10 cases the chance that a right sampler exceeds 5.5 of them is under 1e-4.
    variance = np.diag(covariance)
    error = np.abs(samples.mean(0) - mean) / np.sqrt(variance / count)
    assert error.max() < 5.5
    wishart = np.sqrt((np.outer(variance, variance) + covariance**2) / count)
    error = np.abs(np.cov(samples.T) - covariance) / wishart
    assert error.max() < 5.5


@pytest.mark.parametrize("color", ["joint", "independent"])
@pytest.mark.parametrize("origin", [(5, 6), (0, 6), (9, 0), (9, 9), (1, 8)], ids=str)
def test_gains_and_factors_are_exact(x64, color, origin) -> None:
    image, window = smooth(12, 13, 3), (3, 4)
    sampler = unclipped(window, 2, color, 0.0)
    mean, covariance = closed_form(statistics(2), image, origin, window, 2, color)
    at, size = jnp.array(origin), 36
    assert isinstance(sampler, NormalSampler)
    assert sampler.axes == size
    # Contents are mean + R z, so that no numbers give the mean and unit vectors the columns of R.
    noise = jnp.concatenate([jnp.zeros((1, size)), jnp.eye(size)])
    contents = np.asarray(transform(sampler, noise, jnp.array(image), at)).reshape(-1, size)
    np.testing.assert_allclose(contents[0], mean, atol=1e-10)
    root = (contents[1:] - contents[0]).T
    np.testing.assert_allclose(root @ root.T, covariance, atol=1e-10)
    # The columns are the principal axes, largest variance first whatever their channel.
    variances = np.linalg.eigvalsh(covariance)[::-1]
    np.testing.assert_allclose(root.T @ root, np.diag(variances), atol=1e-10)
    key = jax.random.key(0)
    drawn = draw(sampler, key, jnp.array(image), at, 5)
    made = transform(sampler, jax.random.normal(key, (5, size), jnp.float32), jnp.array(image), at)
    np.testing.assert_allclose(drawn, made, atol=1e-12)


def test_samples_are_clipped_to_the_range_asked_for() -> None:
    image, at = jnp.array(smooth(12, 12, 3), jnp.float32), jnp.array([4, 4])
    free = JITTERED(statistics(2), 3, clip=None)
    tight = JITTERED(statistics(2), 3, clip=(0.35, 0.4))
    wanted = draw(free, jax.random.key(0), image, at, 50)
    assert float(wanted.min()) < 0.35
    assert float(wanted.max()) > 0.4
    clipped = draw(tight, jax.random.key(0), image, at, 50)
    np.testing.assert_allclose(clipped, jnp.clip(wanted, 0.35, 0.4), atol=1e-6)


def impossible() -> PatchStatistics:
    """Neighbours that vary together more than each varies alone: no such process exists."""
    return PatchStatistics(np.full(1, 0.5), np.array([2.0, 1.0, 2.0]).reshape(3, 1, 1), 1)


BAD = {
    "kind": ("statistics", lambda: JITTERED("natural", 3)),
    "reach": ("statistics", lambda: JITTERED(statistics(2), 6)),
    "process": ("statistics", lambda: ConditionalGaussian(impossible(), 2, 0)),
    "axes": ("window", lambda: JITTERED(statistics(2), (2, 2, 2))),
    "padding": ("padding", lambda: JITTERED(statistics(2), 3, -1)),
    "color": ("color", lambda: JITTERED(statistics(2), 3, color="rgb")),
    "clip": ("clip", lambda: JITTERED(statistics(2), 3, clip=(1.0, 0.0))),
    "negative jitter": ("jitter", lambda: ConditionalGaussian(statistics(2), 3, jitter=-1.0)),
    "NaN jitter": ("jitter", lambda: ConditionalGaussian(statistics(2), 3, jitter=np.nan)),
    "words for jitter": ("jitter", lambda: ConditionalGaussian(statistics(2), 3, jitter="no")),
    "small image": ("image", lambda: JITTERED(statistics(2), 3).check((6, 12, 3), 2)),
    "grey image": ("image", lambda: JITTERED(statistics(2), 3).check((12, 12, 1), 2)),
    "one axis": ("image", lambda: JITTERED(statistics(2), 3).check((12, 3), 2)),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_inputs_are_named(untyped, name) -> None:
    argument, make = BAD[name]
    with pytest.raises(ArgumentError) as caught:
        make()
    assert caught.value.argument == argument
