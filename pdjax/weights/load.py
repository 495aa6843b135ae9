"""From the name of a network to a classifier: the file read, renamed and matched to the network."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import jax

from pdjax._checks import ArgumentTypeError, ArgumentValueError
from pdjax._outputs import ordered
from pdjax._types import Params
from pdjax.classifier import Classifier, Labels
from pdjax.models import NETWORKS, Network, find_network
from pdjax.weights.download import fetch
from pdjax.weights.match import LayerParams, match_arrays
from pdjax.weights.published import published_classes, published_params, unwrapped
from pdjax.weights.readers.any_kind import read_weights
from pdjax.weights.readers.mean_image import read_mean_image

__all__ = ["load_model", "load_params"]

# The names of kernels in a file of ours end with this; in a published one only Caffe's do.
KERNEL = ".kernel"


def load_model(
    name: str | Network = "efficientnet_lite0",
    weights: str | os.PathLike[str] | None = None,
    *,
    labels: Labels = None,
    mean_image: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> Classifier:
    """Load a published network, or one of its architecture that was fine-tuned to other classes.

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
        How many classes there are follows from the last layer in the file. Names may have
        ``module.``, ``model.`` and the like in front of them, as data parallelism and Lightning
        leave them, and the state dict may lie in a checkpoint under ``"state_dict"``, ``"model"``
        or ``"model_state_dict"``.
    labels : sequence or mapping, optional
        Names of the classes, as `Classifier.from_function` takes them: one for each in the file.
        By default those of ImageNet, or the indices where there are not a thousand classes. With
        another number of classes than the published one Laplace's correction is off, because the
        number of training images is not known.
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
    names = None if labels is None else ordered(labels)
    if weights is not None and os.fspath(weights) == "random":
        if names is not None:
            network = _with_classes(network, len(names), names)
        params = network.random_params(jax.random.key(0))
    else:
        path = fetch(network, progress=progress) if weights is None else Path(weights)
        network, arrays = _read(network, path, names)
        params = jax.tree.map(jax.numpy.asarray, arrays)
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
    return _read(network, path)[1]


def _read(
    network: Network, path: Path, labels: tuple[str, ...] | None = None
) -> tuple[Network, LayerParams]:
    """Read a file, and give the network as many classes as that has."""
    file, source = read_weights(path), str(path)
    is_caffe = file.kind == "caffemodel"
    if not is_caffe and any(name.endswith(KERNEL) for name in file.arrays):
        own = file.arrays.get(f"{network.scores}{KERNEL}")
        network = _with_classes(network, None if own is None else own.shape[-1], labels)
        return network, match_arrays(file.arrays, network.param_shapes, source)
    if is_caffe == (network.form == "caffemodel"):
        arrays = unwrapped(network, file.arrays)
        network = _with_classes(network, published_classes(network, arrays), labels)
        return network, published_params(network, arrays, source)
    published = {"caffemodel": "Caffe model", "pth": "PyTorch checkpoint"}[network.form]
    raise ArgumentValueError(
        "weights",
        f"is a {file.kind} file with names that are not those of {network.name}, which was "
        f"published as a {published} (.{network.form})",
        "give that, or what `pdjax weights convert` made of it",
        value=path,
    )


def _with_classes(network: Network, count: int | None, labels: tuple[str, ...] | None) -> Network:
    """Give a network the classes that there are; where they are not known, it keeps its own."""
    if count is None or network.num_classes is None:
        count = network.num_classes if labels is None else len(labels)
    if labels is not None and len(labels) != count:
        raise ArgumentValueError(
            "labels",
            f"are {len(labels)} names for the {count} classes in the weights",
            "name each of them, in the order of the last layer",
        )
    if count is None or (network.num_classes is None and labels is None):
        return network
    if network.num_classes is None:
        return dataclasses.replace(network, labels=labels)
    return network.with_classes(count, labels)


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
