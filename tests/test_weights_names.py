"""Published names and layouts to ours: every array in its place, batch norm folded."""

from __future__ import annotations

import numpy as np
import pytest

from pdjax.models import NETWORKS
from pdjax.weights.caffe_names import FROM_CAFFE, bvlc_alexnet_params, bvlc_googlenet_params
from pdjax.weights.torch_names import (
    ALEXNET,
    ALEXNET_DENSE,
    FROM_TORCH,
    VGG16,
    VGG16_DENSE,
    torchvision_googlenet_params,
)

RNG = np.random.default_rng(0)


def random(*shape: int) -> np.ndarray:
    return RNG.uniform(0.5, 1.5, size=shape).astype(np.float32)


def numbered_state(convolutions, dense, inputs) -> dict[str, np.ndarray]:
    state = {}
    for index in convolutions.values():
        state |= {
            f"features.{index}.weight": random(2, 4, 3, 3),
            f"features.{index}.bias": random(2),
        }
    for index in dense.values():
        state |= {f"classifier.{index}.weight": random(5, inputs)}
        state |= {f"classifier.{index}.bias": random(5)}
    return state


def batch_norm_state(names) -> dict[str, np.ndarray]:
    state = {"fc.weight": random(5, 4), "fc.bias": random(5), "aux1.fc.weight": random(2, 2)}
    for name in names:
        state[f"{name}.conv.weight"] = random(3, 2, 1, 1)
        for part in ("weight", "bias", "running_mean", "running_var"):
            state[f"{name}.bn.{part}"] = random(3)
        state[f"{name}.bn.num_batches_tracked"] = np.asarray(7)
    return state


def test_every_network_has_a_mapping():
    assert set(FROM_CAFFE) | set(FROM_TORCH) == set(NETWORKS)


@pytest.mark.parametrize(
    ("name", "convolutions", "dense", "side"),
    [("torchvision_alexnet", ALEXNET, ALEXNET_DENSE, 6), ("vgg16", VGG16, VGG16_DENSE, 7)],
)
def test_numbered(name, convolutions, dense, side):
    state = numbered_state(convolutions, dense, 2 * side**2)
    params = FROM_TORCH[name](state)
    assert list(params) == [layer for layer in NETWORKS[name].layers if layer in params]
    assert set(params) == set(NETWORKS[name].param_shapes)
    kernel = state["features.0.weight"]
    np.testing.assert_array_equal(params[next(iter(params))]["kernel"][1, 2, 3], kernel[:, 3, 1, 2])
    # A feature map gives the same scores in either order.
    x = random(2, side, side)
    want = state[f"classifier.{dense['fc6']}.weight"] @ x.reshape(-1)
    got = x.transpose(1, 2, 0).reshape(-1) @ params["fc6"]["kernel"]
    np.testing.assert_allclose(got, want, rtol=1e-5)


def test_batch_norm_is_folded():
    names = [name for name in NETWORKS["torchvision_googlenet"].param_shapes if name != "fc"]
    state = batch_norm_state(names)
    params = torchvision_googlenet_params(state)
    assert set(params) == {*names, "fc"}
    x = random(4, 2)
    name = "inception3a.branch2.1"
    convolved = x @ state[f"{name}.conv.weight"][:, :, 0, 0].T
    scale, shift, mean, variance = (
        state[f"{name}.bn.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
    )
    want = (convolved - mean) / np.sqrt(variance + 1e-3) * scale + shift
    got = x @ params[name]["kernel"][0, 0] + params[name]["bias"]
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, want, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"conv1.bn.running_var": None}, "has no 'conv1.bn.running_var'"),
        ({"conv1.bn.weight": random(1)}, r"shape \(1,\) instead of shape \(3,\)"),
        ({"conv1.conv.weight": random(3, 2)}, r"shape \(3, 2\) instead of rank 4"),
        ({"fc.weight": random(3)}, r"shape \(3,\) instead of rank 2"),
    ],
)
def test_bad_checkpoints(change, message):
    state = {**batch_norm_state(["conv1"]), **change}
    state = {name: array for name, array in state.items() if array is not None}
    with pytest.raises(ValueError, match=message):
        torchvision_googlenet_params(state)


@pytest.mark.parametrize("name", FROM_TORCH)
def test_checkpoint_of_another_network(name):
    with pytest.raises(ValueError, match="give the published file of this network"):
        FROM_TORCH[name]({"other.weight": random(2)})


def test_caffe_alexnet():
    layers = {"conv1": {"kernel": random(1, 1, 3, 2)}, "fc6": {"kernel": random(72, 4)}}
    params = bvlc_alexnet_params(layers)
    x = random(2, 6, 6)
    got = x.transpose(1, 2, 0).reshape(-1) @ params["fc6"]["kernel"]
    np.testing.assert_allclose(got, x.reshape(-1) @ layers["fc6"]["kernel"], rtol=1e-5)
    with pytest.raises(ValueError, match="70 inputs"):
        bvlc_alexnet_params({"fc6": {"kernel": random(70, 4)}})


def test_caffe_googlenet_without_auxiliary_classifiers():
    layers = {"loss1/fc": {"bias": random(1)}, "loss3/classifier": {"bias": random(1)}}
    assert set(bvlc_googlenet_params(layers)) == {"loss3/classifier"}
