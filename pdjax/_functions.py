"""A user's function as pdjax runs it: hashable, with named outputs, of arrays alone.

Model objects are often not hashable, hold functions among their parameters, or return their
outputs in a structure of their own. What can be understood is; the rest is refused with what to
return instead.
"""

from __future__ import annotations

import dataclasses
import inspect
import types
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from pdjax._checks import ArgumentError, ArgumentTypeError, ArgumentValueError
from pdjax._types import Params

__all__ = [
    "NamedOutputs",
    "activation_shapes",
    "at_least_float32",
    "check_batch",
    "image_dtype",
    "in_short",
    "plain_outputs",
]


CALLABLE = "pass a function of images as a NumPy array to pdjax.explain, with engine='callable'"

UNKNOWN_VALUES = (
    jax.errors.ConcretizationTypeError,
    jax.errors.NonConcreteBooleanIndexError,
    jax.errors.TracerIntegerConversionError,
)
"""What JAX raises where Python asks for a value, such as in ``if images.mean() > 0``."""


@dataclasses.dataclass(frozen=True)
class _Held:
    """Leaves of parameters that are no arrays, kept while JAX handles the arrays.

    Compared by identity, since functions and objects may have no equality of their own.
    """

    structure: Any
    leaves: tuple[Any, ...]

    def join(self, arrays: tuple[Any, ...]) -> Params:
        """Return the parameters as they were given."""
        given = iter(arrays)
        leaves = [next(given) if leaf is None else leaf for leaf in self.leaves]
        return jax.tree.unflatten(self.structure, leaves)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Held) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple[str, tuple[int, ...]]:
        return str(self.structure), tuple(map(id, self.leaves))


@dataclasses.dataclass(frozen=True, eq=False)
class NamedOutputs:
    """A function whose outputs are a dict by layer name, restricted to those asked for.

    Hashable, whatever the function is, so that it can be a static argument of a jit-compiled one.

    Attributes
    ----------
    f : callable
        ``f(params, images)`` returns an array, or a mapping of them, which may be nested: the name
        of an inner one is then the path to it, as in ``"encoder/output"``.
    bare_name : str
        What a single array is called.
    argument : str
        What the user calls the function, for errors.
    """

    f: Callable[[Params, Any], Any]
    bare_name: str
    argument: str = "f"
    held: _Held | None = None

    @classmethod
    def of(
        cls, f: Callable[[Params, Any], Any], bare_name: str, params: Params, argument: str = "f"
    ) -> tuple[NamedOutputs, Params]:
        """Return the function and its parameters, as arrays only."""
        if not callable(f):
            raise ArgumentTypeError(
                argument, "is no function", "give one of (params, images)", value=f
            )
        _check_signature(f, argument, "params", "images")
        leaves, structure = jax.tree.flatten(params)
        if all(map(_is_array, leaves)):
            return cls(f, bare_name, argument), params
        held = _Held(structure, tuple(None if _is_array(leaf) else leaf for leaf in leaves))
        return cls(f, bare_name, argument, held), tuple(filter(_is_array, leaves))

    def __call__(
        self, params: Params, images: Any, capture: tuple[str, ...] | None = None
    ) -> dict[str, Any]:
        """Return the layers in ``capture``, by default all in forward order."""
        given = params if self.held is None else self.held.join(params)
        try:
            outputs = self.f(given, images)
        except jax.errors.TracerArrayConversionError as error:
            raise ArgumentTypeError(
                self.argument,
                "is not written in JAX alone: it makes NumPy arrays of what it is given",
                CALLABLE,
            ) from error
        except UNKNOWN_VALUES as error:
            raise ArgumentTypeError(
                self.argument,
                "goes one way or another by the values that it is given, which JAX does not know "
                "while it compiles",
                f"choose with jax.numpy.where or jax.lax.cond, or {CALLABLE}",
            ) from error
        named = _flat(outputs, self.bare_name, self.argument)
        return named if capture is None else {layer: named[layer] for layer in capture}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NamedOutputs) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple[Any, ...]:
        return _identity(self.f), self.bare_name, self.argument, self.held


def plain_outputs(f: Callable[[np.ndarray], Any], bare_name: str) -> NamedOutputs:
    """Name the outputs of a function of images as a NumPy array, which need not be JAX.

    It gets a copy of its own each time, which it may change, and may return what NumPy can read.
    Each time, what it returns must have a row for each image.
    """
    if not callable(f):
        raise ArgumentTypeError("net", "is no function", "give one of images", value=f)
    _check_signature(f, "net", "images")

    def called(params: Params, images: Any) -> Any:
        named = _flat(_as_numpy(f(np.array(images))), bare_name, "net")
        check_batch(
            {layer: np.shape(values) for layer, values in named.items()}, len(images), "net"
        )
        return named

    return NamedOutputs(called, bare_name, "net")


def activation_shapes(
    f: Callable[[Params, jax.Array], dict[str, jax.Array]],
    params: Params,
    image_shape: tuple[int, ...],
    dtype: np.dtype | type = np.float32,
    argument: str = "f",
) -> dict[str, tuple[int, ...]]:
    """Shapes of all activations of one image, in forward order, without running anything.

    Raises
    ------
    ValueError
        If the function fails, cannot take several images at once, or an output is not one row an
        image.
    """
    order: list[str] = []

    def traced(params: Params, images: jax.Array) -> dict[str, jax.Array]:
        outputs = f(params, images)
        order[:] = outputs
        return outputs

    def shapes_for(count: int) -> dict[str, tuple[int, ...]]:
        images = jax.ShapeDtypeStruct((count, *image_shape), dtype)
        shapes = jax.eval_shape(traced, params, images)
        # JAX sorts the keys of what a traced function returns; forward order is the dict's own.
        return {name: shapes[name].shape for name in order}

    try:
        shapes = shapes_for(2)
    except ArgumentError:
        raise
    except Exception as error:
        # A user's function can fail with anything.
        try:
            shapes_for(1)
        except Exception:
            raise ArgumentValueError(
                argument,
                f"does not run on images {('n', *image_shape)} ({in_short(error)})",
                "check it, the size and the channels of images, and params",
            ) from error
        raise ArgumentValueError(
            argument,
            "takes one image, but not two at once",
            "write it for any number of images in the first axis",
        ) from error
    check_batch(shapes, 2, argument)
    return {name: shape[1:] for name, shape in shapes.items()}


def check_batch(shapes: Mapping[str, tuple[int, ...]], count: int, argument: str) -> None:
    """Raise ValueError where an output for so many images is not an array (count, ...)."""
    for name, shape in shapes.items():
        if len(shape) < 2 or shape[0] != count:
            raise ArgumentValueError(
                argument,
                f"gives layer {name!r} the shape {shape} for {count} image{'s' * (count > 1)}",
                "return arrays (n, units) or (n, *spatial, units) for n images",
            )


def image_dtype(params: Params, image: Any = None) -> np.dtype:
    """Return the dtype in which a network takes its images: at least float32.

    That of its parameters, if they are of floats; otherwise that of the image that is given.
    """
    dtypes = [getattr(leaf, "dtype", None) for leaf in jax.tree.leaves(params)]
    # Random keys have a dtype of JAX's own.
    leaves = [dtype for dtype in dtypes if isinstance(dtype, np.dtype)]
    floats = [dtype for dtype in leaves if jax.numpy.issubdtype(dtype, np.floating)]
    if not floats:
        floats = [np.asarray(image).dtype] if image is not None else []
    wide = any(dtype == np.float64 for dtype in floats)
    return jax.dtypes.canonicalize_dtype(np.float64 if wide else np.float32)


def at_least_float32(values: jax.Array) -> jax.Array:
    """Return values of half precision, counts and truths as float32, others as they are."""
    wide = jax.numpy.issubdtype(values.dtype, np.floating) and values.dtype.itemsize >= 4
    return values if wide else values.astype(np.float32)


def in_short(error: Exception) -> str:
    """Say in one line what went wrong in somebody else's code."""
    said = " ".join(str(error).split())
    return f"{type(error).__name__}: {said[:300]}{' ...' if len(said) > 300 else ''}"


def _check_signature(f: Callable[..., Any], argument: str, *given: str) -> None:
    """Raise where a function cannot be called with what it is given, in this order."""
    try:
        signature = inspect.signature(f)
    except (TypeError, ValueError):
        # Some that are not written in Python do not say what they take.
        return
    try:
        signature.bind(*given)
    except TypeError as error:
        raise ArgumentTypeError(
            argument,
            f"cannot be called with {' and '.join(given)} ({error})",
            "give a function of just that, with all else bound by functools.partial",
        ) from None


def _identity(f: Any) -> Any:
    """Return what stands for a function in a comparison: itself where it can be hashed."""
    if isinstance(f, types.MethodType):
        return id(f.__self__), f.__func__
    try:
        hash(f)
    except TypeError:
        return id(f)
    return f


def _is_array(leaf: Any) -> bool:
    """Whether a leaf of parameters is a number or an array of numbers, for JAX to handle.

    Truths and whole numbers of Python are settings, such as ``{"train": False, "heads": 4}``.
    """
    if isinstance(leaf, jax.Array | float | complex):
        return True
    dtype = getattr(leaf, "dtype", None)
    return isinstance(dtype, np.dtype) and dtype.kind in "biufcV"


def _flat(outputs: Any, name: str, argument: str) -> dict[str, Any]:
    """Return arrays by name, one row for each image."""
    if isinstance(outputs, Mapping):
        found: dict[str, Any] = {}
        for key, value in outputs.items():
            if value is None:
                continue
            inner = _flat(value, str(key), argument)
            nested = isinstance(value, Mapping)
            found |= {f"{key}/{each}" if nested else each: a for each, a in inner.items()}
        if found:
            return found
    if not (hasattr(outputs, "shape") and hasattr(outputs, "dtype")):
        raise ArgumentTypeError(
            argument,
            f"returns {_in_words(outputs)}",
            "return one array (n, classes), or a dict of arrays by layer name, for example with "
            "a function that takes the array out of it",
        )
    return {name: outputs[:, None] if len(outputs.shape) == 1 else outputs}


def _in_words(outputs: Any) -> str:
    if outputs is None:
        return "None"
    if isinstance(outputs, Mapping):
        return "a dict without arrays"
    if type(outputs) in (tuple, list):
        return f"a {type(outputs).__name__} of {len(outputs)}"
    return f"an object of type {type(outputs).__name__}"


def _as_numpy(outputs: Any) -> Any:
    """Return outputs of any library as NumPy arrays, where they are arrays."""
    if isinstance(outputs, Mapping):
        return {key: _as_numpy(value) for key, value in outputs.items()}
    if hasattr(outputs, "detach"):
        # A tensor of PyTorch that is tracked for gradients, or on another device, is no array yet.
        outputs = outputs.detach().cpu()
        outputs = outputs.float() if "bfloat16" in str(outputs.dtype) else outputs
    if isinstance(outputs, list | tuple) and any(hasattr(each, "shape") for each in outputs):
        return outputs
    if isinstance(outputs, tuple) or outputs is None or dataclasses.is_dataclass(outputs):
        return outputs
    array = np.asarray(outputs)
    return array if array.dtype.kind in "biuf" else outputs
