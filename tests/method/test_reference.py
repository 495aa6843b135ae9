"""What a network returns, checked in the pure core: in words, or as NaN where JAX traces."""

from __future__ import annotations

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.refusals import refused

import pdjax

SIDE, WINDOW = 8, 4
OTHERS = np.random.default_rng(0).random((6, SIDE, SIDE, 3), np.float32)
IMAGE = jnp.asarray(OTHERS[0])
SAMPLER = pdjax.Marginal(OTHERS[1:], WINDOW)


def difference(f, params=None, **options):
    defaults = {"rng_key": jax.random.key(0), "num_samples": 5, "stride": 4}
    return functools.partial(pdjax.prediction_difference, f, **defaults | options)


def pooled(params, images):
    return images.mean((1, 2)) * 4


def train_mode(params, images):
    z = images.mean((1, 2)) * 30
    return jax.nn.softmax(z - z.mean(0, keepdims=True))


def rows_of_chance(params, images):
    return jax.random.normal(jax.random.key(0), (len(images), 3))


UNSOUND = {
    "no softmax": ("outputs", pooled, {}),
    "no sigmoid": ("outputs", pooled, {"outputs": "sigmoid"}),
    "negative": ("outputs", lambda p, x: pooled(p, x) - 3, {}),
    "NaN": ("net", lambda p, x: jnp.sqrt(pooled(p, x) - 3), {"outputs": "values"}),
    "batch norm": ("net", train_mode, {}),
    "rows": (
        "net",
        lambda p, x: jax.random.normal(jax.random.key(0), (len(x), 3)),
        {"outputs": {}},
    ),
}


@pytest.mark.parametrize(("argument", "f", "options"), UNSOUND.values(), ids=UNSOUND)
def test_what_is_refused_is_nan_where_it_cannot_be_said(argument, f, options) -> None:
    run = difference(f, **options)
    with refused(argument):
        run(None, IMAGE, SAMPLER)
    maps = jax.jit(run)(None, IMAGE, SAMPLER)
    assert all(np.isnan(values).all() for values in jax.tree.leaves(maps.relevance))


def test_what_is_sound_is_the_same_compiled_or_not() -> None:
    run = difference(pooled, outputs="logits")
    for one, two in zip(
        jax.tree.leaves(run(None, IMAGE, SAMPLER)),
        jax.tree.leaves(jax.jit(run)(None, IMAGE, SAMPLER)),
        strict=True,
    ):
        np.testing.assert_allclose(one, two, atol=1e-5)


CLASSES = {
    "negative": ([-1], True),
    "beyond": (np.array([3]), True),
    "no index": ([0.5], False),
    "none": ([], False),
    "too many": (4, True),
}


@pytest.mark.parametrize(("classes", "of_value"), CLASSES.values(), ids=CLASSES)
@pytest.mark.usefixtures("untyped")
def test_classes_must_be_there(classes, of_value) -> None:
    with refused("classes", ValueError if of_value else TypeError):
        difference(pooled, outputs="logits", classes=classes)(None, IMAGE, SAMPLER)


@pytest.mark.parametrize("classes", [2, np.int64(2), [1, 0], np.array([1, 0]), jnp.array([1, 0])])
def test_classes_are_taken_in_every_form(classes) -> None:
    maps = difference(pooled, outputs="logits", classes=classes)(None, IMAGE, SAMPLER)
    assert maps.relevance["prob"].shape == (2, SIDE, SIDE)


def test_traced_classes_that_there_are_not_give_nan() -> None:
    def run(classes):
        return difference(pooled, outputs="logits", classes=classes)(None, IMAGE, SAMPLER)

    relevance = jax.jit(run)(jnp.array([1, -1, 3])).relevance["prob"]
    assert np.isfinite(relevance[0]).all()
    assert np.isnan(relevance[1:]).all()


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize("classes", [[1.7], [True, False, True], [[1, 0]], 2], ids=str)
def test_traced_classes_that_are_no_indices_are_refused(classes) -> None:
    def run(classes):
        return difference(pooled, outputs="logits", classes=classes)(None, IMAGE, SAMPLER)

    with refused("classes", TypeError):
        jax.jit(run)(jnp.array(classes))


def test_a_softmax_of_probabilities_comes_with_a_word() -> None:
    def f(params, images):
        return jax.nn.softmax(pooled(params, images))

    with pytest.warns(UserWarning, match="a softmax is taken twice"):
        difference(f, outputs="logits")(None, IMAGE, SAMPLER)
    # The logarithm of a softmax is as good as what the softmax was made of.
    difference(lambda p, x: jnp.log(f(p, x)), outputs="logits")(None, IMAGE, SAMPLER)


def in_double(kind: str, weights: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Weight of evidence of every window, written out in double precision."""

    def probabilities(images):
        z = images.reshape(len(images), -1).astype(np.float64) @ weights + bias
        if kind != "logits":
            return 1 / (1 + np.exp(-z)), 1 / (1 + np.exp(z))
        powers = np.exp(z - z.max(-1, keepdims=True))
        total = powers.sum(-1, keepdims=True)
        others = [np.delete(powers, c, 1).sum(1) for c in range(z.shape[1])]
        return powers / total, np.stack(others, -1) / total

    p, complement = probabilities(OTHERS[:1])
    found = []
    for y, x in itertools.product((0, 4), (0, 4)):
        images = np.repeat(OTHERS[:1], 5, 0)
        images[:, y : y + WINDOW, x : x + WINDOW] = OTHERS[1:, y : y + WINDOW, x : x + WINDOW]
        without, rest = probabilities(images)
        log_odds = np.log2(without.mean(0)) - np.log2(rest.mean(0))
        found.append(np.log2(p / complement)[0] - log_odds)
    return np.stack(found, -1)


@pytest.mark.parametrize(
    ("kind", "labels"), [("sigmoid_logits", 1), ("sigmoid_logits", 5), ("logits", 4)]
)
def test_log_odds_are_exact_however_close_to_one(kind, labels) -> None:
    weights = np.random.default_rng(1).normal(size=(SIDE * SIDE * 3, labels)) * 0.05
    weights = weights.astype(np.float32)
    away = np.log(1e12) * (1 if kind != "logits" else np.eye(labels)[0])
    bias = (away - OTHERS[0].reshape(-1) @ weights).astype(np.float32)

    def f(params, images):
        return images.reshape(len(images), -1) @ params[0] + params[1]

    run = difference(f, outputs=kind, bias_correction=False)
    params = (jnp.asarray(weights), jnp.asarray(bias)[None])
    maps = run(params, IMAGE, SAMPLER)
    found = np.asarray(maps.window_relevance["prob"]).reshape(labels, -1)
    np.testing.assert_allclose(found, in_double(kind, weights, bias), atol=1e-5)


def test_a_sigmoid_is_measured_by_each_label_alone() -> None:
    def f(params, images):
        return jax.nn.sigmoid(pooled(params, images) - 2)

    given = difference(f, outputs="sigmoid")(None, IMAGE, SAMPLER)
    before = difference(lambda p, x: pooled(p, x) - 2, outputs="sigmoid_logits")
    logits = before(None, IMAGE, SAMPLER)
    np.testing.assert_allclose(given.relevance["prob"], logits.relevance["prob"], atol=1e-5)


@pytest.mark.parametrize("window", [pdjax.Constant(0.5, WINDOW), SAMPLER], ids=["alike", "other"])
def test_gradients_are_finite(window) -> None:
    grey = jnp.full((SIDE, SIDE, 3), 0.5)

    def loss(scale):
        run = difference(lambda p, x: pooled(p, x) * p, outputs="logits", num_samples=5, stride=4)
        maps = run(scale, grey, window)
        return sum(values.sum() for values in jax.tree.leaves(maps))

    assert np.isfinite(jax.grad(loss)(1.0))


def test_probabilities_of_0_and_1_come_with_a_word() -> None:
    def f(params, images):
        share = (images[:, 0, 0, 0] > 0.5).astype(images.dtype)
        return jnp.stack([share, 1 - share], -1)

    with pytest.warns(UserWarning, match="probability_difference"):
        maps = difference(f)(None, IMAGE, SAMPLER)
    assert np.abs(maps.window_relevance["prob"]).max() <= 50
