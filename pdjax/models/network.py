"""A published network without its weights: a Flax module and the facts that go with it."""

from __future__ import annotations

import dataclasses
import functools
import math
from importlib import resources
from typing import cast

import flax.linen as nn
import jax
import jax.numpy as jnp

from pdjax._types import Params
from pdjax.classifier import Classifier, activation_shapes

__all__ = ["Network", "imagenet_labels"]


@dataclasses.dataclass(frozen=True)
class Network:
    """An ImageNet network as published; `with_params` makes a `Classifier` of it.

    The module maps images ``(n, h, w, 3)``, RGB in [0, 1], to all its named activations in
    forward order; its own preprocessing is its first step.

    Attributes
    ----------
    name : str
        The name `load_model` knows it by.
    module : flax.linen.Module
        The architecture.
    image_size : int
        Side of the square input image, in pixels.
    summary : str
        One line for a list of networks.
    num_training_images : int
        Images that the published weights were trained on.
    """

    name: str
    module: nn.Module
    image_size: int
    summary: str
    num_training_images: int = 1_281_167

    @functools.cached_property
    def param_shapes(self) -> dict[str, dict[str, jax.ShapeDtypeStruct]]:
        """Shapes of the parameters, ``{layer: {"kernel", "bias"}}``."""
        return jax.eval_shape(self.module.init, jax.random.key(0), self._image())["params"]

    @functools.cached_property
    def layers(self) -> tuple[str, ...]:
        """Names of all activations, in forward order."""
        return tuple(activation_shapes(self._apply, self.param_shapes, self._image().shape[1:]))

    def random_params(self, rng_key: jax.Array) -> Params:
        """Draw parameters for benchmarks, where values do not matter.

        Kernels are normal with variance 1 / inputs, so that activations keep their size.
        """
        leaves, structure = jax.tree.flatten(self.param_shapes)
        keys = jax.random.split(rng_key, len(leaves))
        drawn = [_random(key, leaf.shape) for key, leaf in zip(keys, leaves, strict=True)]
        return jax.tree.unflatten(structure, drawn)

    def with_params(self, params: Params) -> Classifier:
        """Join the architecture with parameters, ``{layer: {"kernel", "bias"}}``."""
        return Classifier(
            name=self.name,
            predict=_Predict(self.module),
            params=params,
            image_size=self.image_size,
            layers=self.layers,
            labels=imagenet_labels(),
            probabilities=("prob",),
            num_training_images=self.num_training_images,
        )

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
    inputs = math.prod(shape[:-1])
    kernel = jax.random.normal(rng_key, shape, jnp.float32) / math.sqrt(inputs)
    return kernel if len(shape) > 1 else jnp.zeros(shape, jnp.float32)


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
