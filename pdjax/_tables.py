"""Relevance as rows of a table, and the strongest windows as boxes."""

from __future__ import annotations

import csv
import importlib
import itertools
import math
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pdjax._checks import ArgumentValueError, check_choice, check_count
from pdjax._files import atomic_path
from pdjax.method.windows import WindowGrid
from pdjax.picture.look import SIGNS

if TYPE_CHECKING:
    from pandas import DataFrame

    from pdjax.explanation import Explanation

__all__ = ["OF", "Box", "data_frame", "strongest_boxes", "write_csv"]

OF = ("windows", "pixels")
AXES = {1: ("position",), 2: ("row", "column"), 3: ("slice", "row", "column")}


class Box(NamedTuple):
    """A window of an image, and what hiding it does.

    Attributes
    ----------
    start, stop : tuple of int
        Its first pixel on each spatial axis, and the one after its last:
        ``image[box.slices]`` are its contents.
    relevance, standard_error : float
        Of the window, in the unit of the layer's measure (bits for weight of evidence).
    """

    start: tuple[int, ...]
    stop: tuple[int, ...]
    relevance: float
    standard_error: float

    @property
    def slices(self) -> tuple[slice, ...]:
        """The box as an index into the image and its maps."""
        return tuple(map(slice, self.start, self.stop))


def strongest_boxes(
    explanation: Explanation, count: int, layer: str, unit: int, sign: str
) -> list[Box]:
    """Return the strongest windows that do not overlap, strongest first."""
    check_count("count", count)
    check_choice("sign", sign, SIGNS)
    if explanation.settings.get("regions") is not None:
        raise ArgumentValueError(
            "explanation", "is of regions, which are no boxes", "read them with to_csv"
        )
    values = explanation.window_relevance[layer][unit].ravel()
    errors = explanation.window_standard_error[layer][unit].ravel()
    # Masked windows were not explained.
    amounts = {"both": np.abs(values), "positive": values, "negative": -values}[sign]
    amounts = np.where(np.isnan(amounts), 0, amounts)
    starts, stops = _corners(explanation, layer)
    taken: list[int] = []
    for index in np.argsort(-amounts, kind="stable"):
        if len(taken) == count or amounts[index] <= 0:
            break
        apart = (starts[index] >= stops[taken]) | (stops[index] <= starts[taken])
        if apart.any(1).all():
            taken.append(int(index))
    return [
        Box(
            tuple(map(int, starts[index])),
            tuple(map(int, stops[index])),
            float(values[index]),
            float(errors[index]),
        )
        for index in taken
    ]


def data_frame(explanation: Explanation, of: str, layers: Sequence[str]) -> DataFrame:
    """Return the table as a pandas data frame."""
    try:
        pandas = importlib.import_module("pandas")
    except ImportError:
        raise ImportError("to_dataframe needs pandas; install it, or use to_csv") from None
    header, rows = _table(explanation, of, layers)
    return pandas.DataFrame.from_records(list(rows), columns=header)


def write_csv(
    explanation: Explanation, path: str | os.PathLike[str], of: str, layers: Sequence[str]
) -> None:
    """Write the table as a file of comma-separated values, with a header."""
    header, rows = _table(explanation, of, layers)
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def _table(
    explanation: Explanation, of: str, layers: Sequence[str]
) -> tuple[list[str], Iterator[tuple[object, ...]]]:
    """Return a header, and a row for every window or pixel of every unit."""
    check_choice("of", of, OF)
    spatial = explanation.image.shape[:-1]
    if explanation.settings.get("start") and of == "pixels":
        spatial = explanation.relevance[layers[0]].shape[1:]
    axes = AXES.get(len(spatial), tuple(f"axis {axis}" for axis in range(len(spatial))))
    places = list(axes)
    if of == "windows":
        places = [f"{axis} {end}" for end in ("start", "stop") for axis in axes]
        if explanation.settings.get("regions") is not None:
            places = ["region"]
    header = ["layer", "unit", *places, "relevance", "standard_error"]
    return header, itertools.chain.from_iterable(_rows(explanation, of, each) for each in layers)


def _rows(explanation: Explanation, of: str, layer: str) -> Iterator[tuple[object, ...]]:
    windows = of == "windows"
    maps = explanation.window_relevance if windows else explanation.relevance
    spread = explanation.window_standard_error if windows else explanation.standard_error
    regions = explanation.settings.get("regions")
    if windows and regions is not None:
        places = np.reshape(regions, (-1, 1))
    elif windows:
        places = np.concatenate(_corners(explanation, layer), axis=1)
    else:
        places = np.indices(maps[layer].shape[1:]).reshape(maps[layer].ndim - 1, -1).T
    for unit, name in enumerate(explanation.names[layer]):
        values, errors = maps[layer][unit].ravel(), spread[layer][unit].ravel()
        for place, value, error in zip(places.tolist(), values, errors, strict=True):
            if not math.isnan(value):
                yield (layer, name, *place, float(value), float(error))


def _corners(explanation: Explanation, layer: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the first and the last pixel (exclusive) of every window: int (windows, axes).

    Windows of a hidden layer are given in pixels of the image that lie where they do.
    """
    settings, spatial = explanation.settings, explanation.image.shape[:-1]
    size = explanation.relevance[layer].shape[1:]
    grid = WindowGrid(size, settings["window"], settings["stride"])
    origins = [grid.axis_origins(axis) for axis in range(len(size))]
    starts = np.stack(np.meshgrid(*origins, indexing="ij"), -1).reshape(-1, len(size))
    ratio = np.array(spatial) / np.array(size)
    stops = starts + np.array(grid.window)
    return np.floor(starts * ratio).astype(int), np.ceil(stops * ratio).astype(int)
