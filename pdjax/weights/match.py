"""Whether the weights in a file are those of a network: one comparison, one error that says all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["match_params"]

MAX_LISTED = 20


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
        One error lists it all, up to 20 of each kind.
    """
    given = _flat(params)
    shapes = {entry: tuple(leaf.shape) for entry, leaf in _flat(wanted).items()}
    common = [entry for entry in shapes if entry in given]
    fitting, misshapen, strange = [], [], []
    for entry in common:
        array = np.asarray(given[entry])
        if array.shape != shapes[entry]:
            misshapen.append(f"{_name(entry)} is {array.shape} instead of {shapes[entry]}")
        elif not _real(array):
            strange.append(f"{_name(entry)} is {array.dtype}")
        else:
            fitting.append((entry, _float32(array)))
    problems = [
        _listed("missing from it", [_name(entry) for entry in shapes if entry not in given]),
        _listed("surplus in it", [_name(entry) for entry in given if entry not in shapes]),
        _listed("of another shape", misshapen),
        _listed("not made of real numbers", strange),
        _listed(
            "not finite", [_name(entry) for entry, array in fitting if not np.isfinite(array).all()]
        ),
    ]
    if any(problems):
        raise ValueError(
            f"weights: {source} does not fit the network: {'; '.join(filter(None, problems))}. "
            + _remedy(len(set(params) & set(wanted)), len(wanted))
        )
    matched: dict[str, dict[str, np.ndarray]] = {layer: {} for layer in wanted}
    for (layer, part), array in fitting:
        matched[layer][part] = array
    return matched


def _flat(params: Mapping[str, Mapping[str, Any]]) -> dict[tuple[str, str], Any]:
    return {(layer, part): leaf for layer, parts in params.items() for part, leaf in parts.items()}


def _name(entry: tuple[str, str]) -> str:
    return f"{entry[0]} ({entry[1]})"


def _real(array: np.ndarray) -> bool:
    # numpy does not know bfloat16 as a floating type, but can cast it.
    return array.dtype.kind in "fiub" or array.dtype.name == "bfloat16"


def _float32(array: np.ndarray) -> np.ndarray:
    # What overflows becomes infinite and is reported as such.
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(array.astype(np.float32, copy=False)).reshape(array.shape)


def _listed(what: str, entries: list[str]) -> str:
    if not entries:
        return ""
    more = f" and {len(entries) - MAX_LISTED} more" if len(entries) > MAX_LISTED else ""
    return f"{len(entries)} {what}: {', '.join(entries[:MAX_LISTED])}{more}"


def _remedy(common: int, total: int) -> str:
    if 2 * common < total:
        return (
            f"It has {common} of the {total} layers and seems to belong to another network; "
            "give the weights of this one or load that one"
        )
    return "Give the published weights of this network, or fetch the file again"
