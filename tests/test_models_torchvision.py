"""Torchvision's AlexNet and GoogLeNet, activation by activation, against NumPy.

The reference below knows only the names and layouts of PyTorch's states and follows torchvision's
definitions: batch norm stays a layer of its own, and GoogLeNet's input transform is applied to a
standardised image. AlexNet needs 224 pixels for its fully connected layers. For GoogLeNet 80 will
do; every one of its poolings with a stride then rounds the number of windows up.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import jax
import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from pdjax.models import NETWORKS
from pdjax.weights.match import match_params
from pdjax.weights.torch_names import FROM_TORCH

TOLERANCE = 1e-5

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
# Position in the sequence: out, in, side of the kernel, stride, padding
FEATURES = {
    0: (64, 3, 11, 4, 2),
    3: (192, 64, 5, 1, 2),
    6: (384, 192, 3, 1, 1),
    8: (256, 384, 3, 1, 1),
    10: (256, 256, 3, 1, 1),
}
CLASSIFIER = {1: (4096, 256 * 6 * 6), 4: (4096, 4096), 6: (1000, 4096)}


def correlate(x: np.ndarray, kernel: np.ndarray, stride: int = 1, padding: int = 0) -> np.ndarray:
    """Convolve (c, h, w) with (out, c, k, k)."""
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    windows = sliding_window_view(x, kernel.shape[2:], axis=(1, 2))[:, ::stride, ::stride]
    return np.tensordot(kernel, windows, axes=((1, 2, 3), (0, 3, 4)))


def max_pool(x: np.ndarray, size: int, stride: int, padding: int = 0, ceil: bool = False):
    """Pool (c, h, w) as PyTorch's MaxPool2d, with or without its ceil_mode."""

    def bounds(side: int) -> list[slice]:
        steps = (side + 2 * padding - size) / stride
        starts = [stride * step - padding for step in range(math.floor(steps) + 1)]
        if ceil and steps % 1 and starts[-1] + stride < side + padding:
            starts.append(starts[-1] + stride)
        return [slice(max(start, 0), start + size) for start in starts]

    rows, columns = bounds(x.shape[1]), bounds(x.shape[2])
    maxima = [[x[:, row, column].max((1, 2)) for column in columns] for row in rows]
    return np.moveaxis(np.array(maxima), -1, 0)


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def softmax(x: np.ndarray) -> np.ndarray:
    return np.exp(x - x.max()) / np.exp(x - x.max()).sum()


def standardised(image: np.ndarray) -> np.ndarray:
    """Turn an image (h, w, 3) in [0, 1] into torchvision's input (3, h, w)."""
    return ((image - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)).transpose(2, 0, 1)


def alexnet(state: State, image: np.ndarray) -> State:
    def dense(x: np.ndarray, index: int) -> np.ndarray:
        weight, bias = (state[f"classifier.{index}.{part}"] for part in ("weight", "bias"))
        return weight @ x.astype(np.float32) + bias

    layers: State = {}
    x = standardised(image)
    for number, (index, (*_, stride, padding)) in enumerate(FEATURES.items(), start=1):
        weight, bias = (state[f"features.{index}.{part}"] for part in ("weight", "bias"))
        x = layers[f"conv{number}"] = relu(
            correlate(x, weight, stride, padding) + bias[:, None, None]
        )
        if number in (1, 2, 5):
            x = layers[f"pool{number}"] = max_pool(x, 3, 2)
    x = layers["fc6"] = relu(dense(x.ravel(), 1))
    x = layers["fc7"] = relu(dense(x, 4))
    x = layers["fc8"] = dense(x, 6)
    layers["prob"] = softmax(x)
    return layers


def googlenet(state: State, image: np.ndarray) -> State:
    layers: State = {}

    def keep(name: str, x: np.ndarray) -> np.ndarray:
        layers[name] = x
        return x

    def basic_conv(x: np.ndarray, name: str, stride: int = 1) -> np.ndarray:
        kernel = state[f"{name}.conv.weight"]
        scale, shift, mean, variance = (
            state[f"{name}.bn.{part}"][:, None, None].astype(np.float64)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        x = correlate(x, kernel, stride, padding=kernel.shape[-1] // 2)
        return keep(name, relu((x - mean) / np.sqrt(variance + 0.001) * scale + shift))

    def inception(x: np.ndarray, name: str) -> np.ndarray:
        a = basic_conv(x, f"{name}.branch1")
        b = basic_conv(basic_conv(x, f"{name}.branch2.0"), f"{name}.branch2.1")
        c = basic_conv(basic_conv(x, f"{name}.branch3.0"), f"{name}.branch3.1")
        pooled = keep(f"{name}.branch4.0", max_pool(x, 3, 1, padding=1, ceil=True))
        d = basic_conv(pooled, f"{name}.branch4.1")
        return keep(name, np.concatenate((a, b, c, d)))

    x = standardised(image)
    red = x[0] * (0.229 / 0.5) + (0.485 - 0.5) / 0.5
    green = x[1] * (0.224 / 0.5) + (0.456 - 0.5) / 0.5
    blue = x[2] * (0.225 / 0.5) + (0.406 - 0.5) / 0.5
    x = basic_conv(np.stack((red, green, blue)), "conv1", stride=2)
    x = keep("maxpool1", max_pool(x, 3, 2, ceil=True))
    x = basic_conv(basic_conv(x, "conv2"), "conv3")
    x = keep("maxpool2", max_pool(x, 3, 2, ceil=True))
    for name in INCEPTIONS:
        x = inception(x, name)
        if name == "inception3b":
            x = keep("maxpool3", max_pool(x, 3, 2, ceil=True))
        if name == "inception4e":
            x = keep("maxpool4", max_pool(x, 2, 2, ceil=True))
    x = keep("avgpool", x.mean((1, 2)))
    x = keep("fc", state["fc.weight"] @ x + state["fc.bias"])
    keep("prob", softmax(x))
    return layers


def normal(rng: np.random.Generator, *shape: int, size: float) -> np.ndarray:
    return np.float32(size) * rng.standard_normal(shape, np.float32)


def alexnet_state(rng: np.random.Generator) -> State:
    weights = {f"features.{index}": (*row[:2], row[2], row[2]) for index, row in FEATURES.items()}
    weights |= {f"classifier.{index}": shape for index, shape in CLASSIFIER.items()}
    state: State = {}
    for name, shape in weights.items():
        state[f"{name}.weight"] = normal(rng, *shape, size=math.sqrt(2 / math.prod(shape[1:])))
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
        state[f"{name}.bn.weight"] = 1 + normal(rng, out, size=0.2)
        state[f"{name}.bn.bias"] = normal(rng, out, size=0.2)
        state[f"{name}.bn.running_mean"] = normal(rng, out, size=0.2)
        # Small variances among them, for which the epsilon matters.
        state[f"{name}.bn.running_var"] = rng.uniform(0.01, 2, out).astype(np.float32)
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
    params = match_params(FROM_TORCH[name](state), network.param_shapes, "state")
    with jax.default_matmul_precision("highest"):
        outputs = network.with_params(params)(image[None], network.layers)
    for layer, want in expected.items():
        got = np.asarray(outputs[layer])[0]
        channels_last = np.moveaxis(want, 0, -1)
        atol = TOLERANCE * np.abs(want).max()
        np.testing.assert_allclose(got, channels_last, rtol=0, atol=atol, err_msg=layer)
    # The comparison says something only about values that differ from one to the next.
    assert np.ptp(expected["prob"]) > 1e-3
    assert expected["prob"].max() < 0.5
