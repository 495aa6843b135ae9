"""Small files of weights, made byte by byte, for the tests of their readers."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Mapping, Sequence

import numpy as np

Blobs = Sequence[np.ndarray]


# Protocol buffers


def varint(value: int) -> bytes:
    octets = []
    while value > 127:
        octets.append(value & 127 | 128)
        value >>= 7
    return bytes([*octets, value])


def field(number: int, content: bytes | int) -> bytes:
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def blob(
    array: np.ndarray, shape: Sequence[int], legacy: bool, packed: bool = True, double: bool = False
) -> bytes:
    number, wire, dtype = (8, 1, "<f8") if double else (5, 5, "<f4")
    values = array.ravel().astype(dtype)
    if packed:
        data = field(number, values.tobytes())
    else:
        data = b"".join(varint(number << 3 | wire) + value.tobytes() for value in values)
    if legacy:
        return b"".join(field(1 + axis, size) for axis, size in enumerate(shape)) + data
    dims = b"".join(map(varint, shape))
    unpacked = b"".join(field(1, size) for size in shape)
    return data + field(7, field(1, dims) if packed else unpacked)


def v1_layer(name: str, kind: int | None, blobs: Sequence[bytes]) -> bytes:
    content = field(2, b"bottom") + field(3, b"top") + field(4, name.encode())
    content += b"" if kind is None else field(5, kind)
    return field(2, content + b"".join(field(6, blob) for blob in blobs))


def layer(name: str, kind: str, blobs: Sequence[bytes]) -> bytes:
    content = field(1, name.encode()) + field(2, kind.encode())
    return field(100, content + b"".join(field(7, blob) for blob in blobs))


# Pickles


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def integer(value: int) -> bytes:
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def group(*values: bytes) -> bytes:
    return b"(" + b"".join(values) + b"t"


def mapping(items: Mapping[str, bytes]) -> bytes:
    return b"}(" + b"".join(text(name) + value for name, value in items.items()) + b"u"


def name_of_code(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def call(function: bytes, *arguments: bytes) -> bytes:
    return function + group(*arguments) + b"R"


def pickled(content: bytes) -> bytes:
    return b"\x80\x02" + content + b"."


def tensor(
    shape: Sequence[int],
    strides: Sequence[int],
    *,
    storage: str = "FloatStorage",
    key: str = "0",
    count: int = 6,
    offset: int = 0,
    hooks: bytes = b"N",
) -> bytes:
    kind = name_of_code("torch", storage)
    content = group(text("storage"), kind, text(key), text("cpu"), integer(count)) + b"Q"
    return call(
        name_of_code("torch._utils", "_rebuild_tensor_v2"),
        *(content, integer(offset), group(*map(integer, shape)), group(*map(integer, strides))),
        *(b"\x89", hooks),
    )


def old_pth(
    state: bytes,
    storages: Mapping[str, np.ndarray],
    facts: bytes = b"}",
    keys: bytes | None = None,
) -> bytes:
    if keys is None:
        keys = b"](" + b"".join(text(key) for key in storages) + b"e"
    contents = [
        struct.pack("<q", storage.size) + storage.tobytes() for storage in storages.values()
    ]
    head = [integer(0x1950A86A20F9469CFC6C), integer(1001), facts, state, keys]
    return b"".join(map(pickled, head)) + b"".join(contents)


def zip_pth(
    state: bytes,
    storages: Mapping[str, np.ndarray],
    *,
    byteorder: str | None = "little",
    compression: int = zipfile.ZIP_STORED,
) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("archive/data.pkl", pickled(state))
        if byteorder:
            archive.writestr("archive/byteorder", byteorder)
        for key, storage in storages.items():
            archive.writestr(f"archive/data/{key}", storage.tobytes())
    return file.getvalue()


def state_dict(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Write contiguous float32 and int64 arrays as torch.save does, a storage for each."""
    tensors, storages = {}, {}
    for key, (name, array) in enumerate(arrays.items()):
        strides = [stride // array.itemsize for stride in array.strides]
        kind = "FloatStorage" if array.dtype == np.float32 else "LongStorage"
        tensors[name] = tensor(array.shape, strides, storage=kind, key=str(key), count=array.size)
        storages[str(key)] = array
    return zip_pth(mapping(tensors), storages)


# safetensors


def safetensors(header: Mapping[str, object] | bytes, data: bytes = b"") -> bytes:
    content = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(content)) + content + data


# ONNX


def initializer(content: bytes, shape=(2, 3), data_type: int = 1, name: bytes = b"x") -> bytes:
    dims = field(1, b"".join(map(varint, shape)))
    return field(5, dims + field(2, data_type) + field(8, name) + content)


def onnx(*initializers: bytes) -> bytes:
    return field(1, 8) + field(7, field(2, b"graph") + b"".join(initializers))


# One file of each kind, with the same six numbers.

NUMBERS = np.arange(6, dtype=np.float32)
STATE = mapping({"x": tensor((2, 3), (3, 1))})
FILES = {
    "caffemodel": layer("x", "InnerProduct", [blob(NUMBERS, (2, 3), False)]),
    "old pth": old_pth(STATE, {"0": NUMBERS}),
    "pth": zip_pth(STATE, {"0": NUMBERS}),
    "safetensors": safetensors(
        {"x": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}, NUMBERS.tobytes()
    ),
    "onnx": onnx(initializer(field(9, NUMBERS.tobytes()))),
}
