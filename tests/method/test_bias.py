"""The jackknife over replicates: against its definition, at the ends of the scale, and its use."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.gaussian_reference import smooth, statistics
from hypothesis import given, settings
from hypothesis import strategies as st

from pdjax import ConditionalGaussian, Constant, prediction_difference
from pdjax.bias import Jackknife
from pdjax.method.maps import relevance_maps
from pdjax.method.marginalize import Moments
from pdjax.method.measures import (
    ACTIVATION_DIFFERENCE,
    MEASURES,
    Probability,
    WeightOfEvidence,
)
from pdjax.method.schemes import SCHEMES
from pdjax.method.units import Readout
from pdjax.method.windows import WindowGrid

BITS = ("weight_of_evidence", "information_difference")
CORRECTIONS = [(None, 4), (1_281_167, 1000), (3, 2)]


def definition(measure: str, p: np.ndarray, n: int | None, k: int) -> np.ndarray:
    """Bias of the relevance, not of the function: with the opposite sign."""

    def g(p):
        p = p if n is None else (p * n + 1) / (n + k)
        return np.log2(p) if measure == "information_difference" else np.log2(p) - np.log2(1 - p)

    count = p.shape[1]
    without = (p.sum(1, keepdims=True) - p) / (count - 1)
    corrected = count * g(p.mean(1)) - (count - 1) / count * g(without).sum(1)
    return corrected - g(p.mean(1))


@pytest.mark.parametrize("count", [2, 3, 10])
@pytest.mark.parametrize(("n", "k"), CORRECTIONS, ids=lambda value: f"{value}")
@pytest.mark.parametrize("measure", BITS)
def test_the_bias_is_that_of_the_definition(measure, n, k, count) -> None:
    p = np.random.default_rng(count).beta(2, 3, (50, count, 4))
    expected = definition(measure, p, n, k)
    single = Probability(jnp.array(p, jnp.float32), jnp.array(1 - p, jnp.float32))
    found = MEASURES[measure](n, k).bias(single)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, expected, atol=2e-6)
    with jax.enable_x64(True):
        double = Probability(jnp.array(p), jnp.array(1 - p))
        np.testing.assert_allclose(MEASURES[measure](n, k).bias(double), expected, atol=1e-12)


def test_what_subtraction_from_one_would_lose_is_kept() -> None:
    complement = np.array([1e-12, 3e-12, 2e-12]).reshape(1, 3, 1)
    p = Probability(jnp.ones((1, 3, 1)), jnp.array(complement, jnp.float32))
    # The odds against it have the bias of the odds of the small number.
    mirrored = definition("information_difference", complement, None, 2)
    np.testing.assert_allclose(WeightOfEvidence().bias(p), -mirrored, rtol=1e-4)


def test_many_replicates_do_not_multiply_rounding() -> None:
    p = np.random.default_rng(0).beta(2, 3, (4, 20_000, 2))
    single = Probability(jnp.array(p, jnp.float32), jnp.array(1 - p, jnp.float32))
    found = WeightOfEvidence().bias(single)
    np.testing.assert_allclose(found, definition("weight_of_evidence", p, None, 2), atol=1e-5)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.floats(0, 1, width=32, allow_subnormal=True), min_size=1, max_size=5),
    st.sampled_from(CORRECTIONS),
    st.sampled_from(BITS),
)
def test_the_bias_is_always_finite(values, counts, measure) -> None:
    p = jnp.array(values, jnp.float32).reshape(1, -1, 1)
    bias = float(MEASURES[measure](*counts).bias(Probability(p, 1 - p))[0, 0])
    assert np.isfinite(bias)
    if len(set(values)) == 1:
        assert abs(bias) < 1e-5


def test_only_bits_have_a_bias() -> None:
    p = jnp.array(np.random.default_rng(0).random((5, 3, 2)), jnp.float32)
    replicates = {"scores": p, "prob": Probability(p, 1 - p)}

    def jackknife(kind):
        return Jackknife((("scores", ACTIVATION_DIFFERENCE), ("prob", kind(None, 2))))

    for measure, kind in MEASURES.items():
        assert set(jackknife(kind)(replicates)) == ({"prob"} if measure in BITS else set())
        assert jackknife(kind) == jackknife(kind)
        assert hash(jackknife(kind)) == hash(jackknife(kind))


def test_no_more_than_a_standard_error_is_taken_off() -> None:
    grid = WindowGrid((2,), 1, 1)
    readouts = (Readout("prob", WeightOfEvidence(None, 2), "softmax"),)
    half = jnp.full((2, 1), 0.5)
    moments = Moments(
        {"prob": Probability(half, half)},
        {"prob": Probability(0 * half + 2e-4, 0 * half + 2e-4)},
        {"prob": jnp.array([[0.01], [-7.0]])},
    )
    reference = {"prob": Probability(half[:1], half[:1])}
    maps = relevance_maps(reference, moments, jnp.full(grid.size, 2), grid, readouts)
    error = 0.01 * 4 / np.log(2)
    np.testing.assert_allclose(maps.window_relevance["prob"][0], [-0.01, error], rtol=1e-4)


IMAGE = jnp.array(smooth(7, 7, 3, seed=3), jnp.float32)
WEIGHTS = jnp.array(0.5 * np.random.default_rng(0).standard_normal((147, 4)), jnp.float32)


def network(params, images):
    return jax.nn.softmax(images.reshape(len(images), -1) @ params)


@functools.cache
def sampler() -> ConditionalGaussian:
    return ConditionalGaussian(statistics(2), 3, 1, jitter=1e-6)


@functools.cache
def relevance(measure: str, repeats: int, **options) -> jax.Array:
    sampler()  # made before anything is traced
    options = {"stride": 2, "engine": "dense"} | options
    run = functools.partial(
        prediction_difference, network, WEIGHTS, IMAGE, measure=measure, **options
    )
    keys = jax.random.split(jax.random.key(2), repeats)
    return jax.jit(jax.vmap(lambda key: run(sampler(), rng_key=key).window_relevance["prob"]))(keys)


# What is left is mostly what 8000 runs do not know of the mean, about 0.0015 bits.
@pytest.mark.parametrize(
    ("scheme", "num_samples", "share"), [("independent", 2, 0.4), ("sobol", 4, 0.8)]
)
def test_the_bias_of_two_replicates_is_mostly_removed(scheme, num_samples, share) -> None:
    truth = relevance("weight_of_evidence", 1, num_samples=100_000, batch_size=10_000)[0]
    rms = {}
    for corrected in (False, True):
        options = {"num_samples": num_samples, "sampling": scheme, "bias_correction": corrected}
        mean = relevance("weight_of_evidence", 8000, batch_size=8000, **options).mean(0)
        rms[corrected] = float(jnp.sqrt(jnp.mean(jnp.square(mean - truth))))
    print(scheme, rms, rms[True] / rms[False])
    assert rms[True] < share * rms[False]


@pytest.mark.parametrize("num_samples", [1, 4])
def test_a_sampler_without_spread_has_nothing_to_correct(num_samples) -> None:
    run = functools.partial(prediction_difference, network, num_samples=num_samples, engine="dense")
    arguments = (WEIGHTS, IMAGE, Constant(0.5, 3))
    maps = [
        jax.jit(functools.partial(run, bias_correction=corrected))(
            *arguments, rng_key=jax.random.key(0)
        )
        for corrected in (False, True)
    ]
    np.testing.assert_array_equal(maps[0].relevance["prob"], maps[1].relevance["prob"])


@pytest.mark.parametrize("scheme", SCHEMES)
def test_scores_are_the_same_with_and_without(scheme) -> None:
    def scores(params, images):
        return {"scores": images.reshape(len(images), -1) @ params}

    options = {"num_samples": 4, "sampling": scheme, "engine": "dense"}
    run = functools.partial(prediction_difference, scores, **options)
    one, two = (
        jax.jit(functools.partial(run, bias_correction=corrected))(
            WEIGHTS, IMAGE, sampler(), rng_key=jax.random.key(0)
        )
        for corrected in (False, True)
    )
    np.testing.assert_array_equal(one.relevance["scores"], two.relevance["scores"])
