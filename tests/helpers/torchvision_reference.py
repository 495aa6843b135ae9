"""Torchvision's AlexNet and GoogLeNet in NumPy, from the states that PyTorch saves.

They follow torchvision's definitions: batch norm stays a layer of its own, and GoogLeNet's input
transform is applied to a standardised image. Activations are channels first, of one image.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

__all__ = ["alexnet", "googlenet"]

State = dict[str, np.ndarray]

# Position in the sequence, stride and padding of AlexNet's convolutions.
FEATURES = ((0, 4, 2), (3, 1, 2), (6, 1, 1), (8, 1, 1), (10, 1, 1))


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
    for number, (index, stride, padding) in enumerate(FEATURES, start=1):
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
    for stage in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"):
        x = inception(x, f"inception{stage}")
        if stage == "3b":
            x = keep("maxpool3", max_pool(x, 3, 2, ceil=True))
        if stage == "4e":
            x = keep("maxpool4", max_pool(x, 2, 2, ceil=True))
    x = keep("avgpool", x.mean((1, 2)))
    x = keep("fc", state["fc.weight"] @ x + state["fc.bias"])
    keep("prob", softmax(x))
    return layers
