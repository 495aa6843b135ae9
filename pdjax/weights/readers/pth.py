"""Weights of a PyTorch network: a ``.pth`` state dict, read without PyTorch and without unpickling.

Two forms exist. The old one is a stream: a magic number, a version, facts about the system, the
state dict and the list of its storages, each a pickle, then the numbers of each storage. The newer
one is a zip archive with the state dict in ``data.pkl`` and a member for each storage.
"""

from __future__ import annotations

import io
import math
import os
import re
import struct
import zipfile
from collections.abc import Mapping
from typing import cast

import numpy as np

from pdjax._files import BoundedReader, existing_file, remaining
from pdjax.weights.readers.binary import array_of, read_array, readable
from pdjax.weights.readers.pickles import read_pickle
from pdjax.weights.readers.tokens import Tensor

__all__ = ["ZIP_MAGIC", "read_pth"]

REMEDY = "save the network's state_dict() alone with torch.save, or fetch the file again"
MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
VERSION = 1001
ZIP_MAGIC = b"PK\x03\x04"
PICKLE_NAME = re.compile(r"[^/]+/data\.pkl")
WRAPPERS = ("state_dict", "model", "model_state_dict")
"""What checkpoints of training call the state dict in them."""
# Tied weights make the tensors larger than the file: up to this many times.
MAX_SHARING = 4


def read_pth(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read the tensors of a PyTorch state dict.

    Parameters
    ----------
    path : path
        A file that ``torch.save`` made of a state dict, or of a dict that has one under
        ``"state_dict"``, ``"model"`` or ``"model_state_dict"``, in the old form or in the zip form.

    Returns
    -------
    dict
        Arrays by name, in the order of the file and with the shapes and dtypes that it has; each
        is a contiguous copy. Entries that are not tensors (counts of steps and the like) are left
        out.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not such a file, is damaged, holds no tensors, or wants to run code, of which
        nothing is run.
    """
    path = existing_file(path, "weights")
    with BoundedReader(path) as file, readable(path, "PyTorch state dict", REMEDY):
        is_zip = file.read(len(ZIP_MAGIC)) == ZIP_MAGIC
        file.seek(0)
        return _zip_form(file) if is_zip else _old_form(file)


def _old_form(file: io.BufferedReader) -> dict[str, np.ndarray]:
    if not _is(read_pickle(file).value, MAGIC_NUMBER):
        raise ValueError("it does not begin with the magic number")
    if not _is(read_pickle(file).value, VERSION):
        raise ValueError("it is of an unknown version")
    # The numbers are little-endian whatever the facts about the system say.
    read_pickle(file)
    described = read_pickle(file)
    keys = read_pickle(file).value
    if not isinstance(keys, list):
        raise ValueError("it has no list of storages")
    tensors = _tensors(described.value)
    wanted = {tensor.storage.key for tensor in tensors.values()}
    contents: dict[str, np.ndarray] = {}
    for key in keys:
        storage = described.storages.get(key) if isinstance(key, str) else None
        if storage is None:
            raise ValueError("it lists a storage that nothing refers to")
        (count,) = struct.unpack("<q", file.read(8))
        if count != storage.count:
            raise ValueError(f"a storage of {storage.count} numbers declares {count}")
        if key in wanted:
            contents[key] = read_array(file, storage.dtype, count)
        else:
            file.seek(count * storage.dtype.itemsize, os.SEEK_CUR)
    if wanted - contents.keys():
        raise ValueError("its list of storages is incomplete")
    return _arrays(tensors, contents)


def _zip_form(file: io.BufferedReader) -> dict[str, np.ndarray]:
    size = remaining(file)
    with zipfile.ZipFile(file) as archive:
        members = {member.filename: member for member in archive.infolist()}
        # Stored members that fit into the file cannot unfold into more than it holds.
        if any(member.compress_type != zipfile.ZIP_STORED for member in members.values()):
            raise ValueError("it is compressed, which torch.save never does")
        if sum(member.file_size for member in members.values()) > size:
            raise ValueError("its members declare more bytes than it has")
        pickles = [name for name in members if PICKLE_NAME.fullmatch(name)]
        if len(pickles) != 1:
            raise ValueError("it has no state dict")
        folder = pickles[0].removesuffix("data.pkl")
        with archive.open(pickles[0]) as pickle:
            tensors = _tensors(read_pickle(cast(io.BufferedIOBase, pickle)).value)
        order = members.get(f"{folder}byteorder")
        swapped = order is not None and order.file_size == 3 and archive.read(order) == b"big"
        contents: dict[str, np.ndarray] = {}
        for storage in {tensor.storage for tensor in tensors.values()}:
            member = members.get(f"{folder}data/{storage.key}")
            if member is None:
                raise ValueError(f"it has no storage {storage.key[:80]!r}")
            if member.file_size != storage.count * storage.dtype.itemsize:
                raise ValueError(f"its storage {storage.key[:80]!r} has {member.file_size} bytes")
            buffer = np.frombuffer(archive.read(member), np.uint8)
            if swapped:
                buffer = buffer.reshape(-1, storage.dtype.itemsize)[:, ::-1].reshape(-1)
            contents[storage.key] = array_of(buffer, storage.dtype)
    return _arrays(tensors, contents)


def _is(value: object, number: int) -> bool:
    return isinstance(value, int) and value == number


def _tensors(value: object) -> dict[str, Tensor]:
    """Return the tensors of a state dict, or of the one in a dict around it."""
    if not isinstance(value, dict):
        raise ValueError("it is not a state dict")
    inner = [value[name] for name in WRAPPERS if isinstance(value.get(name), dict)]
    state = inner[0] if inner else value
    tensors = {
        name: entry
        for name, entry in state.items()
        if isinstance(name, str) and isinstance(entry, Tensor)
    }
    if not tensors:
        raise ValueError("it holds no tensors by name")
    return tensors


def _arrays(
    tensors: Mapping[str, Tensor], contents: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    allowed = MAX_SHARING * sum(content.nbytes for content in contents.values())
    declared = sum(
        math.prod(tensor.shape) * tensor.storage.dtype.itemsize for tensor in tensors.values()
    )
    if declared > allowed:
        raise ValueError(f"its tensors declare {declared} bytes, more than it has")
    return {name: _array(tensor, contents[tensor.storage.key]) for name, tensor in tensors.items()}


def _array(tensor: Tensor, content: np.ndarray) -> np.ndarray:
    if 0 in tensor.shape:
        return np.zeros(tensor.shape, content.dtype)
    if len(tensor.strides) != len(tensor.shape):
        raise ValueError(f"a tensor of shape {tensor.shape} has {len(tensor.strides)} strides")
    last = tensor.offset + sum(
        (size - 1) * stride for size, stride in zip(tensor.shape, tensor.strides, strict=True)
    )
    if last >= content.size:
        raise ValueError(f"a tensor of shape {tensor.shape} does not fit into its storage")
    strides = tuple(stride * content.itemsize for stride in tensor.strides)
    view = np.lib.stride_tricks.as_strided(content[tensor.offset :], tensor.shape, strides)
    return np.array(view, order="C")
