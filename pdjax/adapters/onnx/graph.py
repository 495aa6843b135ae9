"""The graph in an ONNX model, read from the protocol buffer.

A file is treated as hostile: a bounded number of fields is looked at, tensors are as large as what
the file holds of them, and what the graph says is not run here.
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

from pdjax.weights.readers.onnx import DTYPES, read_tensor
from pdjax.weights.readers.protobuf import BYTES, FIXED32, VARINT, Field, Walk, text, varints

__all__ = ["Graph", "Node", "Value", "read_graph"]

MODEL_GRAPH, MODEL_OPSETS = 7, 8
NODES, GRAPH_NAME, INITIALIZERS, SPARSE, INPUTS, OUTPUTS = 1, 2, 5, 15, 11, 12
NODE_INPUTS, NODE_OUTPUTS, OPERATION, ATTRIBUTES, DOMAIN = 1, 2, 4, 5, 7
NAME, FLOAT, INT, STRING, TENSOR, SUBGRAPH, FLOATS, INTS, STRINGS = 1, 2, 3, 4, 5, 6, 7, 8, 9

STANDARD = ("", "ai.onnx")
"""Names of the domain of ONNX' own operations."""

Attribute = int | float | bytes | np.ndarray | list[int] | list[float] | None


@dataclasses.dataclass(frozen=True)
class Node:
    """One operation: the names of what goes in and comes out; an input may be absent (``""``)."""

    operation: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Value:
    """An input or output of the graph; a side is an int, or None where the file leaves it open."""

    name: str
    dtype: np.dtype | None
    shape: tuple[int | None, ...] | None


@dataclasses.dataclass(frozen=True)
class Graph:
    """A graph: operations in order, constants by name, and what it takes and gives."""

    name: str
    opset: int
    nodes: tuple[Node, ...]
    constants: Mapping[str, np.ndarray]
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]


def read_graph(model: memoryview) -> Graph:
    """Read the graph of a model; ValueError where it is damaged."""
    walk = Walk()
    opset, graph = 1, None
    for field in walk.fields(model):
        if field.number == MODEL_OPSETS and field.wire == BYTES:
            domain, version = "", 1
            for part in walk.fields(field.data):
                if part.number == 1:
                    domain = text(part)
                elif part.number == 2:
                    version = part.value
            if domain in STANDARD:
                opset = version
        elif field.number == MODEL_GRAPH and field.wire == BYTES:
            graph = field.data
    if graph is None:
        raise ValueError("it has no graph")
    return _graph(walk, graph, opset)


def _graph(walk: Walk, message: memoryview, opset: int) -> Graph:
    name = ""
    nodes: list[Node] = []
    constants: dict[str, np.ndarray] = {}
    values: dict[int, list[Value]] = {INPUTS: [], OUTPUTS: []}
    for field in walk.fields(message):
        if field.number == NODES and field.wire == BYTES:
            nodes.append(_node(walk, field.data))
        elif field.number == GRAPH_NAME:
            name = text(field)
        elif field.number == INITIALIZERS and field.wire == BYTES:
            key, array = read_tensor(walk, field.data)
            constants[key] = array
        elif field.number == SPARSE:
            raise ValueError("it has sparse weights")
        elif field.number in values and field.wire == BYTES:
            values[field.number].append(_value(walk, field.data))
    inputs = tuple(value for value in values[INPUTS] if value.name not in constants)
    return Graph(name, opset, tuple(nodes), constants, inputs, tuple(values[OUTPUTS]))


def _node(walk: Walk, message: memoryview) -> Node:
    operation, domain = "", ""
    inputs: list[str] = []
    outputs: list[str] = []
    attributes: dict[str, Attribute] = {}
    for field in walk.fields(message):
        if field.number == NODE_INPUTS:
            inputs.append(text(field))
        elif field.number == NODE_OUTPUTS:
            outputs.append(text(field))
        elif field.number == OPERATION:
            operation = text(field)
        elif field.number == DOMAIN:
            domain = text(field)
        elif field.number == ATTRIBUTES and field.wire == BYTES:
            key, value = _attribute(walk, field.data)
            attributes[key] = value
    if domain not in STANDARD:
        operation = f"{domain}.{operation}"
    return Node(operation, tuple(inputs), tuple(outputs), attributes)


def _attribute(walk: Walk, message: memoryview) -> tuple[str, Attribute]:
    name = ""
    value: Attribute = None
    for field in walk.fields(message):
        if field.number == NAME:
            name = text(field)
        elif field.number == FLOAT and field.wire == FIXED32:
            value = float(np.frombuffer(field.data, np.float32)[-1])
        elif field.number == INT and field.wire == VARINT:
            value = _signed(np.array([field.value], np.uint64))[0]
        elif field.number == STRING and field.wire == BYTES:
            value = bytes(field.data)
        elif field.number == TENSOR and field.wire == BYTES:
            value = read_tensor(walk, field.data)[1]
        elif field.number == FLOATS:
            value = [*_listed(value), *_floats(field)]
        elif field.number == INTS:
            value = [*_listed(value), *_signed(varints(field))]
    return name, value


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _floats(field: Field) -> list[float]:
    if len(field.data) % 4:
        raise ValueError("a list of numbers in it is cut off")
    return [number for (number,) in struct.iter_unpack("<f", field.data)]


def _signed(numbers: np.ndarray) -> list[int]:
    return numbers.view(np.int64).tolist()


def _value(walk: Walk, message: memoryview) -> Value:
    name = ""
    dtype: np.dtype | None = None
    shape: list[int | None] | None = None
    for field in walk.fields(message):
        if field.number == 1:
            name = text(field)
        elif field.number == 2 and field.wire == BYTES:
            for kind in walk.fields(field.data):
                if kind.number != 1 or kind.wire != BYTES:
                    continue
                for part in walk.fields(kind.data):
                    if part.number == 1:
                        dtype = np.dtype(DTYPES[part.value]) if part.value in DTYPES else None
                    elif part.number == 2 and part.wire == BYTES:
                        shape = [_side(walk, side.data) for side in walk.fields(part.data)]
    return Value(name, dtype, None if shape is None else tuple(shape))


def _side(walk: Walk, message: memoryview) -> int | None:
    # Some exporters write a side that is left open as 0 or as -1.
    sides = [
        _signed(np.array([side.value], np.uint64))[0]
        for side in walk.fields(message)
        if side.number == 1 and side.wire == VARINT
    ]
    return next((side for side in sides if side > 0), None)
