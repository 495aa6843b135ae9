"""Measures of relevance, against the formulas in double precision."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.refusals import refused
from hypothesis import given, settings
from hypothesis import strategies as st

import pdjax
from pdjax.method.measures import (
    ACTIVATION_DIFFERENCE,
    MEASURES,
    Measure,
    Probability,
    activation_difference,
    find_measure,
    information_difference,
    probability_difference,
    weight_of_evidence,
)

CORRECTIONS = [(None, None), (1_281_167, 1000), (100_000, 7), (3, 2)]
IDS = [f"N={n}" for n, _ in CORRECTIONS]


def laplace(p: np.ndarray, n: int | None, k: int | None) -> np.ndarray:
    return p if n is None else (p * n + 1) / (n + k)


def evidence(p: np.ndarray, without: np.ndarray, n: int | None, k: int | None) -> np.ndarray:
    p, without = laplace(p, n, k), laplace(without, n, k)
    return np.log2(p / (1 - p)) - np.log2(without / (1 - without))


@pytest.mark.parametrize(("n", "k"), CORRECTIONS, ids=IDS)
def test_weight_of_evidence_is_the_formula(n, k) -> None:
    p, without = np.random.default_rng(0).random((2, 500)) * 0.98 + 0.01
    expected = evidence(p, without, n, k)
    single = weight_of_evidence(
        jnp.array(p), jnp.array(without), num_training_images=n, num_classes=k
    )
    assert single.dtype == jnp.float32
    np.testing.assert_allclose(single, expected, atol=1e-5)
    with jax.enable_x64(True):
        double = weight_of_evidence(
            jnp.array(p), jnp.array(without), num_training_images=n, num_classes=k
        )
        np.testing.assert_allclose(double, expected, atol=1e-12)


@pytest.mark.parametrize(("n", "k"), CORRECTIONS, ids=IDS)
def test_a_complement_keeps_what_subtraction_from_one_loses(n, k) -> None:
    complement = np.array([1e-3, 1e-9, 1e-20, 1e-30])
    p, half = np.ones(4), np.full(4, 0.5)
    if n is None:
        expected = -np.log2(complement)
    else:
        expected = np.log2((n + 1) / (complement * n + k - 1)) - np.log2(
            (0.5 * n + 1) / (0.5 * n + k - 1)
        )
    result = weight_of_evidence(
        jnp.array(p),
        jnp.array(half),
        complement=jnp.array(complement),
        complement_without=jnp.array(half),
        num_training_images=n,
        num_classes=k,
    )
    # p = 1 - 1e-3 is given as 1, which is 0.0015 bits.
    np.testing.assert_allclose(result, expected, atol=2e-3)


def relevance_and_error(measure, reference, without, error):
    errors = jnp.broadcast_to(jnp.asarray(error, without.p.dtype), without.p.shape)
    return measure.difference(reference, without), measure.standard_error(without, errors)


EXTREME = [0.0, 1e-45, 1e-38, 1e-30, 1e-7, 0.5, 1 - 2**-24, 1.0]


@pytest.mark.parametrize(("n", "k"), [*CORRECTIONS, (0, 5), (10, 1)])
@pytest.mark.parametrize("double", [False, True])
def test_every_measure_is_finite_at_the_extremes(n, k, double) -> None:
    with jax.enable_x64(double):
        p, without = (jnp.array(a.ravel()) for a in np.meshgrid(EXTREME, EXTREME))
        laplace = {"num_training_images": n, "num_classes": k}
        results = [
            weight_of_evidence(p, without, **laplace),
            weight_of_evidence(
                p, without, complement=1 - p, complement_without=1 - without, **laplace
            ),
            information_difference(p, without, **laplace),
            *(
                part
                for kind in MEASURES.values()
                for error in (0.0, 0.5)
                for part in relevance_and_error(
                    kind(n, k), Probability(p, 1 - p), Probability(without, 1 - without), error
                )
            ),
        ]
    for result in results:
        assert np.isfinite(result).all()


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.floats(0, 1, width=32, allow_subnormal=True), min_size=2, max_size=2),
    st.sampled_from(CORRECTIONS),
)
def test_weight_of_evidence_is_finite_antisymmetric_and_ordered(pair, correction) -> None:
    p, without = (jnp.array([value], jnp.float32) for value in pair)
    counts = dict(zip(("num_training_images", "num_classes"), correction, strict=True))
    for measure in (weight_of_evidence, information_difference):
        result = float(measure(p, without, **counts)[0])
        assert np.isfinite(result)
        assert result == -float(measure(without, p, **counts)[0])
        # Equal only where rounding makes them so; never the wrong sign.
        assert result * (pair[0] - pair[1]) >= 0


def test_differences_are_differences() -> None:
    a, b = jnp.array([0.75, 0.5, -3.0]), jnp.array([0.25, 0.5, 2.0])
    np.testing.assert_array_equal(activation_difference(a, b), [0.5, 0, -5])
    np.testing.assert_array_equal(probability_difference(a[:2], b[:2]), [0.5, 0])
    bits = information_difference(a[:2], b[:2])
    np.testing.assert_allclose(bits, [np.log2(3), 0], atol=1e-6)
    corrected = information_difference(a[:2], b[:2], num_training_images=9, num_classes=3)
    expected = np.log2((0.75 * 9 + 1) / (0.25 * 9 + 1))
    np.testing.assert_allclose(corrected, [expected, 0], atol=1e-6)


@pytest.mark.parametrize(("n", "k"), CORRECTIONS[:3], ids=IDS[:3])
@pytest.mark.parametrize("measure", MEASURES)
def test_error_is_the_spread_of_the_measure_for_a_small_spread_of_p(x64, measure, n, k) -> None:
    p = np.array([1e-4, 0.02, 0.3, 0.7, 0.98, 0.9999])
    spread = 0.01 * np.minimum(p, 1 - p)
    draws = 200_000
    noise = np.random.default_rng(1).standard_normal((draws, 1)) * spread
    reference = Probability(jnp.full(6, 0.6), jnp.full(6, 0.4))

    def measured(without: np.ndarray, error: np.ndarray) -> tuple[jax.Array, jax.Array]:
        both = Probability(jnp.array(without), jnp.array(1 - without))
        wide = Probability(*(jnp.broadcast_to(a, without.shape) for a in reference))
        return relevance_and_error(MEASURES[measure](n, k), wide, both, error)

    relevance, error = measured(p, spread)
    samples, _ = measured(p + noise, np.zeros_like(noise))
    # The standard deviation of 200,000 draws is itself known to 0.16 %; the curvature of the
    # logarithm over a spread of 1 % adds less than 0.02 %.
    np.testing.assert_allclose(error, np.std(samples, axis=0), rtol=0.008)
    functions = {
        "weight_of_evidence": lambda a, b: evidence(a, b, n, k),
        "probability_difference": lambda a, b: a - b,
        "information_difference": lambda a, b: np.log2(laplace(a, n, k) / laplace(b, n, k)),
    }
    expected = functions[measure](np.full(6, 0.6), p)
    np.testing.assert_allclose(relevance, expected, atol=1e-10)
    step = 1e-6 * spread
    high, low = (functions[measure](np.full(6, 0.6), p + s) for s in (step, -step))
    np.testing.assert_allclose(error, np.abs(high - low) / (2 * step) * spread, rtol=1e-4)


def test_laplace_needs_the_number_of_classes() -> None:
    half = jnp.array(0.5)
    for measure in (weight_of_evidence, information_difference):
        with refused("num_classes"):
            measure(half, half, num_training_images=100)


@dataclasses.dataclass(frozen=True)
class Hellinger(Measure):
    """Twice the arc sine of the root: a measure of one's own, in one place and in no table."""

    name, title, unit = "hellinger", "difference of arc sines", "rad"

    def transform(self, probability):
        return 2 * jnp.arcsin(jnp.sqrt(probability.p))


def test_a_measure_of_ones_own_needs_one_function(x64) -> None:
    p = jnp.array([0.1, 0.4, 0.8])
    measure, without = Hellinger(), Probability(p, 1 - p)
    reference = Probability(p + 0.1, 0.9 - p)
    expected = 2 * (np.arcsin(np.sqrt(p + 0.1)) - np.arcsin(np.sqrt(p)))
    np.testing.assert_allclose(measure.difference(reference, without), expected)
    # Its derivative is 1 / sqrt(p (1 - p)).
    error = measure.standard_error(without, jnp.full(3, 0.01))
    np.testing.assert_allclose(error, 0.01 / np.sqrt(p * (1 - p)))
    draws = np.random.default_rng(0).beta(4, 6, (1, 3, 2))
    leave_one_out = (draws.sum(1, keepdims=True) - draws) / 2

    def g(values):
        return 2 * np.arcsin(np.sqrt(values))

    expected = -2 * (g(leave_one_out).mean(1) - g(draws.mean(1)))
    found = measure.bias(Probability(jnp.array(draws), jnp.array(1 - draws)))
    np.testing.assert_allclose(found, expected, atol=1e-12)


def softmax_of_channels(params, images):
    return jax.nn.softmax(8 * images.mean((1, 2)))


def test_a_measure_of_ones_own_is_used_everywhere() -> None:
    image = jnp.full((6, 6, 3), 0.5).at[:3, :3, 0].set(1.0)
    sampler = pdjax.Constant(0.25, window=3)
    options = {"rng_key": jax.random.key(0), "num_samples": 1, "stride": 3, "engine": "dense"}
    net = pdjax.Classifier.from_function(softmax_of_channels, None, image_size=6)
    result = pdjax.explain(net, image, sampler, measure=Hellinger(), classes=[0], **options)
    run = functools.partial(
        pdjax.prediction_difference, softmax_of_channels, None, measure=Hellinger(), classes=[0]
    )
    key = options.pop("rng_key")
    maps = jax.jit(functools.partial(run, **options))(image, sampler, rng_key=key)
    hidden = image.at[:3, :3].set(0.25)
    p, without = softmax_of_channels(None, jnp.stack([image, hidden]))[:, 0]
    expected = 2 * (np.arcsin(np.sqrt(p)) - np.arcsin(np.sqrt(without)))
    for found in (result.window_relevance, maps.window_relevance):
        assert found["prob"][0, 0, 0] == pytest.approx(expected, rel=1e-4)
    assert result.measures["prob"] == "difference of arc sines (rad)"
    assert (result.symbols["prob"], result.settings["measure"]) == ("rad", "hellinger")


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize("measure", ["bits", 3, ACTIVATION_DIFFERENCE, Hellinger])
def test_what_is_no_measure_of_probabilities(measure) -> None:
    with refused("measure", ValueError if isinstance(measure, str) else TypeError):
        find_measure(measure)
