"""Whether the weights in a file are those of a network: one comparison, one error that says all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import jax
import numpy as np

from pdjax._checks import ArgumentValueError
from pdjax.weights.readers.binary import printable

__all__ = ["LayerParams", "LayerShapes", "flat", "match_arrays"]

LayerParams = dict[str, dict[str, np.ndarray]]
LayerShapes = Mapping[str, Mapping[str, jax.ShapeDtypeStruct]]
Leaf = TypeVar("Leaf")

MAX_LISTED = 5


def match_arrays(arrays: Mapping[str, np.ndarray], wanted: LayerShapes, source: str) -> LayerParams:
    """Return the arrays of a file in exactly the structure that a network wants.

    Parameters
    ----------
    arrays : mapping of str to array
        Arrays called ``layer.part``, as read from a file.
    wanted : mapping
        The shape of each, ``{layer: {part: ShapeDtypeStruct}}``, such as `Network.param_shapes`.
    source : str
        The file, or where else the arrays come from; named in the error.

    Returns
    -------
    dict
        ``{layer: {part: float32 array}}`` with the names and the order of ``wanted``.

    Raises
    ------
    ValueError
        If anything is missing, surplus, of another shape, not made of real numbers, or not finite.
        One error lists it all as ``layer.part``, the first five of each kind.
    """
    shapes = {name: tuple(leaf.shape) for name, leaf in flat(wanted).items()}
    common = [name for name in shapes if name in arrays]
    fitting, misshapen, strange = {}, [], []
    for name in common:
        array = np.asarray(arrays[name])
        if array.shape != shapes[name]:
            misshapen.append(f"{name} is {array.shape} instead of {shapes[name]}")
        elif not _real(array):
            strange.append(f"{name} is {array.dtype.name}")
        else:
            fitting[name] = _float32(array)
    problems = [
        _listed("missing from it", [name for name in shapes if name not in arrays]),
        _listed("surplus in it", [printable(name) for name in arrays if name not in shapes]),
        _listed("of another shape", misshapen),
        _listed("not made of real numbers", strange),
        _listed("not finite", [name for name, array in fitting.items() if not _finite(array)]),
    ]
    if any(problems):
        raise ArgumentValueError(
            "weights",
            f"does not fit the network: {'; '.join(filter(None, problems))}",
            _remedy(len(common), len(shapes)),
            value=source,
        )
    return {
        layer: {part: fitting[f"{layer}.{part}"] for part in parts}
        for layer, parts in wanted.items()
    }


def flat(params: Mapping[str, Mapping[str, Leaf]]) -> dict[str, Leaf]:
    """Call the parts of layers ``layer.part``."""
    return {
        f"{layer}.{part}": leaf for layer, parts in params.items() for part, leaf in parts.items()
    }


def _real(array: np.ndarray) -> bool:
    # numpy does not know bfloat16 as a floating type, but can cast it.
    return array.dtype.kind in "fiub" or array.dtype.name == "bfloat16"


def _float32(array: np.ndarray) -> np.ndarray:
    # What overflows becomes infinite and is reported as such.
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(array.astype(np.float32, copy=False)).reshape(array.shape)


def _finite(array: np.ndarray) -> bool:
    return bool(np.isfinite(array).all())


def _listed(what: str, entries: list[str]) -> str:
    if not entries:
        return ""
    more = f" and {len(entries) - MAX_LISTED} more" if len(entries) > MAX_LISTED else ""
    return f"{len(entries)} {what}: {', '.join(entries[:MAX_LISTED])}{more}"


def _remedy(common: int, total: int) -> str:
    if 2 * common < total:
        return (
            f"it has {common} of the {total} arrays and seems to belong to another network: give "
            "the weights of this one or load that one"
        )
    return "give the published weights of this network, or fetch the file again"
