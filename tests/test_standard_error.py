"""Standard errors mean what they say: how often intervals cover the value of a very long run."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gaussian_reference import smooth, statistics

from pdjax import ConditionalGaussian, prediction_difference

REPEATS, LONG = 250, 20_000
IMAGE = jnp.array(smooth(9, 9, 3, seed=3), jnp.float32)
WEIGHTS = jnp.array(0.5 * np.random.default_rng(0).standard_normal((243, 4)), jnp.float32)


def network(params, images):
    scores = images.reshape(len(images), -1) @ params
    return {"scores": scores, "prob": jax.nn.softmax(scores)}


@functools.cache
def runs(num_samples: int):
    """Maps of a long run, and of many short ones under keys of their own."""
    sampler = ConditionalGaussian(statistics(2), 3, 1, jitter=1e-6)
    run = jax.jit(
        functools.partial(prediction_difference, network, layers=("prob", "scores")),
        static_argnames=("num_samples", "batch_size"),
    )
    truth = run(
        WEIGHTS, IMAGE, sampler, rng_key=jax.random.key(1), num_samples=LONG, batch_size=LONG
    )
    many = jax.jit(
        jax.vmap(
            lambda key: run(
                WEIGHTS, IMAGE, sampler, rng_key=key, num_samples=num_samples, batch_size=1000
            )
        )
    )
    return truth, many(jax.random.split(jax.random.key(2), REPEATS))


def coverage(truth, many, kind: str, layer: str) -> float:
    prefix = "" if kind == "pixels" else "window_"
    names = (f"{prefix}relevance", f"{prefix}standard_error")
    expected = np.asarray(getattr(truth, names[0])[layer])
    value, error = (np.asarray(getattr(many, name)[layer]) for name in names)
    return float((np.abs(value - expected[None]) <= 1.96 * error).mean())


# At 10 samples a window's error has 9 degrees of freedom, so that 1.96 of them cover 92.5 % by
# Student's distribution; a pixel has the degrees of freedom of the 1 to 9 windows on it. All the
# 250 repeats of 4 outputs at 81 pixels (not independent of each other) know a coverage to 0.3 %.
@pytest.mark.parametrize("layer", ["prob", "scores"])
@pytest.mark.parametrize(("kind", "low", "high"), [("pixels", 0.92, 0.98), ("windows", 0.91, 0.96)])
def test_intervals_of_two_standard_errors_cover_the_long_run(layer, kind, low, high) -> None:
    truth, many = runs(10)
    covered = coverage(truth, many, kind, layer)
    print(f"coverage of {kind} of {layer}: {covered:.4f}")
    assert low < covered < high


@pytest.mark.parametrize("layer", ["prob", "scores"])
def test_pixels_in_the_interior_are_covered_as_often_as_promised(layer) -> None:
    truth, many = runs(10)
    inside = (..., slice(2, -2), slice(2, -2))
    expected = np.asarray(truth.relevance[layer])[inside]
    value, error = (np.asarray(a[layer])[inside] for a in (many.relevance, many.standard_error))
    covered = float((np.abs(value - expected[None]) <= 1.96 * error).mean())
    print(f"coverage of interior pixels of {layer}: {covered:.4f}")
    assert 0.92 < covered < 0.98
    # And the error is the spread of the repeats, which is itself known to 4.5 % at a pixel.
    spread = value.std(0, ddof=1)
    assert np.mean(error.mean(0) / spread) == pytest.approx(1, abs=0.03)
    assert np.abs(error.mean(0) / spread - 1).max() < 0.25


@pytest.mark.parametrize("kind", ["standard_error", "window_standard_error"])
def test_two_samples_give_errors_of_the_right_size_on_average(kind) -> None:
    _, many = runs(2)
    value = np.asarray(getattr(many, kind.replace("standard_error", "relevance"))["scores"])
    error = np.asarray(getattr(many, kind)["scores"])
    ratio = error.mean(0) / value.std(0, ddof=1)
    assert ratio.mean() == pytest.approx(1, abs=0.03)
