"""A run that can be interrupted: moments of the windows done so far, and what they belong to."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from pdjax._files import read_npz, write_npz

__all__ = ["Checkpoint", "count_draws", "digest"]

SECONDS_BETWEEN_SAVES = 30.0


def digest(tree: Any) -> str:
    """Hash of the structure and all arrays of a PyTree."""
    leaves, structure = jax.tree.flatten(tree)
    state = hashlib.sha256(str(structure).encode())
    for leaf in leaves:
        array = np.asarray(leaf)
        state.update(f"{array.shape}{array.dtype}".encode())
        state.update(np.ascontiguousarray(array).tobytes())
    return state.hexdigest()


def count_draws(path: str | os.PathLike[str] | None) -> int:
    """Count the draws of windows whose results are in a file, 0 where there is no file."""
    if path is None or not Path(path).exists():
        return 0
    return len(np.atleast_1d(read_npz(path, "checkpoint").get("moments_0", ())))


class Checkpoint:
    """Results of the first windows, kept in a file.

    Parameters
    ----------
    path : path or None
        The file; None keeps nothing.
    describe : callable
        Gives what the results depend on, as strings by the name of the argument. A file that
        belongs to another run is refused and left as it is.
    """

    def __init__(
        self, path: str | os.PathLike[str] | None, describe: Callable[[], dict[str, str]]
    ) -> None:
        self._path = None if path is None else Path(path)
        self._run = {} if path is None else describe()
        self._saved = time.monotonic()
        self._saved_count = 0

    def restore(self, pattern: Any) -> tuple[list[Any], int]:
        """Return the results in the file, none or one part, and the number of windows in it.

        ``pattern`` is a PyTree of arrays ``(1, units)`` that tells their structure.

        Raises
        ------
        ValueError
            If the file is damaged or belongs to another run.
        """
        if self._path is None or not self._path.exists():
            return [], 0
        stored = read_npz(self._path, "checkpoint")
        leaves, structure = jax.tree.flatten(pattern)
        arrays = [stored.get(f"moments_{i}") for i in range(len(leaves))]
        different = self._differences(str(stored.get("run")))
        fits = all(
            array is not None
            and array.ndim > 0
            and array.shape == (len(arrays[0]), *leaf.shape[1:])  # type: ignore[arg-type]
            and array.dtype == leaf.dtype
            for array, leaf in zip(arrays, leaves, strict=True)
        )
        if different or not fits:
            whose = f"another run, differing in {', '.join(different)}" if different else "no run"
            raise ValueError(
                f"checkpoint: {str(self._path)!r} belongs to {whose}; "
                "give another file name, or delete it to start anew"
            )
        self._saved_count = len(arrays[0])  # type: ignore[arg-type]
        return [jax.tree.unflatten(structure, arrays)], self._saved_count

    def save(self, parts: list[Any], done: int, *, now: bool = False) -> None:
        """Keep the results so far, at most every 30 seconds unless ``now``."""
        recently = time.monotonic() - self._saved < SECONDS_BETWEEN_SAVES
        if self._path is None or done == self._saved_count or (recently and not now):
            return
        joined = jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts)
        contents = {f"moments_{i}": a for i, a in enumerate(jax.tree.leaves(joined))}
        write_npz(self._path, {"run": np.array(json.dumps(self._run)), **contents})
        self._saved, self._saved_count = time.monotonic(), done

    def _differences(self, text: str) -> list[str]:
        try:
            run = json.loads(text)
        except (json.JSONDecodeError, RecursionError):
            run = None
        if not isinstance(run, dict):
            return ["everything"]
        return [name for name in self._run if run.get(name) != self._run[name]]
