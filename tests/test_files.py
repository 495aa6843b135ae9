"""Files from outside are read within bounds; what is written is there whole or not at all."""

from __future__ import annotations

import io
import os
import stat
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from helpers.refusals import refused

from pdjax._files import (
    BoundedReader,
    atomic_path,
    existing_file,
    read_npz,
    remaining,
    writable_folder,
    write_npz,
)

ARRAYS = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "rows:of b": np.asfortranarray(np.arange(6.0).reshape(3, 2)),
    "word": np.array("window"),
    "none": np.zeros((0, 3), np.int64),
}


@pytest.fixture
def archive(tmp_path) -> Path:
    path = tmp_path / "some.npz"
    write_npz(path, ARRAYS)
    return path


def test_arrays_are_read_as_they_were_written(archive) -> None:
    found = read_npz(archive)
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype
        assert found[name].flags.writeable


def npy(header: str, data: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    """The bytes of an array, with whatever header."""
    text = header.encode()
    return b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text + data


def pickled() -> bytes:
    content = io.BytesIO()
    np.save(content, np.array([print]), allow_pickle=True)
    return content.getvalue()


FLOATS = "{'descr': '<f4', 'fortran_order': False, 'shape': %s}\n"
MEMBERS = {
    "objects": pickled(),
    "more than there is": npy(FLOATS % "(1000000000,)", bytes(8)),
    "less than there is": npy(FLOATS % "(1,)", bytes(8)),
    "negative": npy(FLOATS % "(-2, -1)", bytes(8)),
    "unknown version": npy(FLOATS % "(2,)", bytes(8), b"\x09\x00"),
    "no header": b"hello",
    "no array": b"",
    "code": npy("__import__('os').getcwd()\n", bytes(8)),
}


@pytest.mark.parametrize("name", MEMBERS)
def test_members_that_are_no_plain_arrays(tmp_path, name) -> None:
    path = tmp_path / "bad.npz"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a.npy", MEMBERS[name])
    with refused("statistics") as caught:
        read_npz(path, "statistics")
    assert str(path) in str(caught.value)


FILES = {
    "text": lambda whole: b"dear diary",
    "truncated": lambda whole: whole[:-40],
    "bytes": lambda whole: bytes(100),
    "overwritten": lambda whole: whole[:60] + bytes(60) + whole[120:],
}


@pytest.mark.parametrize("name", FILES)
def test_files_that_are_no_archives(archive, name) -> None:
    archive.write_bytes(FILES[name](archive.read_bytes()))
    with refused("path"):
        read_npz(archive)


def test_an_archive_is_not_unpacked_beyond_its_bound(tmp_path) -> None:
    path = tmp_path / "bomb.npz"
    write_npz(path, {"a": np.zeros(1_000_000)})
    assert path.stat().st_size < 100_000
    with refused("path"):
        read_npz(path, max_bytes=1_000_000)


def test_files_that_are_there(archive, tmp_path) -> None:
    assert existing_file(str(archive), "image") == archive
    (tmp_path / "empty").touch()
    with refused("image"):
        existing_file(tmp_path / "empty", "image")
    with refused("image"):
        existing_file(tmp_path, "image")
    with refused("image", FileNotFoundError) as caught:
        existing_file(tmp_path / "no.png", "image")
    assert "no.png" in str(caught.value)


def test_folders_that_can_be_written_to(archive, tmp_path) -> None:
    writable_folder(archive)
    writable_folder(tmp_path / "new.npz")
    assert sorted(tmp_path.iterdir()) == [archive]
    with refused("output", FileNotFoundError):
        writable_folder(tmp_path / "no" / "new.npz")
    with refused("checkpoint", OSError):
        writable_folder(tmp_path, "checkpoint")


def test_a_folder_that_cannot_be_written_to(tmp_path, monkeypatch) -> None:
    def refuse(**_):
        raise PermissionError

    # Whoever runs the tests may be allowed to write anywhere.
    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with refused("output", OSError):
        writable_folder(tmp_path / "new.npz")


def test_a_file_is_replaced_when_it_is_whole(archive, tmp_path) -> None:
    before = archive.read_bytes()
    with atomic_path(archive) as temporary:
        assert temporary.parent == archive.parent
        assert temporary.suffix == archive.suffix
        temporary.write_text("half")
        assert archive.read_bytes() == before
    assert archive.read_text() == "half"
    assert list(tmp_path.iterdir()) == [archive]


def test_a_failure_leaves_the_old_file_and_nothing_else(archive, tmp_path) -> None:
    before = archive.read_bytes()

    def lose_patience() -> None:
        with atomic_path(archive) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lose_patience()
    assert archive.read_bytes() == before
    with pytest.raises(ValueError, match="pickle"):
        write_npz(archive, {"a": np.array([print])})
    assert archive.read_bytes() == before
    assert list(tmp_path.iterdir()) == [archive]


def test_others_may_read_what_they_may_read_elsewhere(tmp_path) -> None:
    (tmp_path / "plain").touch()
    write_npz(tmp_path / "some.npz", ARRAYS)
    modes = {stat.S_IMODE(os.stat(path).st_mode) for path in tmp_path.iterdir()}
    assert len(modes) == 1


def test_the_name_is_kept_as_it_is(tmp_path) -> None:
    write_npz(tmp_path / "state", ARRAYS)
    assert list(tmp_path.iterdir()) == [tmp_path / "state"]
    with refused("output", FileNotFoundError):
        write_npz(tmp_path / "no" / "state.npz", ARRAYS)


def test_reads_take_memory_for_what_is_there(tmp_path) -> None:
    path = tmp_path / "short"
    path.write_bytes(bytes(10))
    with BoundedReader(path) as file:
        assert remaining(file) == 10
        assert len(file.read(2**40)) == 10
        assert file.read(2**40) == b""
        file.seek(4)
        assert remaining(file) == 6
        assert len(file.read()) == 6
        file.seek(0)
        assert len(file.read(None)) == 10
