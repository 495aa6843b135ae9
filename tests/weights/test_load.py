"""From files to classifiers: what is loaded, and what is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest
from helpers.toy_network import add_toy, toy_state
from helpers.weight_file_makers import FILES

import pdjax
from pdjax._checks import ArgumentError
from pdjax.models import NETWORKS, Installed, Network, find_network
from pdjax.weights.load import load_params
from pdjax.weights.match import flat
from pdjax.weights.published import published_params
from pdjax.weights.readers.safetensors import write_safetensors

VGG16 = NETWORKS["vgg16"]


def test_installed_weights():
    net = pdjax.load_model()
    assert net.name == "efficientnet_lite0"
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(net.params))


def test_published_file_is_the_default(monkeypatch, tmp_path):
    network = NETWORKS[add_toy(monkeypatch, tmp_path)]
    np.savez(tmp_path / "toy.npz", **toy_state())
    asked = []

    def find() -> Path:
        asked.append(True)
        return tmp_path / "toy.npz"

    toy = dataclasses.replace(network, published=Installed(find))
    net = pdjax.load_model(toy, progress=False)
    assert asked == [True]
    assert list(net.params) == list(network.param_shapes)


def test_arrays_under_our_own_names(monkeypatch, tmp_path):
    network = NETWORKS[add_toy(monkeypatch, tmp_path)]
    params = published_params(network, toy_state(), "toy")
    np.savez(tmp_path / "ours.npz", **flat(params))
    loaded = pdjax.load_model(network, tmp_path / "ours.npz").params
    jax.tree.map(np.testing.assert_array_equal, loaded, params)


BAD_ARGUMENTS = {
    "unknown": ({"name": "gogglenet"}, ValueError, "name"),
    "no name": ({"name": 3}, TypeError, "name"),
    "no file": ({"weights": "no/such.pth"}, FileNotFoundError, "weights"),
    "a folder": ({"weights": "."}, ValueError, "weights"),
    "a number": ({"weights": 3}, TypeError, "weights"),
    "no published file": (
        {"name": Network("mine", VGG16.module, 224)},
        ValueError,
        "weights",
    ),
    "mean colour": ({"mean_image": "x.npy"}, ValueError, "mean_image"),
    "no mean": (
        {"name": "alexnet", "weights": "random", "mean_image": "no.npy"},
        FileNotFoundError,
        "mean_image",
    ),
}


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(
    ("arguments", "error", "argument"), BAD_ARGUMENTS.values(), ids=BAD_ARGUMENTS
)
def test_bad_arguments(arguments, error, argument):
    with pytest.raises(error) as caught:
        pdjax.load_model(**arguments)
    assert caught.value.argument == argument


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("vgg16", "caffemodel"),
        ("vgg16", "pth"),
        ("bvlc_alexnet", "pth"),
        ("bvlc_alexnet", "safetensors"),
        ("bvlc_googlenet", "caffemodel"),
        ("efficientnet_lite0", "onnx"),
    ],
)
def test_file_of_another_network_or_kind(tmp_path, name, kind):
    path = tmp_path / f"x.{kind}"
    path.write_bytes(FILES[kind])
    with pytest.raises(ArgumentError) as caught:
        load_params(NETWORKS[name], path)
    assert caught.value.argument == "weights"
    assert str(path) in str(caught.value)


def test_another_networks_file(tmp_path):
    shapes = find_network("googlenet").param_shapes
    zeros = {name: np.zeros(leaf.shape, np.float32) for name, leaf in flat(shapes).items()}
    write_safetensors(tmp_path / "x.safetensors", zeros)
    with pytest.raises(ArgumentError) as caught:
        pdjax.load_model("vgg16", tmp_path / "x.safetensors")
    assert caught.value.argument == "weights"
    assert ": conv1_1.kernel" in caught.value.problem or ": conv1_1.bias" in caught.value.problem


def test_random_weights_and_a_mean_image(monkeypatch, tmp_path):
    toy = NETWORKS[add_toy(monkeypatch, tmp_path)]
    mean = np.full((3, 256, 256), 100, np.float32)
    np.save(tmp_path / "mean.npy", mean)
    network = dataclasses.replace(
        toy, with_mean=lambda params, mean: {**params, "data": {"mean": mean}}
    )
    net = pdjax.load_model(network, "random", mean_image=tmp_path / "mean.npy")
    assert net.params["conv"]["kernel"].shape == (3, 3, 3, 4)
    np.testing.assert_array_equal(net.params["data"]["mean"], mean)
