"""Parts of an image: which pixels are explained, and which windows that takes.

A pixel is explained by all windows that contain it, so those that touch a part are all there is to
evaluate; their keys are those of the whole image, and so are the numbers in the part.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from pdjax._checks import ArgumentTypeError, ArgumentValueError

__all__ = ["Part", "check_where"]

Part = Any
"""A boolean array of the image's spatial shape, or a box: one slice for each spatial axis."""


def check_where(where: Part, spatial: tuple[int, ...], argument: str = "where") -> np.ndarray:
    """Return the part as a boolean array of shape ``spatial``, or raise.

    Examples
    --------
    >>> check_where((slice(1, 3), slice(-1, None)), (4, 2)).astype(int)
    array([[0, 0],
           [0, 1],
           [0, 1],
           [0, 0]])
    """
    part = _box(where, spatial, argument)
    if part is None:
        part = _mask(where, spatial, argument)
    if not part.any():
        raise ArgumentValueError(argument, "holds no pixel", "choose a part of the image")
    return part


def _box(where: Part, spatial: tuple[int, ...], argument: str) -> np.ndarray | None:
    """Return a box of slices as a boolean array, or None where it is something else."""
    slices = (where,) if isinstance(where, slice) else where
    if not (isinstance(slices, tuple) and any(isinstance(each, slice) for each in slices)):
        return None
    if len(slices) != len(spatial) or not all(isinstance(each, slice) for each in slices):
        raise ArgumentValueError(
            argument,
            f"must have one slice for each of the {len(spatial)} spatial axes",
            "give slice(None) for all of an axis",
            value=where,
        )
    part = np.zeros(spatial, bool)
    try:
        part[slices] = True
    except (TypeError, ValueError) as error:
        raise ArgumentTypeError(
            argument,
            f"has a slice that is of no pixels ({error})",
            "give whole numbers, as in (slice(2, 8), slice(None))",
            value=where,
        ) from error
    return part


def _mask(where: Part, spatial: tuple[int, ...], argument: str) -> np.ndarray:
    if isinstance(where, jax.core.Tracer):
        raise ArgumentTypeError(
            argument,
            "is not known while JAX compiles, and it decides how many windows there are",
            "bind it with functools.partial before jax.jit",
        )
    mask = np.asarray(where)
    if mask.dtype != bool:
        raise ArgumentTypeError(
            argument,
            f"of dtype {mask.dtype} must be a boolean array or a box of slices",
            "compare it with something, e.g. mask > 0",
        )
    if mask.shape != spatial:
        raise ArgumentValueError(
            argument,
            f"of shape {mask.shape} must have the shape {spatial} of what is explained",
            "leave the channels out, and load it at the image's size",
        )
    return mask
