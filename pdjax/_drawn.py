"""What of an explanation is drawn: which rows, at the size of the image, under which titles."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pdjax._checks import ArgumentValueError
from pdjax._page_windows import window_numbers
from pdjax.picture.html import PageLayer
from pdjax.picture.look import Look
from pdjax.picture.windows import PageWindows

if TYPE_CHECKING:
    from pdjax.explanation import Explanation

__all__ = [
    "MAX_MAPS",
    "MAX_ROWS",
    "Drawn",
    "compared",
    "drawn_of",
    "explained",
    "full_names",
    "in_order",
    "on_image",
    "page_layers",
    "rows_of",
    "short_names",
    "shown_look",
    "strongest_of",
    "titles_of",
]

MAX_ROWS = 10
MAX_MAPS = 16
MAX_PAGE_MAPS = 64

# What a number means, by the name of the measure.
NOTES = {
    "weight_of_evidence": "One bit is a doubling: +1 bit means that with this part the odds of the "
    "class, p / (1 \N{MINUS SIGN} p), are twice what they would be without it.",
    "information_difference": "One bit is a doubling: +1 bit means that with this part the "
    "probability of the class is twice what it would be without it.",
    "probability_difference": "+0.1 means that with this part the probability of the class is "
    "0.1 larger than it would be without it.",
}


class Drawn(NamedTuple):
    """Rows of a layer as they are drawn.

    Attributes
    ----------
    maps, errors : float array, (rows, *spatial)
        Relevance and standard errors, at the size of the image.
    titles : list of str
    """

    maps: np.ndarray
    errors: np.ndarray
    titles: list[str]


def explained(explanation: Explanation, layer: str | None) -> str:
    """Return the name of an explained layer, by default the last, or raise."""
    layer = explanation.layers[-1] if layer is None else layer
    if layer not in explanation.layers:
        raise ArgumentValueError(
            "layer",
            "was not explained",
            f"choose from {', '.join(explanation.layers)}",
            value=layer,
        )
    return layer


def rows_of(
    explanation: Explanation,
    layer: str,
    units: Sequence[int] | None,
    most: int = MAX_ROWS,
    argument: str = "units",
) -> list[int]:
    """Return the rows of a layer that are asked for, by default the first, or raise."""
    count = len(explanation.names[layer])
    rows = list(range(min(count, most))) if units is None else list(units)
    if not rows or any(not 0 <= row < count for row in rows):
        raise ArgumentValueError(
            argument, f"must be rows of the {count} units of {layer!r}", value=units
        )
    return rows


def strongest_of(
    explanation: Explanation, layer: str, units: Sequence[int] | None, most: int = MAX_MAPS
) -> list[int]:
    """Rows of a hidden layer, strongest first: those in ``units``, or so many as fit a page."""
    from pdjax.picture import strongest

    rows = rows_of(explanation, layer, units, len(explanation.names[layer]))
    maps = on_image(explanation, explanation.relevance[layer][rows])
    return [rows[index] for index in strongest(maps, most if units is None else None)]


def compared(explanation: Explanation, layers: Sequence[str] | None) -> tuple[str, ...]:
    """Return layers that have the same classes, by default all of these, or raise."""
    of_classes = tuple(
        layer for layer in explanation.layers if layer not in explanation.layer_relevance
    )
    chosen = of_classes if layers is None else tuple(layers)
    if len(chosen) < 2 or not set(chosen) <= set(of_classes):
        raise ArgumentValueError(
            "layers",
            f"must be at least two layers with one row per class, of those explained {of_classes}",
            "explain more of them with pdjax.explain(layers=...)",
            value=layers,
        )
    if len({explanation.names[layer] for layer in chosen}) > 1:
        raise ArgumentValueError(
            "layers", "have rows of different classes", "give others", value=chosen
        )
    return chosen


def titles_of(explanation: Explanation, layer: str) -> list[str]:
    """Return names of a layer's units with what the network gives for each."""
    symbol, place = layer, ""
    if layer in explanation.settings["probabilities"]:
        # The name of the layer, which "p" stands for, tells of several channels which one it is.
        symbol, channel = "p", layer.partition("[channel ")[2]
        place = f" in channel {channel[:-1]}" if channel else ""
    return [
        f"{name}{place}, {symbol} = {value:.3g}"
        for name, value in zip(
            short_names(explanation, layer), explanation.prediction[layer], strict=True
        )
    ]


def in_order(explanation: Explanation, layer: str) -> list[int]:
    """Rows in the order in which they are drawn."""
    count = len(explanation.names[layer])
    if layer in explanation.layer_relevance:
        return strongest_of(explanation, layer, None, count)
    return list(range(count))


def drawn_of(explanation: Explanation, layer: str, units: Sequence[int] | str | None) -> Drawn:
    """Return rows of a layer, or with ``"layer"`` the mean of a whole hidden one."""
    if isinstance(units, str):
        if units != "layer" or layer not in explanation.layer_relevance:
            raise ArgumentValueError(
                "units",
                "must be rows, or 'layer' for the mean of a hidden layer",
                "leave it out for the first",
                value=units,
            )
        maps, errors = (
            each[layer][None]
            for each in (explanation.layer_relevance, explanation.layer_standard_error)
        )
        titles = [f"{layer}, mean"]
    else:
        rows, every = rows_of(explanation, layer, units), titles_of(explanation, layer)
        maps, errors = (
            each[layer][rows] for each in (explanation.relevance, explanation.standard_error)
        )
        titles = [every[row] for row in rows]
    return Drawn(on_image(explanation, maps), on_image(explanation, errors), titles)


def page_layers(
    explanation: Explanation,
    layer: str | None,
    units: Sequence[int] | str | None,
    windows: PageWindows | None,
) -> list[PageLayer]:
    """Return what a page shows, windows included: one layer, or all that were explained."""
    if layer is None and units is not None:
        layer = explanation.layers[-1]
    layers = explanation.layers if layer is None else (explained(explanation, layer),)
    pages = []
    for name in layers:
        hidden, rows = name in explanation.layer_relevance, units
        if hidden and not isinstance(rows, str):
            rows = strongest_of(explanation, name, rows, MAX_PAGE_MAPS)
        drawn = drawn_of(explanation, name, rows)
        probable = name in explanation.settings["probabilities"] or explanation.symbols[name]
        measure = explanation.settings.get("measure", "") if probable else ""
        numbers = None
        if windows is not None and not isinstance(rows, str):
            shown = rows_of(explanation, name, rows)
            numbers = window_numbers(explanation, name, shown, windows.origins)
        pages.append(
            PageLayer(
                name,
                drawn.maps,
                drawn.errors,
                drawn.titles,
                explanation.measures[name],
                explanation.symbols[name],
                "units" if hidden else "classes",
                NOTES.get(measure, ""),
                numbers,
            )
        )
    return pages


def shown_look(explanation: Explanation, look: Look) -> Look:
    """Let values be drawn in the range that they were explained in, unless there is another."""
    bounds = explanation.settings.get("bounds") if look.bounds is None else look.bounds
    if bounds is not None and not np.isfinite(bounds).all():
        bounds = None
    return dataclasses.replace(look, bounds=bounds)


def full_names(explanation: Explanation, layer: str) -> list[str]:
    """Names of the units, with what they are: single units are named by their position."""
    names = explanation.names[layer]
    if layer not in explanation.layer_relevance:
        return list(names)
    units = explanation.settings["units"].get(layer, [0] * len(names))
    kinds = ["feature map" if isinstance(unit, int) else "unit" for unit in units]
    return [f"{kind} {name}" for kind, name in zip(kinds, names, strict=True)]


def short_names(explanation: Explanation, layer: str) -> list[str]:
    """Names of classes up to the first comma, but for those that would then be the same."""
    names = full_names(explanation, layer)
    return names if layer in explanation.layer_relevance else first_synonyms(names)


def first_synonyms(names: Sequence[str]) -> list[str]:
    """Return names up to the first comma, but for those that would then be the same."""
    short = [name.split(",")[0].strip() for name in names]
    return [
        first if first and short.count(first) == 1 else name
        for first, name in zip(short, names, strict=True)
    ]


def on_image(explanation: Explanation, maps: np.ndarray) -> np.ndarray:
    """Enlarge maps (units, *spatial) of a hidden layer's windows to the pixels of the image."""
    for axis, size in enumerate(explanation.image.shape[:-1], start=1):
        maps = np.take(maps, np.arange(size) * maps.shape[axis] // size, axis)
    return maps
