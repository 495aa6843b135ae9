"""From the name of a network to a classifier: the file read, renamed and matched to the network."""

from __future__ import annotations

import os
from pathlib import Path

import jax
import numpy as np

from pdjax.classifier import Classifier
from pdjax.models import find_network
from pdjax.models.alexnet import BVLC_ALEXNET, with_mean_image
from pdjax.models.network import Network
from pdjax.weights.caffe_names import FROM_CAFFE
from pdjax.weights.download import fetch
from pdjax.weights.match import match_arrays, match_params
from pdjax.weights.mean_image import read_mean_image
from pdjax.weights.readers.any_kind import read_weights
from pdjax.weights.torch_names import FROM_TORCH

__all__ = ["load_model", "load_params"]

# The names of the kernels in a file of ours end with this, and none in a published file.
KERNEL = ".kernel"


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
    file, name, source = read_weights(path), network.name, str(path)
    if file.kind == "caffemodel":
        if name in FROM_CAFFE:
            return match_params(FROM_CAFFE[name](file.arrays), network.param_shapes, source)
    elif any(key.endswith(KERNEL) for key in file.arrays):
        return match_arrays(file.arrays, network.param_shapes, source)
    elif name in FROM_TORCH:
        return match_params(FROM_TORCH[name](file.arrays, source), network.param_shapes, source)
    published = "Caffe model (.caffemodel)" if name in FROM_CAFFE else "PyTorch checkpoint (.pth)"
    raise ValueError(
        f"weights: {source!r} is a {file.kind} file with names that are not those of {name}, "
        f"which was published as a {published}; give that, or what `pdjax weights convert` made "
        "of it"
    )
