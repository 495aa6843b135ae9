"""The file of an explanation: which arrays it holds, and what version 0.1 wrote otherwise."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from pdjax.method.measures import ACTIVATION_DIFFERENCE, MEASURES

__all__ = ["packed", "unpacked"]

# How the fields are laid out in a file: arrays as "kind:layer", and words together as JSON.
MAPS = (
    "relevance",
    "standard_error",
    "window_relevance",
    "window_standard_error",
    "prediction",
)
LAYER_MAPS = ("layer_relevance", "layer_standard_error")
WORDS = ("names", "measures", "symbols", "settings")


def packed(fields: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Lay the fields of an explanation out as named arrays.

    Settings are joined by when it was first saved, in UTC, and by which versions.
    """
    made = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": {name: importlib.metadata.version(name) for name in ("pdjax", "jax")},
    }
    fields = {**fields, "settings": made | fields["settings"]}
    arrays: dict[str, np.ndarray] = {"image": fields["image"]}
    for kind in (*MAPS, *LAYER_MAPS):
        arrays |= {f"{kind}:{layer}": values for layer, values in fields[kind].items()}
    return arrays | {"words": np.array(json.dumps({key: fields[key] for key in WORDS}))}


def unpacked(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return the fields that `packed` laid out.

    Raises
    ------
    KeyError, TypeError, ValueError, AttributeError, RecursionError
        If they are incomplete, something else, or do not fit each other.
    """
    words = json.loads(str(arrays["words"]))
    names = {layer: tuple(map(str, units)) for layer, units in words["names"].items()}
    fields: dict[str, Any] = {
        kind: {layer: arrays[f"{kind}:{layer}"] for layer in names} for kind in MAPS
    }
    for kind in LAYER_MAPS:
        present = [layer for layer in names if f"{kind}:{layer}" in arrays]
        fields[kind] = {layer: arrays[f"{kind}:{layer}"] for layer in present}
    measures = {layer: str(words["measures"][layer]) for layer in names}
    settings = dict(words["settings"])
    # Files of version 0.1 leave out what can be told from their names and measures.
    symbols = words.get("symbols") or {layer: _SYMBOLS[label] for layer, label in measures.items()}
    settings.setdefault("units", _units_in_names(names, fields["layer_relevance"]))
    fields |= {"image": arrays["image"], "names": names, "measures": measures}
    fields |= {"symbols": {layer: str(symbols[layer]) for layer in names}, "settings": settings}
    _check(fields)
    return fields


_SYMBOLS = {
    measure.label: measure.unit
    for measure in (ACTIVATION_DIFFERENCE, *(kind() for kind in MEASURES.values()))
}


def _units_in_names(
    names: Mapping[str, tuple[str, ...]], hidden: Mapping[str, Any]
) -> dict[str, list[int | list[int]]]:
    """Return the units of hidden layers that version 0.1 wrote as ``"17"`` and ``"(17, 5, 6)"``."""
    units: dict[str, list[int | list[int]]] = {}
    for layer in hidden:
        found = [[int(part) for part in name.strip("()").split(",")] for name in names[layer]]
        units[layer] = [unit[0] if len(unit) == 1 else unit for unit in found]
    return units


def _check(fields: Mapping[str, Any]) -> None:
    image, names = fields["image"], fields["names"]
    if not names or image.dtype.kind != "f":
        raise ValueError("it has no layers, or its image is not of floats")
    for layer, units in names.items():
        for kind in MAPS:
            array = fields[kind][layer]
            if array.dtype.kind != "f" or len(array) != len(units):
                raise ValueError(f"{kind} of {layer!r} does not fit its {len(units)} units")
        shape = fields["relevance"][layer].shape
        if shape != fields["standard_error"][layer].shape or len(shape) != image.ndim:
            raise ValueError(f"relevance and standard_error of {layer!r} do not fit")
        for kind in LAYER_MAPS:
            if fields[kind].get(layer, np.empty(shape[1:])).shape != shape[1:]:
                raise ValueError(f"{kind} of {layer!r} does not fit its relevance")
        if not fields["settings"].get("start") and shape[1:] != image.shape[:-1]:
            raise ValueError(f"relevance of {layer!r} does not fit the image")
