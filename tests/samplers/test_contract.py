"""Every sampler through one contract, and each against what it must give."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
from helpers.gaussian_reference import closed_form, smooth, statistics
from helpers.mixture_reference import mixture

from pdjax import (
    Blur,
    ConditionalGaussian,
    ConditionalMixture,
    Constant,
    ImageMean,
    Marginal,
    PatchStatistics,
)
from pdjax._types import NormalSampler, Sampler


@functools.cache
def unclipped(window, padding: int, color: str, jitter: float) -> ConditionalGaussian:
    return ConditionalGaussian(statistics(2), window, padding, color, clip=None, jitter=jitter)


draw = jax.jit(lambda sampler, *arguments: sampler.sample(*arguments), static_argnums=4)
SIZES = {1: (14,), 2: (12, 13), 3: (9, 10, 9)}
GAUSSIAN = functools.partial(ConditionalGaussian, jitter=1e-6)
SAMPLERS = {
    "joint": lambda d: GAUSSIAN(statistics(d), 3),
    "independent": lambda d: GAUSSIAN(statistics(d), 3, color="independent"),
    "unconditional": lambda d: GAUSSIAN(statistics(d), 3, padding=0),
    "oblong": lambda d: GAUSSIAN(statistics(d), (1, 3, 2)[:d], padding=1),
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
        assert type(again) is type(sampler)
        one = draw(again, keys[2], image, origins[2], 4)
        np.testing.assert_allclose(one, samples[2], atol=1e-5)
        assert bool((one == one[:1]).all()) == sampler.constant
        other = sample(again, jnp.roll(keys, 1), image, origins)
        random = name in ("joint", "independent", "unconditional", "oblong", "mixture")
        assert bool((jnp.abs(other - samples) > 1e-3).any()) == random
        assert sample._cache_size() == 1


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
    contents = np.asarray(sampler.transform(noise, jnp.array(image), at)).reshape(-1, size)
    np.testing.assert_allclose(contents[0], mean, atol=1e-10)
    root = (contents[1:] - contents[0]).T
    np.testing.assert_allclose(root @ root.T, covariance, atol=1e-10)
    # The columns are the principal axes, largest variance first whatever their channel.
    variances = np.linalg.eigvalsh(covariance)[::-1]
    np.testing.assert_allclose(root.T @ root, np.diag(variances), atol=1e-10)
    key = jax.random.key(0)
    drawn = draw(sampler, key, jnp.array(image), at, 5)
    made = sampler.transform(jax.random.normal(key, (5, size)), jnp.array(image), at)
    np.testing.assert_allclose(drawn, made, atol=1e-12)


def test_samples_are_clipped_to_the_range_asked_for() -> None:
    image, at = jnp.array(smooth(12, 12, 3), jnp.float32), jnp.array([4, 4])
    free = ConditionalGaussian(statistics(2), 3, clip=None, jitter=1e-6)
    tight = ConditionalGaussian(statistics(2), 3, clip=(0.35, 0.4), jitter=1e-6)
    wanted = free.sample(jax.random.key(0), image, at, 50)
    assert float(wanted.min()) < 0.35
    assert float(wanted.max()) > 0.4
    clipped = tight.sample(jax.random.key(0), image, at, 50)
    np.testing.assert_allclose(clipped, jnp.clip(wanted, 0.35, 0.4), atol=1e-6)


@pytest.mark.parametrize("origin", [(0, 0), (4, 7), (9, 10)])
def test_marginal_gives_the_window_of_image_s_as_sample_s(origin) -> None:
    images = np.random.default_rng(0).random((6, 12, 13, 3), np.float32)
    image, at = jnp.zeros((12, 13, 3)), jnp.array(origin)
    result = Marginal(images, 3).sample(jax.random.key(0), image, at, 4)
    y, x = origin
    np.testing.assert_array_equal(result, images[:4, y : y + 3, x : x + 3])


def test_occluders_give_their_content() -> None:
    image = smooth(12, 13, 3).astype(np.float32)
    arguments = (jax.random.key(0), jnp.array(image), jnp.array([8, 0]), 1)
    colour = Constant((0.2, 0.5, 0.9), 3).sample(*arguments)
    assert (np.asarray(colour) == np.float32([0.2, 0.5, 0.9])).all()
    assert colour.shape == (1, 3, 3, 3)
    mean = ImageMean(3).sample(*arguments)
    np.testing.assert_allclose(mean, np.broadcast_to(image.mean((0, 1)), (1, 3, 3, 3)), atol=1e-6)
    blur = functools.partial(scipy.ndimage.gaussian_filter, mode="constant", truncate=9)
    blurred = blur(image, (1, 1, 0)) / blur(np.ones_like(image), (1, 1, 0))
    result = Blur(3, sigma=1.0).sample(*arguments)
    np.testing.assert_allclose(result[0], blurred[8:11, :3], atol=1e-5)


SHAPE = (12, 12, 3)
BAD = [
    (lambda: GAUSSIAN(statistics(2), 6), r"patch of \(10, 10\) .* describe at most \(9, 9\)"),
    (lambda: GAUSSIAN(statistics(2), (2, 2, 2)), r"window=\(2, 2, 2\) has 3 entries for 2"),
    (lambda: GAUSSIAN(statistics(2), 0), r"window=0 must be at least 1"),
    (lambda: GAUSSIAN(statistics(2), 3, -1), r"padding=-1 must be an int of at least 0"),
    (lambda: GAUSSIAN(statistics(2), 3, 1.5), r"padding=1.5 must be an int"),
    (lambda: GAUSSIAN(statistics(2), 3, color="rgb"), r"color='rgb' .* 'joint' or 'independent'"),
    (lambda: GAUSSIAN(statistics(2), 3, clip=(1.0, 0.0)), r"clip=\(1.0, 0.0\) must be a pair"),
    (lambda: GAUSSIAN(statistics(2), 3, clip=(0.5,)), r"clip=\(0.5,\) must be a pair"),
    (lambda: ConditionalGaussian(statistics(2), 3, jitter=-1.0), r"jitter=-1.0 must be at least"),
    (lambda: ConditionalGaussian(statistics(2), 3, jitter=np.nan), r"jitter=nan must be at least"),
    (
        # Neighbours that vary together more than each varies alone: no such process exists.
        lambda: ConditionalGaussian(
            PatchStatistics(np.full(1, 0.5), np.array([2.0, 1.0, 2.0]).reshape(3, 1, 1), 1), 2, 0
        ),
        r"not positive definite with jitter=1e-09 added; fit it on more images, or use a larger",
    ),
    (lambda: GAUSSIAN(statistics(2), 3).check((6, 12, 3), 2), r"smaller than the sampler's patch"),
    (lambda: GAUSSIAN(statistics(2), 3).check((12, 12, 1), 2), r"3 channels; fit statistics on"),
    (lambda: GAUSSIAN(statistics(2), 3).check((12, 3), 2), r"2 spatial axes and 3 channels"),
    (lambda: SAMPLERS["marginal"](2).check((12, 13, 3), 6), r"num_samples=6 is more than the 5 im"),
    (lambda: SAMPLERS["marginal"](2).check(SHAPE, 2), r"\(12, 13, 3\) .* differ .* one size"),
    (lambda: Marginal(np.zeros((12, 12)), 3), r"\(12, 12\) must be a batch"),
    (lambda: Marginal(np.full((2, *SHAPE), 2.0), 3), r"outside \[0, 1\]"),
    (lambda: Marginal(np.full((2, *SHAPE), np.nan), 3), r"NaN or infinite values"),
    (lambda: Marginal(np.zeros((0, *SHAPE)), 3), r"\(0, 12, 12, 3\) .* at least one image"),
    (lambda: Constant(1.5, 3), r"value=1.5 must be a grey level or one colour, within \[0, 1\]"),
    (lambda: Constant(np.nan, 3), r"value=nan must be"),
    (lambda: Constant((0.1, 0.2), 3).check(SHAPE, 1), r"value of 2 channels does not fit"),
    (lambda: Constant(0.5, (3,)).check(SHAPE, 1), r"axes but the sampler's window \(3,\)"),
    (lambda: Constant(0.5, 0), r"window=0 must be at least 1"),
    (lambda: Blur(3, sigma=0.0), r"sigma=0.0 must be a positive"),
    (lambda: Blur(3, sigma=np.inf), r"sigma=inf must be a positive"),
]


@pytest.mark.parametrize(("make", "words"), BAD, ids=[words for _, words in BAD])
def test_bad_inputs_are_named(untyped, make, words) -> None:
    with pytest.raises(ValueError, match=words):
        make()
