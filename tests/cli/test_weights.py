"""The commands `pdjax weights ...`: what they print, and how they end."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from helpers.weight_file_makers import mapping, old_pth, tensor

from pdjax import cli
from pdjax.weights.convert import inspect
from pdjax.weights.download import fetch
from pdjax.weights.readers.safetensors import write_safetensors
from pdjax.weights.registry import PublishedFile


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a command; return its exit status, output and errors."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["pdjax", *map(str, arguments)])
        monkeypatch.setattr("warnings.showwarning", None)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return ended.value.code, printed.out, printed.err

    return run


def test_command_inspect(run, tmp_path):
    numbers = {"0": np.arange(6, dtype=np.float32)}
    state = mapping({"a.weight": tensor((2, 3), (3, 1)), "b\x1b[2J": tensor((), ())})
    (tmp_path / "x.pth").write_bytes(old_pth(state, numbers))
    status, output, _ = run("weights", "inspect", tmp_path / "x.pth")
    assert status == 0
    assert output.splitlines() == [
        "a.weight    2x3  float32",
        "'b\\x1b[2J'    -  float32",
        "pth: 2 arrays, 7 numbers",
    ]


def test_command_inspect_shortens_names(run, tmp_path):
    path = tmp_path / "x.safetensors"
    write_safetensors(path, {"n" * 500: np.zeros(1)})
    _, output, _ = run("weights", "inspect", path)
    assert max(map(len, output.splitlines())) < 100


def test_command_convert(run, tmp_path):
    source, target = fetch("efficientnet_lite0"), tmp_path / "out.safetensors"
    status, output, _ = run("weights", "convert", source, target, "--model", "efficientnet_lite0")
    assert (status, output) == (0, f"{target}\n")
    entries = inspect(target).entries
    assert ("stem.kernel", (3, 3, 3, 32), "float32") in entries


def test_command_fetch(run, monkeypatch, tmp_path):
    status, output, _ = run("weights", "fetch", "efficientnet_lite0")
    assert (status, output) == (0, f"{fetch('efficientnet_lite0')}\n")
    monkeypatch.setenv("PDJAX_CACHE", str(tmp_path))
    empty = "sha1:da39a3ee5e6b4b0d3255bfef95601890afd80709"
    published = {"vgg16": PublishedFile("http://127.0.0.1:1/vgg16.pth", empty)}
    monkeypatch.setattr("pdjax.weights.download.PUBLISHED", published)
    (tmp_path / "vgg16.pth").touch()
    assert run("weights", "fetch", "vgg16")[:2] == (0, f"{tmp_path / 'vgg16.pth'}\n")


BAD_COMMANDS = {
    "unknown network": (["fetch", "vgg61"], "did you mean 'vgg16'"),
    "no file": (["inspect", "no/such/file"], "there is no file"),
    "not weights": (["inspect", __file__], "is not a file of weights of any known kind"),
    "no source": (["convert", "no", "x.safetensors", "--model", "vgg16"], "there is no file"),
    "bad suffix": (["convert", "no", "x.pth", "--model", "vgg16"], "must end in .safetensors"),
}


@pytest.mark.parametrize(("arguments", "text"), BAD_COMMANDS.values(), ids=BAD_COMMANDS)
def test_bad_commands(run, arguments, text):
    status, output, errors = run("weights", *arguments)
    assert (status, output) == (2, "")
    assert errors.startswith("pdjax: error: ")
    assert text in errors
    assert errors.count("\n") == 1
    assert "Traceback" not in errors


def test_unreachable_server(run, monkeypatch, tmp_path):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("PDJAX_CACHE", str(tmp_path))
    monkeypatch.setattr("pdjax.weights.transfer.ATTEMPTS", 1)
    published = {"vgg16": PublishedFile("http://127.0.0.1:1/vgg16.pth", f"sha1:{'0' * 40}")}
    monkeypatch.setattr("pdjax.weights.download.PUBLISHED", published)
    status, _, errors = run("explain", "no.jpg", "--model", "vgg16")
    assert status == 2
    assert "could not fetch http://127.0.0.1:1/vgg16.pth" in errors
    assert "Traceback" not in errors
