"""Whether the weights in a file are those of a network: one comparison, one error that says all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["match_arrays", "match_params", "printable"]

MAX_LISTED = 20
MAX_NAME = 80


def match_params(
    params: Mapping[str, Mapping[str, Any]], wanted: Mapping[str, Mapping[str, Any]], source: str
) -> dict[str, dict[str, np.ndarray]]:
    """Return the parameters of a file in exactly the structure that a network wants.

    Parameters
    ----------
    params : mapping
        ``{layer: {"kernel", "bias"}}`` of real arrays, as read from a file.
    wanted : mapping
        The same of anything that has a ``shape``: `Network.param_shapes`.
    source : str
        The file, or where else the parameters come from; named in the error.

    Returns
    -------
    dict
        ``{layer: {part: float32 array}}`` with the names and the order of ``wanted``.

    Raises
    ------
    ValueError
        If anything is missing, surplus, of another shape, not made of real numbers, or not finite.
        One error lists it all as ``layer.part``, up to 20 of each kind.
    """
    return match_arrays(_flat(params), wanted, source)


def match_arrays(
    arrays: Mapping[str, Any], wanted: Mapping[str, Mapping[str, Any]], source: str
) -> dict[str, dict[str, np.ndarray]]:
    """Do as `match_params` with arrays that a file calls ``layer.part``."""
    shapes = {name: tuple(leaf.shape) for name, leaf in _flat(wanted).items()}
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
        raise ValueError(
            f"weights: {source!r} does not fit the network: {'; '.join(filter(None, problems))}. "
            + _remedy(len(common), len(shapes))
        )
    return {
        layer: {part: fitting[f"{layer}.{part}"] for part in parts}
        for layer, parts in wanted.items()
    }


def printable(name: str) -> str:
    """Shorten a name found in a file, and take from it what a terminal might obey."""
    clean = name if name.isprintable() else ascii(name)
    return clean if len(clean) <= MAX_NAME else f"{clean[: MAX_NAME - 3]}..."


def _flat(params: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
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
            f"It has {common} of the {total} arrays and seems to belong to another network; "
            "give the weights of this one or load that one"
        )
    return "Give the published weights of this network, or fetch the file again"
