"""From a model object of the user's framework to a classifier."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pdjax._checks import UNIT, ArgumentTypeError, Bounds
from pdjax.adapters.told import Told
from pdjax.classifier import Classifier, Labels

__all__ = ["wrap"]

ADAPTERS = {
    "flax.linen": "linen",
    "flax.nnx": "nnx",
    "equinox": "equinox",
    "haiku": "haiku",
    "keras": "keras",
    "torch": "torch",
    "onnx": "onnx",
}
"""The file with the adapter of a framework, by the package its classes come from."""

FRAMEWORKS = "Flax linen, Flax NNX, Equinox, Haiku, Keras 3, PyTorch and ONNX"


def wrap(
    model: Any,
    *variables: Any,
    image_size: int | tuple[int, ...] | None = None,
    outputs: str | Mapping[str, str] | None = None,
    labels: Labels = None,
    num_training_images: int | None = None,
    channels: int | None = None,
    channel_axis: int | None = None,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    preprocess: Callable[[Any], Any] | None = None,
    arguments: Mapping[str, Any] | None = None,
    bounds: Bounds = UNIT,
    name: str | None = None,
) -> Classifier:
    """Make a classifier of a model of another framework.

    The classifier is of the model as it is now, in inference mode; the model itself is not
    changed. Its layers are the outputs of the submodules by their path (``"block1/conv2"``),
    where the framework can give them, and then the outputs of the model. A single output that has
    no name is called ``"prob"``, or ``"output"`` where it holds values.

    Parameters
    ----------
    model : object
        A Flax linen module, a Flax NNX module, an Equinox module (for one image, channels
        first), ``haiku.transform(...)`` or ``haiku.transform_with_state(...)``, a Keras 3 model
        on the JAX backend, a PyTorch module, or an ONNX model or the path of one.
    *variables : PyTree
        What the model does not hold itself: for linen its variables (``{"params": ...,
        "batch_stats": ...}``), for Haiku parameters and state, for Equinox the state, where it
        has one.
    image_size : int or tuple of int, optional
        Pixels on each spatial axis; an int stands for a square image. Needed unless the model
        knows it, as ONNX files and most Keras models do.
    outputs : str or mapping of str to str, optional
        What the model returns: ``"softmax"`` (probabilities that sum to one), ``"logits"``,
        ``"sigmoid"`` (independent probabilities), ``"sigmoid_logits"`` or ``"values"``; by output
        where there are several. Needed unless the model says so, as a last layer with a softmax
        activation does.
    labels : sequence or mapping, optional
        Names of the classes, as `Classifier.from_function` takes them.
    num_training_images : int, optional
        N of Laplace's correction; None switches the correction off.
    channels : int, optional
        Channels of an image; 3 unless the model knows better.
    channel_axis : int, optional
        Where the model has channels in a batch of images and feature maps: 1 (the default for
        Equinox, PyTorch and ONNX) or -1 (for the others).
    mean, std : float or sequence of float, optional
        The model takes ``(images - mean) / std``, of images in [0, 1], for each channel; for
        ``[0, 255]`` that is ``std=1 / 255``. By default images are given as they are:
        normalisation belongs to the network, and nobody can see from outside which one it was
        trained with.
    preprocess : callable, optional
        Instead of both, any JAX function of images ``(n, *spatial, c)`` in [0, 1].
    arguments : mapping, optional
        Keyword arguments of the model's call. Those that set inference mode are found by
        themselves where they have a usual name, such as ``train=False``.
    bounds : (float, float) or None
        Range of the values of an image, None being any; (0, 255) for models that take these.
    name : str, optional
        What to call the network.

    Returns
    -------
    Classifier

    Raises
    ------
    TypeError
        If the model is of none of these kinds.
    ValueError
        If it cannot be run with what was given, or that is not enough to know what it returns.

    Examples
    --------
    >>> import flax.linen as nn, jax, jax.numpy as jnp, pdjax
    >>> module = nn.Sequential([nn.Conv(4, (3, 3)), lambda x: x.mean((1, 2)), nn.Dense(5)])
    >>> variables = module.init(jax.random.key(0), jnp.zeros((1, 16, 16, 3)))
    >>> net = pdjax.wrap(module, variables, image_size=16, outputs="logits")
    >>> net.layers
    ('layers_0', 'prob')
    """
    told = Told(
        image_size=image_size,
        outputs=outputs,
        labels=labels,
        num_training_images=num_training_images,
        channels=channels,
        channel_axis=channel_axis,
        mean=mean,
        std=std,
        preprocess=preprocess,
        arguments=arguments,
        bounds=bounds,
        name=name,
    )
    adapter = importlib.import_module(f"pdjax.adapters.{_adapter(model)}")
    made: Classifier = adapter.classifier(model, variables, told)
    return made


def _adapter(model: Any) -> str:
    """Find the adapter for a model."""
    if isinstance(model, (str, os.PathLike)):
        if Path(model).suffix.lower() == ".onnx":
            return "onnx"
        raise ArgumentTypeError(
            "model",
            "is no ONNX file (.onnx)",
            "pass one, or the model itself as an object of its framework",
            value=model,
        )
    for base in type(model).__mro__:
        for package, adapter in ADAPTERS.items():
            if f"{base.__module__}.".startswith(f"{package}."):
                return adapter
    if isinstance(model, type):
        raise ArgumentTypeError("model", "is a class", "pass an object of it", value=model)
    if callable(model):
        raise ArgumentTypeError(
            "model",
            f"is a function, and no model of {FRAMEWORKS}",
            "pass one of (params, images) to pdjax.Classifier.from_function, or one that "
            "is not JAX to pdjax.explain with engine='callable'",
        )
    raise ArgumentTypeError(
        "model",
        f"is a {type(model).__name__}",
        f"pass a model of {FRAMEWORKS}",
        value=model,
    )
