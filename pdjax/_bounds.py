"""The range of values of an image: asked for, declared by the network, or that of the sampler."""

from __future__ import annotations

import warnings
from typing import Any, Literal

import numpy as np

from pdjax._checks import (
    UNIT,
    ArgumentValueError,
    Bounds,
    check_floats,
    check_image,
    check_pair,
    check_values,
    concrete,
)
from pdjax._types import Sampler

__all__ = ["AUTO", "Asked", "check_levels", "check_range", "image_bounds"]

AUTO: Literal["auto"] = "auto"

Asked = Bounds | Literal["auto"]
"""Bounds that a person gives, or leaves to what is known of the sampler and the network."""

UNSAID: Any = object()

LEAST_LEVEL = 2.0
"""Images in [0, 1] have no value so large, and images in levels of 0 to 255 have."""


def image_bounds(asked: Asked, sampler: Sampler | None, declared: Bounds = UNIT) -> Bounds:
    """Return the range that values of an image must lie in.

    Parameters
    ----------
    asked : (float, float), None or "auto"
        What was asked for.
    sampler : Sampler or None
        Its ``bounds``, where it has some, are those of the images that it was made for: None is
        any. Its ``check_bounds``, where it has one, raises where it does not fit the result.
    declared : (float, float) or None
        What the network declares; [0, 1] is also what it says where nobody said anything.

    Raises
    ------
    ValueError
        If the sampler was made for images of another range.
    """
    made_for = getattr(sampler, "bounds", UNSAID)
    if isinstance(asked, str):
        if asked != AUTO:
            raise _no_bounds(asked)
        found = made_for if declared == UNIT and made_for is not UNSAID else declared
    else:
        found = check_pair("bounds", asked)
    if made_for is not UNSAID and made_for not in (None, found):
        raise ArgumentValueError(
            "bounds",
            f"are {_in_words(found)}, and the sampler was made for images within "
            f"{_in_words(made_for)}",
            "make it of images like the one to be explained, with the same bounds",
        )
    check = getattr(sampler, "check_bounds", None)
    if check is not None:
        check(found)
    return found


def check_range(image: Any, asked: Asked, sampler: Sampler) -> None:
    """Check an image where its values are known, as they are not while JAX compiles.

    Bounds that nobody gave are a guess: where the image is outside them, it is a warning.
    """
    bounds = image_bounds(asked, sampler)
    if not concrete(image):
        check_floats(image, "image", bounds)
        return
    values = check_image(image, bounds=None)
    try:
        check_values(values, bounds, "image")
    except ArgumentValueError as error:
        if asked != AUTO:
            raise
        warnings.warn(str(error), stacklevel=3)


def check_levels(images: Any, bounds: Bounds) -> None:
    """Raise where a batch that is given to a network of images in [0, 1] has 8-bit values.

    Other values beyond are its business: a network that takes normalised images has the bounds
    that it is given by default, too.
    """
    if not concrete(images):
        return
    values = np.asarray(images)
    check_floats(values, "images", bounds)
    if bounds == UNIT and values.size and values.min() >= 0 and values.max() > LEAST_LEVEL:
        raise ArgumentValueError(
            "images",
            f"have values up to {values.max():.4g}, and the network takes them in [0, 1]",
            "divide 8-bit values by 255, or declare another range with "
            "Classifier.from_function(..., bounds=...)",
        )


def _in_words(bounds: Bounds) -> str:
    return "any" if bounds is None else f"[{bounds[0]:g}, {bounds[1]:g}]"


def _no_bounds(asked: object) -> ArgumentValueError:
    return ArgumentValueError(
        "bounds", "must be a pair (low, high) with low below high, or None", value=asked
    )
