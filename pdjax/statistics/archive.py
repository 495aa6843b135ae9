"""Files of statistics: plain numbers, read within bounds and checked before they are used."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import TypeVar

import numpy as np

from pdjax._checks import UNIT, ArgumentValueError, Bounds
from pdjax._files import read_npz

__all__ = ["BOUNDS", "COUNT", "kept_facts", "read_numbers", "shipped"]

COUNT = "num_images"
"""Name under which a file keeps how many images its statistics were fitted on."""

BOUNDS = "bounds"
"""Name under which a file keeps the range of these images, if it is not [0, 1]; empty for any."""

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
    further: tuple[str, ...] = (),
) -> tuple[list[np.ndarray], int, Bounds]:
    """Read the arrays of these names, float64, and the number and bounds of the images fitted to.

    Parameters
    ----------
    path : path
        An ``.npz`` file.
    argument : str
        What the file is called in errors.
    names : tuple of str
        Names of the arrays; there must be no other beside `COUNT` and `BOUNDS`.
    find_problem : callable
        Says of the arrays, in that order, why they are not what they should be, or gives None.
    content, remedy : str
        What the file should hold, and how to make one.
    max_bytes : int
        Memory that they may take.
    further : tuple of str
        Names of arrays that follow these, all of them or none.

    Raises
    ------
    FileNotFoundError, ValueError
        If the file is missing, damaged, or holds something else.
    """
    stored = {BOUNDS: np.array(UNIT), **read_npz(path, argument, max_bytes)}
    arrays = [stored[name] for name in (*names, *further) if name in stored]
    known = {*names, COUNT, BOUNDS} | (set(further) & stored.keys() and set(further))
    if problem := _no_numbers(stored, known) or find_problem(*arrays):
        raise ArgumentValueError(
            argument, f"does not hold {content} ({problem})", remedy, value=os.fspath(path)
        )
    pair = tuple(stored[BOUNDS].tolist())
    bounds = (float(pair[0]), float(pair[1])) if pair else None
    return [array.astype(np.float64) for array in arrays], int(stored[COUNT]), bounds


def kept_facts(num_images: int, bounds: Bounds) -> dict[str, np.ndarray]:
    """Return what a file keeps beside its arrays."""
    facts = {COUNT: np.asarray(num_images)}
    if bounds != UNIT:
        facts[BOUNDS] = np.array(bounds or (), np.float64)
    return facts


def _no_numbers(arrays: Mapping[str, np.ndarray], names: set[str]) -> str | None:
    """Say why arrays are not finite numbers of these names with one count of images."""
    if set(arrays) != names:
        return f"it holds {', '.join(sorted(arrays)) or 'nothing'}"
    if any(a.dtype.kind not in "fiu" for a in arrays.values()) or arrays[COUNT].ndim:
        return "its arrays are not plain numbers"
    if any(np.isnan(a).any() or (np.isinf(a).any() and n != BOUNDS) for n, a in arrays.items()):
        return "it has NaN or infinite values"
    pair = arrays[BOUNDS]
    if pair.shape not in ((0,), (2,)) or (pair.size and not pair[0] < pair[1]):
        return "its bounds are no range"
    return None


def shipped(name: str, load: Callable[[Path], Kind]) -> Kind:
    """Load a file that comes with the package."""
    with resources.as_file(resources.files("pdjax") / "data" / name) as path:
        return load(path)
