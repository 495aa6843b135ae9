"""Kinds of files of weights are told apart by their contents; ONNX initialisers."""

from __future__ import annotations

import struct

import ml_dtypes
import numpy as np
import pytest
from helpers.weight_file_makers import FILES, NUMBERS, field, initializer, onnx, varint

from pdjax.weights.readers.any_kind import read_weights
from pdjax.weights.readers.onnx import read_onnx

MATRIX = NUMBERS.reshape(2, 3)
ONNX = FILES["onnx"]


@pytest.mark.parametrize("suffix", [".bin", "", ".caffemodel", ".onnx", ".npz"])
@pytest.mark.parametrize("kind", [*FILES, "npz"])
def test_kinds_by_content(tmp_path, kind, suffix):
    protocol_buffer = kind in ("caffemodel", "onnx")
    if protocol_buffer and suffix not in (".bin", "", f".{kind}"):
        pytest.skip("protocol buffers have no mark of their own: the suffix is believed")
    path = tmp_path / f"network{suffix}"
    if kind == "npz":
        with path.open("wb") as file:
            np.savez(file, x=MATRIX)
    else:
        path.write_bytes(FILES[kind])
    result = read_weights(path)
    assert result.kind == kind.split()[-1]
    if kind == "caffemodel":
        np.testing.assert_array_equal(result.arrays["x"]["kernel"], MATRIX.T, strict=True)
    else:
        np.testing.assert_array_equal(result.arrays["x"], MATRIX, strict=True)


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.bin", b"some text", "no known kind|not a file of weights"),
        ("a.pth", b"<html>not found</html>", "PyTorch state dict"),
        ("a.npz", b"<html>not found</html>", "npz"),
        ("a.safetensors", b"<html>not found</html>", "safetensors file"),
        ("a.caffemodel", b"<html>not found</html>", "Caffe model"),
        ("a.onnx", b"<html>not found</html>", "ONNX model"),
        ("a.npz", b"PK\x03\x04 and no more", "npz"),
        ("a.pth", b"PK\x03\x04 and no more", "PyTorch state dict"),
        ("a.h5", b"\x89HDF\r\n\x1a\n" + bytes(50), r"give a \.caffemodel, \.pth, "),
    ],
)
def test_unknown_and_damaged_files(tmp_path, name, data, reason):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(ValueError, match=reason) as info:
        read_weights(path)
    assert name in str(info.value)
    assert "again" in str(info.value)


def test_missing_empty_and_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file"):
        read_weights(tmp_path / "none.pth")
    with pytest.raises(ValueError, match="not a file"):
        read_weights(tmp_path)
    (tmp_path / "empty.pth").touch()
    with pytest.raises(ValueError, match="empty"):
        read_weights(tmp_path / "empty.pth")


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


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (onnx(), "no initialisers"),
        (onnx(initializer(RAW), initializer(RAW)), "two tensors called 'x'"),
        (onnx(initializer(RAW + field(14, 1))), "in other files"),
        (onnx(initializer(field(13, b"location"))), "in other files"),
        (onnx(initializer(RAW, data_type=8)), "unknown data type 8"),
        (onnx(initializer(RAW, shape=(2, 4))), "declares the shape"),
        (onnx(initializer(RAW, shape=(2**62, 2**62))), "declares the shape"),
        (onnx(initializer(b"")), "declares the shape"),
        (onnx(initializer(RAW + field(4, NUMBERS.tobytes()))), "stored in two ways"),
        (onnx(initializer(field(10, NUMBERS.tobytes()))), "stored in field 10"),
        (onnx(initializer(field(7, b"\1\2\3\4\5\6"))), "integers of another size"),
        (onnx(initializer(field(7, b"\1\2\3\4\5\xff"), data_type=7)), "does not end"),
        (onnx(initializer(field(5, b"\1\2\3\4\5\6"), data_type=9)), "truth values"),
        (ONNX[:-10], "declares"),
        (struct.pack("<Q", 2**63), "readable ONNX model"),
    ],
)
def test_what_is_no_onnx_model(tmp_path, data, reason):
    path = tmp_path / "network.onnx"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=reason):
        read_onnx(path)
