"""What is said when a run is done: the rate is of what was computed, not of what was kept."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np
import pytest

import pdjax
import pdjax._explain.draws
from pdjax._explain.checkpoint import count_draws
from pdjax.cli.outputs import Outputs
from pdjax.cli.report import report

IMAGES = np.random.default_rng(0).random((5, 8, 8, 3), dtype=np.float32)
OUTPUTS = Outputs(Path("a.png"), Path("a.npz"))


def explain(checkpoint=None):
    net = pdjax.Classifier.from_function(
        lambda params, images: jax.nn.softmax(images.mean((1, 2))), {}, image_size=8
    )
    return pdjax.explain(
        net, IMAGES[0], pdjax.Marginal(IMAGES[1:], window=2), rng_key=jax.random.key(0),
        num_samples=4, stride=1, batch_size=4, checkpoint=checkpoint,
    )  # fmt: skip


@pytest.fixture
def interrupted(tmp_path, monkeypatch):
    """The checkpoint of a run that was interrupted after its first chunk."""
    path, chunks = tmp_path / "run.npz", []

    def check(*arguments):
        chunks.append(arguments)
        if len(chunks) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pdjax._explain.draws, "check_finite", check)
        with pytest.raises(KeyboardInterrupt):
            explain(path)
    return path


def test_draws_in_a_file_are_counted(interrupted, tmp_path):
    assert count_draws(None) == count_draws(tmp_path / "none.npz") == 0
    assert 0 < count_draws(interrupted) < 49
    explain(interrupted)
    assert count_draws(interrupted) == 49


@pytest.mark.parametrize(
    ("kept", "words"),
    [
        (0, "(197 forward passes, 9 s in all; 39 images/s while explaining)"),
        (47, "(197 forward passes, 47 of them kept from before, 9 s in all; 30 images/s while"),
        (196, "(197 forward passes, 196 of them kept from before, 9 s in all)"),
    ],
)
def test_the_rate_is_of_what_was_computed(capsys, kept, words):
    report(explain(), OUTPUTS, kept=kept, explaining=5.0, in_all=9.0)
    assert f"a.png and a.npz {words}" in capsys.readouterr().out
