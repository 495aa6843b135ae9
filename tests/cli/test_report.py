"""What is said of a run: the rate is of what was computed, not of what was kept."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np
import pytest
from helpers.interruption import interrupt

import pdjax
from pdjax._explain.explain import Run
from pdjax._explain.request import Request
from pdjax._explain.target import Target
from pdjax.cli.outputs import Outputs
from pdjax.cli.report import announce, report

IMAGES = np.random.default_rng(0).random((5, 8, 8, 3), dtype=np.float32)
OUTPUTS = Outputs(Path("a.png"), Path("a.npz"))
SAMPLER = pdjax.Marginal(IMAGES[1:], window=2)


def network(params, images):
    return jax.nn.softmax(images.mean((1, 2)))


def request(**options) -> Request:
    net = pdjax.Classifier.from_function(network, {}, image_size=8, name="small")
    defaults = {"num_samples": 4, "engine": "dense", "rng_key": jax.random.key(0)}
    return Request(net, IMAGES[0], SAMPLER, **defaults | options)


@pytest.fixture(scope="module")
def explanation():
    (explanation,) = Run(request()).stages()
    return explanation


def test_passes_that_a_checkpoint_had_are_known(tmp_path):
    path = tmp_path / "run.npz"

    def kept() -> int:
        run = Run(request(checkpoint=path))
        list(run.stages())
        return run.kept

    interrupt(1, kept)
    assert 0 < kept() < 196
    assert kept() == 196


@pytest.mark.parametrize(
    ("kept", "words"),
    [
        (0, "(197 forward passes, 9 s in all; 39 images/s while explaining)"),
        (47, "(197 forward passes, 47 of them kept from before, 9 s in all; 30 images/s while"),
        (196, "(197 forward passes, 196 of them kept from before, 9 s in all)"),
    ],
)
def test_the_rate_is_of_what_was_computed(capsys, explanation, kept, words):
    report(explanation, OUTPUTS, kept=kept, explaining=5.0, in_all=9.0)
    said = capsys.readouterr().out
    assert f"a.png and a.npz {words}" in said
    assert "prob: a pixel's error is " in said


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "49 windows with 4 samples each, 197 forward passes in all\n"),
        ({"target_error": 0.02}, "at first, and more until a pixel's error is 2.0% of the largest"),
        ({"max_passes": 1000}, "at first, and more until 1,000 are spent\n"),
        ({"target_error": 0.1, "max_passes": 300}, "10.0% of the largest or 300 are spent\n"),
        ({"num_samples": 1, "stride": 2}, "16 windows with 1 sample each, 17 forward passes"),
    ],
    ids=str,
)
def test_what_is_to_come_is_announced(capsys, options, words):
    asked = request(**options)
    target = Target.of(asked)
    announce(asked, target)
    said = capsys.readouterr().out
    assert words in said
    assert said.startswith("small sees\n")
    for name, value in zip(target.names["prob"], target.prediction["prob"], strict=True):
        assert f"  {name}, p = {value:.3g}\n" in said
