"""Torchvision's AlexNet and GoogLeNet, activation by activation, against NumPy.

AlexNet needs 224 pixels for its fully connected layers. For GoogLeNet 80 will do; every one of its
poolings with a stride then rounds the number of windows up.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.torchvision_reference import alexnet, googlenet

from pdjax.models import NETWORKS
from pdjax.weights.published import published_params

TOLERANCE = 5e-5

State = dict[str, np.ndarray]

# in; out: 1x1, 3x3 after its reduction, second 3x3 after its reduction, projection
INCEPTIONS = {
    "inception3a": (192, 64, 96, 128, 16, 32, 32),
    "inception3b": (256, 128, 128, 192, 32, 96, 64),
    "inception4a": (480, 192, 96, 208, 16, 48, 64),
    "inception4b": (512, 160, 112, 224, 24, 64, 64),
    "inception4c": (512, 128, 128, 256, 24, 64, 64),
    "inception4d": (512, 112, 144, 288, 32, 64, 64),
    "inception4e": (528, 256, 160, 320, 32, 128, 128),
    "inception5a": (832, 256, 160, 320, 32, 128, 128),
    "inception5b": (832, 384, 192, 384, 48, 128, 128),
}
# By position in the two sequences.
FEATURES = {
    0: (64, 3, 11, 11),
    3: (192, 64, 5, 5),
    6: (384, 192, 3, 3),
    8: (256, 384, 3, 3),
    10: (256, 256, 3, 3),
}
CLASSIFIER = {1: (4096, 256 * 6 * 6), 4: (4096, 4096), 6: (1000, 4096)}


def normal(rng: np.random.Generator, *shape: int, size: float) -> np.ndarray:
    return np.float32(size) * rng.standard_normal(shape, np.float32)


def alexnet_state(rng: np.random.Generator) -> State:
    shapes = {f"features.{index}": shape for index, shape in FEATURES.items()}
    shapes |= {f"classifier.{index}": shape for index, shape in CLASSIFIER.items()}
    state: State = {}
    for name, shape in shapes.items():
        # Small scores, lest one class take all.
        gain = 0.1 if name == "classifier.6" else 2
        state[f"{name}.weight"] = normal(rng, *shape, size=math.sqrt(gain / math.prod(shape[1:])))
        state[f"{name}.bias"] = normal(rng, shape[0], size=0.2)
    return state


def googlenet_state(rng: np.random.Generator) -> State:
    convolutions = {"conv1": (64, 3, 7), "conv2": (64, 64, 1), "conv3": (192, 64, 3)}
    for name, (inputs, one, reduce2, three2, reduce3, three3, last) in INCEPTIONS.items():
        convolutions[f"{name}.branch1"] = (one, inputs, 1)
        convolutions[f"{name}.branch2.0"] = (reduce2, inputs, 1)
        convolutions[f"{name}.branch2.1"] = (three2, reduce2, 3)
        convolutions[f"{name}.branch3.0"] = (reduce3, inputs, 1)
        convolutions[f"{name}.branch3.1"] = (three3, reduce3, 3)
        convolutions[f"{name}.branch4.1"] = (last, inputs, 1)
    state: State = {}
    for name, (out, inputs, side) in convolutions.items():
        deviation = math.sqrt(2 / (inputs * side**2))
        state[f"{name}.conv.weight"] = normal(rng, out, inputs, side, side, size=deviation)
        # Small variances among them, for which the epsilon matters.
        variance = rng.uniform(0.01, 2, out).astype(np.float32)
        state[f"{name}.bn.running_var"] = variance
        state[f"{name}.bn.weight"] = np.sqrt(variance) * (1 + normal(rng, out, size=0.2))
        state[f"{name}.bn.bias"] = normal(rng, out, size=0.2)
        state[f"{name}.bn.running_mean"] = normal(rng, out, size=0.2)
        state[f"{name}.bn.num_batches_tracked"] = np.asarray(7)
    state["aux1.conv.conv.weight"] = normal(rng, 128, 512, 1, 1, size=1.0)
    state["fc.weight"] = normal(rng, 1000, 1024, size=1 / 64)
    state["fc.bias"] = normal(rng, 1000, size=0.2)
    return state


@pytest.mark.parametrize(
    ("name", "size", "draw", "reference"),
    [
        ("torchvision_alexnet", 224, alexnet_state, alexnet),
        ("torchvision_googlenet", 80, googlenet_state, googlenet),
    ],
)
def test_every_activation(name: str, size: int, draw: Callable, reference: Callable):
    rng = np.random.default_rng(0)
    network, state = NETWORKS[name], draw(rng)
    image = rng.random((size, size, 3), np.float32)
    expected = reference(state, image)
    assert tuple(expected) == network.layers
    params = published_params(network, state, "state")
    with jax.default_matmul_precision("highest"):
        outputs = jax.jit(network.module.apply)({"params": params}, jnp.asarray(image[None]))
    for layer, want in expected.items():
        got = np.asarray(outputs[layer])[0]
        channels_last = np.moveaxis(want, 0, -1)
        atol = TOLERANCE * np.abs(want).max()
        np.testing.assert_allclose(got, channels_last, rtol=0, atol=atol, err_msg=layer)
    # The comparison says something only about values that differ from one to the next.
    assert np.ptp(expected["prob"]) > 1e-3
    assert expected["prob"].max() < 0.5
