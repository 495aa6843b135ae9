"""What a person passes, checked: one form of error, and the checks that several callers share.

An error is one sentence: the argument, what is wrong with it, and what to do instead. The parts are
fields of the error as well, so that a caller who knows an argument by another name, such as the
command line, can say the same in its own words.
"""

from __future__ import annotations

import copyreg
import difflib
import os
from collections.abc import Iterable, Sequence
from typing import Any, TypeGuard

import jax
import numpy as np

from pdjax._types import Sampler

__all__ = [
    "UNIT",
    "ArgumentError",
    "ArgumentFileError",
    "ArgumentTypeError",
    "ArgumentValueError",
    "Bounds",
    "MissingFileError",
    "by_sides",
    "check_choice",
    "check_count",
    "check_floats",
    "check_gigabytes",
    "check_image",
    "check_key",
    "check_pair",
    "check_sampler",
    "check_values",
    "concrete",
    "is_integer",
    "nearest",
    "per_axis",
    "remedy_for_shape",
]

Bounds = tuple[float | int, float | int] | None
"""Range that values must lie in; None allows any finite ones."""

UNIT = (0.0, 1.0)
"""The range of images in pixel space."""

ROUNDING, OVERSHOOT = 1e-3, 0.1
"""How far beyond their bounds, as a share of the range, values are rounded, or interpolated."""

UNSHOWN: Any = object()
LONGEST = 120


class ArgumentError(Exception):
    """Something is wrong with an argument.

    Parameters
    ----------
    argument : str
        Its name.
    problem : str
        What is wrong with it, as the rest of a sentence that begins with its name.
    remedy : str
        What to do instead; may be empty.
    value : object, optional
        What was passed, where that is short enough to be shown.
    """

    def __init__(
        self, argument: str, problem: str, remedy: str = "", *, value: Any = UNSHOWN
    ) -> None:
        self.argument, self.problem, self.remedy = argument, problem, remedy
        self.shown = "" if value is UNSHOWN else f"={_in_one_line(value)}"
        super().__init__(self.sentence(argument))

    def __reduce__(self) -> tuple[Any, ...]:
        # By default an exception is copied and pickled by calling its class with what it says.
        state = {**vars(self), "args": self.args}
        return copyreg.__newobj__, (type(self),), state  # type: ignore[attr-defined]

    def sentence(self, name: str) -> str:
        """Say it of an argument that goes by another name."""
        return "; ".join(filter(None, (f"{name}{self.shown} {self.problem}", self.remedy)))


class ArgumentValueError(ArgumentError, ValueError):
    """A value that is out of range or does not fit the others."""


class ArgumentTypeError(ArgumentError, TypeError):
    """A value of another kind than is asked for."""


class ArgumentFileError(ArgumentError, OSError):
    """A file or folder that cannot be read or written."""


class MissingFileError(ArgumentFileError, FileNotFoundError):
    """A file or folder that is not there."""


def is_integer(value: object) -> TypeGuard[int]:
    """Whether a value is an int, of Python or NumPy, and no truth value."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def concrete(tree: Any) -> bool:
    """Whether the values of all arrays are known, which they are not while JAX traces."""
    return not any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(tree))


def check_count(argument: str, value: Any, least: int = 1) -> int:
    """Return an int of at least ``least``, or raise."""
    if not is_integer(value) or value < least:
        raise ArgumentValueError(argument, f"must be an int of at least {least}", value=value)
    return int(value)


def check_choice(argument: str, value: Any, choices: Iterable[str]) -> str:
    """Return one of ``choices``, or raise with all of them."""
    known = tuple(choices)
    if not isinstance(value, str) or value not in known:
        raise ArgumentValueError(
            argument, "is unknown", f"choose from {', '.join(known)}", value=value
        )
    return value


def check_gigabytes(value: Any, argument: str = "max_memory") -> None:
    """Raise unless this is None or a number above 0."""
    number = isinstance(value, int | float | np.floating) and not isinstance(value, bool)
    if value is not None and not (number and value > 0):
        raise ArgumentValueError(
            argument, "must be a number of gigabytes above 0, such as 4", value=value
        )


def check_pair(argument: str, value: Any) -> tuple[float, float] | None:
    """Return None or a pair (low, high) with low below high, or raise."""
    if value is None:
        return None
    try:
        low, high = map(float, value)
    except (TypeError, ValueError):
        low, high = 0.0, 0.0
    if not low < high:
        raise ArgumentValueError(
            argument, "must be a pair (low, high) with low below high, or None", value=value
        )
    return low, high


def per_axis(value: Any, dimensions: int | None, argument: str) -> tuple[int, ...]:
    """Return one positive int per spatial axis, or raise.

    An int stands for all axes. Where ``dimensions`` is None, it is as many as there are entries,
    or two.
    """
    several = isinstance(value, Sequence | np.ndarray)
    if dimensions is None:
        dimensions = len(value) if several else 2
    values: tuple[Any, ...] = tuple(value) if several else (value,) * dimensions
    if len(values) != dimensions:
        raise ArgumentValueError(
            argument,
            f"has {len(values)} entries for {dimensions} spatial axes",
            "give one int, or one per axis",
            value=value,
        )
    if not all(map(is_integer, values)):
        raise ArgumentTypeError(argument, "must be an int, or one int per axis", value=value)
    if min(values, default=1) < 1:
        raise ArgumentValueError(argument, "must be at least 1 pixel on every axis", value=value)
    return tuple(map(int, values))


def check_sampler(sampler: Any) -> Sampler:
    """Return a sampler, or raise if it is something else."""
    if not isinstance(sampler, Sampler):
        raise ArgumentTypeError(
            "sampler",
            "is no sampler",
            "give one such as pdjax.ConditionalGaussian(pdjax.PatchStatistics.natural_images(), "
            "window=10)",
            value=sampler,
        )
    return sampler


def check_key(rng_key: Any) -> jax.Array:
    """Return a random key, or raise if it is something else."""
    if not _is_single_key(rng_key):
        raise ArgumentTypeError(
            "rng_key", "is no random key", "give one such as jax.random.key(0)", value=rng_key
        )
    return rng_key


def check_image(image: Any, argument: str = "image", bounds: Bounds = UNIT) -> np.ndarray:
    """Return an image in pixel space as a float array, clipped where it is rounded, or raise."""
    try:
        array = np.asarray(image)
    except Exception as error:
        # Arrays of other libraries refuse in their own ways.
        raise ArgumentTypeError(
            argument,
            f"of type {type(image).__name__} cannot be read as an array "
            f"({' '.join(str(error).split())})",
            "convert it to a NumPy array of floats",
        ) from error
    if array.dtype.kind in "OUS":
        raise ArgumentTypeError(
            argument,
            f"of type {type(image).__name__} is no array of numbers",
            "load a file with pdjax.load_image, or give an array (*spatial, channels)",
        )
    if array.ndim < 2 or array.size == 0:
        raise ArgumentValueError(
            argument,
            f"of shape {array.shape} must be (*spatial, channels)",
            "add the channel axis",
        )
    check_floats(array, argument, bounds)
    return check_values(array, bounds, argument)


def check_floats(array: Any, argument: str, bounds: Bounds = UNIT) -> None:
    """Raise if an array that is to hold values of an image is of something else than floats."""
    if jax.dtypes.issubdtype(array.dtype, np.floating):
        return
    levels = {"u1": 255, "u2": 65535}.get(np.dtype(array.dtype).str[1:], 255)
    raise ArgumentTypeError(
        argument,
        f"of dtype {array.dtype} must be of floats" + (" in [0, 1]" if bounds == UNIT else ""),
        f"divide {8 if levels == 255 else 16}-bit values by {levels}"
        if bounds == UNIT
        else "convert it with np.asarray(..., np.float32)",
    )


def check_values(values: np.ndarray, bounds: Bounds, argument: str) -> np.ndarray:
    """Return values, clipped where they are beyond ``bounds`` by rounding, or raise.

    They must be finite and, unless ``bounds`` are None, within these; what resizing or arithmetic
    in float32 leaves a thousandth of the range beyond is rounding.
    """
    if not np.isfinite(values).all():
        raise ArgumentValueError(argument, "has NaN or infinite values", "replace them first")
    if bounds is None or not values.size:
        return values
    low, high = bounds
    least, most = float(values.min()), float(values.max())
    if least >= low and most <= high:
        return values
    # A range without an end has no rounding.
    span = high - low if np.isfinite(high - low) else np.finfo(np.float64).tiny
    beyond = max(low - least, most - high) / span
    if beyond <= ROUNDING:
        return np.clip(values, *np.asarray(bounds, values.dtype))
    raise ArgumentValueError(
        argument,
        f"has values from {least:.4g} to {most:.4g}, outside [{low:g}, {high:g}]",
        _remedy(least, most, beyond, bounds),
    )


def _remedy(least: float, most: float, beyond: float, bounds: tuple[float, float]) -> str:
    """Say what to do about values outside their bounds, by what they look like."""
    if beyond <= OVERSHOOT:
        return f"clip them with np.clip(..., {bounds[0]:g}, {bounds[1]:g})"
    if least < bounds[0] - OVERSHOOT * (bounds[1] - bounds[0]):
        return (
            "where they were normalised by a mean and a deviation, put that into the network and "
            "give them as they were before; for any unit of their own give bounds=None or "
            "bounds=(low, high)"
        )
    if bounds != UNIT or most > 65535:
        return "scale them, or give their own range, bounds=(low, high) or None"
    bits, levels = (8, 255) if most <= 255 else (16, 65535)
    return f"divide {bits}-bit values by {levels}, or give their own range with bounds=(low, high)"


def remedy_for_shape(shape: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    """Say what to do with an image of another shape, by what it looks like."""
    *spatial, channels = wanted
    remedies = {
        (channels, *spatial): "put its channels last, with np.moveaxis(image, 0, -1)",
        (1, *wanted): "give one image, and no batch: image[0]",
        (1, channels, *spatial): "give one image with its channels last: "
        "np.moveaxis(image[0], 0, -1)",
    }
    if channels == 1:
        remedies[tuple(spatial)] = "add the axis of its channel: image[..., None]"
        remedies[*spatial, 3] = "make it grey: image.mean(-1, keepdims=True)"
    if channels == 3:
        repeated = "give each channel the grey of the one: np.repeat({}, 3, -1)"
        remedies[tuple(spatial)] = repeated.format("image[..., None]")
        remedies[*spatial, 1] = repeated.format("image")
        remedies[*spatial, 4] = "leave out its opacity: image[..., :3]"
    if shape in remedies:
        return remedies[shape]
    if len(spatial) == 2 and channels in (1, 3) and shape[-1:] == wanted[-1:]:
        return "load it with pdjax.load_image(path, size=net.image_size)"
    return "give one of that shape"


def nearest(name: str, known: Iterable[str]) -> str:
    """Say which known name is most like another one, with a space behind; empty if none is."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {near[0]!r}? " if near else ""


def by_sides(sizes: Iterable[int]) -> str:
    """Write sizes as people do, ``10 by 12``."""
    return " by ".join(map(str, sizes))


def _is_single_key(value: Any) -> bool:
    """Whether a value is one random key, of the new style or the two words of the old one."""
    if not isinstance(value, jax.Array):
        return False
    if jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key):
        return value.ndim == 0
    return value.ndim == 1 and value.dtype == np.uint32


def _in_one_line(value: Any) -> str:
    """Write a value as Python does; arrays without their line breaks, and long ones in part."""
    value = os.fspath(value) if isinstance(value, os.PathLike) else value
    if isinstance(value, str):
        return repr(value)
    text = " ".join(repr(value).split())
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."
