"""A run that can be interrupted: draws asked for, moments of those done, what they belong to."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from pdjax._checks import ArgumentValueError
from pdjax._explain.request import Request
from pdjax._explain.target import Target
from pdjax._files import read_npz, write_npz
from pdjax._precision import cancels
from pdjax.method.measures import find_measure
from pdjax.samplers import (
    Blur,
    ConditionalGaussian,
    ConditionalMixture,
    Constant,
    ImageMean,
)

__all__ = ["Checkpoint", "digest"]

SECONDS_BETWEEN_SAVES = 30.0

USUAL = ("softmax", "values")
"""What outputs hold in files that do not say it."""

PARTS = ("where", "channels", "regions")
"""Arguments that hide a part."""

UNMENTIONED = (*PARTS, "precision")
"""Arguments that runs do not mention where they are left out."""

SAME_OUTPUT = 1e-3
"""How far outputs of one network may lie apart, as a share of the largest of an array.

Where devices add float32 numbers up in another order, it is some millionths even after fifty
layers; between two networks, as a rule, far more. It is also what may be mixed: relevance compares
draws with these outputs, and a probability that is off by a share of 1e-3 moves it by 0.0014 bits.
Products in TF32 or bfloat16, which some devices make by default, tend to be off by more: refused.
"""


def digest(tree: Any, structure: str | None = None) -> str:
    """Hash of the structure and all arrays of a PyTree; its structure may go by another name."""
    leaves, own = jax.tree.flatten(tree)
    state = hashlib.sha256((structure or str(own)).encode())
    for leaf in leaves:
        array = np.asarray(leaf)
        state.update(f"{array.shape}{array.dtype}".encode())
        state.update(np.ascontiguousarray(array).tobytes())
    return state.hexdigest()


class Checkpoint:
    """Results of the first draws of windows, kept in a file with the list of all draws.

    A file that belongs to another run is refused and left as it is. What a run is told by: what its
    results depend on, as strings by the name of the argument, and what the network gives for the
    image as it is, since two functions may have the same name and parameters.

    Parameters
    ----------
    request : Request
        The run; with its file, or None to keep nothing.
    target : Target
        What is explained.
    """

    def __init__(self, request: Request, target: Target) -> None:
        self._path = None if request.checkpoint is None else Path(request.checkpoint)
        self._run = {} if self._path is None else _describe(request, target)
        self._formerly = {} if self._path is None else _describe_formerly(request)
        self._reference = dict(target.reference)
        self._saved = time.monotonic()
        self._saved_count = 0

    def restore(self, pattern: Any, order: np.ndarray) -> tuple[list[Any], int, np.ndarray]:
        """Return what the file holds, or what there is before anything is done.

        Parameters
        ----------
        pattern : PyTree of arrays (1, units)
            The structure of results.
        order : int array, shape (windows,)
            The windows in question, as they are drawn for the first time: lists of draws start
            like it.

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
        if not moments or not outputs or draws is None or len(outputs[0]) != 1:
            raise self._refusal("no run")
        if not _possible(draws, len(moments[0]), order):
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
        # A run of a whole image mentions none of its parts, and neither did any run before.
        own, former = self._run, {**self._run, **self._formerly}
        return [
            name
            for name in dict.fromkeys((*own, *UNMENTIONED))
            if run.get(name) not in (own.get(name), former.get(name))
        ]

    def _layers_unlike(self, outputs: Sequence[np.ndarray]) -> list[str]:
        kept = jax.tree.unflatten(jax.tree.structure(self._reference), outputs)
        alike = jax.tree.map(_alike, self._reference, kept)
        return [layer for layer in self._reference if not all(jax.tree.leaves(alike[layer]))]

    def _refusal(self, whose: str) -> ArgumentValueError:
        return ArgumentValueError(
            "checkpoint",
            f"belongs to {whose}",
            "give another file name, or delete it to start anew",
            value=self._path,
        )


def _describe(request: Request, target: Target) -> dict[str, str]:
    """Say what the results of a run depend on, by the name of the argument."""
    net, rng_key = request.classifier, request.rng_key
    units = {read.layer: read.units for read in target.readings.readouts}
    described = {
        "image": digest(request.pixels),
        "model": f"{net.name} {digest(net.params)}",
        "sampler": digest(request.sampler),
        "rng_key": digest(jax.random.key_data(rng_key)),
        "window": str(request.grid.window),
        "num_samples": str(request.scheme.num_samples),
        "stride": str((*request.stages[:-1], request.grid.stride)),
        "target_error": str(request.target_error),
        "max_passes": str(request.max_passes),
        "sampling": request.sampling,
        "bias_correction": str(request.bias_correction),
        "classes": _in_short(target.classes),
        "layers": str(target.readings.layers),
        "units": str(tuple((layer, units[layer]) for layer in request.units or ())),
        "start": str(request.start),
    }
    kinds = {layer: net.heads[layer].kind for layer in target.classes}
    if unusual := {layer: kind for layer, kind in kinds.items() if kind not in USUAL}:
        described["outputs"] = str(unusual)
    if request.design.shared:
        # Runs of before do not have what errors follow from.
        described["errors"] = "samples are those of all windows"
    if cancels(request.precision):
        described["precision"] = request.precision
    given = {"where": request.part, "channels": request.hidden_channels, "regions": request.regions}
    described |= {name: digest(given[name]) for name in PARTS if given[name] is not None}
    if request.bias_correction:
        described["measure"] = find_measure(request.measure).name
        described["num_training_images"] = str(net.num_training_images)
    return described


def _describe_formerly(request: Request) -> dict[str, str]:
    """Say what version 0.1 wrote otherwise: samplers were PyTrees of another structure then."""
    former: object = request.sampler
    match sampler := request.sampler:
        case ConditionalGaussian(window=window, padding=padding, color=color, clip=clip):
            settings: object = (window, padding, color, clip)
        case ConditionalMixture(window=window, padding=padding, clip=clip, mixture=factors):
            settings = (window, padding, factors.channels, clip)
            if factors.ratios.tolist() == [1]:
                # The contrast of windows was always that of their rings.
                own = factors.weights, factors.scales, factors.root, factors.covariance
                former = (*own, factors.whitener)
        case Constant(window=settings):
            pass
        case ImageMean() | Blur():
            settings = sampler
        case _:
            return {}
    leaves = ", ".join("*" * len(jax.tree.leaves(former)))
    node = f"PyTreeDef(CustomNode({type(sampler).__name__}[{settings}], [{leaves}]))"
    return {"sampler": digest(former, node)}


def _in_short(classes: Mapping[str, tuple[int, ...]]) -> str:
    """Write the classes of layers, once where they are the same."""
    different = set(classes.values())
    return str(different.pop() if len(different) == 1 else classes)


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
    size = int(order.max(initial=-1)) + 1
    if draws.dtype != np.int64 or draws.shape[1:] != (2,) or len(draws) < done:
        return False
    windows, before = draws.T
    if not np.isin(windows, order).all():
        return False
    times = np.bincount(windows, minlength=size)
    numbers = np.arange(len(windows)) - np.repeat(np.cumsum(times) - times, times)
    # A draw has samples of its own only where its number is the next one of its window.
    counted = np.array_equal(before[np.argsort(windows, kind="stable")], numbers)
    return counted and np.array_equal(windows[: len(order)], order[: len(windows)])
