"""What may be drawn: every array and list of words is checked here, before any drawing starts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeGuard

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from pdjax._checks import ArgumentTypeError, ArgumentValueError, check_values

__all__ = [
    "check_errors",
    "check_floats",
    "check_image",
    "check_image_and_maps",
    "check_maps",
    "check_names",
    "check_scale",
    "check_share",
    "is_number",
]

AXES = {1: "n", 2: "h, w", 3: "d, h, w"}


def check_maps(
    maps: ArrayLike,
    argument: str,
    *,
    spatial: Sequence[int] = (1, 2, 3),
    rows: bool = True,
    shape: tuple[int, ...] | None = None,
    like: str = "image",
) -> Float[np.ndarray, "*shape"]:
    """Return maps as float32, or raise if they are infinite or not of ``shape``; NaN is a mask.

    ``spatial`` are the numbers of spatial axes that the maps may have, and ``shape`` is the one
    that these must have, that of the argument ``like``.
    """
    array = np.ma.filled(maps, np.nan) if np.ma.isMaskedArray(maps) else np.asarray(maps)
    if array.dtype.kind != "f":
        raise ArgumentTypeError(
            argument, f"of dtype {array.dtype} must be of floats", "convert it first"
        )
    if array.ndim - rows not in spatial or array.size == 0:
        known = (f"({'rows, ' * rows}{AXES[count]})" for count in spatial)
        raise ArgumentValueError(
            argument, f"of shape {array.shape} cannot be drawn", f"give {' or '.join(known)}"
        )
    if shape is not None and array.shape[rows:] != shape:
        raise ArgumentValueError(
            argument,
            f"of shape {array.shape} does not end in {shape} as {like} does",
            "give maps of one image at its own size",
        )
    check_values(np.where(np.isnan(array), 0, array), None, argument)
    empty = np.isnan(array).reshape(len(array) if rows else 1, -1).all(1)
    if empty.any():
        raise ArgumentValueError(
            argument, "has a map that is NaN everywhere", "leave out maps that are wholly masked"
        )
    if np.nanmax(np.abs(array)) > np.finfo(np.float32).max:
        raise ArgumentValueError(argument, "has values beyond float32", "rescale it")
    return np.ascontiguousarray(array, dtype=np.float32)


def check_image(image: ArrayLike) -> Float[np.ndarray, "*spatial c"]:
    """Return an image of one to three spatial axes, or raise."""
    array = check_floats(image, "image")
    if array.ndim not in (2, 3, 4) or array.size == 0:
        known = " or ".join(f"({axes}, channels)" for axes in AXES.values())
        raise ArgumentValueError(
            "image", f"of shape {array.shape} cannot be drawn", f"give {known}"
        )
    return array


def check_image_and_maps(
    image: ArrayLike, maps: ArrayLike, argument: str = "relevance", *, rows: bool = True
) -> tuple[Float[np.ndarray, "*spatial c"], Float[np.ndarray, "*shape"]]:
    """Return an image and maps of its size, or raise."""
    array = check_image(image)
    if array.shape == np.shape(maps)[rows:]:
        raise ArgumentValueError(
            "image", f"of shape {array.shape} has no channel axis", "add it: image[..., None]"
        )
    spatial, shape = (array.ndim - 1,), array.shape[:-1]
    return array, check_maps(maps, argument, spatial=spatial, rows=rows, shape=shape)


def check_errors(
    errors: ArrayLike | None,
    relevance: np.ndarray,
    argument: str = "standard_error",
    **uses: bool,
) -> Float[np.ndarray, "*maps"] | None:
    """Return standard errors as float32, or raise; none is negative.

    They may be None, unless one of the ``uses`` (options by name) that they have is asked for.
    """
    if errors is None:
        for use in (use for use, wanted in uses.items() if wanted):
            raise ArgumentValueError(argument, f"is needed for {use}", "give the errors")
        return None
    array = check_maps(errors, argument, shape=relevance.shape[1:], like="relevance")
    if len(array) != len(relevance):
        raise ArgumentValueError(
            argument,
            f"has {len(array)} rows, and relevance {len(relevance)}",
            "give one for each map",
        )
    if np.nanmin(array) < 0:
        raise ArgumentValueError(
            argument, f"has the value {np.nanmin(array):.4g}", "give errors of at least 0"
        )
    if (np.isnan(array) & ~np.isnan(relevance)).any():
        raise ArgumentValueError(
            argument, "is NaN where relevance is not", "give the errors of the same pixels"
        )
    return array


def check_names(names: Sequence[str], argument: str, count: int, of: str) -> tuple[str, ...]:
    """Return one string for each of ``count`` things, or raise."""
    if isinstance(names, str) or len(names) != count:
        raise ArgumentValueError(
            argument, f"must be one string for each of the {count} {of}", value=names
        )
    return tuple(map(str, names))


def check_floats(values: ArrayLike, argument: str) -> np.ndarray:
    """Return finite floats as an array, or raise."""
    array = np.asarray(values)
    if array.dtype.kind != "f":
        raise ArgumentTypeError(
            argument,
            f"of dtype {array.dtype} must be of floats",
            "divide 8-bit values by 255",
        )
    check_values(array, None, argument)
    return array


def check_scale(scale: object, others: str = "") -> float:
    """Return the relevance that has the strongest colour, or raise."""
    if not is_number(scale) or scale <= 0:
        raise ArgumentValueError("scale", f"must be a finite number above 0{others}", value=scale)
    return float(scale)


def check_share(argument: str, value: object) -> float:
    """Return a number from 0 to 1, or raise."""
    if not is_number(value) or not 0 <= value <= 1:
        raise ArgumentValueError(argument, "must be a number from 0 to 1", value=value)
    return float(value)


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value is a finite number, of Python or NumPy."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        return False
    return math.isfinite(value)
