"""The safetensors format: round trips, and every way to deviate from it."""

from __future__ import annotations

import json
import struct

import ml_dtypes
import numpy as np
import pytest
from helpers.weight_file_makers import safetensors

from pdjax._checks import ArgumentError, ArgumentFileError
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
        "number": np.asarray(np.float32(3)),
        "nothing": np.zeros((0, 3), np.float32),
        "columns": np.arange(6.0).reshape(2, 3).T,
        "big": np.arange(6, dtype=">i4"),
        "Größe": np.ones(1, np.uint8),
    }
    write_safetensors(path, arrays)
    again = read_safetensors(path)
    assert again.keys() == arrays.keys()
    for name, array in arrays.items():
        native = array.astype(array.dtype.newbyteorder("="))
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
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_metadata_and_order_of_the_data(write):
    header = {
        "b": entry("U8", [2], 2, 4),
        "__metadata__": {"format": "pt"},
        "a": entry("U8", [2], 0, 2),
    }
    arrays = read_safetensors(write(safetensors(header, b"\1\2\3\4")))
    assert [(name, array.tolist()) for name, array in arrays.items()] == [
        ("a", [1, 2]),
        ("b", [3, 4]),
    ]


NO_SAFETENSORS = {
    "short": b"1234",
    "header beyond the end": struct.pack("<Q", 100) + b"{}",
    "huge header": struct.pack("<Q", 2**64 - 1) + b"{}",
    "header over 16 MiB": safetensors(b"{}" + b" " * 2**24),
    "no header": safetensors(b""),
    "header cut off": safetensors(b"{"),
    "no UTF-8": safetensors(b"\xff{}"),
    "list": safetensors(b"[]"),
    "deep list": safetensors(b"[" * 100_000),
    "deep dict": safetensors(b'{"x":' * 100_000),
    "long number": safetensors(b'{"x":' + b"9" * 10_000 + b"}"),
    "name twice": safetensors(b'{"x": 1, "x": 2}'),
    "metadata number": safetensors({"__metadata__": 3}),
    "metadata of numbers": safetensors({"__metadata__": {"a": 3}}),
    "no entry": safetensors({"x": 3}),
    "unknown dtype": safetensors({"x": entry("F31", [2, 3], 0, 24)}, DATA),
    "dtype unknown to NumPy": safetensors({"x": entry("F4", [48], 0, 24)}, DATA),
    "dtype in a list": safetensors({"x": entry(["F32"], [2, 3], 0, 24)}, DATA),
    "shape without list": safetensors({"x": entry("F32", 6, 0, 24)}, DATA),
    "negative shape": safetensors({"x": entry("F32", [-2, -3], 0, 24)}, DATA),
    "fractional shape": safetensors({"x": entry("F32", [6.0], 0, 24)}, DATA),
    "truth in shape": safetensors({"x": entry("F32", [True, 6], 0, 24)}, DATA),
    "100 axes": safetensors({"x": entry("F32", [1] * 100, 0, 4)}, b"1234"),
    "empty and huge": safetensors({"x": entry("F32", [0, 2**63, 2**63], 0, 0)}),
    "offset in words": safetensors({"x": entry("F32", [6], "0", 24)}, DATA),
    "negative offset": safetensors({"x": entry("F32", [6], -24, 0)}, DATA),
    "three offsets": safetensors({"x": GOOD | {"data_offsets": [0, 12, 24]}}, DATA),
    "shape over offsets": safetensors({"x": entry("F32", [7], 0, 24)}, DATA),
    "huge shape": safetensors({"x": entry("F32", [2**62, 2**62], 0, 24)}, DATA),
    "huge array": safetensors({"x": entry("F32", [2**40], 0, 2**42)}, DATA),
    "a byte less": safetensors({"x": GOOD}, DATA[:-1]),
    "a byte more": safetensors({"x": GOOD}, DATA + b"1"),
    "gap": safetensors({"x": entry("U8", [23], 1, 24)}, DATA),
    "overlap": safetensors({"x": GOOD, "y": GOOD}, DATA),
    "truth of 7": safetensors({"x": entry("BOOL", [1], 0, 1)}, b"\7"),
    "hostile name": safetensors({"\x1b[2J" * 1000: entry("U8", [23], 1, 24)}, DATA),
}


@pytest.mark.parametrize("data", NO_SAFETENSORS.values(), ids=NO_SAFETENSORS)
def test_what_is_no_safetensors_file(write, data):
    with pytest.raises(ArgumentError) as caught:
        read_safetensors(write(data))
    assert caught.value.argument == "weights"
    message = str(caught.value)
    assert "network.safetensors" in message
    assert message.isprintable()
    assert len(message) < 1000


UNWRITABLE = {
    "metadata": {"__metadata__": np.ones(2, np.float32)},
    "complex": {"x": np.ones(2, np.complex64)},
    "text": {"x": np.array(["a"])},
    "object": {"x": np.array([None])},
}


@pytest.mark.parametrize("arrays", UNWRITABLE.values(), ids=UNWRITABLE)
def test_what_cannot_be_written(tmp_path, arrays):
    path = tmp_path / "network.safetensors"
    path.write_bytes(b"before")
    with pytest.raises(ArgumentError) as caught:
        write_safetensors(path, arrays)
    assert caught.value.argument == "arrays"
    assert path.read_bytes() == b"before"
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_header_that_is_too_large_leaves_nothing_behind(tmp_path):
    path = tmp_path / "network.safetensors"
    with pytest.raises(ArgumentFileError) as caught:
        write_safetensors(path, {"x" * 110_000_000: np.ones(1, np.uint8)})
    assert caught.value.argument == "output"
    assert not list(tmp_path.iterdir())


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        read_safetensors(tmp_path / "none.safetensors")
    assert caught.value.argument == "weights"
    with pytest.raises(FileNotFoundError) as caught:
        write_safetensors(tmp_path / "none/network.safetensors", {})
    assert caught.value.argument == "output"
