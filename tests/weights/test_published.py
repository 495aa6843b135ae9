"""Published names and layouts to ours: every array in its place, batch norm folded."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from helpers.torch_states import torch_state

from pdjax._checks import ArgumentError
from pdjax.models import NETWORKS
from pdjax.weights.published import published_params

RNG = np.random.default_rng(0)


def random(*shape: int) -> np.ndarray:
    return RNG.uniform(0.5, 1.5, size=shape).astype(np.float32)


def caffe_state(name: str) -> dict[str, np.ndarray]:
    """Return zeros, which take no memory until they are written to."""
    return {
        f"{layer}.{part}": np.zeros(leaf.shape, np.float32)
        for layer, parts in NETWORKS[name].param_shapes.items()
        for part, leaf in parts.items()
    }


# PyTorch


def test_layouts():
    state = torch_state("torchvision_alexnet")
    kernel, bias = random(192, 64, 5, 5), random(4096)
    state |= {"features.3.weight": kernel, "classifier.1.bias": bias}
    state["classifier.1.weight"][7] = random(256 * 6 * 6)
    params = published_params(NETWORKS["torchvision_alexnet"], state, "a.pth")
    np.testing.assert_array_equal(params["conv2"]["kernel"], kernel.transpose(2, 3, 1, 0))
    np.testing.assert_array_equal(params["fc6"]["bias"], bias)
    # A feature map gives the same scores in either order.
    x = random(256, 6, 6)
    want = state["classifier.1.weight"][7] @ x.reshape(-1)
    got = x.transpose(1, 2, 0).reshape(-1) @ params["fc6"]["kernel"][:, 7]
    np.testing.assert_allclose(got, want, rtol=1e-5)


def test_batch_norm_is_folded():
    state, name = torch_state("torchvision_googlenet"), "inception3a.branch1"
    kernel = state[f"{name}.conv.weight"] = random(64, 192, 1, 1)
    norm = {part: random(64) for part in ("weight", "bias", "running_mean", "running_var")}
    state |= {f"{name}.bn.{part}": array for part, array in norm.items()}
    params = published_params(NETWORKS["torchvision_googlenet"], state, "a.pth")
    assert params.keys() == NETWORKS["torchvision_googlenet"].param_shapes.keys()
    x = random(4, 192)
    convolved = x @ kernel[:, :, 0, 0].T
    normalised = (convolved - norm["running_mean"]) / np.sqrt(norm["running_var"] + 1e-3)
    got = x @ params[name]["kernel"][0, 0] + params[name]["bias"]
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, normalised * norm["weight"] + norm["bias"], rtol=1e-5)


def test_what_only_training_used_is_left_out():
    network, state = NETWORKS["torchvision_googlenet"], torch_state("torchvision_googlenet")
    assert {"aux1.fc1.weight", "conv1.bn.num_batches_tracked"} < state.keys()
    params = published_params(network, state, "a.pth")
    assert params.keys() == network.param_shapes.keys()


def test_batch_norm_that_gives_no_finite_kernel():
    network, state = NETWORKS["torchvision_googlenet"], torch_state("torchvision_googlenet")
    state["conv1.bn.running_var"] = np.full(64, -1.0)
    with pytest.raises(ArgumentError) as caught:
        published_params(network, state, "a.pth")
    assert caught.value.argument == "weights"
    assert "conv1.kernel" in caught.value.problem


# What is taken from a checkpoint, what is added to it, and what is misshapen, with its true shape.
CHANGES = {
    "efficientnet_lite0": (
        ("_blocks.3._bn1.running_var", "_fc.bias"),
        ("aux1.fc1.weight", "_blocks.0._expand_conv.weight"),
        {"_bn1.bias": (1280,), "_conv_stem.weight": (32, 3, 3, 3)},
    ),
    "torchvision_alexnet": (
        ("features.3.bias", "classifier.6.weight"),
        ("aux2.fc2.bias", "features.1.weight"),
        {"features.8.weight": (256, 384, 3, 3), "classifier.1.weight": (4096, 9216)},
    ),
    "torchvision_googlenet": (
        ("conv1.conv.weight", "inception4a.branch2.1.bn.running_mean"),
        ("aux3.fc.bias", "inception3a.branch1.conv.bias"),
        {"fc.weight": (1000, 1024), "inception5b.branch4.1.bn.weight": (128,)},
    ),
    "vgg16": (
        ("features.28.weight", "classifier.3.bias"),
        ("aux1.conv.conv.weight", "classifier.1.weight"),
        {"features.0.weight": (64, 3, 3, 3), "features.5.bias": (128,)},
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_one_error_names_everything(name):
    missing, surplus, misshapen = CHANGES[name]
    state = {entry: array for entry, array in torch_state(name).items() if entry not in missing}
    state |= dict.fromkeys((*surplus, *misshapen), np.zeros((7, 5), np.float32))
    with pytest.raises(ArgumentError) as caught:
        published_params(NETWORKS[name], state, "a.pth")
    assert caught.value.argument == "weights"
    problem = caught.value.problem
    for names in (missing, surplus):
        assert f": {', '.join(names)}" in problem
    for entry, shape in misshapen.items():
        assert f"{entry} is (7, 5) instead of {shape}" in problem


@pytest.mark.parametrize(("name", "other"), list(itertools.permutations(CHANGES, 2)))
def test_checkpoint_of_another_network(name, other):
    wanted, state = set(used(name, torch_state(name))), torch_state(other)
    given = set(used(name, state))
    with pytest.raises(ArgumentError) as caught:
        published_params(NETWORKS[name], state, "a.pth")
    assert caught.value.argument == "weights"
    assert f"{len(wanted - given)} missing" in caught.value.problem
    assert f"{len(given - wanted)} surplus" in caught.value.problem
    assert f"{len(wanted & given)} of the {len(wanted)}" in caught.value.remedy


def used(name: str, state) -> list[str]:
    """Return the names in a state but for those that this network may have and does not use."""
    unused = ("aux1.", "aux2.") if name == "torchvision_googlenet" else ()
    return [
        entry
        for entry in state
        if not entry.endswith(".num_batches_tracked") and not entry.startswith(unused)
    ]


# Caffe


def test_caffe_alexnet():
    state = caffe_state("bvlc_alexnet")
    state["conv2.bias"] = random(256)
    state["fc6.kernel"][:, 7] = random(256 * 6 * 6)
    params = published_params(NETWORKS["bvlc_alexnet"], state, "a.caffemodel")
    x = random(256, 6, 6)
    got = x.transpose(1, 2, 0).reshape(-1) @ params["fc6"]["kernel"][:, 7]
    np.testing.assert_allclose(got, x.reshape(-1) @ state["fc6.kernel"][:, 7], rtol=1e-5)
    np.testing.assert_array_equal(params["conv2"]["bias"], state["conv2.bias"])


@pytest.mark.parametrize("shape", [(70, 4), (72, 4), (6, 6, 2, 4)])
def test_caffe_alexnet_with_another_map(shape):
    state = {"fc6.kernel": random(*shape), "x.bias": random(2)}
    with pytest.raises(ArgumentError) as caught:
        published_params(NETWORKS["bvlc_alexnet"], state, "a.caffemodel")
    assert caught.value.argument == "weights"
    assert f"fc6.kernel is {shape} instead of (9216, 4096)" in caught.value.problem


def test_caffe_googlenet_without_auxiliary_classifiers():
    state = caffe_state("bvlc_googlenet")
    more = {"loss1/fc.bias": random(1), "loss2/classifier.kernel": random(1, 1)}
    params = published_params(NETWORKS["bvlc_googlenet"], state | more, "a.caffemodel")
    assert params.keys() == NETWORKS["bvlc_googlenet"].param_shapes.keys()
    with pytest.raises(ArgumentError) as caught:
        published_params(
            NETWORKS["bvlc_googlenet"], state | {"loss3/fc.bias": random(1)}, "a.caffemodel"
        )
    assert caught.value.argument == "weights"
