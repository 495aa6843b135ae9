"""Published names and layouts to ours: every array in its place, batch norm folded."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from helpers.torch_states import torch_state

from pdjax.models import NETWORKS
from pdjax.weights.caffe_names import FROM_CAFFE, bvlc_alexnet_params, bvlc_googlenet_params
from pdjax.weights.match import match_params
from pdjax.weights.torch_names import (
    FROM_TORCH,
    torchvision_alexnet_params,
    torchvision_googlenet_params,
)

RNG = np.random.default_rng(0)


def random(*shape: int) -> np.ndarray:
    return RNG.uniform(0.5, 1.5, size=shape).astype(np.float32)


def test_every_network_has_one_mapping():
    assert FROM_CAFFE.keys() | FROM_TORCH.keys() == NETWORKS.keys()
    assert not FROM_CAFFE.keys() & FROM_TORCH.keys()


# PyTorch


def test_layouts():
    state = torch_state("torchvision_alexnet")
    kernel, bias = random(192, 64, 5, 5), random(4096)
    state |= {"features.3.weight": kernel, "classifier.1.bias": bias}
    state["classifier.1.weight"][7] = random(256 * 6 * 6)
    params = torchvision_alexnet_params(state)
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
    params = torchvision_googlenet_params(state)
    assert params.keys() == NETWORKS["torchvision_googlenet"].param_shapes.keys()
    x = random(4, 192)
    convolved = x @ kernel[:, :, 0, 0].T
    normalised = (convolved - norm["running_mean"]) / np.sqrt(norm["running_var"] + 1e-3)
    got = x @ params[name]["kernel"][0, 0] + params[name]["bias"]
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, normalised * norm["weight"] + norm["bias"], rtol=1e-5)


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


@pytest.mark.parametrize("name", FROM_TORCH)
def test_one_error_says_everything(name):
    missing, surplus, misshapen = CHANGES[name]
    state = {entry: array for entry, array in torch_state(name).items() if entry not in missing}
    state |= dict.fromkeys((*surplus, *misshapen), np.zeros((7, 5), np.float32))
    shapes = [f"{entry} is (7, 5) instead of {shape}" for entry, shape in misshapen.items()]
    with pytest.raises(ValueError, match="does not fit the network") as caught:
        FROM_TORCH[name](state, "a.pth")
    assert str(caught.value) == (
        "weights: 'a.pth' does not fit the network: "
        f"2 missing from it: {', '.join(missing)}; "
        f"2 surplus in it: {', '.join(surplus)}; "
        f"2 of another shape: {', '.join(shapes)}. "
        "Give the published weights of this network, or fetch the file again"
    )


@pytest.mark.parametrize(("name", "other"), list(itertools.permutations(FROM_TORCH, 2)))
def test_checkpoint_of_another_network(name, other):
    wanted, state = set(used(name, torch_state(name))), torch_state(other)
    given = set(used(name, state))
    with pytest.raises(ValueError, match="to another network") as caught:
        FROM_TORCH[name](state, "a.pth")
    message = str(caught.value)
    assert f"{len(wanted - given)} missing from it: " in message
    assert f"{len(given - wanted)} surplus in it: " in message
    assert f"It has {len(wanted & given)} of the {len(wanted)} arrays" in message


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
    layers = {"conv1": {"kernel": random(1, 1, 3, 2)}, "fc6": {"kernel": random(72, 4)}}
    params = bvlc_alexnet_params(layers)
    x = random(2, 6, 6)
    got = x.transpose(1, 2, 0).reshape(-1) @ params["fc6"]["kernel"]
    np.testing.assert_allclose(got, x.reshape(-1) @ layers["fc6"]["kernel"], rtol=1e-5)


@pytest.mark.parametrize("shape", [(70, 4), (72, 4), (6, 6, 2, 4)])
def test_caffe_alexnet_with_another_map(shape):
    params = bvlc_alexnet_params({"fc6": {"kernel": random(*shape)}, "x": {"bias": random(2)}})
    with pytest.raises(ValueError, match=r"15 missing .* 1 surplus in it: x\.bias;") as caught:
        match_params(params, NETWORKS["bvlc_alexnet"].param_shapes, "a.caffemodel")
    assert f"fc6.kernel is {shape} instead of (9216, 4096)" in str(caught.value)


def test_caffe_googlenet_without_auxiliary_classifiers():
    layers = {"loss1/fc": {"bias": random(1)}, "loss3/classifier": {"bias": random(1)}}
    assert set(bvlc_googlenet_params(layers)) == {"loss3/classifier"}
