"""Before a long run both engines are tried where it is in doubt which one is faster."""

from __future__ import annotations

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pdjax
from pdjax._explain import trial
from pdjax.method.evaluation import Engine
from pdjax.method.marginalize import Design
from pdjax.method.schemes import Scheme
from pdjax.method.windows import WindowGrid

DESIGN = Design(WindowGrid((96, 96), (4, 4), 1), Scheme("independent", 2), None)
LONG = 10**9


def global_from_the_start(params: Any, images: jax.Array) -> jax.Array:
    return jax.nn.softmax(jnp.sort(images.reshape(len(images), -1))[:, -3:])


def local_throughout(params: Any, images: jax.Array) -> jax.Array:
    for _ in range(3):
        images = jax.lax.conv_general_dilated(
            images, params, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
    return images.mean((1, 2))


class Slow:
    """Takes the time that it is told for every call."""

    def __init__(self, evaluation: Any, seconds: float) -> None:
        self.draws, self.rates, self.calls = 4, {}, 0
        self.evaluation, self.seconds = evaluation, seconds

    def __call__(self, draws: np.ndarray) -> Any:
        assert draws.shape == (4, 2)
        assert draws[:, 0].max() < DESIGN.grid.size
        self.calls += 1
        time.sleep(self.seconds)


def maker(f: Any, made: dict[str, Slow], **seconds: float) -> Any:
    params, image = jnp.ones((3, 3, 3, 3)), jnp.zeros((96, 96, 3))

    def make(how: Engine) -> Slow:
        evaluation = how.prepare(f, params, image, DESIGN.grid.window, 0)
        made[how.engine] = Slow(evaluation, seconds[how.engine])
        return made[how.engine]

    return make


@pytest.mark.parametrize(("local", "dense"), [(0.001, 0.02), (0.02, 0.001)])
def test_the_faster_one_is_taken(monkeypatch, local: float, dense: float) -> None:
    monkeypatch.setattr(trial, "TRIAL", 0.05)
    made: dict[str, Slow] = {}
    make = maker(global_from_the_start, made, local=local, dense=dense)
    worker = trial.faster(make, Engine(), DESIGN, LONG)
    name = "local" if local < dense else "dense"
    assert worker is made[name]
    assert set(worker.rates) == {"local", "dense"}
    # Four draws of two samples each.
    assert 0 < worker.rates[name] < 8 / 0.001
    assert worker.rates[name] == max(worker.rates.values())


def test_without_doubt_nothing_is_tried() -> None:
    for f, how, left in (
        (global_from_the_start, Engine(), 100),
        (global_from_the_start, Engine("dense"), LONG),
        (local_throughout, Engine(), LONG),
    ):
        made: dict[str, Slow] = {}
        worker = trial.faster(maker(f, made, local=0, dense=0), how, DESIGN, left)
        assert list(made.values()) == [worker]
        assert (worker.calls, worker.rates) == (0, {})


def test_the_settings_say_what_was_found_and_the_map_is_the_same(monkeypatch) -> None:
    net = pdjax.Classifier.from_function(
        global_from_the_start, None, image_size=12, labels=("low", "middle", "high")
    )
    image = np.random.default_rng(0).random((12, 12, 3), np.float32)
    sampler = pdjax.Constant(0.5, window=4)

    def explain(**options: Any) -> pdjax.Explanation:
        return pdjax.explain(net, image, sampler, rng_key=jax.random.key(0), **options)

    expected = explain(engine="dense")
    assert "images_per_second" not in expected.settings
    monkeypatch.setattr(trial, "LONG_RUN", 0.0)
    monkeypatch.setattr(trial, "TRIAL", 0.01)
    tried = explain()
    rates = tried.settings["images_per_second"]
    assert set(rates) == {"local", "dense"}
    assert tried.settings["engine"] == max(rates, key=rates.get)
    np.testing.assert_allclose(tried.relevance["prob"], expected.relevance["prob"], atol=1e-5)
