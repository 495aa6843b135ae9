"""The safetensors format: round trips, and every way to deviate from it."""

from __future__ import annotations

import json
import struct

import ml_dtypes
import numpy as np
import pytest
from helpers.weight_file_makers import safetensors

from pdjax.weights.readers.safetensors import read_safetensors, write_safetensors

DTYPES = [
    *(np.float64, np.float32, np.float16, ml_dtypes.bfloat16, np.bool_),
    *(np.int64, np.int32, np.int16, np.int8, np.uint8),
]


def entry(dtype: object, shape: object, begin: object, end: object) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


GOOD = entry("F32", [2, 3], 0, 24)
DATA = np.arange(6, dtype="<f4").tobytes()


@pytest.fixture
def write(tmp_path):
    def write(data: bytes):
        path = tmp_path / "network.safetensors"
        path.write_bytes(data)
        return path

    return write


def test_round_trip(tmp_path):
    path = tmp_path / "network.safetensors"
    arrays = {
        f"block/{np.dtype(dtype)}": np.arange(6).reshape(2, 3).astype(dtype) for dtype in DTYPES
    }
    arrays |= {
        "number": np.float32(3),
        "nothing": np.zeros((0, 3), np.float32),
        "columns": np.arange(6.0).reshape(2, 3).T,
        "big": np.arange(6, dtype=">i4"),
        "Größe": np.ones(1, np.uint8),
    }
    write_safetensors(path, arrays)
    again = read_safetensors(path)
    assert list(again) == list(arrays)
    for name, array in arrays.items():
        native = np.asarray(array).astype(np.asarray(array).dtype.newbyteorder("="))
        np.testing.assert_array_equal(again[name], native, strict=True)
        assert again[name].flags.writeable


def test_layout_of_a_file(tmp_path):
    path = tmp_path / "network.safetensors"
    write_safetensors(path, {"x": np.arange(6, dtype=np.float32).reshape(2, 3)})
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    assert length % 8 == 0
    assert json.loads(data[8 : 8 + length]) == {"x": GOOD}
    assert data[8 + length :] == DATA


def test_metadata_and_order_of_the_data(write):
    header = {
        "b": entry("U8", [2], 2, 4),
        "__metadata__": {"format": "pt"},
        "a": entry("U8", [2], 0, 2),
    }
    arrays = read_safetensors(write(safetensors(header, b"\1\2\3\4")))
    assert {name: array.tolist() for name, array in arrays.items()} == {"b": [3, 4], "a": [1, 2]}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"1234", "only 4 bytes"),
        (struct.pack("<Q", 100) + b"{}", "header of 100 bytes"),
        (struct.pack("<Q", 2**64 - 1) + b"{}", "header of 18446744073709551615 bytes"),
        (safetensors(b""), "readable"),
        (safetensors(b"{"), "readable"),
        (safetensors(b"\xff{}"), "readable"),
        (safetensors(b"[]"), "not a dict"),
        (safetensors(b"[" * 100_000), "damaged"),
        (safetensors(b'{"x":' + b"9" * 10_000 + b"}"), "readable"),
        (safetensors(b'{"x": 1, "x": 2}'), "occurs twice"),
        (safetensors({"__metadata__": 3}), "metadata"),
        (safetensors({"__metadata__": {"a": 3}}), "metadata"),
        (safetensors({"x": 3}), "not described"),
        (safetensors({"x": GOOD | {"more": 1}}, DATA), "not described"),
        (safetensors({"x": entry("F31", [2, 3], 0, 24)}, DATA), "unknown dtype"),
        (safetensors({"x": entry(["F32"], [2, 3], 0, 24)}, DATA), "unknown dtype"),
        (safetensors({"x": entry("F32", 6, 0, 24)}, DATA), "impossible shape"),
        (safetensors({"x": entry("F32", [-2, -3], 0, 24)}, DATA), "impossible shape"),
        (safetensors({"x": entry("F32", [6.0], 0, 24)}, DATA), "impossible shape"),
        (safetensors({"x": entry("F32", [True, 6], 0, 24)}, DATA), "impossible shape"),
        (safetensors({"x": entry("F32", [1] * 40, 0, 4)}, b"1234"), "impossible shape"),
        (safetensors({"x": entry("F32", [6], "0", 24)}, DATA), "impossible offsets"),
        (safetensors({"x": entry("F32", [6], -24, 0)}, DATA), "impossible offsets"),
        (safetensors({"x": GOOD | {"data_offsets": [0, 12, 24]}}, DATA), "impossible offsets"),
        (safetensors({"x": entry("F32", [7], 0, 24)}, DATA), "does not go with"),
        (safetensors({"x": entry("F32", [2**62, 2**62], 0, 24)}, DATA), "does not go with"),
        (safetensors({"x": entry("F32", [2**40], 0, 2**42)}, DATA), "take 4398046511104 bytes"),
        (safetensors({"x": GOOD}, DATA[:-1]), "take 24 bytes and it has 23"),
        (safetensors({"x": GOOD}, DATA + b"1"), "take 24 bytes and it has 25"),
        (safetensors({"x": entry("U8", [23], 1, 24)}, DATA), "gap or an overlap at byte 0"),
        (safetensors({"x": GOOD, "y": GOOD}, DATA), "gap or an overlap"),
        (safetensors({"x": entry("BOOL", [1], 0, 1)}, b"\7"), "truth values"),
    ],
)
def test_what_is_no_safetensors_file(write, data, reason):
    with pytest.raises(ValueError, match=reason) as info:
        read_safetensors(write(data))
    assert "network.safetensors" in str(info.value)
    assert "fetch or copy the file again" in str(info.value)


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"__metadata__": np.ones(2, np.float32)}, "__metadata__"),
        ({"x": np.ones(2, np.complex64)}, "complex64"),
        ({"x": np.array(["a"])}, "cast it"),
        ({"x": np.array([None])}, "object"),
        ({"x" * 17_000_000: np.ones(1, np.uint8)}, "several files"),
    ],
    ids=["metadata", "complex", "text", "object", "long"],
)
def test_what_cannot_be_written(tmp_path, arrays, reason):
    path = tmp_path / "network.safetensors"
    path.write_bytes(b"before")
    with pytest.raises(ValueError, match=reason):
        write_safetensors(path, arrays)
    assert path.read_bytes() == b"before"
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file"):
        read_safetensors(tmp_path / "none.safetensors")
    with pytest.raises(FileNotFoundError, match="no folder"):
        write_safetensors(tmp_path / "none/network.safetensors", {})
