"""What is in a file of weights, and the same weights in a file of one plain form."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pdjax.models import find_network
from pdjax.weights.load import load_params
from pdjax.weights.readers.any_kind import read_weights
from pdjax.weights.readers.safetensors import write_safetensors

__all__ = ["Contents", "Entry", "convert", "inspect"]

SUFFIX = ".safetensors"


class Entry(NamedTuple):
    """One array of a file: its name, shape and dtype."""

    name: str
    shape: tuple[int, ...]
    dtype: str


class Contents(NamedTuple):
    """What is in a file of weights.

    Attributes
    ----------
    kind : str
        As in `pdjax.weights.readers.any_kind.WeightFile`.
    entries : tuple of Entry
        The arrays, in the order of the file.
    total : int
        How many numbers they hold.
    """

    kind: str
    entries: tuple[Entry, ...]
    total: int


def inspect(path: str | os.PathLike[str]) -> Contents:
    """List the arrays of a file of weights, under the names that the file gives them.

    A layer of a Caffe model has the entries ``layer.kernel`` and ``layer.bias``, in our layout.

    Raises
    ------
    FileNotFoundError, ValueError
        As `pdjax.weights.readers.any_kind.read_weights`.
    """
    file = read_weights(path)
    arrays = _flat(file.arrays) if file.kind == "caffemodel" else file.arrays
    entries = tuple(Entry(name, array.shape, array.dtype.name) for name, array in arrays.items())
    return Contents(file.kind, entries, sum(array.size for array in arrays.values()))


def convert(source: str | os.PathLike[str], target: str | os.PathLike[str], name: str) -> None:
    """Write the weights of a network as a safetensors file, which `load_model` reads back.

    Parameters
    ----------
    source : path
        Any file that ``load_model(name, source)`` reads.
    target : path
        A ``.safetensors`` file. Its arrays are float32 and called ``layer.kernel`` and
        ``layer.bias``: kernels ``(h, w, in / groups, out)`` or ``(in, out)`` with channels last,
        batch norm folded.
    name : str
        The network: one of `pdjax.models.NETWORKS`.

    Raises
    ------
    FileNotFoundError, ValueError
        If the network is unknown, the source is missing, damaged or of another network, or the
        target cannot be written.
    """
    network = find_network(name)
    target = Path(target)
    if target.suffix.lower() != SUFFIX:
        raise ValueError(f"target: {str(target)!r} must end in {SUFFIX}; change its suffix")
    write_safetensors(target, _flat(load_params(network, Path(source))))


def _flat(layers: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {
        f"{layer}.{part}": array for layer, parts in layers.items() for part, array in parts.items()
    }
