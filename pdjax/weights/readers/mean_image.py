"""The mean image of ImageNet that Caffe publishes, from its ``.npy`` file."""

from __future__ import annotations

import os

import numpy as np

from pdjax._checks import ArgumentValueError
from pdjax._files import existing_file

__all__ = ["read_mean_image"]

SHAPE = (3, 256, 256)
REMEDY = "give Caffe's ilsvrc_2012_mean.npy"


def read_mean_image(path: str | os.PathLike[str]) -> np.ndarray:
    """Read a mean image.

    Parameters
    ----------
    path : path
        A ``.npy`` file such as ``ilsvrc_2012_mean.npy``.

    Returns
    -------
    array
        (3, 256, 256), float32, BGR in [0, 255].

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not such a file, or its contents are of another shape or range.
    """
    path = existing_file(path, "mean_image")
    try:
        # Mapped, not read: the shape is known before memory is taken. Objects cannot be mapped.
        mean = np.lib.format.open_memmap(path, mode="r")
    except Exception as error:
        # A damaged header can fail in any layer below.
        raise ArgumentValueError(
            "mean_image", "is not a .npy file of numbers", REMEDY, value=path
        ) from error
    if mean.shape != SHAPE or mean.dtype.kind not in "fu":
        raise ArgumentValueError(
            "mean_image",
            f"holds {mean.dtype} of shape {mean.shape} instead of floats of shape {SHAPE}",
            REMEDY,
            value=path,
        )
    values = np.array(mean, np.float32)
    # The mean of photographs in [0, 1] passes for a very dark one.
    if not (values.min() >= 0 and 1 < values.max() <= 255):
        raise ArgumentValueError(
            "mean_image",
            f"has values from {values.min():g} to {values.max():g}",
            "give BGR values in [0, 255]",
            value=path,
        )
    return values
