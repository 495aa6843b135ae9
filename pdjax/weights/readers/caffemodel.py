"""Weights of a Caffe network: a ``.caffemodel`` file, in the layout that Flax wants.

The file is a protocol buffer, a ``NetParameter`` of layers with blobs. Both encodings are read:
``layers`` (V1, with blob shapes as num, channels, height, width), as the published files are, and
``layer``.
"""

from __future__ import annotations

import math
import os
from typing import NamedTuple

import numpy as np

from pdjax._files import existing_file
from pdjax.weights.readers.binary import read_whole, readable
from pdjax.weights.readers.protobuf import (
    BYTES,
    FIXED32,
    FIXED64,
    VARINT,
    Field,
    Walk,
    text,
    varints,
)

__all__ = ["read_caffemodel"]

REMEDY = "give a .caffemodel file of a trained network, or fetch it again"
MAX_BLOBS = 16
MAX_DIMENSIONS = 32


class Encoding(NamedTuple):
    """Field numbers of one of the two forms of a layer."""

    name: int
    type: int
    blobs: int


ENCODINGS = {2: Encoding(name=4, type=5, blobs=6), 100: Encoding(name=1, type=2, blobs=7)}
V1_TYPES = {4: "Convolution", 14: "InnerProduct"}
LEGACY_DIMENSIONS = {1: 0, 2: 1, 3: 2, 4: 3}
SHAPE, DATA, DOUBLE_DATA = 7, 5, 8


def read_caffemodel(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read the layers of a Caffe network that have weights.

    Parameters
    ----------
    path : path
        A ``.caffemodel`` file of at most 4 GiB.

    Returns
    -------
    dict
        Arrays called ``layer.kernel`` and ``layer.bias``, in the order of the file, float32.
        Kernels of convolutions are ``(height, width, in / groups, out)``, those of fully connected
        layers ``(in, out)`` with Caffe's order of inputs (channels before height and width);
        biases are ``(out,)`` and absent where the layer has none.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not a Caffe model, is damaged, or holds weights of another kind of layer.
    """
    path = existing_file(path, "weights")
    with readable(path, "Caffe model", REMEDY):
        return _network(read_whole(path))


def _network(message: memoryview) -> dict[str, np.ndarray]:
    walk = Walk()
    arrays: dict[str, np.ndarray] = {}
    for field in walk.fields(message):
        if field.number in ENCODINGS and field.wire == BYTES:
            name, params = _layer(walk, field.data, ENCODINGS[field.number])
            if f"{name}.kernel" in arrays and params:
                raise ValueError(f"it has weights for two layers called {name!r}")
            arrays |= {f"{name}.{part}": array for part, array in params.items()}
    if not arrays:
        raise ValueError("it has no layer with weights")
    return arrays


def _layer(
    walk: Walk, message: memoryview, encoding: Encoding
) -> tuple[str, dict[str, np.ndarray]]:
    name, kind, blobs = "", "", []
    for field in walk.fields(message):
        if field.number == encoding.name:
            name = text(field)
        elif field.number == encoding.type:
            kind = _kind(field)
        elif field.number == encoding.blobs:
            blobs.append(_expect(field, BYTES).data)
    if not blobs:
        return name, {}
    if len(blobs) > MAX_BLOBS:
        raise ValueError(f"layer {name!r} has {len(blobs)} blobs")
    try:
        return name, _params(kind, [_blob(walk, blob) for blob in blobs])
    except ValueError as error:
        raise ValueError(f"layer {name!r}: {error}") from error


def _kind(field: Field) -> str:
    if field.wire == VARINT:
        return V1_TYPES.get(field.value, f"number {field.value}")
    return text(field)


def _params(kind: str, blobs: list[np.ndarray]) -> dict[str, np.ndarray]:
    if kind not in ("", "Convolution", "InnerProduct") or len(blobs) > 2:
        raise ValueError(
            f"its type {kind!r} with {len(blobs)} blobs is neither a convolution nor a fully "
            "connected layer"
        )
    kernel = blobs[0]
    legacy_matrix = kernel.ndim == 4 and kernel.shape[:2] == (1, 1)
    if kind == "InnerProduct" or (not kind and (kernel.ndim == 2 or legacy_matrix)):
        if math.prod(kernel.shape[:-2]) != 1 or kernel.ndim < 2:
            raise ValueError(f"{kernel.shape} is not the shape of a matrix")
        kernel = kernel.reshape(kernel.shape[-2:]).T
    elif kernel.ndim < 3:
        raise ValueError(f"{kernel.shape} is not the shape of a kernel")
    else:
        # Caffe has (out, in, *spatial).
        kernel = np.moveaxis(kernel, (0, 1), (-1, -2))
    params = {"kernel": np.array(kernel, order="C")}
    if len(blobs) == 2:
        params["bias"] = blobs[1].reshape(-1).copy()
        if params["bias"].shape != kernel.shape[-1:]:
            raise ValueError(f"{params['bias'].size} biases for {kernel.shape[-1]} outputs")
    return params


def _blob(walk: Walk, message: memoryview) -> np.ndarray:
    legacy: dict[int, int] = {}
    shape: list[int] | None = None
    parts: list[np.ndarray] = []
    for field in walk.fields(message):
        if field.number in LEGACY_DIMENSIONS:
            legacy[LEGACY_DIMENSIONS[field.number]] = _expect(field, VARINT).value
        elif field.number == SHAPE:
            shape = _shape(walk, _expect(field, BYTES).data)
        elif field.number == DATA:
            parts.append(np.frombuffer(_expect(field, BYTES, FIXED32).data, "<f4"))
        elif field.number == DOUBLE_DATA:
            parts.append(np.frombuffer(_expect(field, BYTES, FIXED64).data, "<f8"))
    if shape is None:
        shape = [legacy.get(axis, 1) for axis in range(4)] if legacy else []
    size = sum(part.size for part in parts)
    if len(shape) > MAX_DIMENSIONS or math.prod(shape) != size or size == 0:
        raise ValueError(f"a blob of {size} numbers declares the shape {tuple(shape[:8])}")
    with np.errstate(over="ignore"):
        data = np.concatenate(parts) if len(parts) > 1 else parts[0]
        return data.astype(np.float32, copy=False).reshape(shape)


def _shape(walk: Walk, message: memoryview) -> list[int]:
    shape: list[int] = []
    for field in walk.fields(message):
        if field.number == 1:
            shape += varints(field).tolist()
    return shape


def _expect(field: Field, *wires: int) -> Field:
    if field.wire not in wires:
        raise ValueError(f"field {field.number} has the wire type {field.wire}")
    return field
