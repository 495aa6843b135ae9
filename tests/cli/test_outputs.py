"""Files that a run writes: where they go, and what is refused before it starts."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.refusals import refused

from pdjax.cli.outputs import PAGE, PICTURES, Outputs, kept_apart


@pytest.mark.parametrize("suffix", [*PICTURES, PAGE, ".PNG"])
def test_numbers_go_beside_the_picture(tmp_path, suffix):
    outputs = Outputs.of(tmp_path / f"cat{suffix}", tmp_path / "state.npz")
    assert outputs == (tmp_path / f"cat{suffix}", tmp_path / "cat.npz")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("spelling", ["cat.npz", "./cat.npz", "cat.png"])
def test_a_checkpoint_is_not_overwritten_by_the_result(tmp_path, monkeypatch, spelling):
    monkeypatch.chdir(tmp_path)
    with refused("checkpoint"):
        Outputs.of(tmp_path / "cat.png", Path(spelling))


@pytest.mark.parametrize("name", ["cat", "cat.npz", "cat.xyz"])
def test_other_suffixes_are_refused_with_those_there_are(tmp_path, name):
    with refused("output") as caught:
        Outputs.of(tmp_path / name)
    assert ".png" in caught.value.remedy


def test_a_folder_must_be_there(tmp_path):
    with refused("output", FileNotFoundError):
        Outputs.of(tmp_path / "no" / "cat.png")


@pytest.mark.parametrize("there", ["cat.png", "cat.npz"])
def test_what_is_there_is_kept_and_the_new_is_numbered(tmp_path, there):
    (tmp_path / there).write_text("mine")
    (tmp_path / "cat-2.npz").write_text("mine too")
    found = Outputs.of(tmp_path / "cat.png")
    assert found == (tmp_path / "cat-3.png", tmp_path / "cat-3.npz")
    again = Outputs.of(tmp_path / "cat.png", overwrite=True)
    assert again == (tmp_path / "cat.png", tmp_path / "cat.npz")


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_is_read_is_never_written_to(tmp_path, overwrite):
    photo = tmp_path / "cat.png"
    photo.write_text("a photo")
    (tmp_path / "link.png").symlink_to(photo)
    for name in ("cat.png", "link.png"):
        with refused("output"):
            kept_apart(tmp_path / name, inputs=[photo], overwrite=overwrite)
    result = tmp_path / "own.npz"
    result.write_text("numbers")
    with refused("output") as caught:
        Outputs.of(tmp_path / "own.png", inputs=[result], overwrite=overwrite)
    assert "own.npz" in caught.value.problem
