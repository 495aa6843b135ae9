"""The command line in an empty folder, with a photograph and a network of two layers."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from helpers.toy_network import add_toy
from PIL import Image

from pdjax.cli.commands import main


class Ended(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one sentence that a refused command says."""
        (sentence,) = (line for line in self.err.splitlines() if line.startswith("pdjax: error: "))
        assert self.status == 2
        assert "Traceback" not in self.err
        return sentence.removeprefix("pdjax: error: ")


@pytest.fixture(scope="session")
def cache(tmp_path_factory) -> Path:
    """A folder in place of the user's own."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def run(monkeypatch, capsys, tmp_path, cache):
    """Run a command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PDJAX_CACHE", str(cache))
    monkeypatch.setenv("PDJAX_KEEP_COMPILED", "0")
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    # Boxes around the messages of typer would break words.
    monkeypatch.setenv("COLUMNS", "300")

    def command(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["pdjax", *map(str, arguments)])
        status = 0
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            try:
                main()
            except SystemExit as stop:
                status = stop.code or 0
        return Ended(status, *capsys.readouterr())

    return command


@pytest.fixture
def photo(tmp_path) -> Path:
    """A photograph of the toy's size, by any other name."""
    levels = np.random.default_rng(0).integers(0, 256, (12, 9, 3), np.uint8)
    path = tmp_path / "photo.png"
    Image.fromarray(levels).save(path)
    return path


@pytest.fixture(scope="session")
def toy(tmp_path_factory):
    """The name of a network of images of 6 by 6 pixels and five classes."""
    with pytest.MonkeyPatch.context() as patch:
        yield add_toy(patch, tmp_path_factory.mktemp("networks"))


@pytest.fixture
def explain(run, photo, toy):
    """Explain the photograph by the toy, behind grey windows of 2 by 2 unless told otherwise."""
    words = (
        *("--model", toy, "--weights", "random", "--sampler", "grey"),
        *("--window", 2, "--stride", 2, "--no-progress"),
    )
    return lambda *more: run("explain", photo, *words, *more)
