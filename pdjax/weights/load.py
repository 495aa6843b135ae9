"""From the name of a network to a classifier: the file read, renamed and matched to the network."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import jax

from pdjax._checks import ArgumentTypeError, ArgumentValueError
from pdjax._types import Params
from pdjax.classifier import Classifier
from pdjax.models import NETWORKS, Network, find_network
from pdjax.weights.download import fetch
from pdjax.weights.match import LayerParams, match_arrays
from pdjax.weights.published import published_params
from pdjax.weights.readers.any_kind import read_weights
from pdjax.weights.readers.mean_image import read_mean_image

__all__ = ["load_model", "load_params"]

# The names of kernels in a file of ours end with this; in a published one only Caffe's do.
KERNEL = ".kernel"


def load_model(
    name: str | Network = "efficientnet_lite0",
    weights: str | os.PathLike[str] | None = None,
    *,
    mean_image: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> Classifier:
    """Load a published network.

    Parameters
    ----------
    name : str or Network
        One of `pdjax.models.NETWORKS`, or an alias of one: ``"googlenet"`` means the published
        Caffe form. A `pdjax.models.Network` of your own will do as well.
    weights : path or "random", optional
        The file with its weights: the published one, or one that `pdjax weights convert` wrote.
        None takes the published file, which is installed with the package for
        ``"efficientnet_lite0"`` and is otherwise downloaded once and verified. ``"random"`` draws
        weights, for benchmarks.
    mean_image : path, optional
        For ``"bvlc_alexnet"``: Caffe's mean image (``ilsvrc_2012_mean.npy``), of which the
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
        raise ArgumentTypeError(
            "weights", "must be the path of a file, 'random' or None", value=weights
        )
    # Before the weights, which may take a while.
    with_mean = _with_mean(network, mean_image)
    if weights is not None and os.fspath(weights) == "random":
        params = network.random_params(jax.random.key(0))
    else:
        path = fetch(network, progress=progress) if weights is None else Path(weights)
        params = jax.tree.map(jax.numpy.asarray, load_params(network, path))
    return network.with_params(with_mean(params))


def load_params(network: Network, path: Path) -> LayerParams:
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
    file, source = read_weights(path), str(path)
    is_caffe = file.kind == "caffemodel"
    if not is_caffe and any(name.endswith(KERNEL) for name in file.arrays):
        return match_arrays(file.arrays, network.param_shapes, source)
    if is_caffe == (network.form == "caffemodel"):
        return published_params(network, file.arrays, source)
    published = {"caffemodel": "Caffe model", "pth": "PyTorch checkpoint"}[network.form]
    raise ArgumentValueError(
        "weights",
        f"is a {file.kind} file with names that are not those of {network.name}, which was "
        f"published as a {published} (.{network.form})",
        "give that, or what `pdjax weights convert` made of it",
        value=path,
    )


def _with_mean(
    network: Network, mean_image: str | os.PathLike[str] | None
) -> Callable[[Params], Params]:
    """Return what adds a mean image to parameters, or leaves them as they are without one."""
    if mean_image is None:
        return lambda params: params
    with_mean = network.with_mean
    if with_mean is None:
        others = ", ".join(name for name, other in NETWORKS.items() if other.with_mean)
        raise ArgumentValueError(
            "mean_image",
            f"does not go with {network.name}, which subtracts no mean image",
            f"leave it out, or load {others}",
        )
    mean = read_mean_image(mean_image)
    return lambda params: with_mean(params, mean)
