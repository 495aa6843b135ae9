"""Weights from a file of any known kind, told apart by what is in it rather than by its name."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pdjax._checks import ArgumentValueError
from pdjax._files import BoundedReader, existing_file, read_npz
from pdjax.weights.readers.caffemodel import read_caffemodel
from pdjax.weights.readers.onnx import read_onnx
from pdjax.weights.readers.pth import ZIP_MAGIC, read_pth
from pdjax.weights.readers.safetensors import plausible_safetensors, read_safetensors

__all__ = ["WeightFile", "read_weights"]

KINDS = ".caffemodel, .pth, .safetensors, .npz or .onnx"
# The pickled magic number of the old form, behind the two bytes that give the pickle protocol.
OLD_PTH_MAGIC = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
START_BYTES = 64


class WeightFile(NamedTuple):
    """The contents of a file of weights.

    Attributes
    ----------
    kind : str
        ``"caffemodel"``, ``"pth"``, ``"safetensors"``, ``"npz"`` or ``"onnx"``.
    arrays : dict
        Arrays by name, in the order of the file and just as it has them; but those of a
        ``"caffemodel"`` are called ``layer.kernel`` and ``layer.bias`` and have our layout.
    """

    kind: str
    arrays: dict[str, np.ndarray]


READERS: dict[str, Callable[[Path], dict[str, np.ndarray]]] = {
    "caffemodel": read_caffemodel,
    "pth": read_pth,
    "safetensors": read_safetensors,
    "npz": lambda path: read_npz(path, "weights"),
    "onnx": read_onnx,
}
PROTOCOL_BUFFERS = ("caffemodel", "onnx")


def read_weights(path: str | os.PathLike[str]) -> WeightFile:
    """Read a file of weights.

    Parameters
    ----------
    path : path
        A Caffe model, a PyTorch state dict in either form, a safetensors file, an archive of
        NumPy arrays, or an ONNX model. Only for the first and the last, which have no mark of
        their own, the suffix decides which of them is tried first.

    Returns
    -------
    WeightFile
        The kind of the file and its arrays.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is of no known kind, or is damaged.
    """
    path = existing_file(path, "weights")
    kind = _kind(path)
    if kind is not None:
        return WeightFile(kind, READERS[kind](path))
    for candidate in PROTOCOL_BUFFERS:
        try:
            return WeightFile(candidate, READERS[candidate](path))
        except ValueError:
            continue
    raise ArgumentValueError(
        "weights",
        "is not a file of weights of any known kind",
        f"give a {KINDS} file, or fetch it again",
        value=path,
    )


def _kind(path: Path) -> str | None:
    with path.open("rb") as file:
        start = file.read(START_BYTES)
    if start.startswith(ZIP_MAGIC):
        return "pth" if _has_pickle(path) else "npz"
    if OLD_PTH_MAGIC in start:
        return "pth"
    if plausible_safetensors(start):
        return "safetensors"
    suffix = path.suffix.lower().removeprefix(".")
    return suffix if suffix in READERS else None


def _has_pickle(path: Path) -> bool:
    try:
        with BoundedReader(path) as file, zipfile.ZipFile(file) as archive:
            return any(name.endswith("/data.pkl") for name in archive.namelist())
    except Exception:
        # What is damaged is better named by the reader that its suffix asks for.
        return path.suffix.lower() != ".npz"
