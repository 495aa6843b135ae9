"""ONNX initialisers, in every type and both ways of storing them."""

from __future__ import annotations

import struct

import ml_dtypes
import numpy as np
import pytest
from helpers.weight_file_makers import FILES, NUMBERS, field, initializer, onnx, varint

from pdjax._checks import ArgumentError
from pdjax.weights.readers.onnx import read_onnx

ONNX = FILES["onnx"]


def integers(number: int, values: np.ndarray, packed: bool = True) -> bytes:
    octets = [varint(int(value) & (2**64 - 1)) for value in values]
    if packed:
        return field(number, b"".join(octets))
    return b"".join(varint(number << 3) + value for value in octets)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
    ("data_type", "dtype"),
    [
        *((1, np.float32), (2, np.uint8), (3, np.int8), (5, np.int16), (6, np.int32)),
        *((7, np.int64), (9, np.bool_), (10, np.float16), (11, np.float64)),
        (16, ml_dtypes.bfloat16),
    ],
)
def test_onnx_data_types(tmp_path, data_type, dtype, packed):
    values = np.array([0, 1, 1, 0, -3, 100]).astype(dtype)
    if dtype in (np.float32, np.float64):
        number, wire = (4, 5) if dtype == np.float32 else (10, 1)
        single = b"".join(varint(number << 3 | wire) + value.tobytes() for value in values)
        typed = field(number, values.tobytes()) if packed else single
    elif dtype in (np.float16, ml_dtypes.bfloat16):
        typed = integers(5, values.view(np.uint16), packed)
    else:
        typed = integers(7 if dtype == np.int64 else 5, values, packed)
    path = tmp_path / "network.onnx"
    path.write_bytes(
        onnx(
            initializer(field(9, values.tobytes()), data_type=data_type, name=b"raw"),
            initializer(typed, data_type=data_type, name=b"typed"),
        )
    )
    arrays = read_onnx(path)
    for name in ("raw", "typed"):
        np.testing.assert_array_equal(arrays[name], values.reshape(2, 3), strict=True)


RAW = field(9, NUMBERS.tobytes())


NO_ONNX_MODELS = {
    "no initialisers": onnx(),
    "two tensors called 'x": onnx(initializer(RAW), initializer(RAW)),
    "in other files": onnx(initializer(RAW + field(14, 1))),
    "in other files (2)": onnx(initializer(field(13, b"location"))),
    "unknown data type 8": onnx(initializer(RAW, data_type=8)),
    "declares the shape": onnx(initializer(RAW, shape=(2, 4))),
    "declares the shape (2)": onnx(initializer(RAW, shape=(2**62, 2**62))),
    "declares the shape (3)": onnx(initializer(b"")),
    "stored in two ways": onnx(initializer(RAW + field(4, NUMBERS.tobytes()))),
    "stored in field 10": onnx(initializer(field(10, NUMBERS.tobytes()))),
    "integers of another size": onnx(initializer(field(7, b"\1\2\3\4\5\6"))),
    "does not end": onnx(initializer(field(7, b"\1\2\3\4\5\xff"), data_type=7)),
    "truth values": onnx(initializer(field(5, b"\1\2\3\4\5\6"), data_type=9)),
    "declares": ONNX[:-10],
    "readable ONNX model": struct.pack("<Q", 2**63),
}


@pytest.mark.parametrize("data", NO_ONNX_MODELS.values(), ids=NO_ONNX_MODELS)
def test_what_is_no_onnx_model(tmp_path, data):
    path = tmp_path / "network.onnx"
    path.write_bytes(data)
    with pytest.raises(ArgumentError) as caught:
        read_onnx(path)
    assert caught.value.argument == "weights"
