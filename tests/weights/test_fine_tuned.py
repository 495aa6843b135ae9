"""Published architectures with other classes, from the files that training leaves."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.refusals import refused
from helpers.torch_states import torch_state

import pdjax
from pdjax.models import NETWORKS
from pdjax.weights.load import load_params
from pdjax.weights.match import flat
from pdjax.weights.readers.safetensors import write_safetensors

NAME = "efficientnet_lite0"
NETWORK = NETWORKS[NAME]
SCORES = NETWORK.place(NETWORK.scores).module
CLASSES = 4


@pytest.fixture(scope="module")
def state():
    """The published weights with another last layer."""
    rng = np.random.default_rng(0)
    arrays = torch_state(NAME)
    inputs = arrays[f"{SCORES}.weight"].shape[1]
    head = rng.standard_normal((CLASSES, inputs), np.float32) / np.sqrt(inputs)
    return {
        **arrays,
        f"{SCORES}.weight": head.astype(np.float32),
        f"{SCORES}.bias": rng.standard_normal(CLASSES, np.float32),
    }


def save(path, state):
    np.savez(path, **state)
    return path


def test_the_last_layer_says_how_many_classes_there_are(tmp_path, state):
    path = save(tmp_path / "mine.npz", state)
    net = pdjax.load_model(NAME, path)
    assert net.labels == ("0", "1", "2", "3")
    assert net.num_training_images is None
    image = np.random.default_rng(1).random((1, *net.image_shape), np.float32)
    published = pdjax.load_model(NAME)
    layers = (net.layers[-3], net.layers[-2], "prob")
    got, same = net(image, layers), published(image, layers)
    np.testing.assert_array_equal(got[layers[0]], same[layers[0]])
    features = np.asarray(got[layers[0]])
    scores = features.reshape(1, -1) @ state[f"{SCORES}.weight"].T + state[f"{SCORES}.bias"]
    np.testing.assert_allclose(got[layers[1]], scores, rtol=0, atol=1e-4 * np.abs(scores).max())
    assert got["prob"].shape == (1, CLASSES)


@pytest.mark.parametrize("labels", [list("abcd"), {"d": 3, "c": 2, "b": 1, "a": 0}])
def test_labels_are_theirs(tmp_path, state, labels):
    path = save(tmp_path / "mine.npz", state)
    assert pdjax.load_model(NAME, path, labels=labels).labels == tuple("abcd")


def test_labels_must_fit(tmp_path, state):
    path = save(tmp_path / "mine.npz", state)
    with refused("labels"):
        pdjax.load_model(NAME, path, labels=list("abc"))


@pytest.mark.parametrize("front", ["module.", "model.", "model.module.", "_orig_mod."])
def test_what_training_puts_in_front_of_names_is_understood(tmp_path, state, front):
    wrapped = {front + name: array for name, array in state.items()}
    path = save(tmp_path / "mine.npz", {**wrapped, "loss.weight": np.ones(3, np.float32)})
    want = load_params(NETWORK, save(tmp_path / "plain.npz", state))
    got = load_params(NETWORK, path)
    for name, array in flat(want).items():
        np.testing.assert_array_equal(flat(got)[name], array)


def test_our_own_files(tmp_path, state):
    params = load_params(NETWORK, save(tmp_path / "mine.npz", state))
    write_safetensors(tmp_path / "mine.safetensors", flat(params))
    net = pdjax.load_model(NAME, tmp_path / "mine.safetensors", labels=list("abcd"))
    assert net.labels == tuple("abcd")


@pytest.mark.parametrize("key", ["state_dict", "model", "model_state_dict"])
def test_checkpoints_of_training(tmp_path, state, key):
    torch = pytest.importorskip("torch", reason="torch, which writes the file, is not installed")
    tensors = {f"module.{name}": torch.from_numpy(np.array(of)) for name, of in state.items()}
    path = tmp_path / "mine.pth"
    torch.save({"epoch": 3, key: tensors, "optimizer": {"state": {}, "lr": 0.1}}, path)
    assert len(pdjax.load_model(NAME, path).labels) == CLASSES


def test_random_weights_with_labels():
    net = pdjax.load_model("bvlc_alexnet", "random", labels=["cat", "dog"])
    assert net.labels == ("cat", "dog")
    assert net.activation_shape("prob") == (2,)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_takes_other_classes(name):
    network = NETWORKS[name].with_classes(3)
    assert network.param_shapes[network.scores]["bias"].shape == (3,)
