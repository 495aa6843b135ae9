"""What the readers of weight files share: one form of error, and reads that allocate what is there.

A file is treated as hostile: a length that it declares is compared with what it can hold before
memory is taken, and whatever goes wrong inside a reader leaves it as one ValueError.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from pdjax._checks import ArgumentValueError
from pdjax._files import remaining

__all__ = ["array_of", "printable", "read_array", "read_whole", "readable"]

MAX_FILE_BYTES = 4 * 2**30
MAX_NAME = 80
MAX_REASON = 400


@contextlib.contextmanager
def readable(path: Path, kind: str, remedy: str = "fetch or copy the file again") -> Iterator[None]:
    """Turn any failure inside the block into an error that names file, reason and remedy."""
    try:
        yield
    except Exception as error:
        # A damaged file can fail in any layer below: zip, JSON, opcodes, array headers.
        damaged = f"it is damaged: {type(error).__name__}"
        reason = str(error) if isinstance(error, ValueError) else damaged
        raise ArgumentValueError(
            "weights",
            f"is not a readable {kind} ({printable(reason, MAX_REASON)})",
            remedy,
            value=path,
        ) from error


def printable(text: str, longest: int = MAX_NAME) -> str:
    """Shorten a text found in a file, and take from it what a terminal might obey."""
    clean = text if text.isprintable() else ascii(text)
    return clean if len(clean) <= longest else f"{clean[: longest - 3]}..."


def read_whole(path: Path) -> memoryview:
    """Return the contents of a file of at most 4 GiB."""
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise ValueError(f"it has {size} bytes, more than {MAX_FILE_BYTES}")
    return memoryview(path.read_bytes())


def read_array(file: BinaryIO, dtype: np.dtype, count: int) -> np.ndarray:
    """Read ``count`` numbers at the current position into a writable array ``(count,)``."""
    size = count * dtype.itemsize
    if not 0 <= size <= remaining(file):
        raise ValueError(f"it declares {count} numbers at one place and ends before the last")
    buffer = np.fromfile(file, np.uint8, size)
    return array_of(buffer, dtype)


def array_of(buffer: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Look at bytes, uint8 ``(n,)``, as numbers of ``dtype``."""
    if dtype == np.bool_ and buffer.size and buffer.max() > 1:
        raise ValueError("it has truth values other than 0 and 1")
    return buffer.view(dtype)
