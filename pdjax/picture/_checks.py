"""What may be drawn: every array and list of words is checked here, before any drawing starts."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from pdjax._checks import ArgumentTypeError, ArgumentValueError, check_values

__all__ = ["check_errors", "check_maps", "check_names", "check_photo", "check_scale"]

# Resizing and arithmetic in float32 leave some values a little outside [0, 1].
TOLERANCE = 1e-3


def check_photo(image: ArrayLike) -> Float[np.ndarray, "h w 3"]:
    """Return an image in pixel space as float32 with three channels, or raise."""
    array = _floats(image, "image")
    if array.ndim != 3 or array.shape[-1] not in (1, 3) or array.size == 0:
        raise ArgumentValueError(
            "image",
            f"of shape {array.shape} cannot be drawn",
            "give (h, w, 3), or (h, w, 1) for grey",
        )
    check_values(array, (-TOLERANCE, 1 + TOLERANCE), "image")
    clipped = np.clip(array, 0, 1).astype(np.float32)
    return np.ascontiguousarray(np.broadcast_to(clipped, (*array.shape[:2], 3)))


def check_maps(
    maps: ArrayLike,
    argument: str,
    *,
    num_dimensions: int = 3,
    shape: tuple[int, ...] | None = None,
    like: str = "image",
) -> Float[np.ndarray, "*shape"]:
    """Return maps as float32, or raise if they are not finite or not of ``shape``.

    Of a masked array (`numpy.ma`) the masked entries, where nothing is known, stay masked.
    ``shape`` holds the last axes that the maps must have, those of the argument ``like``.
    """
    unknown = np.ma.getmaskarray(maps) if isinstance(maps, np.ma.MaskedArray) else None
    array = _floats(np.ma.filled(maps, 0) if unknown is not None else maps, argument)
    if array.ndim != num_dimensions or array.size == 0:
        raise ArgumentValueError(
            argument,
            f"of shape {array.shape} cannot be drawn",
            "give (h, w)" if num_dimensions == 2 else "give (rows, h, w)",
        )
    if shape is not None and array.shape[-len(shape) :] != shape:
        raise ArgumentValueError(
            argument,
            f"of shape {array.shape} does not end in {shape} as {like} does",
            "give maps of one image at its own size",
        )
    if np.abs(array).max() > np.finfo(np.float32).max:
        raise ArgumentValueError(argument, "has values beyond float32", "rescale it")
    checked = np.ascontiguousarray(array, dtype=np.float32)
    return checked if unknown is None else np.ma.MaskedArray(checked, unknown)


def check_errors(
    errors: ArrayLike | None,
    relevance: np.ndarray,
    argument: str = "standard_error",
    **uses: bool,
) -> Float[np.ndarray, "rows h w"] | None:
    """Return standard errors as float32, or raise; none is negative.

    They may be None, unless one of the ``uses`` (options by name) that they have is asked for.
    """
    if errors is None:
        for use in (use for use, wanted in uses.items() if wanted):
            raise ArgumentValueError(argument, f"is needed for {use}=True", "give the errors")
        return None
    array = check_maps(errors, argument, shape=relevance.shape, like="relevance")
    if array.min() < 0:
        raise ArgumentValueError(
            argument, f"has the value {array.min():.4g}", "give errors of at least 0"
        )
    return array


def check_names(names: Sequence[str], argument: str, count: int, of: str) -> tuple[str, ...]:
    """Return one string for each of ``count`` things, or raise."""
    if isinstance(names, str) or len(names) != count:
        raise ArgumentValueError(
            argument, f"must be one string for each of the {count} {of}", value=names
        )
    return tuple(map(str, names))


def check_scale(scale: float) -> float:
    """Return the relevance that has the strongest colour, or raise."""
    if not (math.isfinite(scale) and scale > 0):
        raise ArgumentValueError("scale", "must be a finite number above 0", value=scale)
    return float(scale)


def _floats(values: ArrayLike, argument: str) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype.kind != "f":
        raise ArgumentTypeError(
            argument,
            f"of dtype {array.dtype} must be of floats",
            "divide 8-bit values by 255",
        )
    check_values(array, None, argument)
    return array
