"""The commands `pdjax weights ...`: what they print, and how they end."""

from __future__ import annotations

import time

import numpy as np
import pytest
from helpers.toy_network import add_toy, toy_state
from helpers.weight_file_makers import mapping, old_pth, tensor

from pdjax.weights.convert import inspect
from pdjax.weights.download import fetch
from pdjax.weights.readers.safetensors import write_safetensors


def test_command_inspect(run, tmp_path):
    numbers = {"0": np.arange(6, dtype=np.float32)}
    state = mapping({"a.weight": tensor((2, 3), (3, 1)), "b\x1b[2J": tensor((), ())})
    (tmp_path / "x.pth").write_bytes(old_pth(state, numbers))
    ended = run("weights", "inspect", tmp_path / "x.pth")
    assert ended.status == 0
    assert ended.out.splitlines() == [
        "a.weight    2x3  float32",
        "'b\\x1b[2J'    -  float32",
        "pth: 2 arrays, 7 numbers",
    ]


def test_command_inspect_shortens_names(run, tmp_path):
    path = tmp_path / "x.safetensors"
    write_safetensors(path, {"n" * 500: np.zeros(1)})
    assert max(map(len, run("weights", "inspect", path).out.splitlines())) < 100


def test_command_convert(run, toy, tmp_path):
    source, target = tmp_path / "toy.npz", tmp_path / "out.safetensors"
    np.savez(source, **toy_state())
    ended = run("weights", "convert", source, target, "--model", toy)
    assert (ended.status, ended.out) == (0, f"{target}\n")
    assert ("conv.kernel", (3, 3, 3, 4), "float32") in inspect(target).entries


def test_command_fetch(run, monkeypatch, tmp_path):
    ended = run("weights", "fetch", "efficientnet_lite0")
    assert (ended.status, ended.out) == (0, f"{fetch('efficientnet_lite0')}\n")
    monkeypatch.setenv("PDJAX_CACHE", str(tmp_path))
    name = add_toy(monkeypatch, tmp_path)
    # The checksum is that of an empty file.
    (tmp_path / "toy.pth").touch()
    assert run("weights", "fetch", name)[:2] == (0, f"{tmp_path / 'toy.pth'}\n")


BAD = {
    "unknown network": ("name", ("fetch", "vgg61"), "'vgg16'"),
    "no file": ("file", ("inspect", "no/such/file"), "no/such/file"),
    "not weights": ("file", ("inspect", __file__), __file__),
    "no source": ("file", ("convert", "no", "x.safetensors", "--model", "vgg16"), "no"),
    "no network": ("--model", ("convert", "no", "x.safetensors", "--model", "x"), "vgg16"),
    "bad suffix": ("output", ("convert", "no", "x.pth", "--model", "vgg16"), ".safetensors"),
}


@pytest.mark.parametrize(("name", "words", "told"), BAD.values(), ids=BAD)
def test_bad_commands(run, name, words, told):
    ended = run("weights", *words)
    assert ended.error.startswith(f"{name}=")
    assert told in ended.error
    assert ended.out == ""
    assert ended.err.count("\n") == 1


def test_unreachable_server(run, photo, monkeypatch, tmp_path):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("PDJAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    name = add_toy(monkeypatch, tmp_path)
    assert "http://127.0.0.1:1/toy.pth" in run("explain", photo, "--model", name).error
