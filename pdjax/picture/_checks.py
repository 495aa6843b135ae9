"""What may be drawn: every array and list of words is checked here, before any drawing starts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

__all__ = ["checked_errors", "checked_image", "checked_maps", "checked_names", "checked_scale"]


def checked_image(image: ArrayLike) -> Float[np.ndarray, "h w 3"]:
    """Return an image in pixel space as float32 with three channels, or raise ValueError."""
    array = _finite(image, "image")
    if array.ndim != 3 or array.shape[-1] not in (1, 3) or array.size == 0:
        raise ValueError(f"image: has shape {array.shape}; give (h, w, 3), or (h, w, 1) for grey")
    if array.min() < -1e-3 or array.max() > 1 + 1e-3:
        raise ValueError(
            f"image: has values from {array.min():g} to {array.max():g}; scale it to [0, 1]"
        )
    rounded_off = np.clip(array, 0, 1).astype(np.float32)
    return np.ascontiguousarray(np.broadcast_to(rounded_off, (*array.shape[:2], 3)))


def checked_maps(
    maps: ArrayLike,
    argument: str,
    *,
    num_dimensions: int = 3,
    shape: tuple[int, ...] | None = None,
    like: str = "image",
) -> Float[np.ndarray, "*shape"]:
    """Return maps as float32, or raise ValueError if they are not finite or not of ``shape``.

    ``shape`` holds the last axes that the maps must have, those of the argument ``like``.
    """
    array = _finite(maps, argument)
    if array.ndim != num_dimensions or array.size == 0:
        wanted = "(h, w)" if num_dimensions == 2 else "(rows, h, w)"
        raise ValueError(f"{argument}: has shape {array.shape}; give {wanted}, nothing empty")
    if shape is not None and array.shape[-len(shape) :] != shape:
        raise ValueError(
            f"{argument}: has shape {array.shape}, which does not end in {shape} as {like} has it; "
            "give maps of one image at its own size"
        )
    if np.abs(array).max() > np.finfo(np.float32).max:
        raise ValueError(f"{argument}: has values beyond float32; rescale it")
    return np.ascontiguousarray(array, dtype=np.float32)


def checked_errors(
    errors: ArrayLike | None,
    relevance: np.ndarray,
    argument: str = "standard_error",
    **uses: bool,
) -> Float[np.ndarray, "rows h w"] | None:
    """Return standard errors as float32, or raise ValueError: none is negative.

    They may be None, unless one of the ``uses`` (options by name) that they have is asked for.
    """
    if errors is None:
        for use in (use for use, wanted in uses.items() if wanted):
            raise ValueError(f"{argument}: is None though {use} is True; give the errors")
        return None
    array = checked_maps(errors, argument, shape=relevance.shape, like="relevance")
    if array.min() < 0:
        raise ValueError(f"{argument}: has the value {array.min():g}; give none below 0")
    return array


def checked_names(
    names: Sequence[str], argument: str, count: int, *, of: str = "maps"
) -> tuple[str, ...]:
    """Return ``count`` strings, or raise ValueError if there are more, fewer or only one string."""
    if isinstance(names, str) or len(names) != count:
        found = repr(names) if isinstance(names, str) else f"{len(names)} strings"
        raise ValueError(f"{argument}: is {found} for {count} {of}; give one string for each")
    return tuple(str(name) for name in names)


def checked_scale(scale: float) -> float:
    """Return a colour limit as a float, or raise ValueError unless it is finite and positive."""
    if not (np.isfinite(scale) and scale > 0):
        raise ValueError(f"scale: is {scale}; give a finite number above 0")
    return float(scale)


def _finite(values: ArrayLike, argument: str) -> np.ndarray:
    array = np.asarray(values)
    if not np.issubdtype(array.dtype, np.floating):
        raise ValueError(
            f"{argument}: holds {array.dtype}; give floating-point numbers (a photo: divide by 255)"
        )
    bad = array.size - np.count_nonzero(np.isfinite(array))
    if bad:
        raise ValueError(
            f"{argument}: {bad} of its {array.size} values are NaN or infinite; give finite ones"
        )
    return array
