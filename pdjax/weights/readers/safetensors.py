"""The safetensors format, through the package of that name.

The package runs nothing, compares every length that a file declares with what is there, and refuses
arrays that overlap or leave gaps. Added here are the bounds that it lacks: on the size of the
header, whose objects can take 16 times the memory of its text, and on truth values.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping

import ml_dtypes  # noqa: F401, so that NumPy knows bfloat16
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from pdjax._checks import ArgumentFileError, ArgumentValueError
from pdjax._files import atomic_path, existing_file
from pdjax.weights.readers.binary import readable

__all__ = ["plausible_safetensors", "read_safetensors", "write_safetensors"]

DTYPES = (
    *("float64", "float32", "float16", "bfloat16", "bool"),
    *("int64", "int32", "int16", "int8", "uint8"),
)
METADATA = "__metadata__"
LENGTH = struct.Struct("<Q")
MAX_HEADER_BYTES = 16 * 2**20


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
        Arrays by name, in the order in which the file holds their numbers.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not such a file, is damaged, or has numbers that NumPy does not know.
    """
    path = existing_file(path, "weights")
    with readable(path, "safetensors file"):
        with path.open("rb") as file:
            if not plausible_safetensors(file.read(LENGTH.size + 1)):
                raise ValueError("it does not begin with a header of at most 16 MiB")
        try:
            with safe_open(path, framework="np") as opened:
                arrays = {name: opened.get_tensor(name) for name in opened.offset_keys()}
        except SafetensorError as error:
            raise ValueError(str(error)) from error
        except (AttributeError, TypeError) as error:
            # It looks for a dtype of NumPy by its name.
            raise ValueError("it has numbers of a type that NumPy does not know") from error
        for array in arrays.values():
            if array.dtype == np.bool_ and array.view(np.uint8).max(initial=0) > 1:
                raise ValueError("it has truth values other than 0 and 1")
        return arrays


def write_safetensors(path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays to a ``.safetensors`` file, whole or not at all.

    Parameters
    ----------
    path : path
        The file to write; its folder must exist.
    arrays : mapping of str to array
        Real numbers of 8 to 64 bits (signed where they are wider), bfloat16, or truth values. The
        file has them in the order of their dtypes and names.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    OSError
        If the file cannot be written.
    ValueError
        If a name or a dtype is not possible in this format.
    """
    for name, array in arrays.items():
        if name == METADATA:
            raise ArgumentValueError(
                "arrays", f"cannot have one called {name!r}", "give it another name"
            )
        if array.dtype.name not in DTYPES:
            raise ArgumentValueError(
                "arrays",
                f"have {name!r} of dtype {array.dtype}, which safetensors files cannot hold",
                f"cast it to one of {', '.join(DTYPES)}",
            )
    # The package writes the memory of an array as it lies there.
    contiguous = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    try:
        with atomic_path(path) as temporary:
            save_file(contiguous, temporary)
    except SafetensorError as error:
        raise ArgumentFileError(
            "output", f"cannot be written ({error})", "choose another folder", value=path
        ) from error
