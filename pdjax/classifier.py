"""A classifier: a pure function, its parameters and what is known about its outputs."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from pdjax._checks import ArgumentValueError, check_count, nearest
from pdjax._types import Array, Float, Params, Predict
from pdjax.jaxprs.lowerings import tuned

__all__ = ["Classifier", "NamedOutputs", "activation_shapes", "check_layers", "wrap_callable"]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Classifier:
    """A network that can be explained.

    Calling it runs the network on images ``(n, *spatial, c)``, float32 RGB in [0, 1], and returns
    ``{layer: activation (n, ...)}`` for the layers named in ``capture`` (default: the last one).

    Attributes
    ----------
    name : str
        What the network is called in pictures and results.
    predict : Predict
        The pure function ``predict(params, images, capture)`` behind the call.
    params : PyTree of arrays
        Its parameters.
    image_size : int or tuple of int
        Pixels on each spatial axis; an int stands for a square image.
    layers : tuple of str
        Names of all activations, in forward order.
    labels : tuple of str
        Names of the classes; synonyms are separated by commas.
    probabilities : tuple of str
        The layers that hold class probabilities. They are measured by weight of evidence, all
        others by activation difference.
    num_training_images : int or None
        N of Laplace's correction, at least 0; None switches the correction off.
    channels : int
        Channels of an image.

    Raises
    ------
    ValueError
        If ``num_training_images`` is something else.
    """

    name: str
    predict: Predict
    params: Params
    image_size: int | tuple[int, ...]
    layers: tuple[str, ...]
    labels: tuple[str, ...]
    probabilities: tuple[str, ...] = ("prob",)
    num_training_images: int | None = None
    channels: int = 3

    def __post_init__(self) -> None:
        if self.num_training_images is not None:
            check_count("num_training_images", self.num_training_images, least=0)

    def __call__(
        self,
        images: Float[Array | np.ndarray, "n *spatial c"],
        capture: Sequence[str] | None = None,
    ) -> dict[str, Float[Array, "n ..."]]:
        """Return the activations named in ``capture``."""
        names = self.layers[-1:] if capture is None else check_layers(capture, self.layers)
        return self.activations(jax.numpy.asarray(images), names)

    def __repr__(self) -> str:
        return (
            f"Classifier({self.name!r}, image_shape={self.image_shape}, "
            f"{len(self.labels)} classes, {len(self.layers)} layers)"
        )

    def activations(
        self, images: Float[Array, "n *spatial c"], layers: tuple[str, ...], lowerings: bool = True
    ) -> dict[str, Float[Array, "n ..."]]:
        """Return activations in the order of ``layers``, compiled.

        With ``lowerings`` the operations are put in the form that the device runs fastest.
        """
        outputs = _apply(self.predict, self.params, images, layers, lowerings)
        # JAX sorts the keys of what a compiled function returns.
        return {layer: outputs[layer] for layer in layers}

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Shape of an image, ``(*spatial, channels)``."""
        return (*_spatial(self.image_size), self.channels)

    def activation_shape(self, layer: str) -> tuple[int, ...]:
        """Shape of the activation of a layer for one image, found without running anything."""
        names = check_layers((layer,), self.layers)
        images = jax.ShapeDtypeStruct((1, *self.image_shape), jax.numpy.float32)
        traced = functools.partial(self.predict, capture=names)
        return tuple(jax.eval_shape(traced, self.params, images)[layer].shape[1:])

    @classmethod
    def from_function(
        cls,
        f: Callable[[Params, jax.Array], jax.Array | Mapping[str, jax.Array]],
        params: Params,
        *,
        image_size: int | tuple[int, ...],
        labels: Sequence[str] | None = None,
        probabilities: tuple[str, ...] = ("prob",),
        num_training_images: int | None = None,
        channels: int = 3,
        name: str = "custom",
    ) -> Classifier:
        """Make a classifier of any pure JAX function.

        Parameters
        ----------
        f : callable
            ``f(params, images (n, *spatial, c)) -> array (n, ...)`` or a dict of them by layer
            name, in forward order. A bare array is called by the one name in ``probabilities``,
            or ``"output"`` where there is none.
        params : PyTree of arrays
            Parameters of ``f``.
        image_size : int or tuple of int
            Pixels on each spatial axis; an int stands for a square image.
        labels : sequence of str, optional
            Names of the classes; their indices by default.
        probabilities : tuple of str
            The layers that hold class probabilities (rows that sum to one).
        num_training_images : int, optional
            N of Laplace's correction, at least 0; None switches the correction off.
        channels : int
            Channels of an image.
        name : str
            What to call the network.

        Raises
        ------
        ValueError
            If ``f`` does not return what the other arguments say, or
            ``num_training_images`` is something else.

        Examples
        --------
        >>> import jax, jax.numpy as jnp, pdjax
        >>> def f(params, images):
        ...     return jax.nn.softmax(images.mean((1, 2)) @ params)
        >>> net = pdjax.Classifier.from_function(f, jnp.eye(3), image_size=8)
        >>> net(jnp.ones((2, 8, 8, 3)))["prob"].shape
        (2, 3)
        """
        predict = NamedOutputs.of(f, probabilities)
        dtype = jax.dtypes.canonicalize_dtype(np.float64)
        shapes = activation_shapes(predict, params, (*_spatial(image_size), channels), dtype)
        missing = [layer for layer in probabilities if layer not in shapes]
        if missing:
            raise ArgumentValueError(
                "probabilities",
                f"names {missing[0]!r}, which f does not return; it returns {', '.join(shapes)}",
                "pass probabilities=() if none is a probability",
                value=probabilities,
            )
        count = shapes[probabilities[-1] if probabilities else list(shapes)[-1]].shape[-1]
        if labels is None:
            labels = tuple(str(index) for index in range(count))
        if len(labels) != count:
            raise ArgumentValueError(
                "labels",
                f"are {len(labels)} names for the {count} classes that f gives",
                "name each of them",
            )
        return cls(
            name=name,
            predict=predict,
            params=params,
            image_size=image_size,
            layers=tuple(shapes),
            labels=tuple(labels),
            probabilities=tuple(probabilities),
            num_training_images=num_training_images,
            channels=channels,
        )


def check_layers(
    names: Sequence[str], layers: Sequence[str], argument: str = "layers"
) -> tuple[str, ...]:
    """Return ``names`` as a tuple, or raise ValueError that lists the layers there are."""
    if isinstance(names, str):
        names = (names,)
    for name in names:
        if name not in layers:
            raise ArgumentValueError(
                argument,
                f"must be of the network, which has no {name!r}",
                f"{nearest(str(name), layers)}choose from {', '.join(layers)}",
            )
    return tuple(names)


def check_units(shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raise ValueError where an output for a batch of one image is not an array (1, ...)."""
    for name, shape in shapes.items():
        if len(shape) < 2 or shape[0] != 1:
            raise ArgumentValueError(
                "net",
                f"gives layer {name!r} the shape {shape} for one image",
                "return arrays (n, units) or (n, *spatial, units) for n images",
            )


@dataclasses.dataclass(frozen=True)
class NamedOutputs:
    """A function whose outputs are a dict by layer name, restricted to those asked for.

    Hashable, so that it can be a static argument of a jit-compiled function.
    """

    f: Callable[[Params, Any], Any]
    bare_name: str

    @classmethod
    def of(cls, f: Callable[[Params, Any], Any], probabilities: Sequence[str]) -> NamedOutputs:
        """Name a bare output by the one probability layer, or ``"output"``."""
        return cls(f, probabilities[0] if len(probabilities) == 1 else "output")

    def __call__(
        self, params: Params, images: Any, capture: tuple[str, ...] | None = None
    ) -> dict[str, Any]:
        """Return the layers in ``capture``, by default all in forward order."""
        outputs = self.f(params, images)
        named = dict(outputs) if isinstance(outputs, Mapping) else {self.bare_name: outputs}
        return named if capture is None else {layer: named[layer] for layer in capture}


def activation_shapes(
    f: Callable[[Params, jax.Array], dict[str, jax.Array]],
    params: Params,
    image_shape: tuple[int, ...],
    dtype: np.dtype | type = np.float32,
) -> dict[str, jax.ShapeDtypeStruct]:
    """Shapes of all activations for one image, in forward order, without running anything."""
    order: list[str] = []

    def traced(params: Params, images: jax.Array) -> dict[str, jax.Array]:
        outputs = f(params, images)
        order.extend(outputs)
        return outputs

    images = jax.ShapeDtypeStruct((1, *image_shape), dtype)
    shapes = jax.eval_shape(traced, params, images)
    check_units({name: shape.shape for name, shape in shapes.items()})
    # JAX sorts the keys of what a traced function returns; forward order is the dict's own.
    return {name: shapes[name] for name in order}


def wrap_callable(
    f: Callable[[np.ndarray], Any], image: Float[np.ndarray, "*spatial c"]
) -> Classifier:
    """Make a classifier of a plain Python callable, by asking it once what it returns.

    It takes images ``(n, *spatial, c)`` as a NumPy array and returns class probabilities, or a dict
    of arrays by layer name. Only the callable engine can run it.
    """
    predict = NamedOutputs.of(lambda params, images: f(images), ("prob",))
    outputs = predict(None, image[None])
    layers = tuple(outputs)
    check_units({layer: np.shape(values) for layer, values in outputs.items()})
    last = np.shape(outputs[layers[-1]])[-1]
    return Classifier(
        name=getattr(f, "__name__", type(f).__name__),
        predict=predict,
        params=None,
        image_size=image.shape[:-1],
        layers=layers,
        labels=tuple(str(index) for index in range(last)),
        probabilities=tuple(layer for layer in layers if layer == "prob"),
        channels=image.shape[-1],
    )


def _spatial(image_size: int | tuple[int, ...]) -> tuple[int, ...]:
    return (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)


@functools.partial(jax.jit, static_argnums=(0, 3, 4))
def _apply(
    predict: Predict,
    params: Params,
    images: jax.Array,
    capture: tuple[str, ...],
    lowerings: bool,
) -> dict[str, jax.Array]:
    f = functools.partial(predict, capture=capture)
    return (tuned(f) if lowerings else f)(params, images)
