"""A network is one file: nothing else has to know of it."""

from __future__ import annotations

import importlib.util
import inspect

import numpy as np
import pytest
from helpers.toy_network import add_toy, toy_scores, toy_state, write_toy
from helpers.weight_file_makers import state_dict

import pdjax
from pdjax._checks import ArgumentError
from pdjax.models import NETWORKS, Download, Installed, Network, Place, find_network

networks = pytest.mark.parametrize("network", NETWORKS.values(), ids=lambda network: network.name)
IMAGE = np.random.default_rng(1).random((6, 6, 3), np.float32)


@pytest.fixture(params=["npz", "pth"])
def weights(request, tmp_path):
    """Return the path of published weights of the toy."""
    path = tmp_path / f"toy.{request.param}"
    if request.param == "npz":
        np.savez(path, **toy_state())
    else:
        path.write_bytes(state_dict(toy_state()))
    return path


def check(net: pdjax.Classifier) -> None:
    """Compare a toy with published weights with a few lines of NumPy."""
    scores = np.asarray(net(IMAGE[None], ("scores",))["scores"][0])
    np.testing.assert_allclose(scores, toy_scores(toy_state(), IMAGE), rtol=1e-5)
    assert net.layers == ("conv", "scores", "prob")
    assert net.labels[:2] == ("ant", "bee")


def test_file_in_a_folder_of_the_package(monkeypatch, tmp_path, weights):
    name = add_toy(monkeypatch, tmp_path)
    assert name in NETWORKS
    assert find_network(f"{name}_alias") is NETWORKS[name]
    assert next(iter(NETWORKS)) == "efficientnet_lite0"
    check(pdjax.load_model(name, weights))
    check(pdjax.load_model(f"{name}_alias", weights))


def test_file_anywhere(tmp_path, weights):
    spec = importlib.util.spec_from_file_location("mine", write_toy(tmp_path, "mine"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert "mine" not in NETWORKS
    check(pdjax.load_model(module.TOY, weights))


def test_two_networks_of_one_name(monkeypatch, tmp_path):
    add_toy(monkeypatch, tmp_path, alias="vgg16")
    with pytest.raises(ValueError, match="vgg16"):
        find_network("vgg16")


@networks
def test_everything_is_in_the_networks_own_module(network):
    module = inspect.getmodule(type(network.module))
    assert any(value is network for value in vars(module).values())
    source = inspect.getsource(module)
    match network.published:
        case Installed(find):
            assert find().is_file()
        case Download() as file:
            assert file.address in source
            assert file.checksum in source
            digest = file.checksum.partition(":")[2]
            assert len(digest) == {"sha1": 40, "sha256": 64}[file.checksum.partition(":")[0]]
            assert file.name.endswith(f".{network.form}")
            # The names of PyTorch's files end in the first digits of their checksum.
            assert network.form != "pth" or file.name.endswith(f"-{digest[:8]}.pth")
        case None:
            pytest.fail("it has no published file")


@networks
def test_every_layer_has_a_place(network):
    places = [network.place(layer) for layer in network.param_shapes]
    assert all(isinstance(place, Place) for place in places)
    assert len({place.module for place in places}) == len(places)
    assert not any(place.module.startswith(network.unused) for place in places)


BAD_FACTS = {
    "form": lambda: Network("x", NETWORKS["vgg16"].module, 224, form="h5"),
    "checksum": lambda: Download("http://x/y.pth", "abc"),
}


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize("argument", BAD_FACTS)
def test_bad_facts(argument):
    with pytest.raises(ArgumentError) as caught:
        BAD_FACTS[argument]()
    assert caught.value.argument == argument


@pytest.mark.parametrize("checksum", ["md4711:ab", "sha1:", "sha1:XYZ", "sha256:AB"])
def test_bad_checksums(checksum):
    with pytest.raises(ArgumentError) as caught:
        Download("http://x/y.pth", checksum)
    assert caught.value.argument == "checksum"
