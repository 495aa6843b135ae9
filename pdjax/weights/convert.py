"""What is in a file of weights, and the same weights in a file of one plain form."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from pdjax._checks import ArgumentValueError
from pdjax._files import writable_folder
from pdjax.models import Network, find_network
from pdjax.weights.load import load_params
from pdjax.weights.match import flat
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
    kind, arrays = read_weights(path)
    entries = tuple(Entry(name, array.shape, array.dtype.name) for name, array in arrays.items())
    return Contents(kind, entries, sum(array.size for array in arrays.values()))


def convert(
    source: str | os.PathLike[str], output: str | os.PathLike[str], name: str | Network
) -> None:
    """Write the weights of a network as a safetensors file, which `load_model` reads back.

    Parameters
    ----------
    source : path
        Any file that ``load_model(name, source)`` reads.
    output : path
        A ``.safetensors`` file. Its arrays are float32 and called ``layer.kernel`` and
        ``layer.bias``: kernels ``(h, w, in / groups, out)`` or ``(in, out)`` with channels last,
        batch norm folded.
    name : str or Network
        The network: one of `pdjax.models.NETWORKS`, or one of your own.

    Raises
    ------
    FileNotFoundError, ValueError
        If the network is unknown, the source is missing, damaged or of another network.
    OSError
        If the output cannot be written.
    """
    network, output = find_network(name), Path(output)
    if output.suffix.lower() != SUFFIX:
        raise ArgumentValueError(
            "output", f"must end in {SUFFIX}", "change its suffix", value=output
        )
    writable_folder(output)
    write_safetensors(output, flat(load_params(network, Path(source))))
