"""A classifier: a pure function, its parameters and what is known about its outputs."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from pdjax._bounds import check_levels
from pdjax._channels import ChannelsMoved, check_channel_axis
from pdjax._checks import (
    UNIT,
    ArgumentValueError,
    Bounds,
    check_count,
    check_pair,
    is_integer,
    nearest,
    per_axis,
)
from pdjax._functions import (
    NamedOutputs,
    activation_shapes,
    image_dtype,
    plain_outputs,
)
from pdjax._outputs import Head, bare_name, heads_of
from pdjax._types import Array, Float, Params, Predict
from pdjax.jaxprs.lowerings import tuned

__all__ = ["Classifier", "check_layers", "wrap_callable"]

Labels = Any
"""Names of classes: in order, by index, or with their index; or these by layer."""


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Classifier:
    """A network that can be explained.

    Calling it runs the network on images ``(n, *spatial, c)``, floats within its bounds (RGB in
    [0, 1] by default), and returns ``{layer: activation (n, ...)}`` for the layers named in
    ``capture`` (default: the last one).

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
        The layers that hold class probabilities, or what these are made of. They are measured by
        weight of evidence, all others by activation difference.
    num_training_images : int or None
        N of Laplace's correction, at least 0; None switches the correction off.
    channels : int
        Channels of an image.
    outputs : mapping of str to str, optional
        What each output layer holds (see `from_function`); by default the layers in
        ``probabilities`` hold a softmax. All other layers are hidden ones.
    layer_labels : mapping of str to tuple of str, optional
        Names of the classes of output layers that have others than ``labels``.
    bounds : (float, float) or None
        Range of the values of an image: [0, 1] for RGB, None for any.

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
    outputs: Mapping[str, str] | None = None
    layer_labels: Mapping[str, tuple[str, ...]] | None = None
    bounds: Bounds = UNIT

    def __post_init__(self) -> None:
        if self.num_training_images is not None:
            check_count("num_training_images", self.num_training_images, least=0)
        check_pair("bounds", self.bounds)
        if self.outputs is not None:
            measured = tuple(layer for layer, kind in self.outputs.items() if kind != "values")
            object.__setattr__(self, "probabilities", measured)

    @functools.cached_property
    def heads(self) -> dict[str, Head]:
        """The output layers, in forward order: what they hold, and of which classes."""
        kinds = self.outputs
        if kinds is None:
            last = {self.layers[-1]: "values"} if self.labels else {}
            kinds = dict.fromkeys(self.probabilities, "softmax") or last
        others = self.layer_labels or {}
        return {
            layer: Head(kinds[layer], others.get(layer, self.labels))
            for layer in self.layers
            if layer in kinds
        }

    @property
    def deciding(self) -> str:
        """The layer that ranks the classes: the last of probabilities, or the last output."""
        return _deciding(self.heads, self.layers)

    def __call__(
        self,
        images: Float[Array | np.ndarray, "n *spatial c"],
        capture: Sequence[str] | None = None,
    ) -> dict[str, Float[Array, "n ..."]]:
        """Return the activations named in ``capture``.

        Raises
        ------
        ValueError, TypeError
            If there is no such layer, or the images are no batch, are not of floats, or look like
            8-bit values.
        """
        names = self.layers[-1:] if capture is None else check_layers(capture, self.layers)
        _check_batch_of_images(np.shape(images), self.image_shape)
        check_levels(images, self.bounds)
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

    @property
    def image_dtype(self) -> np.dtype:
        """The dtype of images: float32, or float64 where the parameters are."""
        return image_dtype(self.params)

    def activation_shape(self, layer: str) -> tuple[int, ...]:
        """Shape of the activation of a layer for one image, found without running anything."""
        names = check_layers((layer,), self.layers)
        traced = functools.partial(self.predict, capture=names)
        return activation_shapes(traced, self.params, self.image_shape, self.image_dtype)[layer]

    @classmethod
    def from_function(
        cls,
        f: Callable[[Params, jax.Array], jax.Array | Mapping[str, jax.Array]],
        params: Params,
        *,
        image_size: int | tuple[int, ...],
        labels: Labels = None,
        outputs: str | Mapping[str, str] | None = None,
        probabilities: tuple[str, ...] = ("prob",),
        num_training_images: int | None = None,
        channels: int = 3,
        channel_axis: int = -1,
        bounds: Bounds = UNIT,
        name: str = "custom",
    ) -> Classifier:
        """Make a classifier of any pure JAX function.

        Parameters
        ----------
        f : callable
            ``f(params, images (n, *spatial, c)) -> array (n, ...)`` or a dict of them by layer
            name, in forward order; dicts within it give layers such as ``"encoder/output"``. A
            bare array is called ``"prob"``, or ``"output"`` where it holds values, or by the one
            name in ``outputs`` or ``probabilities``.
        params : PyTree
            Parameters of ``f``. Leaves that are no arrays of numbers, such as functions and texts,
            are handed to ``f`` as they are.
        image_size : int or tuple of int
            Pixels on each spatial axis; an int stands for a square image.
        labels : sequence of str, or mapping, optional
            Names of the classes in order, by index (``id2label``) or with their index
            (``class_indices``); their indices by default. Where outputs have different classes: a
            mapping of layers to such.
        outputs : str or mapping of str to str, optional
            What the output holds, or each output layer, one number per class:

            - ``"softmax"``: probabilities that sum to one;
            - ``"logits"``: scores of which a softmax makes probabilities. What is explained are
              these probabilities, and their log-odds are exact however close they come to one;
            - ``"sigmoid"``: independent probabilities, one column or several;
            - ``"sigmoid_logits"``: independent scores, of which a sigmoid makes probabilities;
            - ``"values"``: anything else, such as regression, measured by its difference.

            All other layers are hidden ones, explained by their feature maps.
        probabilities : tuple of str
            Where ``outputs`` is left out: the layers that hold a softmax. With none of them the
            last layer holds values.
        num_training_images : int, optional
            N of Laplace's correction, at least 0; None switches the correction off. K is the number
            of classes of the layer, and 2 for independent labels.
        channels : int
            Channels of an image.
        channel_axis : int
            Where ``f`` has the channels of a batch of images and of its feature maps: -1 for
            ``(n, *spatial, c)``, 1 for ``(n, c, *spatial)``. Outside of ``f`` they are last:
            images are given, and feature maps come, with channels last all the same.
        bounds : (float, float) or None
            Range of the values of an image, None being any.
        name : str
            What to call the network.

        Raises
        ------
        ValueError, TypeError
            If ``f`` does not return what the other arguments say, labels have no order,
            ``channel_axis`` is no axis of images, or ``num_training_images`` is something else.

        Examples
        --------
        >>> import jax, jax.numpy as jnp, pdjax
        >>> def f(params, images):
        ...     return images.mean((1, 2)) @ params
        >>> net = pdjax.Classifier.from_function(
        ...     f, jnp.eye(3), image_size=8, outputs="logits", labels=("red", "green", "blue"))
        >>> net(jnp.ones((2, 8, 8, 3)))["prob"].shape
        (2, 3)
        """
        sides = per_axis(image_size, None, "image_size")
        image_size = sides[0] if is_integer(image_size) else sides
        shape = (*sides, check_count("channels", channels))
        axis = check_channel_axis(channel_axis, len(shape) - 1)
        moved = ChannelsMoved(f, axis) if callable(f) and axis != -1 else f
        predict, arrays = NamedOutputs.of(moved, bare_name(outputs, probabilities), params)
        shapes = activation_shapes(predict, arrays, shape, image_dtype(arrays))
        heads = heads_of(shapes, outputs, probabilities, labels)
        return cls(
            name=name,
            predict=predict,
            params=arrays,
            image_size=image_size,
            layers=tuple(shapes),
            num_training_images=num_training_images,
            channels=channels,
            bounds=bounds,
            **_declared(heads, tuple(shapes)),
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


def wrap_callable(
    f: Callable[[np.ndarray], Any],
    image: Float[np.ndarray, "*spatial c"],
    outputs: str | Mapping[str, str] | None = None,
    labels: Labels = None,
) -> Classifier:
    """Make a classifier of a plain Python callable, by asking it once what it returns.

    It takes images ``(n, *spatial, c)`` as a NumPy array, which it may change, and returns an array
    or a dict of arrays by layer name; ``outputs`` and ``labels`` are as for
    `Classifier.from_function`. Only the callable engine can run it.
    """
    predict = plain_outputs(f, bare_name(outputs, ("prob",)))
    shapes = {layer: np.shape(of)[1:] for layer, of in predict(None, image[None]).items()}
    heads = heads_of(shapes, outputs, tuple(set(shapes) & {"prob"}), labels)
    return Classifier(
        name=getattr(f, "__name__", type(f).__name__),
        predict=predict,
        params=None,
        image_size=image.shape[:-1],
        layers=tuple(shapes),
        channels=image.shape[-1],
        **_declared(heads, tuple(shapes)),
    )


def _check_batch_of_images(shape: tuple[int, ...], image_shape: tuple[int, ...]) -> None:
    """Raise where images have other axes than a batch; their sides are the network's business."""
    if len(shape) == 1 + len(image_shape) and shape[-1] == image_shape[-1]:
        return
    raise ArgumentValueError(
        "images",
        f"of shape {shape} must be a batch {('n', *image_shape)}",
        "give one image as images[None]"
        if len(shape) == len(image_shape)
        else "put the images first and the channels last",
    )


def _deciding(heads: Mapping[str, Head], layers: Sequence[str]) -> str:
    measured = [layer for layer, head in heads.items() if head.of_probabilities]
    return (measured or list(heads) or list(layers))[-1]


def _declared(heads: Mapping[str, Head], layers: Sequence[str]) -> dict[str, Any]:
    """Return what a classifier says of its outputs: their kinds, and the names of classes."""
    labels = heads[_deciding(heads, layers)].labels if heads else ()
    others = {layer: head.labels for layer, head in heads.items() if head.labels != labels}
    return {
        "labels": labels,
        "outputs": {layer: head.kind for layer, head in heads.items()},
        "layer_labels": others or None,
    }


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
