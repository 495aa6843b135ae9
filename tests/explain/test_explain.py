"""Explaining an image: against published numbers, for the classes asked for, and in stages."""

from __future__ import annotations

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.refusals import refused

from pdjax import (
    Classifier,
    ConditionalGaussian,
    Explanation,
    Marginal,
    PatchStatistics,
    explain,
    prediction_difference,
    preview,
)

KEY = jax.random.key(0)


def classifier(params, images):
    w1, b1, w2, b2 = params
    dot = functools.partial(jnp.matmul, precision="highest")
    hidden = jnp.tanh(dot(images.reshape(len(images), -1), w1) + b1[None])
    return jax.nn.softmax(dot(hidden, w2) + b2[None])


@pytest.fixture(scope="module")
def published(shared: Path) -> dict[str, np.ndarray]:
    with np.load(shared / "expected" / "marginal_small.npz") as arrays:
        return dict(arrays)


def maps_of(data, route: str):
    dtype = jax.dtypes.canonicalize_dtype(np.float64)
    params = tuple(jnp.asarray(data[name], dtype) for name in ("W1", "b1", "W2", "b2"))
    image = jnp.asarray(data["image"], dtype)
    sampler = Marginal(data["images"], int(data["window"]))
    # The authors take the logarithm of the mean as it is.
    settings = {"num_samples": int(data["num_samples"]), "rng_key": KEY, "bias_correction": False}
    count = int(data["num_training_images"])
    if route == "prediction_difference":
        run = functools.partial(
            prediction_difference,
            classifier,
            num_training_images=count,
            num_samples=10,
            bias_correction=False,
        )
        return jax.jit(run)(params, image, sampler, rng_key=KEY)
    net = Classifier.from_function(
        classifier, params, image_size=24, num_training_images=count, name="small"
    )
    return explain(net, image, sampler, classes=list(range(7)), engine=route, **settings)


def in_numpy(data) -> tuple[np.ndarray, np.ndarray]:
    """The algorithm written out in double precision."""
    w1, b1, w2, b2 = (data[name] for name in ("W1", "b1", "W2", "b2"))

    def log_odds(p):
        n, k = int(data["num_training_images"]), p.shape[-1]
        p = (p * n + 1) / (n + k)
        return np.log2(p / (1 - p))

    def network(images):
        scores = np.tanh(images.reshape(len(images), -1) @ w1 + b1) @ w2 + b2
        powers = np.exp(scores - scores.max(-1, keepdims=True))
        return powers / powers.sum(-1, keepdims=True)

    image, others = data["image"].astype(np.float64), data["images"].astype(np.float64)
    windows, total = np.zeros((7, 20, 20)), np.zeros((7, 24, 24))
    count = np.zeros((24, 24))
    for y, x in np.ndindex(20, 20):
        box = (slice(y, y + 5), slice(x, x + 5))
        images = np.repeat(image[None], 10, 0)
        images[(slice(None), *box)] = others[(slice(10), *box)]
        value = log_odds(network(image[None])[0]) - log_odds(network(images).mean(0))
        windows[:, y, x] = value
        total[(slice(None), *box)] += value[:, None, None]
        count[box] += 1
    return windows, total / count


@pytest.mark.parametrize("route", ["dense", "callable", "prediction_difference"])
def test_published_numbers_in_single_precision(published, route) -> None:
    maps = maps_of(published, route)
    assert maps.relevance["prob"].dtype == np.float32
    windows = maps.window_relevance["prob"]
    np.testing.assert_allclose(windows, published["window_relevance"], atol=1e-4)
    np.testing.assert_allclose(maps.relevance["prob"], published["exact"], atol=1e-4)
    # The authors' code keeps its map in float16: half a unit in the last of 11 digits.
    valid = published["published_valid"]
    difference = maps.relevance["prob"][:, valid] - published["published"][:, valid]
    bound = 2.0**-11 * np.abs(published["published"][:, valid]) + 1e-5
    assert (np.abs(difference) <= bound).all()


@pytest.mark.parametrize("route", ["dense", "callable", "prediction_difference"])
def test_published_numbers_in_double_precision(x64, published, route) -> None:
    maps = maps_of(published, route)
    assert maps.relevance["prob"].dtype == np.float64
    windows, pixels = in_numpy(published)
    np.testing.assert_allclose(maps.window_relevance["prob"], windows, atol=1e-9)
    np.testing.assert_allclose(maps.relevance["prob"], pixels, atol=1e-9)
    # The images of the file were rounded to float32 after its maps had been made, which moves
    # them by up to 4e-7 bits.
    expected = published["window_relevance"]
    np.testing.assert_allclose(maps.window_relevance["prob"], expected, atol=1e-6)
    np.testing.assert_allclose(maps.relevance["prob"], published["exact"], atol=1e-6)


IMAGE = np.random.default_rng(0).random((10, 8, 3), np.float32)
PARAMS = jnp.array(np.random.default_rng(1).standard_normal((240, 5)), jnp.float32)
OTHERS = np.random.default_rng(2).random((6, 10, 8, 3), np.float32)


def network(params, images):
    scores = jnp.matmul(images.reshape(len(images), -1), params, precision="highest")
    return {"scores": scores, "prob": jax.nn.softmax(scores)}


NET = Classifier.from_function(network, PARAMS, image_size=(10, 8))


def run(net=NET, sampler=None, **options) -> Explanation:
    defaults = {"rng_key": KEY, "num_samples": 4, "engine": "dense"}
    return explain(net, IMAGE, sampler or Marginal(OTHERS, 3), **defaults | options)


@pytest.mark.parametrize("classes", [2, 5, [3, 0], ["4", 1]], ids=str)
def test_rows_are_those_of_the_classes_asked_for(classes) -> None:
    if isinstance(classes, int):
        order = np.argsort(-np.asarray(network(PARAMS, IMAGE[None])["scores"][0]))[:classes]
    else:
        order = list(map(int, classes))
    result = run(classes=classes)
    assert result.settings["classes"] == list(order)
    assert result.names["prob"] == tuple(map(str, order))
    everything = run(classes=[0, 1, 2, 3, 4]).relevance["prob"]
    np.testing.assert_allclose(result.relevance["prob"], everything[list(order)], atol=1e-6)


def test_three_classes_or_all_are_explained_by_default() -> None:
    assert len(run().names["prob"]) == 3
    two = Classifier.from_function(network, PARAMS[:, :2], image_size=(10, 8))
    assert len(run(two).names["prob"]) == 2


def test_a_callable_of_numpy_arrays_needs_no_jax() -> None:
    def plain(images):
        assert type(images) is np.ndarray
        assert len(images) <= 7
        scores = images.reshape(len(images), -1) @ np.asarray(PARAMS)
        powers = np.exp(scores - scores.max(1, keepdims=True))
        return (powers / powers.sum(1, keepdims=True)).tolist()

    result = run(plain, engine="callable", batch_size=7, classes=[0, 4])
    expected = run(classes=[0, 4])
    np.testing.assert_allclose(result.relevance["prob"], expected.relevance["prob"], atol=1e-4)
    assert result.names["prob"] == ("0", "4")
    assert result.settings["model"] == "plain"


@pytest.mark.parametrize("sampling", ["independent", "antithetic"])
def test_stages_of_a_preview_end_in_the_plain_run(sampling, tmp_path) -> None:
    options = {"sampling": sampling, "classes": [0], "rng_key": jax.random.key(3)}
    sampler = ConditionalGaussian(PatchStatistics.natural_images(), 4, 1)

    def stages(strides, **more):
        shared = {"num_samples": 4, "engine": "dense"}
        return preview(NET, IMAGE, sampler, strides=strides, **shared | options | more)

    found = list(stages((4, 2, 1)))
    assert [stage.settings["passes"] for stage in found] == [4 * n + 1 for n in (6, 12, 35)]
    for stage, stride in zip(found, (4, 2, 1), strict=True):
        plain = run(sampler=sampler, stride=stride, **options)
        np.testing.assert_allclose(
            stage.relevance["prob"], plain.relevance["prob"], rtol=1e-4, atol=1e-5
        )
        alike = {"passes": 0, "reached_error": 0}
        assert stage.settings | alike == plain.settings | alike
    file = tmp_path / "run.npz"
    first = next(iter(stages((4, 2), checkpoint=file)))
    np.testing.assert_array_equal(first.relevance["prob"], found[0].relevance["prob"])
    with refused("checkpoint") as caught:
        run(sampler=sampler, stride=2, checkpoint=file, **options)
    assert "stride" in str(caught.value)
