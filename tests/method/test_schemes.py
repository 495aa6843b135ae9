"""Schemes of sampling: what they promise of their numbers, and fewer errors for the same passes."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from helpers.gaussian_reference import closed_form, smooth, statistics
from helpers.refusals import refused

from pdjax import (
    ConditionalGaussian,
    Constant,
    ImageMean,
    Marginal,
    WindowGrid,
    marginalize,
    prediction_difference,
)
from pdjax._types import NormalSampler, Sampler
from pdjax.method.marginalize import Design, draw, first_draws, summarise
from pdjax.method.schemes import SCHEMES, Scheme, hypercube_leaves, nested_uniform, sobol_leaves

SHAPE = (9, 10, 3)
IMAGE = jnp.array(smooth(*SHAPE), jnp.float32)
KEY = jax.random.key(5)
NOISE = np.random.default_rng(0)
WEIGHTS = (0.3 * NOISE.standard_normal((270, 4))).astype(np.float32)
HIDDEN = (0.7 * NOISE.standard_normal((270, 16))).astype(np.float32)
OUTPUT = NOISE.standard_normal((16, 4)).astype(np.float32)


@functools.cache
def gaussian(color: str = "joint", window: int = 3) -> ConditionalGaussian:
    return ConditionalGaussian(statistics(2), window, 1, color, clip=None, jitter=1e-6)


def linear(params, images):
    return jnp.matmul(images.reshape(len(images), -1), params, precision="highest")


def small(params, images):
    scores = linear(OUTPUT.astype(images.dtype), jnp.tanh(linear(params, images)))
    return {"scores": scores, "prob": jax.nn.softmax(scores)}


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def points_of(kind: str, points: int, axes: int, dtype=jnp.float32, key=KEY) -> jax.Array:
    """Scrambled points in (-1, 1)."""
    if kind == "sobol":
        return nested_uniform(key, jnp.asarray(sobol_leaves(points, axes)), dtype)
    order_key, scramble_key = jax.random.split(key)
    return nested_uniform(scramble_key, hypercube_leaves(order_key, points, axes), dtype)


@pytest.mark.parametrize("kind", ["sobol", "hypercube"])
@pytest.mark.parametrize("depth", [1, 2, 3, 6])
def test_one_point_is_in_each_interval_of_each_axis(kind, depth) -> None:
    keys = jax.random.split(KEY, 200)
    points = jax.vmap(lambda key: points_of(kind, 2**depth, 40, key=key))(keys)
    points = (np.asarray(points) + 1) / 2
    assert points.shape == (200, 2**depth, 40)
    intervals = np.sort(np.floor(points * 2**depth), axis=1)
    np.testing.assert_array_equal(intervals, np.arange(2.0**depth)[None, :, None] + 0 * intervals)
    # Each point is uniform by itself: Kolmogorov's statistic of 8000 of them would be 0.024 or
    # more with a probability of 2e-4.
    for point in points[:, 0], points[:, -1]:
        assert scipy.stats.kstest(point.ravel(), "uniform").statistic < 0.024


def test_a_net_of_two_axes_has_one_point_in_each_box() -> None:
    points = (np.asarray(points_of("sobol", 16, 2)) + 1) / 2
    for rows in (1, 2, 4, 8, 16):
        boxes = np.floor(points * [rows, 16 // rows])
        assert len(np.unique(boxes, axis=0)) == 16


def test_axes_of_a_hypercube_are_in_orders_of_their_own() -> None:
    points = np.asarray(points_of("hypercube", 8, 500))
    matched = np.corrcoef(points.argsort(0).argsort(0), rowvar=False)[np.triu_indices(500, 1)]
    # Rank correlations of 8 in random order have a mean of 0 and a variance of 1/7.
    assert abs(matched.mean()) < 0.01
    assert matched.var() == pytest.approx(1 / 7, abs=0.01)


@pytest.mark.parametrize("size", [2, 3, 5, 7, 12])
def test_a_net_of_any_size_is_the_beginning_of_the_next_larger_one(size) -> None:
    whole = points_of("sobol", 1 << (size - 1).bit_length(), 5)
    np.testing.assert_array_equal(points_of("sobol", size, 5), whole[:size])


def noise_of(scheme: str, num_samples: int, axes: int, repeats: int, dtype=jnp.float32):
    """The normal numbers (repeats, num_samples, axes) that a sampler is handed."""

    class Echo(ConditionalGaussian):
        window, axes = (1, 1), 0

        def __init__(self) -> None:
            pass

        def transform(self, noise, image, origin):
            return noise.reshape(len(noise), 1, 1, -1)

    Echo.axes = axes
    sample = functools.partial(Scheme(scheme, num_samples).sample, Echo())
    image, origin = jnp.zeros((1, 1, axes), dtype), jnp.zeros(2, jnp.int32)
    keys = jax.random.split(KEY, repeats)
    noise = jax.jit(jax.vmap(lambda key: sample(key, image, origin)))(keys)
    assert noise.dtype == dtype
    return np.asarray(noise, np.float64)[:, :, 0, 0]


@pytest.mark.parametrize("scheme", ["sobol", "antithetic"])
@pytest.mark.parametrize("num_samples", [4, 6, 8])
def test_every_sample_is_standard_normal_and_replicates_are_independent(
    scheme, num_samples
) -> None:
    noise = noise_of(scheme, num_samples, 50, 2000)
    assert np.isfinite(noise).all()
    # 50 axes of 2000 draws: the maximum of 50 has a chance of 5e-4 to be above 4.4 standard errors.
    for sample in (0, num_samples - 1):
        values = noise[:, sample]
        assert np.abs(values.mean(0)).max() < 4.4 / np.sqrt(2000)
        assert np.abs(np.square(values).mean(0) - 1).max() < 4.4 * np.sqrt(2 / 2000)
        mixed = (values[:, :-1] * values[:, 1:]).mean(0)
        assert np.abs(mixed).max() < 4.4 / np.sqrt(2000)
    size = num_samples // Scheme(scheme, num_samples).replicates
    across = (noise[:, 0] * noise[:, size]).mean(0)
    assert np.abs(across).max() < 4.4 / np.sqrt(2000)
    squares = (np.square(noise[:, 0]) - 1) * (np.square(noise[:, size]) - 1)
    assert np.abs(squares.mean(0)).max() < 5 * 2 / np.sqrt(2000)


def test_pairs_are_opposite_and_nets_are_even_on_all_axes() -> None:
    pairs = noise_of("antithetic", 6, 50, 10).reshape(10, 3, 2, 50)
    np.testing.assert_array_equal(pairs[:, :, 0], -pairs[:, :, 1])
    for size, leaves in ((8, 8), (3, 4)):
        nets = noise_of("sobol", 2 * size, 50, 10).reshape(20, size, 50)
        intervals = np.sort(np.floor(leaves * scipy.stats.norm.cdf(nets)), axis=1)
        assert (np.diff(intervals, axis=1) > 0).all()


@pytest.mark.parametrize("scheme", ["sobol", "antithetic"])
def test_a_key_stands_for_the_same_numbers_in_every_precision(x64, scheme) -> None:
    single, double = (noise_of(scheme, 8, 50, 50, dtype) for dtype in (jnp.float32, jnp.float64))
    assert double.dtype == np.float64
    np.testing.assert_allclose(single, double, atol=1e-3)
    if scheme == "sobol":
        single, double = (points_of("sobol", 8, 9, dtype) for dtype in (jnp.float32, jnp.float64))
        np.testing.assert_allclose(single, double, atol=2.0**-22)


def of_linear(color: str, **options):
    run = functools.partial(marginalize, linear, stride=3, engine="dense", **options)
    return jax.jit(run)(WEIGHTS, IMAGE, gaussian(color), rng_key=KEY)


@pytest.mark.parametrize("color", ["joint", "independent"])
def test_opposite_pairs_give_the_exact_mean_of_a_linear_function(color) -> None:
    result = of_linear(color, num_samples=4, sampling="antithetic")
    np.testing.assert_allclose(result.mean, exact_means(color), atol=1e-5)
    assert np.asarray(result.variance).max() < 1e-10


def exact_means(color: str) -> np.ndarray:
    grid = WindowGrid(SHAPE[:2], 3, 3)
    image = np.asarray(IMAGE, np.float64)
    means = []
    for y, x in np.asarray(grid.origins(np.arange(grid.size))):
        hidden = image.copy()
        mean, _ = closed_form(statistics(2), image, (y, x), (3, 3), 1, color, 1e-6)
        hidden[y : y + 3, x : x + 3] = mean.reshape(3, 3, 3)
        means.append(hidden.ravel() @ WEIGHTS)
    return np.stack(means)


@pytest.mark.parametrize("color", ["joint", "independent"])
def test_nets_converge_to_the_mean_of_a_linear_function_faster_than_chance(color) -> None:
    means = {
        scheme: of_linear(color, num_samples=128, sampling=scheme).mean
        for scheme in ("independent", "sobol")
    }
    errors = {
        name: np.sqrt(np.mean((mean - exact_means(color)) ** 2)) for name, mean in means.items()
    }
    print(color, errors)
    assert errors["sobol"] < 0.1 * errors["independent"]
    assert errors["sobol"] < 0.01


def repeated(scheme: str, num_samples: int, repeats: int = 200) -> jax.Array:
    """Mean probabilities (repeats, windows, 4) of 5 by 5 windows: 75 axes."""
    run = functools.partial(
        marginalize,
        lambda params, images: small(params, images)["prob"],
        HIDDEN,
        IMAGE,
        gaussian(window=5),
        num_samples=num_samples,
        stride=5,
        sampling=scheme,
        engine="dense",
        batch_size=1000,
    )
    return jax.jit(jax.vmap(lambda key: run(rng_key=key).mean))(jax.random.split(KEY, repeats))


def test_at_8_samples_nets_have_a_fraction_of_the_error_variance() -> None:
    truth = repeated("sobol", 4096, 4).mean(0)
    variance = {
        scheme: float(np.mean(np.square(repeated(scheme, 8) - truth[None]))) for scheme in SCHEMES
    }
    ratio = {scheme: variance["independent"] / variance[scheme] for scheme in SCHEMES}
    print("error variance of independent samples over that of", ratio)
    assert ratio["sobol"] > 2
    assert ratio["antithetic"] > 1


@pytest.mark.parametrize("scheme", SCHEMES)
def test_moments_are_those_of_the_means_of_replicates(scheme) -> None:
    outputs = {"a": jnp.array(NOISE.standard_normal((5 * 8, 2)), jnp.float32)}
    design = Design(WindowGrid((5,), 1), Scheme(scheme, 8))
    found = summarise(outputs, design)
    groups = {"independent": 8, "antithetic": 4, "sobol": 2}[scheme]
    replicates = np.asarray(outputs["a"]).reshape(5, groups, -1, 2).mean(2)
    np.testing.assert_allclose(found.mean["a"], replicates.mean(1), atol=1e-6)
    np.testing.assert_allclose(found.variance["a"], replicates.var(1, ddof=1), atol=1e-6)
    assert found.bias == {}


def close(one, two, atol: float = 1e-5) -> None:
    jax.tree.map(functools.partial(np.testing.assert_allclose, atol=atol, rtol=1e-4), one, two)


difference = functools.partial(
    prediction_difference, small, num_samples=6, stride=2, engine="dense"
)


@functools.cache
def reference_maps(scheme: str):
    with jax.numpy_rank_promotion("raise"):
        return difference(HIDDEN, IMAGE, gaussian(), rng_key=KEY, sampling=scheme)


@pytest.mark.parametrize("scheme", SCHEMES[1:])
@pytest.mark.parametrize("options", [{"batch_size": 1}, {"batch_size": 50}, {"engine": "local"}])
def test_maps_do_not_depend_on_chunks_engine_or_jit(scheme, options) -> None:
    compiled = jax.jit(functools.partial(difference, sampling=scheme, **options))
    close(compiled(HIDDEN, IMAGE, gaussian(), rng_key=KEY), reference_maps(scheme))


@pytest.mark.parametrize("scheme", SCHEMES[1:])
def test_maps_of_many_keys_and_images_at_once(scheme) -> None:
    def run(image, key):
        return difference(HIDDEN, image, gaussian(), rng_key=key, sampling=scheme)

    both = jax.jit(jax.vmap(run))(jnp.stack([IMAGE[::-1], IMAGE]), jax.random.split(KEY))
    close(jax.tree.map(lambda a: a[1], both), run(IMAGE, jax.random.split(KEY)[1]))
    one = jax.vmap(lambda key: run(IMAGE, key))(jnp.stack([KEY]))
    close(jax.tree.map(lambda a: a[0], one), reference_maps(scheme))


@pytest.mark.parametrize("scheme", SCHEMES[1:])
def test_a_window_has_the_same_samples_whatever_else_is_drawn(scheme) -> None:
    def contents(stride, indices):
        design = Design(WindowGrid(SHAPE[:2], 3, stride), Scheme(scheme, 8))
        draws = first_draws(np.array(indices))
        return jax.jit(draw, static_argnums=4)(IMAGE, gaussian(), KEY, draws, design)[1]

    fine, coarse = contents(1, [0, 2, 16]), contents(2, [0, 1, 5])
    np.testing.assert_allclose(fine, coarse, atol=1e-6)
    assert np.abs(fine[0] - fine[1]).min() > 0


@pytest.mark.parametrize("scheme", SCHEMES)
def test_maps_in_double_precision(x64, scheme) -> None:
    sampler = ConditionalGaussian(statistics(2), 3, 1, jitter=1e-6)
    image = jnp.array(smooth(*SHAPE))
    run = jax.jit(functools.partial(difference, sampling=scheme))
    maps = run(HIDDEN.astype(float), image, sampler, rng_key=KEY)
    for part in jax.tree.leaves(maps):
        assert part.dtype == jnp.float64
        assert np.isfinite(part).all()
    assert float(maps.standard_error["prob"].min()) > 0


class Own:
    """A sampler that somebody else wrote."""

    window, constant = (3, 3), False

    def check(self, image_shape, num_samples) -> None:
        pass

    def sample(self, rng_key, image, origin, num_samples):
        return jax.random.uniform(rng_key, (num_samples, 3, 3, 3), image.dtype)


jax.tree_util.register_static(Own)


def test_a_sampler_without_normal_numbers_is_used_as_it_is() -> None:
    assert isinstance(Own(), Sampler)
    assert not isinstance(Own(), NormalSampler)
    key = jax.random.key(3)
    drawn = Scheme("independent", 5).sample(Own(), key, IMAGE, jnp.zeros(2, jnp.int32))
    np.testing.assert_array_equal(drawn, Own().sample(key, IMAGE, None, 5))
    assert difference(HIDDEN, IMAGE, Own(), rng_key=KEY).relevance["prob"].shape == (4, 9, 10)


@pytest.mark.parametrize("scheme", SCHEMES[1:])
@pytest.mark.parametrize(
    "sampler",
    [Own(), Constant(0.5, 3), ImageMean(3), Marginal(np.zeros((8, *SHAPE)), 3)],
    ids=lambda sampler: type(sampler).__name__,
)
def test_a_sampler_without_normal_numbers_is_refused_for_other_schemes(scheme, sampler) -> None:
    with refused("sampling"):
        Scheme(scheme, 4).check(sampler)


def test_every_way_in_asks_whether_a_scheme_goes_with_the_sampler() -> None:
    options = {"rng_key": KEY, "num_samples": 4, "sampling": "sobol"}
    for way in (prediction_difference, marginalize):
        with refused("sampling"):
            way(linear, WEIGHTS, IMAGE, Constant(0.5, 3), **options)


BAD = {
    "unknown": ("sampling", ("halton", 8)),
    "no samples": ("num_samples", ("independent", 0)),
    "no int": ("num_samples", ("sobol", 4.0)),
    "one net": ("num_samples", ("sobol", 1)),
    "nets of one": ("num_samples", ("sobol", 2)),
    "odd nets": ("num_samples", ("sobol", 7)),
    "odd": ("num_samples", ("antithetic", 3)),
    "odd pairs": ("num_samples", ("antithetic", 5)),
}


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(("argument", "parts"), BAD.values(), ids=BAD)
def test_bad_inputs_are_named(argument, parts) -> None:
    with refused(argument):
        Scheme(*parts)


def test_the_next_count_that_fits_is_offered() -> None:
    with refused("num_samples") as caught:
        Scheme("antithetic", 5)
    assert "6" in caught.value.remedy


def test_one_sample_is_enough_where_all_are_the_same() -> None:
    one = Scheme("independent", 1)
    one.check_error(Constant(0.5, 3))
    with refused("num_samples"):
        one.check_error(Own())
