"""From the name of a network to a classifier: the file read, renamed and matched to the network."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import jax
import numpy as np

from pdjax.models import find_network
from pdjax.models.alexnet import BVLC_ALEXNET, with_mean_image
from pdjax.models.classifier import Classifier
from pdjax.models.network import Network
from pdjax.weights.caffe_names import FROM_CAFFE
from pdjax.weights.download import fetch
from pdjax.weights.files import WeightFile, read_weights
from pdjax.weights.match import match_params
from pdjax.weights.mean_image import read_mean_image
from pdjax.weights.torch_names import FROM_TORCH

__all__ = ["load_model", "load_params"]

LayerParams = Mapping[str, Mapping[str, np.ndarray]]

KERNEL = ".kernel"
# What a checkpoint has beyond the network at inference: counters, auxiliary classifiers.
ONLY_FOR_TRAINING = re.compile(r"(.+\.num_batches_tracked|aux[12]\..+)")


def load_model(
    name: str = "efficientnet_lite0",
    weights: str | os.PathLike[str] | None = None,
    *,
    mean_image: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> Classifier:
    """Load a published network.

    Parameters
    ----------
    name : str
        One of `pdjax.models.NETWORKS`; ``"googlenet"`` means the published Caffe form.
    weights : path or "random", optional
        The file with its weights: the published one, or one that `pdjax weights convert` wrote.
        None takes the published file, which is installed with the package for
        ``"efficientnet_lite0"`` and is otherwise downloaded once and verified. ``"random"`` draws
        weights, for benchmarks.
    mean_image : path, optional
        For ``"bvlc_alexnet"`` alone: Caffe's mean image (``ilsvrc_2012_mean.npy``), of which the
        middle is subtracted in place of the mean colour, as in training.
    progress : bool
        Show a progress bar for a download.

    Returns
    -------
    Classifier

    Raises
    ------
    FileNotFoundError, ValueError
        If the network is unknown, or a file is missing, damaged or of another network.
    ConnectionError, OSError
        If the published file cannot be fetched or kept.
    """
    network = find_network(name)
    if weights is not None and not isinstance(weights, (str, os.PathLike)):
        raise TypeError(f"weights={weights!r} must be the path of a file, 'random' or None")
    if mean_image is not None and network is not BVLC_ALEXNET:
        raise ValueError(
            f"mean_image: {network.name} subtracts a mean colour; leave mean_image out, or load "
            f"{BVLC_ALEXNET.name}"
        )
    mean = None if mean_image is None else read_mean_image(mean_image)
    if weights is not None and os.fspath(weights) == "random":
        params = network.random_params(jax.random.key(0))
    else:
        path = fetch(network.name, progress=progress) if weights is None else Path(weights)
        params = jax.tree.map(jax.numpy.asarray, load_params(network, path))
    return network.with_params(params if mean is None else with_mean_image(params, mean))


def load_params(network: Network, path: Path) -> dict[str, dict[str, np.ndarray]]:
    """Read the parameters of a network from any file that can hold them.

    Returns
    -------
    dict
        ``{layer: {"kernel", "bias"}}``, float32, exactly those that the network wants.

    Raises
    ------
    FileNotFoundError, ValueError
        If the file is missing, damaged or of another network.
    """
    layers = _layers(network.name, read_weights(path), str(path))
    return match_params(layers, network.param_shapes, str(path))


def _layers(name: str, file: WeightFile, source: str) -> LayerParams:
    """Bring the names and layouts in a file into our form."""
    if file.kind == "caffemodel" and name in FROM_CAFFE:
        return FROM_CAFFE[name](file.arrays)
    if file.kind != "caffemodel":
        if any(key.endswith(KERNEL) for key in file.arrays):
            return _unflattened(file.arrays)
        if name in FROM_TORCH:
            return _from_torch(FROM_TORCH[name], file.arrays, source)
    published = "Caffe model (.caffemodel)" if name in FROM_CAFFE else "PyTorch checkpoint (.pth)"
    raise ValueError(
        f"weights: {source!r} is a {file.kind} file with names that are not those of {name}, "
        f"which was published as a {published}; give that, or what `pdjax weights convert` made "
        "of it"
    )


def _unflattened(arrays: Mapping[str, np.ndarray]) -> LayerParams:
    """Split the names in a file of ours, ``layer.part``; names of layers may hold dots too."""
    params: dict[str, dict[str, np.ndarray]] = {}
    for key, array in arrays.items():
        layer, _, part = key.rpartition(".")
        params.setdefault(layer, {})[part] = array
    return params


def _from_torch(
    convert: Callable[[Mapping[str, np.ndarray]], LayerParams],
    arrays: Mapping[str, np.ndarray],
    source: str,
) -> LayerParams:
    state = _Watched(arrays)
    try:
        params = convert(state)
    except ValueError as error:
        reason = str(error).removeprefix("weights: ")
        raise ValueError(f"weights: {source!r} does not fit the network: {reason}") from error
    surplus = {
        name: {"array": array}
        for name, array in arrays.items()
        if name not in state.used and not ONLY_FOR_TRAINING.fullmatch(name)
    }
    return {**params, **surplus}


class _Watched(Mapping[str, np.ndarray]):
    """Arrays by name, and which of them have been asked for."""

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        self.arrays = arrays
        self.used: set[str] = set()

    def __getitem__(self, name: str) -> np.ndarray:
        array = self.arrays[name]
        self.used.add(name)
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self.arrays)

    def __len__(self) -> int:
        return len(self.arrays)
