"""Budgets: samples go where they help, until the error asked for is reached."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.interruption import interrupt
from helpers.refusals import refused

import pdjax
from pdjax import Classifier, ConditionalGaussian, Constant, Explanation, Marginal
from pdjax._explain.budget import Budget, further_draws, reached_error
from pdjax.method.maps import Maps
from pdjax.method.schemes import Scheme
from pdjax.method.windows import WindowGrid

SIDE = 16
IMAGE = np.random.default_rng(0).random((SIDE, SIDE, 3), np.float32)
WEIGHTS = 0.03 * np.random.default_rng(1).standard_normal((SIDE, SIDE, 3, 3)).astype(np.float32)
# One corner decides, so that this is where samples are needed.
WEIGHTS[:8, :8] *= 8
SAMPLER = ConditionalGaussian(pdjax.PatchStatistics.natural_images(), 4)


def network(params, images):
    scores = jnp.einsum("nhwc,hwck->nk", images - 0.5, params)
    return {"scores": scores, "prob": jax.nn.softmax(scores)}


NET = Classifier.from_function(network, jnp.asarray(WEIGHTS), image_size=SIDE, name="corner")


def explain(**options) -> Explanation:
    defaults = {"rng_key": jax.random.key(0), "classes": [0], "engine": "dense"}
    return pdjax.explain(NET, IMAGE, options.pop("sampler", SAMPLER), **defaults | options)


@pytest.mark.parametrize(
    ("sampling", "target"), [("independent", 0.004), ("sobol", 0.002), ("antithetic", 0.0007)]
)
def test_the_target_takes_fewer_passes_than_as_many_everywhere(sampling, target) -> None:
    explanation = explain(target_error=target, sampling=sampling)
    settings = explanation.settings
    reached = settings["reached_error"]["prob"]
    assert 0.75 * target < reached <= target
    error, relevance = explanation.standard_error["prob"], explanation.relevance["prob"]
    assert reached == pytest.approx(np.sqrt(np.square(error).mean()) / np.abs(relevance).max())
    assert settings["most_samples"] > settings["num_samples"]
    even = 2 * (settings["passes"] // (2 * 169))
    spread = explain(num_samples=even, sampling=sampling)
    assert reached < 0.9 * spread.settings["reached_error"]["prob"]


def test_the_promised_error_is_the_error() -> None:
    truth = explain(num_samples=1000).relevance["prob"]
    ratios = []
    for seed in range(12):
        explanation = explain(target_error=0.004, rng_key=jax.random.key(seed + 1))
        size = np.abs(explanation.relevance["prob"]).max()
        error = np.sqrt(np.square(explanation.relevance["prob"] - truth).mean()) / size
        ratios.append(error / explanation.settings["reached_error"]["prob"])
    assert np.sqrt(np.square(ratios).mean()) == pytest.approx(1, abs=0.2)


def test_passes_are_spent_and_no_more() -> None:
    explanation = explain(max_passes=1000, layers=("scores", "prob"))
    assert 1000 - 2 < explanation.settings["passes"] <= 1000
    fewer = explain(target_error=1e-6, max_passes=700)
    assert 700 - 2 < fewer.settings["passes"] <= 700
    assert f"2 to {fewer.settings['most_samples']} samples" in fewer.caption


def test_the_result_does_not_depend_on_the_batch() -> None:
    one, other = (explain(target_error=0.004, batch_size=size) for size in (6, 50))
    assert one.settings["passes"] == other.settings["passes"]
    np.testing.assert_allclose(one.relevance["prob"], other.relevance["prob"], atol=1e-5)


def test_an_interrupted_run_goes_on(tmp_path) -> None:
    file, options = tmp_path / "run.npz", {"target_error": 0.004, "batch_size": 20}
    whole = explain(**options)
    interrupt(20, explain, checkpoint=file, **options)
    again = explain(checkpoint=file, **options)
    assert again.settings["passes"] == whole.settings["passes"]
    np.testing.assert_array_equal(again.relevance["prob"], whole.relevance["prob"])
    with refused("checkpoint") as caught:
        explain(checkpoint=file, **options | {"target_error": 0.003})
    assert "target_error" in str(caught.value)


def test_nothing_random_needs_one_round() -> None:
    explanation = explain(sampler=Constant(0.5, 4), target_error=0.01)
    assert explanation.settings["passes"] == 170
    assert explanation.settings["reached_error"]["prob"] == 0


GRID, SCHEME = WindowGrid((SIDE, SIDE), 4), Scheme("independent", 2)
BAD = {
    "no error": ("target_error", {"target_error": 0}),
    "below zero": ("target_error", {"target_error": -0.1}),
    "no number": ("target_error", {"target_error": float("nan")}),
    "percent": ("target_error", {"target_error": 5}),
    "words": ("target_error", {"target_error": "little"}),
    "no passes": ("max_passes", {"max_passes": 0}),
    "no int": ("max_passes", {"max_passes": 1e4}),
}


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(("argument", "options"), BAD.values(), ids=BAD)
def test_bad_budgets(argument, options) -> None:
    with refused(argument):
        Budget(**options)


def test_a_first_round_must_be_within_the_budget() -> None:
    least = 1 + 2 * GRID.size
    Budget(max_passes=least).check(GRID.size, SCHEME.num_samples, SAMPLER)
    with refused("max_passes") as caught:
        Budget(max_passes=least - 1).check(GRID.size, SCHEME.num_samples, SAMPLER)
    assert f"{least:,}" in str(caught.value)


def test_further_draws_must_tell_something() -> None:
    sampler = Marginal(np.stack([IMAGE] * 3), 4)
    Budget().check(GRID.size, SCHEME.num_samples, sampler)
    for argument, value in (("target_error", 0.1), ("max_passes", 10_000)):
        with refused(argument):
            Budget(**{argument: value}).check(GRID.size, SCHEME.num_samples, sampler)


def test_budgets_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Budget(0.1).target_error = 1.0


def test_neyman_shares_out_what_is_left() -> None:
    grid = WindowGrid((30,), 2, 1)
    errors = jnp.where(jnp.arange(29) < 15, 0.4, 0.1)[None]
    pixels = jnp.full((1, 30), 0.2)
    maps = Maps({"z": jnp.ones((1, 30))}, {"z": pixels}, {"z": errors}, {"z": errors}, {}, {})
    scheme, times = Scheme("independent", 8), np.ones(29, int)
    of_a_draw = scheme.replicates, scheme.num_samples
    further = further_draws(Budget(0.12), maps, times, grid, *of_a_draw)
    # A fourth of the error, a fourth of the draws.
    assert set(further[1:13]) == {2}
    assert set(further[17:]) == {0}
    assert further_draws(Budget(0.21), maps, times, grid, *of_a_draw).sum() == 0
    few = further_draws(Budget(0.12, 8 * (29 + 10) + 1), maps, times, grid, *of_a_draw)
    assert few.sum() == 10
    assert few[17:].sum() == 0
    assert reached_error(maps) == {"z": pytest.approx(0.2)}
