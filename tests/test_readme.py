"""The front page: its Python runs as pasted, its commands are understood, its links work."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

import pdjax
from pdjax.cli import app

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")

CHEAPER = {
    # All are in the page; without the first, the test would take as long as a reader's first map.
    "num_samples=4, stride=5": "num_samples=2, stride=10, engine='dense', where=(slice(10),) * 2",
    "stride=2": "num_samples=2, stride=10",
    "progress=True": "progress=False",
}


def blocks(language: str) -> str:
    return "\n".join(re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL))


def commands() -> list[list[str]]:
    lines = [shlex.split(line, comments=True) for line in blocks("sh").splitlines()]
    return [words[1:] for words in lines if words and words[0] == "pdjax"]


def test_python_runs_as_pasted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = blocks("python")
    for as_it_stands, cheaper in CHEAPER.items():
        assert as_it_stands in source
        source = source.replace(as_it_stands, cheaper)
    names: dict = {}
    exec(compile(source, "README.md", "exec"), names)
    assert names["explanation"].relevance["prob"].shape == (2, 224, 224)
    assert names["maps"].relevance["prob"].shape == (2, 64, 64)
    assert pdjax.Explanation.load("rocket.npz").layers == ("prob",)


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_commands_are_understood(words):
    name, *arguments = words
    command = get_command(app).commands[name]
    assert command.make_context(name, arguments).params


def test_links_lead_to_files():
    targets = re.findall(r"\]\(([^)#\s]+)", README)
    missing = [target for target in targets if "://" not in target and not (ROOT / target).exists()]
    assert missing == []
