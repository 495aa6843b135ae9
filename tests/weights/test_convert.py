"""Files of weights in one plain form, and what is in a file."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from helpers.toy_network import add_toy, toy_state
from helpers.weight_file_makers import FILES

from pdjax.models import NETWORKS
from pdjax.weights.convert import convert, inspect
from pdjax.weights.download import fetch
from pdjax.weights.load import load_params


def test_round_trip(tmp_path):
    network, source = NETWORKS["efficientnet_lite0"], fetch("efficientnet_lite0")
    output = tmp_path / "out.safetensors"
    convert(source, output, network.name)
    again, params = load_params(network, output), load_params(network, source)
    assert list(again) == list(params)
    jax.tree.map(np.testing.assert_array_equal, again, params)
    # What was converted once can be converted again.
    convert(output, tmp_path / "again.safetensors", network)
    assert (tmp_path / "again.safetensors").read_bytes() == output.read_bytes()


BAD_PATHS = {
    "suffix": ("toy.npz", "out.npz", ValueError, "output"),
    "no folder": ("toy.npz", "no/out.safetensors", FileNotFoundError, "output"),
    "no source": ("none.npz", "out.safetensors", FileNotFoundError, "weights"),
}


@pytest.mark.parametrize(
    ("source", "output", "error", "argument"), BAD_PATHS.values(), ids=BAD_PATHS
)
def test_bad_paths(monkeypatch, tmp_path, source, output, error, argument):
    name = add_toy(monkeypatch, tmp_path)
    np.savez(tmp_path / "toy.npz", **toy_state())
    with pytest.raises(error) as caught:
        convert(tmp_path / source, tmp_path / output, name)
    assert caught.value.argument == argument
    assert not (tmp_path / output).exists()


def test_inspect(tmp_path):
    (tmp_path / "x.caffemodel").write_bytes(FILES["caffemodel"])
    contents = inspect(tmp_path / "x.caffemodel")
    assert contents == ("caffemodel", (("x.kernel", (3, 2), "float32"),), 6)
