"""Files of statistics: plain numbers, read within bounds and checked before they are used."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import TypeVar

import numpy as np

from pdjax._checks import ArgumentValueError
from pdjax._files import read_npz

__all__ = ["COUNT", "read_numbers", "shipped"]

COUNT = "num_images"
"""Name under which a file keeps how many images its statistics were fitted on."""

Kind = TypeVar("Kind")


def read_numbers(
    path: str | os.PathLike[str],
    argument: str,
    names: tuple[str, ...],
    find_problem: Callable[..., str | None],
    *,
    content: str,
    remedy: str,
    max_bytes: int,
) -> tuple[list[np.ndarray], int]:
    """Read the arrays of these names, float64, and the number of images they were fitted on.

    Parameters
    ----------
    path : path
        An ``.npz`` file.
    argument : str
        What the file is called in errors.
    names : tuple of str
        Names of the arrays; there must be no other beside `COUNT`.
    find_problem : callable
        Says of the arrays, in that order, why they are not what they should be, or gives None.
    content, remedy : str
        What the file should hold, and how to make one.
    max_bytes : int
        Memory that they may take.

    Raises
    ------
    FileNotFoundError, ValueError
        If the file is missing, damaged, or holds something else.
    """
    stored = read_npz(path, argument, max_bytes)
    arrays = [stored[name] for name in names if name in stored]
    if problem := _no_numbers(stored, {*names, COUNT}) or find_problem(*arrays):
        raise ArgumentValueError(
            argument, f"does not hold {content} ({problem})", remedy, value=os.fspath(path)
        )
    return [array.astype(np.float64) for array in arrays], int(stored[COUNT])


def _no_numbers(arrays: Mapping[str, np.ndarray], names: set[str]) -> str | None:
    """Say why arrays are not finite numbers of these names with one count of images."""
    if set(arrays) != names:
        return f"it holds {', '.join(sorted(arrays)) or 'nothing'}"
    if any(a.dtype.kind not in "fiu" for a in arrays.values()) or arrays[COUNT].ndim:
        return "its arrays are not plain numbers"
    if not all(np.isfinite(a).all() for a in arrays.values()):
        return "it has NaN or infinite values"
    return None


def shipped(name: str, load: Callable[[Path], Kind]) -> Kind:
    """Load a file that comes with the package."""
    with resources.as_file(resources.files("pdjax") / "data" / name) as path:
        return load(path)
