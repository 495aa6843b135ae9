"""Budgets: samples go where they help, until the error asked for is reached."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pdjax
from pdjax import Classifier, ConditionalGaussian, Constant, Explanation, Marginal
from pdjax._explain.budget import Budget, further_draws, reached_error
from pdjax._explain.draws import pool
from pdjax.method.maps import Maps
from pdjax.method.marginalize import Moments
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
    defaults = {"sampler": SAMPLER, "rng_key": jax.random.key(0), "classes": [0]}
    return pdjax.explain(NET, IMAGE, **defaults | options)


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


def test_an_interrupted_run_goes_on(tmp_path, monkeypatch) -> None:
    whole = explain(target_error=0.004, batch_size=20)
    updates = 0

    def update(self, count):
        nonlocal updates
        updates += 1
        if updates == 20:
            raise KeyboardInterrupt

    file = tmp_path / "run.npz"
    with monkeypatch.context() as patch:
        patch.setattr("tqdm.auto.tqdm.update", update)
        with pytest.raises(KeyboardInterrupt):
            explain(target_error=0.004, batch_size=20, checkpoint=file)
    again = explain(target_error=0.004, batch_size=20, checkpoint=file)
    assert again.settings["passes"] == whole.settings["passes"]
    np.testing.assert_array_equal(again.relevance["prob"], whole.relevance["prob"])
    with pytest.raises(ValueError, match="differing in target_error"):
        explain(target_error=0.003, batch_size=20, checkpoint=file)


def test_nothing_random_needs_one_round() -> None:
    explanation = explain(sampler=Constant(0.5, 4), num_samples=1, target_error=0.01)
    assert explanation.settings["passes"] == 170
    assert explanation.settings["reached_error"]["prob"] == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target_error": 0}, "target_error=0 must be above 0"),
        ({"target_error": float("nan")}, "target_error=nan must be above 0"),
        ({"target_error": 5}, "target_error=5 must be above 0 and below 1, .* 2 percent, 0.02,"),
        ({"max_passes": 338}, "max_passes=338 does not suffice for 2 samples of each of the 169"),
        (
            {"target_error": 0.1, "sampler": Marginal(np.stack([IMAGE] * 3), 4)},
            "target_error and max_passes need a sampler that can be drawn from again",
        ),
    ],
)
def test_bad_budgets(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        explain(**options)


def test_neyman_shares_out_what_is_left() -> None:
    grid = WindowGrid((30,), 2, 1)
    errors = jnp.where(jnp.arange(29) < 15, 0.4, 0.1)[None]
    pixels = jnp.full((1, 30), 0.2)
    maps = Maps({"z": jnp.ones((1, 30))}, {"z": pixels}, {"z": errors}, {"z": errors}, {}, {})
    scheme, times = Scheme("independent", 8), np.ones(29, int)
    further = further_draws(Budget(0.12), maps, times, grid, scheme)
    # A fourth of the error, a fourth of the draws.
    assert set(further[1:13]) == {2}
    assert set(further[17:]) == {0}
    assert further_draws(Budget(0.21), maps, times, grid, scheme).sum() == 0
    few = further_draws(Budget(0.12, 8 * (29 + 10) + 1), maps, times, grid, scheme)
    assert few.sum() == 10
    assert few[17:].sum() == 0
    assert reached_error(maps) == {"z": pytest.approx(0.2)}


def test_pooled_moments_are_those_of_all_replicates() -> None:
    rng = np.random.default_rng(0)
    values = 1 + 0.1 * rng.standard_normal((5, 3, 2))  # draws, replicates, units
    windows = np.array([0, 2, 2, 0, 2])
    draws = Moments(
        {"z": values.mean(1).astype(np.float32)},
        {"z": values.var(1, ddof=1).astype(np.float32)},
        {"z": np.full((5, 2), 0.3, np.float32)},
    )
    pooled = pool(draws, windows, 4, 3)
    for window in (0, 2):
        own = values[windows == window].reshape(-1, 2)
        np.testing.assert_allclose(pooled.mean["z"][window], own.mean(0), rtol=1e-6)
        np.testing.assert_allclose(pooled.variance["z"][window], own.var(0, ddof=1), rtol=1e-4)
        np.testing.assert_allclose(pooled.bias["z"][window], 0.3 / (len(own) / 3), rtol=1e-6)
    assert not np.asarray(pooled.mean["z"][1]).any()


@pytest.mark.parametrize("sampling", ["independent", "sobol"])
def test_stages_of_a_preview_end_in_the_plain_run(sampling, tmp_path) -> None:
    options = {"rng_key": jax.random.key(3), "num_samples": 4, "sampling": sampling}
    stages = list(pdjax.preview(NET, IMAGE, SAMPLER, strides=(4, 2, 1), classes=[0], **options))
    assert [stage.settings["passes"] for stage in stages] == [65, 197, 677]
    for stage, stride in zip(stages, (4, 2, 1), strict=True):
        plain = explain(stride=stride, **options)
        np.testing.assert_allclose(
            stage.relevance["prob"], plain.relevance["prob"], rtol=1e-4, atol=1e-5
        )
        assert stage.settings | {"passes": 0, "reached_error": 0} == plain.settings | {
            "passes": 0, "reached_error": 0,
        }  # fmt: skip
    file = tmp_path / "run.npz"
    first = next(iter(pdjax.preview(
        NET, IMAGE, SAMPLER, strides=(4, 2), classes=[0], checkpoint=file, **options
    )))  # fmt: skip
    np.testing.assert_array_equal(first.relevance["prob"], stages[0].relevance["prob"])
    with pytest.raises(ValueError, match="differing in stride"):
        explain(stride=2, checkpoint=file, **options)


def test_previews_refuse_strides_that_do_not_nest() -> None:
    for strides, message in (((), "strides: there are none"), ((4, 3), r"stride=\(4, 4\) has")):
        with pytest.raises(ValueError, match=message):
            pdjax.preview(
                NET, IMAGE, SAMPLER, rng_key=jax.random.key(0), strides=strides, classes=[0]
            )


def test_budgets_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Budget(0.1).target_error = 1.0
