"""The safetensors format: the length of a header, the header in JSON, the numbers.

See https://huggingface.co/docs/safetensors. Reading is strict: the arrays must fill the file
exactly, each byte once.
"""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Mapping
from typing import Any, BinaryIO

import ml_dtypes
import numpy as np

from pdjax._files import atomic_path, existing_file
from pdjax.weights.readers.binary import FETCH_AGAIN, read_array, readable, remaining

__all__ = ["plausible_safetensors", "read_safetensors", "write_safetensors"]

DTYPES: dict[str, Any] = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": ml_dtypes.bfloat16,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U8": np.uint8,
    "BOOL": np.bool_,
}
CODES = {np.dtype(dtype): code for code, dtype in DTYPES.items()}
METADATA = "__metadata__"
LENGTH = struct.Struct("<Q")
ALIGNMENT = 8
MAX_HEADER_BYTES = 16 * 2**20
MAX_DIMENSIONS = 32


def plausible_safetensors(start: bytes) -> bool:
    """Tell whether a file that begins with these 9 bytes or more may be of this format."""
    if len(start) <= LENGTH.size:
        return False
    (length,) = LENGTH.unpack_from(start)
    return length <= MAX_HEADER_BYTES and start[LENGTH.size :].startswith(b"{")


def read_safetensors(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read all arrays of a ``.safetensors`` file.

    Parameters
    ----------
    path : path
        A file with a header of at most 16 MiB.

    Returns
    -------
    dict
        Arrays by name, in the order of the header.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not such a file, or deviates from the format anywhere.
    """
    path = existing_file(path, "weights")
    with path.open("rb") as file, readable(path, "safetensors file", FETCH_AGAIN):
        header = _header(file)
        start = file.tell()
        entries = {name: _entry(name, entry) for name, entry in header.items() if name != METADATA}
        _check_filled([span for _, _, span in entries.values()], remaining(file))
        arrays = {}
        for name, (dtype, shape, (begin, _)) in entries.items():
            file.seek(start + begin)
            arrays[name] = read_array(file, dtype, math.prod(shape)).reshape(shape)
        return arrays


def write_safetensors(path: str | os.PathLike[str], arrays: Mapping[str, Any]) -> None:
    """Write arrays to a ``.safetensors`` file, whole or not at all.

    Parameters
    ----------
    path : path
        The file to write; its folder must exist.
    arrays : mapping of str to array
        Real numbers of 8 to 64 bits (signed where they are wider), bfloat16, or truth values.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ValueError
        If a name or a dtype is not possible in this format, or the header would be too large.
    """
    header: dict[str, Any] = {}
    end = 0
    contents = {name: np.asarray(array) for name, array in arrays.items()}
    for name, array in contents.items():
        dtype = array.dtype.newbyteorder("=")
        if name == METADATA:
            raise ValueError(f"arrays: {name!r} cannot be the name of an array; give another")
        if dtype not in CODES:
            raise ValueError(
                f"arrays: {name!r} is of dtype {array.dtype}, which safetensors files cannot "
                f"hold; cast it to one of {', '.join(map(str, CODES))}"
            )
        span = [end, end := end + array.nbytes]
        header[name] = {"dtype": CODES[dtype], "shape": list(array.shape), "data_offsets": span}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    if len(text) > MAX_HEADER_BYTES:
        raise ValueError(
            f"arrays: the names of {len(contents)} arrays need a header of {len(text)} bytes, more "
            f"than {MAX_HEADER_BYTES}; write several files"
        )
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(LENGTH.pack(len(text)) + text)
        for array in contents.values():
            file.write(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())


def _header(file: BinaryIO) -> dict[str, Any]:
    start = file.read(LENGTH.size)
    if len(start) < LENGTH.size:
        raise ValueError(f"it has only {len(start)} bytes")
    (length,) = LENGTH.unpack(start)
    if length > min(MAX_HEADER_BYTES, remaining(file)):
        raise ValueError(f"it declares a header of {length} bytes")
    header = json.loads(str(file.read(length), "utf-8"), object_pairs_hook=_unique)
    if not isinstance(header, dict):
        raise ValueError("its header is not a dict")
    metadata = header.get(METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise ValueError("its metadata are not texts by name")
    return header


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("a name occurs twice in its header")
    return values


def _entry(name: str, entry: Any) -> tuple[np.dtype, tuple[int, ...], tuple[int, int]]:
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"{name[:80]!r} is not described by dtype, shape and data_offsets")
    code, shape, span = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(code, str) or code not in DTYPES:
        raise ValueError(f"{name[:80]!r} has an unknown dtype")
    if not _counts(shape) or len(shape) > MAX_DIMENSIONS:
        raise ValueError(f"{name[:80]!r} has an impossible shape")
    dtype = np.dtype(DTYPES[code])
    if not _counts(span) or len(span) != 2:
        raise ValueError(f"{name[:80]!r} has impossible offsets")
    if span[1] - span[0] != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{name[:80]!r} has a shape that does not go with its offsets")
    return dtype, tuple(shape), (span[0], span[1])


def _counts(values: Any) -> bool:
    # A truth value is an int to Python and not to JSON.
    return isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)


def _check_filled(spans: list[tuple[int, int]], size: int) -> None:
    """Refuse arrays that overlap or leave gaps."""
    end = 0
    for begin, next_end in sorted(spans):
        if begin != end:
            raise ValueError(f"its arrays have a gap or an overlap at byte {min(begin, end)}")
        end = next_end
    if end != size:
        raise ValueError(f"its arrays take {end} bytes and it has {size}")
