"""From files to classifiers: every network, what is refused, and the conversion to one form."""

from __future__ import annotations

import re
from pathlib import Path

import jax
import numpy as np
import pytest
from helpers.torch_states import torch_state
from helpers.weight_file_makers import FILES, field

import pdjax
from pdjax.models import NETWORKS, Network, find_network
from pdjax.weights import convert as conversion
from pdjax.weights import load
from pdjax.weights.readers.safetensors import write_safetensors

RNG = np.random.default_rng(0)


def flat(params) -> dict[str, np.ndarray]:
    return {
        f"{layer}.{part}": np.asarray(array)
        for layer, parts in params.items()
        for part, array in parts.items()
    }


def equal(params, others) -> bool:
    one, other = flat(params), flat(others)
    return one.keys() == other.keys() and all(np.array_equal(one[key], other[key]) for key in one)


def write(path: Path, arrays) -> Path:
    write_safetensors(path, arrays)
    return path


@pytest.fixture(scope="module")
def googlenet() -> dict[str, dict[str, np.ndarray]]:
    """Return random parameters of GoogLeNet."""
    return {
        layer: {part: RNG.random(leaf.shape, np.float32) for part, leaf in parts.items()}
        for layer, parts in find_network("googlenet").param_shapes.items()
    }


@pytest.fixture(scope="module")
def converted(googlenet, tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("weights") / "googlenet.bin", flat(googlenet))


@pytest.fixture(scope="module")
def installed():
    return pdjax.load_model()


# Loading


def test_installed_weights(installed):
    assert installed.name == "efficientnet_lite0"
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(installed.params))


def test_published_caffe_file(shared):
    net = pdjax.load_model("googlenet", shared / "weights" / "bvlc_googlenet.caffemodel")
    assert net.params.keys() == find_network("googlenet").param_shapes.keys()


def test_what_only_training_used_is_left_out(tmp_path):
    network, state = NETWORKS["torchvision_googlenet"], torch_state("torchvision_googlenet")
    assert {"aux1.fc1.weight", "conv1.bn.num_batches_tracked"} < state.keys()
    params = load.load_params(network, write(tmp_path / "x.safetensors", state))
    assert params.keys() == network.param_shapes.keys()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"aux3.fc.bias": np.zeros(3)}, r"1 surplus in it: aux3\.fc\.bias\. Give"),
        ({"conv1.bn.running_var": np.full(64, -1.0)}, r"not finite: conv1\.bias, conv1\.kernel\."),
    ],
)
def test_checkpoint_that_does_not_fit(tmp_path, change, text):
    network, state = NETWORKS["torchvision_googlenet"], torch_state("torchvision_googlenet")
    path = write(tmp_path / "x.safetensors", {**state, **change})
    with pytest.raises(ValueError, match=f"weights: {re.escape(repr(str(path)))} .*{text}"):
        load.load_params(network, path)


def test_another_networks_file_says_what_is_missing_and_surplus(converted):
    with pytest.raises(ValueError, match="to another network") as caught:
        pdjax.load_model("vgg16", converted)
    message = str(caught.value)
    assert "32 missing from it: conv1_1.bias" in message
    assert "116 surplus in it: conv1/7x7_s2.bias" in message


BAD_ARGUMENTS = {
    "unknown": ({"name": "gogglenet"}, ValueError, "did you mean 'googlenet'"),
    "no file": ({"weights": "no/such.pth"}, FileNotFoundError, "there is no file 'no/such.pth'"),
    "a folder": ({"weights": "."}, ValueError, "'.' is not a file"),
    "a number": ({"weights": 3}, TypeError, "weights=3 must be the path of a file"),
    "mean colour": ({"mean_image": "x.npy"}, ValueError, "leave mean_image out"),
    "no mean": (
        {"name": "alexnet", "weights": "random", "mean_image": "no.npy"},
        FileNotFoundError,
        "mean_image: there is no file 'no.npy'",
    ),
}


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(("arguments", "error", "text"), BAD_ARGUMENTS.values(), ids=BAD_ARGUMENTS)
def test_bad_arguments(arguments, error, text):
    with pytest.raises(error, match=text):
        pdjax.load_model(**arguments)


@pytest.mark.parametrize(
    ("name", "kind", "text"),
    [
        ("vgg16", "caffemodel", r"published as a PyTorch checkpoint \(.pth\)"),
        ("vgg16", "pth", r"32 missing from it: features\.0\.weight, "),
        ("bvlc_alexnet", "pth", r"published as a Caffe model \(.caffemodel\)"),
        ("bvlc_alexnet", "safetensors", r"published as a Caffe model \(.caffemodel\)"),
        ("bvlc_googlenet", "caffemodel", "surplus in it: x"),
        ("efficientnet_lite0", "onnx", "247 missing from it: _blocks"),
    ],
)
def test_file_of_another_network_or_kind(tmp_path, name, kind, text):
    path = tmp_path / f"x.{kind}"
    path.write_bytes(FILES[kind])
    with pytest.raises(ValueError, match=text) as caught:
        pdjax.load_model(name, path)
    assert repr(str(path)) in str(caught.value) or str(path) in str(caught.value)


def test_a_protocol_buffer_without_weights(tmp_path):
    (tmp_path / "x.caffemodel").write_bytes(field(1, b"name"))
    with pytest.raises(ValueError, match="it has no layer with weights"):
        pdjax.load_model("googlenet", tmp_path / "x.caffemodel")


# The mean image


def test_mean_image(tmp_path, monkeypatch):
    monkeypatch.setattr(Network, "random_params", lambda *arguments: {"conv1": {}})
    mean = RNG.uniform(50, 200, (3, 256, 256)).astype(np.float32)
    np.save(tmp_path / "mean.npy", mean)
    net = pdjax.load_model("alexnet", "random", mean_image=tmp_path / "mean.npy")
    middle = mean[:, 14:241, 14:241].transpose(1, 2, 0)
    np.testing.assert_array_equal(net.params["data"]["mean"], middle)


MEANS = {
    "shape": (np.full((256, 256, 3), 100.0), r"of shape \(256, 256, 3\) instead of"),
    "integers": (np.full((3, 256, 256), 100), "int64"),
    "objects": (np.full((3, 256, 256), None), "not a .npy file of numbers"),
    "range": (np.full((3, 256, 256), 300.0), "from 300 to 300"),
    "negative": (np.full((3, 256, 256), -1.0), "from -1 to -1"),
    "unit": (np.full((3, 256, 256), 0.4), r"give BGR values in \[0, 255\]"),
    "nan": (np.full((3, 256, 256), np.nan), "from nan to nan"),
}


@pytest.mark.parametrize(("mean", "text"), MEANS.values(), ids=MEANS)
def test_bad_mean_image(tmp_path, mean, text):
    np.save(tmp_path / "mean.npy", mean, allow_pickle=True)
    with pytest.raises(ValueError, match=text):
        pdjax.load_model("alexnet", "random", mean_image=tmp_path / "mean.npy")


def test_mean_image_cut_short(tmp_path):
    np.save(tmp_path / "mean.npy", np.full((3, 256, 256), 100.0))
    content = (tmp_path / "mean.npy").read_bytes()
    for length in (5, 100, 1000):
        (tmp_path / "mean.npy").write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"not a \.npy file"):
            pdjax.load_model("alexnet", "random", mean_image=tmp_path / "mean.npy")


# Conversion


def test_round_trip_and_the_published_file_is_fetched(googlenet, converted, tmp_path, monkeypatch):
    target = tmp_path / "out.safetensors"
    conversion.convert(converted, target, "googlenet")
    asked = []

    def answer(name, *, progress):
        asked.append((name, progress))
        return target

    monkeypatch.setattr(load, "fetch", answer)
    again = pdjax.load_model("googlenet", progress=False)
    assert asked == [("bvlc_googlenet", False)]
    assert equal(again.params, googlenet)
    assert list(again.params) == list(find_network("googlenet").param_shapes)


def test_round_trip_of_a_checkpoint_in_another_container(installed, tmp_path):
    source = write(tmp_path / "x.safetensors", torch_state("efficientnet_lite0"))
    target = tmp_path / "out.safetensors"
    conversion.convert(source, target, "efficientnet_lite0")
    again = load.load_params(NETWORKS["efficientnet_lite0"], target)
    assert equal(again, installed.params)


def test_bad_targets(converted, tmp_path):
    with pytest.raises(ValueError, match=r"must end in \.safetensors"):
        conversion.convert(converted, tmp_path / "out.npz", "googlenet")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        conversion.convert(converted, tmp_path / "no" / "out.safetensors", "googlenet")


def test_inspect(tmp_path):
    (tmp_path / "x.caffemodel").write_bytes(FILES["caffemodel"])
    contents = conversion.inspect(tmp_path / "x.caffemodel")
    assert contents == ("caffemodel", (("x.kernel", (3, 2), "float32"),), 6)
