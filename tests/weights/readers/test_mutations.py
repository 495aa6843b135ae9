"""Damaged files of weights give arrays or a ValueError: nothing else, and not much memory.

The environment variable ``PDJAX_TEST_MUTATIONS`` sets the number of damaged files of each kind.
"""

from __future__ import annotations

import gc
import io
import os
import time
import tracemalloc
import zipfile
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
from helpers.weight_file_makers import (
    FILES,
    blob,
    integer,
    mapping,
    name_of_code,
    old_pth,
    tensor,
    v1_layer,
    zip_pth,
)

from pdjax._checks import ArgumentError
from pdjax.weights.readers.any_kind import READERS, read_weights

MUTATIONS = int(os.environ.get("PDJAX_TEST_MUTATIONS", "300"))
MAX_SECONDS = 0.5
MAX_BYTES = 4 * 2**20

NUMBERS = np.arange(6, dtype=np.float32)
STATE = mapping(
    {
        "w": tensor((2, 3), (3, 1)),
        "steps": integer(3),
        "b": tensor((3,), (1,), key="1", count=3, storage="LongStorage"),
        "more": name_of_code("collections", "OrderedDict") + b")R}b",
        "names": b"](N\x88G12345678e",
    }
)
STORAGES = {"0": NUMBERS, "1": np.arange(3)}
KERNEL = np.ones((2, 3, 2, 2), np.float32)
V1 = v1_layer("a/b", 4, [blob(KERNEL, KERNEL.shape, True), blob(NUMBERS[:2], (1, 1, 1, 2), True)])


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """Flip bits, blow up lengths, cut, remove and repeat, in one to three places."""
    octets = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        if not octets:
            return b"\0"
        place = int(rng.integers(len(octets)))
        size = int(rng.integers(1, 16))
        match rng.integers(6):
            case 0:
                octets[place] ^= 1 << int(rng.integers(8))
            case 1:
                octets[place] = int(rng.integers(256))
            case 2:
                octets[place : place + size] = b"\xff" * len(octets[place : place + size])
            case 3:
                del octets[place:]
            case 4:
                del octets[place : place + size]
            case _:
                octets[place:place] = octets[place : place + size]
    return bytes(octets) or b"\0"


def damaged_state(rng: np.random.Generator) -> bytes:
    """An archive that is sound around a damaged pickle."""
    return zip_pth(damaged(STATE, rng), STORAGES)


def npz(content: bytes) -> bytes:
    """An archive of one array, stored as it is."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.kernel.npy", content)
    return file.getvalue()


def npy() -> bytes:
    file = io.BytesIO()
    np.save(file, KERNEL)
    return file.getvalue()


NPZ = npz(npy())


def damaged_header(rng: np.random.Generator) -> bytes:
    """An archive that is sound around a damaged array."""
    return npz(damaged(npy(), rng))


CASES = {
    "caffemodel-v1": ("caffemodel", lambda rng: damaged(V1, rng)),
    "caffemodel": ("caffemodel", lambda rng: damaged(FILES["caffemodel"], rng)),
    "pth-old": ("pth", lambda rng: damaged(old_pth(STATE, STORAGES), rng)),
    "pth-zip": ("pth", lambda rng: damaged(zip_pth(STATE, STORAGES), rng)),
    "pth-zip-pickle": ("pth", damaged_state),
    "safetensors": ("safetensors", lambda rng: damaged(FILES["safetensors"], rng)),
    "onnx": ("onnx", lambda rng: damaged(FILES["onnx"], rng)),
    "npz": ("npz", lambda rng: damaged(NPZ, rng)),
    "npz-header": ("npz", damaged_header),
}


def read(path: Path, kind: str, by_content: bool) -> ArgumentError | None:
    """Return the error that a file is refused with, or None where arrays are read from it."""
    try:
        arrays = read_weights(path).arrays if by_content else READERS[kind](path)
    except ArgumentError as error:
        return error
    assert all(isinstance(name, str) for name in arrays)
    assert all(isinstance(array, np.ndarray) for array in arrays.values())
    assert not any(array.dtype.hasobject for array in arrays.values())
    return None


@pytest.fixture
def unburdened():
    """Looking through what other tests have left behind is no time of a reader's."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.parametrize("case", CASES)
def test_damaged_files(tmp_path, untyped, unburdened, case):
    kind, make = CASES[case]
    errors = []
    rng = np.random.default_rng(2017)
    path = tmp_path / f"network.{kind}"
    for index in range(MUTATIONS):
        path.write_bytes(make(rng))
        # Annotations are checked in one reading and time and memory in the other: that check takes
        # several times the time of the readers, and more where memory is traced.
        jaxtyping.config.update("jaxtyping_disable", False)
        error = read(path, kind, by_content=index % 2 == 0)
        jaxtyping.config.update("jaxtyping_disable", True)
        tracemalloc.start()
        start = time.thread_time()
        again = read(path, kind, by_content=index % 2 == 0)
        seconds = time.thread_time() - start
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert seconds < MAX_SECONDS, index
        assert peak < MAX_BYTES, index
        assert (error is None) == (again is None)
        errors += [] if error is None else [error]
    assert {error.argument for error in errors} == {"weights"}
    messages = [str(error) for error in errors]
    assert all(path.name in message and len(message) < 2000 for message in messages)
    assert all(message.isprintable() for message in messages)
    assert not any("TypeCheck" in message for message in messages)
    assert MUTATIONS // 4 < len(messages) < MUTATIONS
