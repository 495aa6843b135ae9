"""A run that can be interrupted: draws asked for, moments of those done, what they belong to."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from pdjax._files import read_npz, write_npz

__all__ = ["Checkpoint", "count_draws", "digest"]

SECONDS_BETWEEN_SAVES = 30.0

SAME_OUTPUT = 1e-3
"""How far outputs of one network may lie apart, as a share of the largest of an array.

Where devices add float32 numbers up in another order, it is some millionths even after fifty
layers; between two networks, as a rule, far more. It is also what may be mixed: relevance compares
draws with these outputs, and a probability that is off by a share of 1e-3 moves it by 0.0014 bits.
Products in TF32 or bfloat16, which some devices make by default, tend to be off by more: refused.
"""


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
    """Results of the first draws of windows, kept in a file with the list of all draws.

    Parameters
    ----------
    path : path or None
        The file; None keeps nothing.
    describe : callable
        Gives what the results depend on, as strings by the name of the argument. A file that
        belongs to another run is refused and left as it is.
    reference : dict
        What the network gives for the image as it is, by layer, arrays ``(1, units)``. Two
        functions may have the same name and parameters; by this they are told apart.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None,
        describe: Callable[[], dict[str, str]],
        reference: Mapping[str, Any],
    ) -> None:
        self._path = None if path is None else Path(path)
        self._run = {} if path is None else describe()
        self._reference = dict(reference)
        self._saved = time.monotonic()
        self._saved_count = 0

    def restore(self, pattern: Any, order: np.ndarray) -> tuple[list[Any], int, np.ndarray]:
        """Return what the file holds, or what there is before anything is done.

        Parameters
        ----------
        pattern : PyTree of arrays (1, units)
            The structure of results.
        order : int array, shape (windows,)
            The windows, as they are drawn for the first time: lists of draws start like it.

        Returns
        -------
        parts : list
            Results, in none or one part.
        done : int
            Draws that they are of.
        draws : int64 array, shape (n, 2)
            All draws that were asked for: the index of a window, and how often it was drawn
            before. Those done come first.

        Raises
        ------
        ValueError
            If the file is damaged or belongs to another run.
        """
        if self._path is None or not self._path.exists():
            return [], 0, np.zeros((0, 2), np.int64)
        stored = read_npz(self._path, "checkpoint")
        leaves, structure = jax.tree.flatten(pattern)
        moments, draws = _fitting(stored, "moments", leaves), stored.get("draws")
        outputs = _fitting(stored, "reference", jax.tree.leaves(self._reference))
        if different := self._differences(str(stored.get("run"))):
            raise self._refusal(f"another run, differing in {', '.join(different)}")
        if not (
            moments and outputs and draws is not None and len(outputs[0]) == 1
            and _possible(draws, len(moments[0]), order)
        ):  # fmt: skip
            raise self._refusal("no run")
        if layers := self._layers_unlike(outputs):
            what = f"what the network gives for the image in {', '.join(map(repr, layers))}"
            raise self._refusal(f"another run, differing in {what}")
        self._saved_count = len(moments[0])
        return [jax.tree.unflatten(structure, moments)], self._saved_count, draws

    def save(self, parts: list[Any], done: int, draws: np.ndarray, *, now: bool = False) -> None:
        """Keep the results so far and all draws, at most every 30 seconds unless ``now``."""
        recently = time.monotonic() - self._saved < SECONDS_BETWEEN_SAVES
        if self._path is None or done == self._saved_count or (recently and not now):
            return
        joined = jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts)
        run = np.array(json.dumps(self._run))
        arrays = _named("moments", joined) | _named("reference", self._reference)
        write_npz(self._path, {"run": run, "draws": draws, **arrays})
        self._saved, self._saved_count = time.monotonic(), done

    def _differences(self, text: str) -> list[str]:
        try:
            run = json.loads(text)
        except (json.JSONDecodeError, RecursionError):
            run = None
        if not isinstance(run, dict):
            return ["everything"]
        return [name for name in self._run if run.get(name) != self._run[name]]

    def _layers_unlike(self, outputs: Sequence[np.ndarray]) -> list[str]:
        kept = jax.tree.unflatten(jax.tree.structure(self._reference), outputs)
        alike = jax.tree.map(_alike, self._reference, kept)
        return [layer for layer in self._reference if not all(jax.tree.leaves(alike[layer]))]

    def _refusal(self, whose: str) -> ValueError:
        return ValueError(
            f"checkpoint: {str(self._path)!r} belongs to {whose}; "
            "give another file name, or delete it to start anew"
        )


def _named(name: str, tree: Any) -> dict[str, np.ndarray]:
    return {f"{name}_{i}": np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(tree))}


def _alike(now: Any, kept: np.ndarray) -> bool:
    values = np.asarray(now)
    return bool((np.abs(kept - values) <= SAME_OUTPUT * np.abs(values).max()).all())


def _fitting(
    stored: Mapping[str, np.ndarray], name: str, leaves: Sequence[Any]
) -> list[np.ndarray] | None:
    """Return the arrays of that name, or None where they are not like ``leaves`` but for rows."""
    arrays = [stored.get(f"{name}_{i}") for i in range(len(leaves))]
    fits = all(
        array is not None
        and array.ndim > 0
        and array.shape == (len(arrays[0]), *leaf.shape[1:])  # type: ignore[arg-type]
        and array.dtype == leaf.dtype
        for array, leaf in zip(arrays, leaves, strict=True)
    )
    return arrays if fits else None  # type: ignore[return-value]


def _possible(draws: np.ndarray, done: int, order: np.ndarray) -> bool:
    """Whether these can be draws of which so many are done, starting with all windows in order."""
    size = len(order)
    if draws.dtype != np.int64 or draws.shape[1:] != (2,) or len(draws) < done:
        return False
    windows, before = draws.T
    if windows.min(initial=0) < 0 or windows.max(initial=0) >= size:
        return False
    times = np.bincount(windows, minlength=size)
    numbers = np.arange(len(windows)) - np.repeat(np.cumsum(times) - times, times)
    # A draw has samples of its own only where its number is the next one of its window.
    counted = np.array_equal(before[np.argsort(windows, kind="stable")], numbers)
    return counted and np.array_equal(windows[:size], order[: len(windows)])
