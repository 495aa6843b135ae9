"""Files from and to the outside: archives read within bounds, results written whole or not at all.

Everything read here is treated as hostile. Nothing is ever unpickled, and the sizes that a file
declares are checked against a bound before memory is taken for them.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from pdjax._checks import ArgumentFileError, ArgumentValueError, MissingFileError

__all__ = [
    "BoundedReader",
    "atomic_path",
    "existing_file",
    "read_npz",
    "remaining",
    "writable_folder",
    "write_npz",
]


def existing_file(path: str | os.PathLike[str], argument: str) -> Path:
    """Return ``path`` as a Path, or raise if there is no such file or nothing in it."""
    path = Path(path)
    if not path.exists():
        raise MissingFileError(argument, "does not exist", "check the path", value=path)
    if not path.is_file():
        raise ArgumentValueError(argument, "is not a file", "give the path of one", value=path)
    if path.stat().st_size == 0:
        raise ArgumentValueError(argument, "is empty", "fetch or make it again", value=path)
    return path


def writable_folder(path: Path, argument: str = "output") -> None:
    """Raise unless ``path`` names a file, there or not, in a folder that can be written to."""
    folder = path.parent
    if not folder.is_dir():
        raise MissingFileError(
            argument,
            f"is in no folder: {str(folder)!r} does not exist",
            "create it first",
            value=path,
        )
    if path.is_dir():
        raise ArgumentFileError(argument, "is a folder", "name a file in it", value=path)
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        raise ArgumentFileError(
            argument,
            f"cannot be written: {str(folder)!r} is not writable",
            "choose another folder",
            value=path,
        ) from None


def read_npz(
    path: str | os.PathLike[str], argument: str = "path", max_bytes: int = 4 * 2**30
) -> dict[str, np.ndarray]:
    """Read all arrays of an ``.npz`` archive, refusing objects and more than ``max_bytes``.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not an archive of plain arrays, is damaged, or would take too much memory.
    """
    path = existing_file(path, argument)
    try:
        with BoundedReader(path) as file, zipfile.ZipFile(file) as archive:
            declared = sum(member.file_size for member in archive.infolist())
            if declared > max_bytes:
                raise ValueError(f"its contents would take {declared} bytes, over {max_bytes}")
            return {
                member.filename.removesuffix(".npy"): _read_array(archive, member)
                for member in archive.infolist()
            }
    except Exception as error:
        # A damaged archive can fail in any layer below: zip, zlib, array headers.
        reason = str(error) or type(error).__name__
    raise ArgumentValueError(
        argument,
        f"is not a readable .npz file ({reason})",
        "make or copy it again",
        value=path,
    )


class BoundedReader(io.BufferedReader):
    """An open file whose reads take memory for what is there, whatever size they ask for.

    Libraries ask for the sizes that files declare, and Python takes memory before it reads.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))

    def read(self, size: int | None = -1) -> bytes:
        """Read at most ``size`` bytes, or all."""
        if size is None or size < 0:
            return super().read()
        return super().read(min(size, max(0, remaining(self))))


def remaining(file: BinaryIO) -> int:
    """Return the number of bytes between the current position and the end of the file."""
    return os.fstat(file.fileno()).st_size - file.tell()


def _read_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """Read one array, whose size must be what its header says before memory is taken for it."""
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            shape, column_major, dtype = np.lib.format.read_array_header_1_0(file)
        elif version == (2, 0):
            shape, column_major, dtype = np.lib.format.read_array_header_2_0(file)
        else:
            raise ValueError(f"{member.filename} is of an unknown version")
        if dtype.hasobject:
            raise ValueError(f"{member.filename} holds Python objects, which are never read")
        size = math.prod(shape) * dtype.itemsize
        content = file.read()
    if any(side < 0 for side in shape) or len(content) != size:
        raise ValueError(f"{member.filename} has {len(content)} bytes, its header says {size}")
    array = np.frombuffer(bytearray(content), dtype)
    return array.reshape(shape, order="F" if column_major else "C")


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside ``path``, renamed to it on success and removed on failure.

    A reader sees the old file or the new one, never half of one.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise MissingFileError(
            "output",
            f"is in no folder: {str(path.parent)!r} does not exist",
            "create it first",
            value=path,
        )
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_npz(path: str | os.PathLike[str], arrays: Mapping[str, Any]) -> None:
    """Write arrays as a compressed ``.npz`` file at exactly ``path``, whole or not at all."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
