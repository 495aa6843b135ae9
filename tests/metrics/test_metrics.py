"""Metrics of maps against closed forms, and the table of many."""

from __future__ import annotations

import csv

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.refusals import refused

import pdjax
from pdjax.metrics import (
    effective_pixels,
    evaluate,
    gini,
    grid_pointing_game,
    mosaic,
    pointing_game,
    randomisation_check,
    rank_correlation,
    structural_similarity,
    top_intersection,
)

RANDOM = np.random.default_rng(0)
MAP = RANDOM.normal(size=(12, 12))


@pytest.mark.parametrize("count", [1, 5, 36])
def test_sparseness_of_maps_with_so_many_equal_pixels(count) -> None:
    relevance = np.zeros(36)
    relevance[:count] = -0.3
    assert effective_pixels(relevance.reshape(6, 6)) == pytest.approx(count)
    assert gini(relevance) == pytest.approx(1 - count / 36)


def test_the_gini_coefficient_is_half_the_mean_difference_over_the_mean() -> None:
    values = np.abs(MAP).ravel()
    expected = np.abs(values[:, None] - values[None]).mean() / (2 * values.mean())
    assert gini(MAP) == pytest.approx(expected)


@pytest.mark.parametrize("metric", [gini, effective_pixels])
@pytest.mark.parametrize("relevance", [np.zeros((3, 3)), np.full((3, 3), np.nan)])
def test_maps_without_relevance_have_no_sparseness(metric, relevance) -> None:
    with refused("relevance"):
        metric(relevance)


def test_agreement_of_a_map_with_itself_and_its_opposite() -> None:
    assert rank_correlation(MAP, MAP**3) == pytest.approx(1)
    assert rank_correlation(MAP, -MAP) == pytest.approx(-1)
    assert structural_similarity(MAP, MAP) == pytest.approx(1)
    assert structural_similarity(MAP + 9, 9 - MAP) < 0
    assert top_intersection(MAP, MAP, 10) == 1
    assert top_intersection(MAP, -MAP, 72) == 0


def test_agreement_by_chance() -> None:
    other = RANDOM.normal(size=(200, 200))
    same = RANDOM.normal(size=(200, 200))
    assert abs(rank_correlation(other, same)) < 0.02
    assert abs(structural_similarity(other, same)) < 0.05
    assert top_intersection(other, same, 4000) == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize("metric", [rank_correlation, structural_similarity, top_intersection])
def test_maps_must_be_alike(metric) -> None:
    with refused("b"):
        metric(MAP, MAP[1:])
    with refused("a"):
        metric(np.full((12, 12), np.nan), MAP)


def test_more_pixels_than_there_are() -> None:
    with refused("count"):
        top_intersection(MAP, MAP, 145)
    with refused("b"):
        rank_correlation(MAP, np.ones_like(MAP))


@pytest.mark.parametrize("quarter", range(4))
def test_a_mosaic_points_to_its_quarters(quarter) -> None:
    images = [np.full((6, 4, 3), float(index == quarter)) for index in range(4)]
    relevance = mosaic(images)[..., 0]
    assert relevance.shape == (6, 4)
    assert grid_pointing_game(relevance - 0.1, quarter) == 1
    assert grid_pointing_game(np.ones((6, 4)), quarter) == 0.25


def test_what_is_no_mosaic() -> None:
    with refused("images"):
        mosaic(np.zeros((3, 4, 4, 3)))
    with refused("images"):
        mosaic(np.zeros((4, 5, 4, 3)))
    with refused("quarter"):
        grid_pointing_game(MAP, 4)
    with refused("relevance"):
        grid_pointing_game(-np.abs(MAP), 0)


def test_the_pointing_game_is_won_within_the_tolerance() -> None:
    relevance = np.zeros((20, 20))
    relevance[10, 4] = 1
    assert pointing_game(relevance, [(0, 0, 3, 3), (10, 4, 11, 5)], tolerance=0)
    assert not pointing_game(relevance, [(11, 4, 12, 5)], tolerance=0)
    assert pointing_game(relevance, [(11, 4, 12, 5)], tolerance=1)
    with refused("boxes"):
        pointing_game(relevance, [])


def network(params, images):
    hidden = jnp.tanh(images.reshape(len(images), -1) @ params["first"])
    scores = hidden @ params["second"]
    return {"first": hidden, "second": scores}


def gradient(net) -> np.ndarray:
    image = jnp.asarray(np.random.default_rng(3).random((1, 6, 6, 1)), jnp.float32)

    def score(image):
        return net.predict(net.params, image, ("second",))["second"][0, 0]

    return np.asarray(jax.grad(score)(image))[0, :, :, 0]


def test_randomisation_changes_what_depends_on_parameters_and_nothing_else() -> None:
    weights = np.random.default_rng(4)
    params = {
        "first": jnp.asarray(weights.normal(size=(36, 64)), jnp.float32),
        "second": jnp.asarray(weights.normal(size=(64, 3)), jnp.float32),
    }
    net = pdjax.Classifier.from_function(
        network, params, image_size=6, channels=1, outputs={"second": "logits"}
    )
    options = {"rng_key": jax.random.key(0), "layers": ("first", "second")}
    found = randomisation_check(net, gradient, **options)
    assert [each.layer for each in found] == ["second", "first"]
    assert abs(found[-1].correlation) < 0.6
    fixed = np.random.default_rng(5).random((6, 6))
    blind = randomisation_check(net, lambda net: fixed, **options)
    assert [each.signed_correlation for each in blind] == pytest.approx([1, 1])
    np.testing.assert_array_equal(net.params["second"], params["second"])
    with refused("layers"):
        randomisation_check(net, gradient, rng_key=jax.random.key(0), layers=("third",))


def test_a_table_has_means_with_intervals_that_cover(tmp_path) -> None:
    samples = np.random.default_rng(6).normal(0.3, 0.1, size=(40, 1, 1))
    table = evaluate(
        {"mine": list(samples), "zero": [np.zeros((1, 1))] * 40},
        {"mean": lambda index, relevance: relevance.mean(), "gini": lambda i, r: gini(r)},
    )
    interval = table.interval("mine", "mean")
    assert interval.mean == pytest.approx(samples.mean())
    width = 2 * 1.96 * samples.std() / np.sqrt(40)
    assert interval.high - interval.low == pytest.approx(width, rel=0.15)
    assert np.isnan(table.interval("zero", "gini").mean)
    table.to_csv(tmp_path / "table.csv")
    with open(tmp_path / "table.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["photographs"] for row in rows] == ["40", "40", "40", "0"]
    assert "| mine | 0." in str(table)
    with refused("maps"):
        evaluate({"a": [MAP], "b": []}, {"gini": lambda i, r: gini(r)})
