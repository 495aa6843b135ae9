"""A published network without its weights: a Flax module and everything that is known about it.

That includes where the published weights are (`Download`, `Installed`), and where they keep each
layer (`Place`). Nothing is read or fetched here; `pdjax.weights` does that for any network.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import math
import re
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Literal, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from pdjax._checks import ArgumentValueError, check_choice
from pdjax._functions import activation_shapes
from pdjax._types import Params
from pdjax.classifier import Classifier

__all__ = [
    "IMAGENET_IMAGES",
    "Download",
    "Form",
    "Installed",
    "Network",
    "Place",
    "imagenet_labels",
]

Form = Literal["caffemodel", "pth"]
"""How published weights are written down: as Caffe does, or as PyTorch does."""

FORMS: tuple[Form, ...] = ("caffemodel", "pth")

IMAGENET_IMAGES = 1_281_167
"""Images of ILSVRC2012 that networks are trained on."""


@dataclasses.dataclass(frozen=True)
class Download:
    """A file that its makers offer for download.

    Attributes
    ----------
    address : str
        Where it is, on an HTTP or HTTPS server.
    checksum : str
        The algorithm and the digest in hexadecimal, as ``"sha1:9116..."``.
    size : int or None
        Its bytes; None where nobody has published their number.

    Raises
    ------
    ValueError
        If the checksum is not of this form.
    """

    address: str
    checksum: str
    size: int | None = None

    def __post_init__(self) -> None:
        algorithm, _, digest = self.checksum.partition(":")
        if algorithm not in hashlib.algorithms_guaranteed or not re.fullmatch("[0-9a-f]+", digest):
            raise ArgumentValueError(
                "checksum",
                "is not an algorithm and a digest",
                "write it like 'sha256:7be5be79...', in lower case",
                value=self.checksum,
            )

    @property
    def name(self) -> str:
        """The name of the file, which it keeps on this computer."""
        return self.address.rsplit("/", 1)[-1]


@dataclasses.dataclass(frozen=True)
class Installed:
    """A file that comes with an installed package.

    Attributes
    ----------
    find : callable
        Takes nothing and returns the path of the file. It imports the package when called.
    """

    find: Callable[[], Path]


@dataclasses.dataclass(frozen=True)
class Place:
    """Where published weights keep a layer.

    Attributes
    ----------
    module : str
        What they call the layer: the module with its kernel.
    norm : str or None
        For ``"pth"``: the batch norm behind it, which is folded into kernel and bias when the
        weights are read.
    feature_map : (int, int) or None
        Height and width of the feature map that a fully connected layer reads. Caffe and PyTorch
        flatten it with its channels first, our networks with its channels last.
    """

    module: str
    norm: str | None = None
    feature_map: tuple[int, int] | None = None


@dataclasses.dataclass(frozen=True)
class Network:
    """A network as published; `with_params` makes a `Classifier` of it.

    The module maps images ``(n, h, w, 3)``, RGB in [0, 1], to all its named activations in
    forward order; its own preprocessing is its first step.

    Attributes
    ----------
    name : str
        The name `load_model` knows it by.
    module : flax.linen.Module
        The architecture. A field ``num_classes`` lets it have as many as a file has
        (`with_classes`).
    image_size : int
        Side of the square input image, in pixels.
    summary : str
        One line for a list of networks.
    aliases : tuple of str
        Other names for it.
    published : Download or Installed, optional
        The file with its weights. None: whoever loads the network says where they are.
    form : "pth" or "caffemodel"
        How published weights are written down.
    place : callable
        ``place(layer)`` is the `Place` of a layer of ours in them. By default they call every layer
        as we do.
    unused : tuple of str
        Beginnings of the names of arrays that may be in them and that only training used.
    norm_epsilon : float
        What the batch norms add to a variance. The default is PyTorch's own.
    with_mean : callable, optional
        ``with_mean(params, mean)`` adds a mean image ``(3, h, w)``, BGR in [0, 255], to be
        subtracted in place of a mean colour. None: the network has no such form.
    labels : tuple of str, optional
        Names of the classes; by default those of ImageNet where there are 1000, or else the
        indices.
    scores : str, optional
        The layer with the scores before the softmax, which is ``"prob"``.
    num_training_images : int or None
        Images that the published weights were trained on, for Laplace's correction; None switches
        it off.
    """

    name: str
    module: nn.Module
    image_size: int
    summary: str = ""
    aliases: tuple[str, ...] = ()
    published: Download | Installed | None = None
    form: Form = "pth"
    place: Callable[[str], Place] = Place
    unused: tuple[str, ...] = ()
    norm_epsilon: float = 1e-5
    with_mean: Callable[[Params, np.ndarray], Params] | None = None
    labels: tuple[str, ...] | None = None
    scores: str | None = None
    num_training_images: int | None = None

    def __post_init__(self) -> None:
        check_choice("form", self.form, FORMS)

    @functools.cached_property
    def param_shapes(self) -> dict[str, dict[str, jax.ShapeDtypeStruct]]:
        """Shapes of the parameters, ``{layer: {"kernel", "bias"}}``."""
        return jax.eval_shape(self.module.init, jax.random.key(0), self._image())["params"]

    @functools.cached_property
    def layers(self) -> tuple[str, ...]:
        """Names of all activations, in forward order."""
        return tuple(self._shapes)

    @functools.cached_property
    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return activation_shapes(self._apply, self.param_shapes, self._image().shape[1:])

    @property
    def outputs(self) -> dict[str, str]:
        """What the layers with one number per class hold."""
        scores = {} if self.scores is None else {self.scores: "values"}
        return {**scores, "prob": "softmax"}

    def random_params(self, rng_key: jax.Array) -> Params:
        """Draw parameters for benchmarks, where values do not matter.

        Kernels are normal with variance 1 / inputs, so that activations keep their size.
        """
        leaves, structure = jax.tree.flatten(self.param_shapes)
        keys = jax.random.split(rng_key, len(leaves))
        drawn = [_random(key, leaf.shape) for key, leaf in zip(keys, leaves, strict=True)]
        return jax.tree.unflatten(structure, drawn)

    @property
    def num_classes(self) -> int | None:
        """How many classes the module has; None where it has no field ``num_classes``."""
        return getattr(self.module, "num_classes", None)

    def with_classes(self, count: int, labels: tuple[str, ...] | None = None) -> Network:
        """Return the same architecture with another last layer, as fine-tuning leaves it.

        It has the labels given, or else the indices of its classes where their number is another;
        how many images it was trained on is not known then.
        """
        if count == self.num_classes:
            return self if labels is None else dataclasses.replace(self, labels=labels)
        return dataclasses.replace(
            self,
            module=self.module.clone(num_classes=count),
            labels=tuple(map(str, range(count))) if labels is None else labels,
            num_training_images=None,
        )

    def with_params(self, params: Params) -> Classifier:
        """Join the architecture with parameters, ``{layer: {"kernel", "bias"}}``.

        Raises
        ------
        ValueError
            If there are not as many labels as classes.
        """
        return Classifier(
            name=self.name,
            predict=_Predict(self.module),
            params=params,
            image_size=self.image_size,
            layers=self.layers,
            labels=self._class_names(),
            outputs=self.outputs,
            num_training_images=self.num_training_images,
        )

    def _class_names(self) -> tuple[str, ...]:
        count = self._shapes["prob"][-1]
        if self.labels is None:
            known = imagenet_labels()
            return known if len(known) == count else tuple(map(str, range(count)))
        if len(self.labels) != count:
            raise ArgumentValueError(
                "labels",
                f"are {len(self.labels)} names for the {count} classes of {self.name}",
                "name each of them",
            )
        return self.labels

    def _image(self) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((1, self.image_size, self.image_size, 3), jnp.float32)

    def _apply(self, params: Params, images: jax.Array) -> dict[str, jax.Array]:
        return _activations(self.module, params, images)


@functools.cache
def imagenet_labels() -> tuple[str, ...]:
    """Names of the 1000 classes of ILSVRC2012, in the order in which networks output them."""
    text = resources.files("pdjax").joinpath("data/imagenet_labels.txt").read_text("utf-8")
    return tuple(text.splitlines())


def _random(rng_key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    if len(shape) == 1:
        return jnp.zeros(shape, jnp.float32)
    return jax.random.normal(rng_key, shape, jnp.float32) / math.sqrt(math.prod(shape[:-1]))


@dataclasses.dataclass(frozen=True)
class _Predict:
    """The pure function of a module; equal for equal modules, so that compiled code is shared."""

    module: nn.Module

    def __call__(
        self, params: Params, images: jax.Array, capture: tuple[str, ...]
    ) -> dict[str, jax.Array]:
        activations = _activations(self.module, params, images)
        return {layer: activations[layer] for layer in capture}


def _activations(module: nn.Module, params: Params, images: jax.Array) -> dict[str, jax.Array]:
    return cast("dict[str, jax.Array]", module.apply({"params": params}, images))
