"""The wire format of protocol buffers, as far as files of weights need it.

A message is a run of fields: a key (number and wire type) and a value. Only the walk over them is
here; what a number means is for the reader of each kind of file. See
https://protobuf.dev/programming-guides/encoding.

It is our own because the library of protocol buffers needs the compiled schema of Caffe and of
ONNX, and builds all messages of a file in memory before one can tell how many there are. This walk
looks at one field after the other, and at a bounded number of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

__all__ = ["BYTES", "FIXED32", "FIXED64", "VARINT", "Field", "Walk", "text", "varints"]

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
MAX_FIELDS = 300_000
RUN = 4096
MAX_PACKED_BYTES = 2**24
MAX_VARINT_BYTES = 10


class Field(NamedTuple):
    """One field of a message.

    Attributes
    ----------
    number, wire : int
        Which field it is and how it is encoded.
    value : int
        The value of a VARINT field, unsigned; 0 for the others.
    data : memoryview
        The contents of a BYTES field, or the values, one after the other, of a run of FIXED32 or
        FIXED64 fields of the same number; empty for VARINT.
    """

    number: int
    wire: int
    value: int
    data: memoryview


class Walk:
    """A walk over the messages of one file that visits a bounded number of fields in all."""

    def __init__(self, max_fields: int = MAX_FIELDS) -> None:
        self._left = max_fields

    def fields(self, message: memoryview) -> Iterator[Field]:
        """Yield the fields of a message in order; ValueError where it is not one."""
        position = 0
        while position < len(message):
            self._left -= 1
            if self._left < 0:
                raise ValueError("it has more fields than any network")
            field, position = _field(message, position)
            yield field


def varints(field: Field) -> np.ndarray:
    """Return the values of a repeated integer field, packed or not, as uint64 ``(n,)``."""
    if field.wire == VARINT:
        return np.array([field.value], np.uint64)
    if field.wire != BYTES or len(field.data) > MAX_PACKED_BYTES:
        raise ValueError(f"field {field.number} is not made of integers or is too large")
    if not field.data:
        return np.zeros(0, np.uint64)
    octets = np.frombuffer(field.data, np.uint8)
    ends = np.flatnonzero(octets < 128)
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if ends.size == 0 or ends[-1] != octets.size - 1 or lengths.max() > MAX_VARINT_BYTES:
        raise ValueError(f"field {field.number} holds a number that does not end")
    shifts = 7 * (np.arange(octets.size) - np.repeat(starts, lengths))
    return np.add.reduceat((octets & 127).astype(np.uint64) << shifts.astype(np.uint64), starts)


def text(field: Field) -> str:
    """Return the value of a text field."""
    if field.wire != BYTES:
        raise ValueError(f"field {field.number} is not a text")
    if len(field.data) > 4096:
        raise ValueError(f"a name in it has {len(field.data)} bytes")
    return str(field.data, "utf-8")


def _field(message: memoryview, start: int) -> tuple[Field, int]:
    key, position = _varint(message, start)
    number, wire = key >> 3, key & 7
    if number == 0:
        raise ValueError("a field in it has the number 0")
    if wire == VARINT:
        value, position = _varint(message, position)
        return Field(number, wire, value, message[:0]), position
    if wire == BYTES:
        length, position = _varint(message, position)
        if length > len(message) - position:
            raise ValueError(f"field {number} declares {length} bytes and the file ends before")
        end = position + length
        return Field(number, wire, 0, message[position:end]), end
    if wire in (FIXED32, FIXED64):
        return _run(message, start, position, number, wire)
    raise ValueError(f"field {number} has the unknown wire type {wire}")


def _run(
    message: memoryview, start: int, position: int, number: int, wire: int
) -> tuple[Field, int]:
    """Read equal fields of fixed size at once: a kernel may be millions of them."""
    key = position - start
    width = key + (4 if wire == FIXED32 else 8)
    length = min(RUN, (len(message) - start) // width)
    if length == 0:
        raise ValueError(f"field {number} is cut off")
    rows = np.frombuffer(message[start : start + length * width], np.uint8).reshape(length, width)
    others = np.flatnonzero((rows[:, :key] != rows[:1, :key]).any(axis=1))
    run = int(others[0]) if others.size else length
    return Field(number, wire, 0, memoryview(rows[:run, key:].tobytes())), start + run * width


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 7 * MAX_VARINT_BYTES, 7):
        if position >= len(message):
            raise ValueError("it ends within a number")
        byte = message[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & (2**64 - 1), position
    raise ValueError(f"a number in it has more than {MAX_VARINT_BYTES} bytes")
