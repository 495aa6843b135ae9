"""What a person says about a model, and how that and the model become a classifier."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pdjax._channels import ChannelsMoved, check_channel_axis
from pdjax._checks import (
    UNIT,
    ArgumentError,
    ArgumentTypeError,
    ArgumentValueError,
    Bounds,
    check_choice,
    check_count,
    per_axis,
)
from pdjax._functions import in_short
from pdjax._outputs import KINDS, bare_name
from pdjax._types import Params
from pdjax.classifier import Classifier, Labels

__all__ = ["OUTPUT", "Image", "Outputs", "Told", "does_not_run", "note", "outputs_of"]

INFERENCE = {
    "train": False,
    "training": False,
    "is_training": False,
    "deterministic": True,
    "inference": True,
    "use_running_average": True,
}
"""Arguments that usually choose between training and inference, set to inference."""

PROBE = 1009
"""Images in the batch by which outputs are known: no other axis has this size by accident."""

OUTPUT = "output"

Outputs = dict[str, jax.Array]


@dataclasses.dataclass(frozen=True)
class Image:
    """What a model takes: the sides and the channels of an image, and where it has these."""

    spatial: tuple[int, ...]
    channels: int
    channel_axis: int

    @property
    def size(self) -> int | tuple[int, ...]:
        """The sides; one stands for a square."""
        square = len(self.spatial) == 2 and len(set(self.spatial)) == 1
        return self.spatial[0] if square else self.spatial

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of an image, channels last."""
        return (*self.spatial, self.channels)


@dataclasses.dataclass(frozen=True)
class Told:
    """The arguments of `pdjax.wrap` about a model, which documents them."""

    image_size: int | tuple[int, ...] | None = None
    outputs: str | Mapping[str, str] | None = None
    labels: Labels = None
    num_training_images: int | None = None
    channels: int | None = None
    channel_axis: int | None = None
    mean: float | Sequence[float] | None = None
    std: float | Sequence[float] | None = None
    preprocess: Callable[[Any], Any] | None = None
    arguments: Mapping[str, Any] | None = None
    bounds: Bounds = UNIT
    name: str | None = None

    def __post_init__(self) -> None:
        kinds = self.outputs if isinstance(self.outputs, Mapping) else {OUTPUT: self.outputs}
        for kind in kinds.values():
            if kind is not None:
                check_choice("outputs", kind, KINDS)
        if self.arguments is not None and not isinstance(self.arguments, Mapping):
            raise ArgumentTypeError("arguments", "must be a dict", value=self.arguments)
        if self.preprocess is None:
            return
        if not callable(self.preprocess):
            raise ArgumentTypeError(
                "preprocess", "must be a function of images", value=self.preprocess
            )
        if self.mean is not None or self.std is not None:
            raise ArgumentValueError(
                "preprocess", "is given beside mean or std", "let it do all, or leave it out"
            )

    def classifier(
        self,
        f: Callable[[Params, jax.Array], tuple[Outputs, Outputs]],
        params: Params,
        *,
        name: str,
        image_size: tuple[int, ...] | None = None,
        channels: int | None = None,
        channel_axis: int = -1,
        kinds: Mapping[str, str] | None = None,
    ) -> Classifier:
        """Make a classifier of a model that is a pure function.

        Parameters
        ----------
        f : callable
            ``f(params, images)`` returns two dicts in forward order: hidden layers, and outputs.
        params : PyTree of arrays
        name : str
            What to call it, unless somebody else says so.
        image_size, channels : optional
            What the model knows of its images.
        channel_axis : int
            Where it has their channels.
        kinds : mapping, optional
            What the model knows of its outputs.
        """
        image = self.image(image_size, channels, channel_axis)
        axis = image.channel_axis
        moved = f if axis == -1 else ChannelsMoved(f, axis)
        whole = _Preprocessed(moved, self.preprocessing(image.channels))
        hidden, outputs = _shapes(whole, params, image.shape)
        bare = self._bare_name(hidden, outputs, kinds or {})
        shapes = {bare.get(layer, layer): shape for layer, shape in outputs.items()}
        known = {bare.get(layer, layer): kind for layer, kind in (kinds or {}).items()}
        return Classifier.from_function(
            _Flat(whole, (*hidden, *shapes), bare),
            params,
            image_size=image.size,
            labels=self.labels,
            outputs=self.kinds(shapes, known),
            num_training_images=self.num_training_images,
            channels=image.channels,
            bounds=self.bounds,
            name=self.name or name,
        )

    def image(self, size: tuple[int, ...] | None, channels: int | None, channel_axis: int) -> Image:
        """Join what is said about images with what the model knows, in which it is overruled."""
        said: Any = self.image_size if self.image_size is not None else size
        if said is None:
            raise ArgumentValueError(
                "image_size", "is not known from the model", "pass the pixels of a side"
            )
        spatial = per_axis(said, None, "image_size")
        depth = next(n for n in (self.channels, channels, 3) if n is not None)
        axis = channel_axis if self.channel_axis is None else self.channel_axis
        return Image(
            spatial,
            check_count("channels", depth),
            check_channel_axis(axis, len(spatial)),
        )

    def kinds(
        self, outputs: Mapping[str, tuple[int, ...]], known: Mapping[str, str]
    ) -> Mapping[str, str]:
        """Say what each output holds, or raise that nobody has said so."""
        if isinstance(self.outputs, Mapping):
            return self.outputs
        if self.outputs is None:
            if known:
                return known
            shapes = ", ".join(f"{name} {('n', *shape)}" for name, shape in outputs.items())
            raise ArgumentValueError(
                "outputs",
                f"is not known from the model, which returns {shapes}",
                f"say what that is: one of {', '.join(map(repr, KINDS))}",
            )
        if len(outputs) > 1:
            raise ArgumentValueError(
                "outputs",
                f"is one word for several outputs: {', '.join(outputs)}",
                "pass a dict from those you mean to what they hold",
                value=self.outputs,
            )
        return dict.fromkeys(outputs, self.outputs)

    def _bare_name(
        self, hidden: Mapping[str, Any], outputs: Mapping[str, Any], known: Mapping[str, str]
    ) -> dict[str, str]:
        """Find another name for a single output that the model does not name."""
        if tuple(outputs) != (OUTPUT,):
            return {}
        said: Any = self.outputs if self.outputs is not None else known.get(OUTPUT)
        if isinstance(said, Mapping):
            said = {name: kind for name, kind in said.items() if name not in hidden}
        name = OUTPUT if said is None else bare_name(said, ())
        while name in hidden:
            name += "_"
        return {OUTPUT: name}

    def with_arguments(self, call: Callable[..., Any]) -> dict[str, Any]:
        """Keyword arguments for a call: those asked for, and those that set inference mode."""
        taken = inspect.signature(call).parameters
        usual = {name: value for name, value in INFERENCE.items() if name in taken}
        return {**usual, **(self.arguments or {})}

    def preprocessing(self, channels: int) -> Callable[[jax.Array], jax.Array] | None:
        """Return what brings images into the range that the model takes; None for nothing."""
        if self.preprocess is not None or (self.mean is None and self.std is None):
            return self.preprocess
        mean = _per_channel("mean", self.mean, 0.0, channels)
        std = _per_channel("std", self.std, 1.0, channels)
        if min(std) <= 0:
            raise ArgumentValueError("std", "must be above zero", value=self.std)
        return _Standardized(mean, std)


def outputs_of(result: Any, hidden: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Name what a model returned, and leave out of the hidden layers what is the same.

    Parameters
    ----------
    result : array, or mapping or sequence of them
        What the call of the model returned.
    hidden : mapping of str to array
        What its submodules returned, by path.

    Returns
    -------
    hidden, outputs : dict
        In forward order.
    """
    if isinstance(result, Mapping):
        named = {str(name): value for name, value in result.items()}
    elif isinstance(result, (tuple, list)) and len(result) > 1:
        named = {f"{OUTPUT}_{index}": value for index, value in enumerate(result)}
    else:
        named = {OUTPUT: result[0] if isinstance(result, (tuple, list)) else result}
    named = {name: value for name, value in named.items() if hasattr(value, "ndim")} or named
    same = {id(value) for value in named.values()}
    return {name: value for name, value in hidden.items() if id(value) not in same}, named


def does_not_run(image_shape: tuple[int, ...], error: Exception) -> ArgumentValueError:
    """Say that a model failed, and how."""
    return ArgumentValueError(
        "model",
        f"does not run on images {('n', *image_shape)} in inference mode ({in_short(error)})",
        "check image_size, channels, the variables, and arguments=",
    )


def note(hidden: dict[str, Any], name: str, value: Any) -> None:
    """Enter what a submodule returned; one that is called again is counted: ``relu:2``.

    Of several values the first is taken: others are states, or weights of attention.
    """
    if isinstance(value, (tuple, list)) and value:
        value = value[0]
    if not hasattr(value, "ndim"):
        return
    times, unique = 1, name
    while unique in hidden:
        times += 1
        unique = f"{name}:{times}"
    hidden[unique] = value


@dataclasses.dataclass(frozen=True)
class _Standardized:
    """Images less a mean colour, by a standard deviation."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, images: jax.Array) -> jax.Array:
        shape = (1,) * (images.ndim - 1) + (-1,)
        mean, std = (jnp.asarray(of, images.dtype).reshape(shape) for of in (self.mean, self.std))
        return (images - mean) / std


@dataclasses.dataclass(frozen=True, eq=False)
class _Preprocessed:
    """A model behind what brings images into the range that it was trained with."""

    f: Callable[[Params, jax.Array], tuple[Outputs, Outputs]]
    preprocess: Callable[[jax.Array], jax.Array] | None

    def __call__(self, params: Params, images: jax.Array) -> tuple[Outputs, Outputs]:
        if self.preprocess is not None:
            images = jnp.asarray(self.preprocess(images))
        hidden, outputs = self.f(params, images)
        return hidden, {name: _units(value) for name, value in outputs.items()}


@dataclasses.dataclass(frozen=True, eq=False)
class _Flat:
    """A model whose hidden layers and outputs are one dict, in forward order."""

    f: _Preprocessed
    layers: tuple[str, ...]
    renamed: Mapping[str, str]

    def __call__(self, params: Params, images: jax.Array) -> Outputs:
        hidden, outputs = self.f(params, images)
        values = {**hidden, **{self.renamed.get(name, name): of for name, of in outputs.items()}}
        return {layer: values[layer] for layer in self.layers}


def _units(value: jax.Array) -> jax.Array:
    """Scores as units alone, where a fully convolutional model leaves maps of one pixel."""
    if value.ndim > 2 and set(value.shape[1:-1]) == {1}:
        return value.reshape(value.shape[0], value.shape[-1])
    return value


def _shapes(
    f: _Preprocessed, params: Params, image_shape: tuple[int, ...]
) -> tuple[dict[str, tuple[int, ...]], dict[str, tuple[int, ...]]]:
    """Shapes of what a model gives for an image: hidden layers that are layers, and outputs."""
    orders: list[tuple[list[str], list[str]]] = []

    def traced(params: Params, images: jax.Array) -> tuple[Outputs, Outputs]:
        hidden, outputs = f(params, images)
        orders.append((list(hidden), list(outputs)))
        return hidden, outputs

    dtype = jax.dtypes.canonicalize_dtype(np.float64)
    images = jax.ShapeDtypeStruct((PROBE, *image_shape), dtype)
    try:
        shapes = jax.eval_shape(traced, params, images)
    except ArgumentError:
        raise
    except Exception as error:
        # Any framework can fail here, in its own words.
        raise does_not_run(image_shape, error) from error
    kept, found = (
        {
            name: value.shape[1:]
            for name, value in ((name, values[name]) for name in order)
            if _by_image(value)
        }
        for values, order in zip(shapes, orders[0], strict=True)
    )
    if len(found) < len(shapes[1]):
        name = next(name for name in orders[0][1] if name not in found)
        raise ArgumentValueError(
            "model",
            f"returns {name!r} of shape {getattr(shapes[1][name], 'shape', None)} for {PROBE} "
            "images",
            "make it return arrays (n, units) or (n, *spatial, units) for n images",
        )
    return kept, found


def _by_image(value: jax.ShapeDtypeStruct) -> bool:
    """Whether an array has an activation for each image of the probing batch."""
    floating = jnp.issubdtype(value.dtype, jnp.floating)
    return floating and len(value.shape) > 1 and value.shape[0] == PROBE


def _per_channel(argument: str, value: Any, default: float, channels: int) -> tuple[float, ...]:
    try:
        numbers = np.asarray(default if value is None else value, np.float64)
    except (TypeError, ValueError):
        numbers = np.asarray(np.nan)
    if numbers.shape not in ((), (1,), (channels,)) or not np.isfinite(numbers).all():
        raise ArgumentValueError(
            argument, f"must be a number, or one for each of {channels} channels", value=value
        )
    return tuple(np.broadcast_to(numbers, (channels,)).tolist())
