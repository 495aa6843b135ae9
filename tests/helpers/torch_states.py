"""States with the names and shapes of the published PyTorch checkpoints, for the tests of weights.

The numbers are zeros, which take no memory until they are written to, but for EfficientNet-Lite0,
whose checkpoint is installed.
"""

from __future__ import annotations

import functools

import numpy as np

from pdjax.models import NETWORKS
from pdjax.weights.download import fetch
from pdjax.weights.readers.any_kind import read_weights

State = dict[str, np.ndarray]
Shape = tuple[int, ...]

ALEXNET = {
    "features.0": (64, 3, 11, 11),
    "features.3": (192, 64, 5, 5),
    "features.6": (384, 192, 3, 3),
    "features.8": (256, 384, 3, 3),
    "features.10": (256, 256, 3, 3),
    "classifier.1": (4096, 256 * 6 * 6),
    "classifier.4": (4096, 4096),
    "classifier.6": (1000, 4096),
}
VGG16_STAGES = ((64, 64), (128, 128), (256,) * 3, (512,) * 3, (512,) * 3)
VGG16_CLASSIFIER = {
    "classifier.0": (4096, 512 * 7 * 7),
    "classifier.3": (4096, 4096),
    "classifier.6": (1000, 4096),
}


def torch_state(name: str) -> State:
    """Return a new state for one of the networks that were published with PyTorch."""
    match name:
        case "efficientnet_lite0":
            return dict(installed())
        case "torchvision_alexnet":
            return biased(ALEXNET)
        case "torchvision_googlenet":
            return googlenet()
        case "vgg16":
            return biased({**vgg16_features(), **VGG16_CLASSIFIER})
        case _:
            raise ValueError(name)


@functools.cache
def installed() -> State:
    """Read the checkpoint of EfficientNet-Lite0."""
    return read_weights(fetch("efficientnet_lite0")).arrays


def biased(kernels: dict[str, Shape]) -> State:
    """Give every module a weight of the shape and a bias."""
    state: State = {}
    for module, shape in kernels.items():
        state[f"{module}.weight"] = np.zeros(shape, np.float32)
        state[f"{module}.bias"] = np.zeros(shape[0], np.float32)
    return state


def googlenet() -> State:
    """Return a state with the auxiliary classifiers, in part, and counters of batches."""
    state = biased({"fc": (1000, 1024), "aux1.fc1": (1024, 2048), "aux2.fc2": (1000, 1024)})
    for layer, parts in NETWORKS["torchvision_googlenet"].param_shapes.items():
        if layer != "fc":
            height, width, inputs, out = parts["kernel"].shape
            state |= normalised(layer, (out, inputs, height, width))
    return state | normalised("aux1.conv", (128, 512, 1, 1))


def normalised(layer: str, shape: Shape) -> State:
    """Return a convolution without bias and the batch norm behind it."""
    state = {f"{layer}.conv.weight": np.zeros(shape, np.float32)}
    for part in ("weight", "bias", "running_mean", "running_var"):
        state[f"{layer}.bn.{part}"] = np.zeros(shape[0], np.float32)
    return state | {f"{layer}.bn.num_batches_tracked": np.asarray(7)}


def vgg16_features() -> dict[str, Shape]:
    """Number the operators: every convolution is followed by a ReLU, every stage by a pooling."""
    kernels: dict[str, Shape] = {}
    index, inputs = 0, 3
    for stage in VGG16_STAGES:
        for out in stage:
            kernels[f"features.{index}"] = (out, inputs, 3, 3)
            index, inputs = index + 2, out
        index += 1
    return kernels
