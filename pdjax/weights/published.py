"""From the names and layouts of published weights to the parameters of our networks.

Each network says in its own file where they keep each of its layers (`Network.place`); what all
networks have in common is here. PyTorch keeps a kernel as (out, in, h, w) and a fully connected
weight as (out, in); ours are (h, w, in, out) and (in, out), and so are Caffe's as they are read.
Behind a feature map both count inputs with the channels first, we with the channels last. At
inference batch norm is an affine map of every channel, so it is folded into the kernel and bias of
the convolution before it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import jax
import numpy as np

from pdjax.models.network import Form, Network, Place
from pdjax.weights.match import LayerParams, flat, match_arrays

__all__ = ["published_classes", "published_params", "unwrapped"]

KERNEL: dict[Form, str] = {"caffemodel": "kernel", "pth": "weight"}
NORM_PARTS = ("weight", "bias", "running_mean", "running_var")
# How many batches a batch norm has seen, which nothing here needs.
COUNTER = ".num_batches_tracked"


WRAPPED = re.compile(r"((module|model|net|network|backbone|_orig_mod)\.)+")
"""What data parallelism, compilation and frameworks of training put in front of names."""


def published_params(
    network: Network, arrays: Mapping[str, np.ndarray], source: str
) -> LayerParams:
    """Turn published weights into the parameters of a network.

    The arrays are compared with the network under their own names and in their own layouts, so
    that an error speaks of what is in the file.

    Parameters
    ----------
    network : Network
        Whose parameters are wanted.
    arrays : mapping of str to array
        The weights in the network's published form: as `read_caffemodel` or `read_pth` returns
        them. What only training used is left out.
    source : str
        The file, or where else the arrays come from; named in the error.

    Returns
    -------
    dict
        ``{layer: {"kernel", "bias"}}``, float32, batch norm folded.

    Raises
    ------
    ValueError
        If the arrays are not exactly those of the network, as `pdjax.weights.match.match_arrays`.
    """
    shapes = network.param_shapes
    places = {layer: network.place(layer) for layer in shapes}
    wanted: dict[str, dict[str, jax.ShapeDtypeStruct]] = {}
    for layer, place in places.items():
        wanted |= _wanted(shapes[layer], place, network.form)
    used = {
        name: array
        for name, array in arrays.items()
        if not name.startswith(network.unused) and not name.endswith(COUNTER)
    }
    modules = match_arrays(used, wanted, source)
    params = {layer: _converted(modules, place, network) for layer, place in places.items()}
    # Once more: what was finite may not be so any longer with its batch norm folded in.
    return match_arrays(flat(params), shapes, source)


def unwrapped(network: Network, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    """Take from names what training put in front of them, such as ``module.`` and ``model.``.

    Where the first layer of the network is found behind such words, everything else is left out:
    weights of a loss, or a second network beside it.
    """
    probe = f"{network.place(next(iter(network.param_shapes))).module}.{KERNEL[network.form]}"
    for name in arrays:
        front = name.removesuffix(probe)
        if front != name and WRAPPED.fullmatch(front):
            return {
                inner.removeprefix(front): array
                for inner, array in arrays.items()
                if inner.startswith(front)
            }
    return arrays


def published_classes(network: Network, arrays: Mapping[str, np.ndarray]) -> int | None:
    """Return how many classes the last layer in a file has; None where that is not to be seen."""
    if network.scores is None:
        return None
    kernel = arrays.get(f"{network.place(network.scores).module}.{KERNEL[network.form]}")
    if kernel is None or kernel.ndim < 2:
        return None
    return int(kernel.shape[0 if network.form == "pth" else -1])


def _wanted(
    shapes: Mapping[str, jax.ShapeDtypeStruct], place: Place, form: Form
) -> dict[str, dict[str, jax.ShapeDtypeStruct]]:
    """Bring the shapes of a layer of ours into published names and layouts."""
    parts = dict(shapes)
    kernel = parts.pop("kernel")
    if form == "pth":
        *spatial, inputs, out = kernel.shape
        kernel = jax.ShapeDtypeStruct((out, inputs, *spatial), kernel.dtype)
    module = {KERNEL[form]: kernel}
    if place.norm is None:
        return {place.module: module | parts}
    return {place.module: module, place.norm: dict.fromkeys(NORM_PARTS, parts["bias"])}


def _converted(modules: LayerParams, place: Place, network: Network) -> dict[str, np.ndarray]:
    parts = dict(modules[place.module])
    kernel = parts.pop(KERNEL[network.form])
    if network.form == "pth":
        kernel = np.moveaxis(kernel, (0, 1), (-1, -2))
    if place.feature_map is not None:
        kernel = _channels_last(kernel, place.feature_map)
    if place.norm is None:
        return {"kernel": kernel, **parts}
    return _folded(kernel, modules[place.norm], network.norm_epsilon)


def _channels_last(kernel: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Reorder the inputs of a kernel (inputs, out) from (c, h, w) to (h, w, c)."""
    inputs, out = kernel.shape
    return kernel.reshape(-1, *size, out).transpose(1, 2, 0, 3).reshape(inputs, out)


def _folded(
    kernel: np.ndarray, norm: Mapping[str, np.ndarray], epsilon: float
) -> dict[str, np.ndarray]:
    """Fold a batch norm into the convolution before it, which has no bias, in float64."""
    scale, shift, mean, variance = (norm[part].astype(np.float64) for part in NORM_PARTS)
    # A negative variance gives what is not finite, and is refused as such with the parameters.
    with np.errstate(all="ignore"):
        factor = scale / np.sqrt(variance + epsilon)
        return {
            "kernel": (kernel * factor).astype(np.float32),
            "bias": (shift - mean * factor).astype(np.float32),
        }
