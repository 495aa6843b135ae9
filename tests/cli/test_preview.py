"""Previews on the command line: files after every stage, the last of them those of a plain run."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import pdjax
from pdjax._explain.budget import Budget
from pdjax.cli.commands import app
from pdjax.cli.stages import check_preview

COARSE = ("--sampler", "grey", "--window", "112", "--stride", "56", "--no-progress")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder with a photograph in it."""
    monkeypatch.chdir(tmp_path)
    noise = np.random.default_rng(0).integers(0, 255, (224, 224, 3), np.uint8)
    Image.fromarray(noise).save("photo.png")
    return tmp_path


def run(*more):
    result = CliRunner().invoke(app, ["explain", "photo.png", *COARSE, *more])
    assert result.exit_code == 0, result.output
    return result.output


def test_a_preview_ends_with_the_plain_run(folder):
    said = run("--preview", "--output", "preview.png")
    assert "stride 112, 5 forward passes so far: preview.png" in said
    assert "stride 56, 10 forward passes so far: preview.png" in said
    run("--output", "plain.png")
    one, two = (pdjax.Explanation.load(f"{name}.npz") for name in ("preview", "plain"))
    np.testing.assert_allclose(one.relevance["prob"], two.relevance["prob"], atol=1e-4)
    assert one.settings["passes"] == two.settings["passes"] == 10


def test_a_map_is_not_refined_in_two_ways_at_once():
    check_preview(True, Budget())
    check_preview(False, Budget(0.1))
    with pytest.raises(ValueError, match=r"preview: .* leave out --preview, or target_error and"):
        check_preview(True, Budget(0.1))
