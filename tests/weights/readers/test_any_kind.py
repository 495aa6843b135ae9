"""Kinds of files of weights are told apart by their contents."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.weight_file_makers import FILES, NUMBERS

from pdjax._checks import ArgumentError
from pdjax.weights.readers.any_kind import READERS, read_weights

MATRIX = NUMBERS.reshape(2, 3)


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
        np.testing.assert_array_equal(result.arrays["x.kernel"], MATRIX.T, strict=True)
    else:
        np.testing.assert_array_equal(result.arrays["x"], MATRIX, strict=True)


UNREADABLE = {
    "text": ("a.bin", b"some text"),
    "no .pth": ("a.pth", b"<html>not found</html>"),
    "no .npz": ("a.npz", b"<html>not found</html>"),
    "no .safetensors": ("a.safetensors", b"<html>not found</html>"),
    "no .caffemodel": ("a.caffemodel", b"<html>not found</html>"),
    "no .onnx": ("a.onnx", b"<html>not found</html>"),
    "half an .npz": ("a.npz", b"PK\x03\x04 and no more"),
    "half a .pth": ("a.pth", b"PK\x03\x04 and no more"),
    "another kind": ("a.h5", b"\x89HDF\r\n\x1a\n" + bytes(50)),
}


@pytest.mark.parametrize(("name", "data"), UNREADABLE.values(), ids=UNREADABLE)
def test_unknown_and_damaged_files(tmp_path, name, data):
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(ArgumentError) as caught:
        read_weights(path)
    assert caught.value.argument == "weights"
    assert name in str(caught.value)


@pytest.mark.parametrize("read", [read_weights, *READERS.values()], ids=["any", *READERS])
def test_missing_files(tmp_path, read):
    with pytest.raises(FileNotFoundError) as caught:
        read(tmp_path / "none.pth")
    assert caught.value.argument == "weights"


def test_empty_files_and_folders(tmp_path):
    (tmp_path / "empty.pth").touch()
    for path in (tmp_path, tmp_path / "empty.pth"):
        with pytest.raises(ArgumentError) as caught:
            read_weights(path)
        assert caught.value.argument == "weights"
