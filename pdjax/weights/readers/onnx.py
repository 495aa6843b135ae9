"""Weights of an ONNX model: its initialisers, read from the protocol buffer directly."""

from __future__ import annotations

import math
import os

import ml_dtypes
import numpy as np

from pdjax._files import existing_file
from pdjax.weights.readers.binary import array_of, read_whole, readable
from pdjax.weights.readers.protobuf import BYTES, FIXED32, FIXED64, Field, Walk, text, varints

__all__ = ["DTYPES", "read_onnx", "read_tensor"]

REMEDY = "export the model again with its weights inside the file, or fetch it again"
GRAPH, INITIALIZER = 7, 5
DIMS, DATA_TYPE, NAME, EXTERNAL, LOCATION = 1, 2, 8, 13, 14
FLOATS, INT32S, INT64S, RAW, DOUBLES = 4, 5, 7, 9, 10
DTYPES: dict[int, type] = {
    1: np.float32,
    2: np.uint8,
    3: np.int8,
    5: np.int16,
    6: np.int32,
    7: np.int64,
    9: np.bool_,
    10: np.float16,
    11: np.float64,
    16: ml_dtypes.bfloat16,
}
MAX_DIMENSIONS = 32
NOTHING = np.zeros(0, np.uint8)


def read_onnx(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read the initialisers of an ONNX model.

    Parameters
    ----------
    path : path
        An ``.onnx`` file of at most 4 GiB that holds its weights itself.

    Returns
    -------
    dict
        Arrays by name, in the order of the file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not an ONNX model, is damaged, keeps weights in other files, or has none.
    """
    path = existing_file(path, "weights")
    with readable(path, "ONNX model", REMEDY):
        walk = Walk()
        arrays: dict[str, np.ndarray] = {}
        for graph in walk.fields(read_whole(path)):
            if graph.number != GRAPH or graph.wire != BYTES:
                continue
            for field in walk.fields(graph.data):
                if field.number == INITIALIZER and field.wire == BYTES:
                    name, array = read_tensor(walk, field.data)
                    if name in arrays:
                        raise ValueError(f"it has two tensors called {name!r}")
                    arrays[name] = array
        if not arrays:
            raise ValueError("it has no initialisers")
        return arrays


def read_tensor(walk: Walk, message: memoryview) -> tuple[str, np.ndarray]:
    """Read the name and the values of a tensor; ValueError where it is damaged or elsewhere."""
    name, code = "", 0
    shape: list[int] = []
    contents: list[Field] = []
    for field in walk.fields(message):
        if field.number == DIMS:
            shape += varints(field).tolist()
        elif field.number == DATA_TYPE:
            code = field.value
        elif field.number == NAME:
            name = text(field)
        elif field.number == EXTERNAL or (field.number == LOCATION and field.value != 0):
            raise ValueError("its weights are in other files")
        elif field.number in (RAW, FLOATS, DOUBLES, INT32S, INT64S):
            contents.append(field)
    if code not in DTYPES:
        raise ValueError(f"tensor {name!r} is of the unknown data type {code}")
    if len({field.number for field in contents}) > 1:
        raise ValueError(f"tensor {name!r} is stored in two ways")
    dtype = np.dtype(DTYPES[code])
    octets = np.concatenate([_octets(field, dtype) for field in contents] or [NOTHING])
    if len(shape) > MAX_DIMENSIONS or math.prod(shape) * dtype.itemsize != octets.size:
        raise ValueError(f"tensor {name!r} of {octets.size} bytes declares the shape {shape[:8]}")
    return name, array_of(octets, dtype).reshape(shape)


def _octets(field: Field, dtype: np.dtype) -> np.ndarray:
    """Return the contents of a tensor, or of a part of it, as the bytes of its numbers."""
    if field.number in (INT32S, INT64S):
        if (field.number == INT64S) != (dtype == np.int64) or dtype in (np.float32, np.float64):
            raise ValueError(f"numbers of type {dtype} are stored as integers of another size")
        # Smaller types, 16-bit floats among them, are stored as integers with the same low bits.
        return varints(field).astype(f"u{dtype.itemsize}").view(np.uint8)
    wires = {RAW: (BYTES,), FLOATS: (BYTES, FIXED32), DOUBLES: (BYTES, FIXED64)}[field.number]
    stored = {RAW: dtype, FLOATS: np.float32, DOUBLES: np.float64}[field.number]
    if field.wire not in wires or dtype != stored:
        raise ValueError(f"numbers of type {dtype} are stored in field {field.number}")
    return np.frombuffer(field.data, np.uint8)
