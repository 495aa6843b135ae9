"""Files that a run writes: where they go, and what is refused before it starts."""

from __future__ import annotations

import os

import pytest

from pdjax.cli.outputs import Outputs


def test_numbers_go_beside_the_picture(tmp_path):
    outputs = Outputs.of(tmp_path / "cat.svg", tmp_path / "state.npz")
    assert outputs == (tmp_path / "cat.svg", tmp_path / "cat.npz")


@pytest.mark.parametrize("spelling", ["cat.npz", "./cat.npz", "cat.png"])
def test_a_checkpoint_is_not_overwritten_by_the_result(tmp_path, monkeypatch, spelling):
    monkeypatch.chdir(tmp_path)
    message = f"checkpoint='{os.path.normpath(spelling)}' is where the result will be written; give"
    with pytest.raises(ValueError, match=message):
        Outputs.of(tmp_path / "cat.png", tmp_path.__class__(spelling))
