"""What a page tells of windows: what was put into them, and the output with and without them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int

from pdjax._checks import ArgumentValueError, by_sides
from pdjax.method.contents import WindowSamples
from pdjax.method.measures import (
    ACTIVATION_DIFFERENCE,
    InformationDifference,
    ProbabilityDifference,
    WeightOfEvidence,
)
from pdjax.method.windows import WindowGrid
from pdjax.picture.windows import PageWindows, WindowNumbers

if TYPE_CHECKING:
    from pdjax.explanation import Explanation

__all__ = ["page_windows", "shown_grid", "value_without", "window_numbers"]

MOST_WINDOWS = 2_500


def shown_grid(grid: WindowGrid) -> WindowGrid:
    """Return every second, third, ... window on each axis, so that a page has room for them."""
    shown = grid
    for factor in range(2, 1 + min(k // s for k, s in zip(grid.window, grid.stride, strict=True))):
        if shown.size <= MOST_WINDOWS:
            break
        shown = WindowGrid(grid.spatial, grid.window, tuple(factor * s for s in grid.stride))
    return shown


def page_windows(explanation: Explanation, fills: WindowSamples | None) -> PageWindows | None:
    """Return the windows of a photo that a page tells of; None where there are none.

    Raises
    ------
    ValueError
        If there are fills, and none of the explanation's windows are theirs.
    """
    settings, spatial = explanation.settings, explanation.image.shape[:-1]
    others = {
        "regions are hidden": settings.get("regions") is not None,
        "windows of a hidden layer are hidden": settings.get("start") is not None,
        "single channels are hidden": settings.get("channels") is not None,
        "the image has other than two spatial axes": len(spatial) != 2,
    }
    other = next((words for words, so in others.items() if so), None)
    if other is not None:
        if fills is not None:
            raise ArgumentValueError("fills", f"cannot be shown where {other}", "leave it out")
        return None
    grid = WindowGrid(spatial, settings["window"], tuple(settings["stride"]))
    if fills is None:
        grid = shown_grid(grid)
        places = np.meshgrid(*(grid.axis_origins(axis) for axis in range(2)), indexing="ij")
        return PageWindows(np.stack(places, -1).reshape(-1, 2), grid.window)
    origins, contents = map(np.asarray, fills)
    wanted = (len(origins), *grid.window, explanation.image.shape[-1])
    axes = [grid.axis_origins(axis) for axis in range(2)]
    if (
        contents.ndim != 5
        or (len(contents), *contents.shape[2:]) != wanted
        or origins.shape != (len(contents), 2)
        or not all(np.isin(origins[:, axis], axes[axis]).all() for axis in range(2))
    ):
        raise ArgumentValueError(
            "fills",
            f"are not of the windows of {by_sides(grid.window)} pixels that were explained",
            "make them by pdjax.window_samples with the arguments of explain",
        )
    return PageWindows(origins, grid.window, contents)


def window_numbers(
    explanation: Explanation, layer: str, rows: Sequence[int], origins: Int[np.ndarray, "n d"]
) -> WindowNumbers:
    """Return what is known of these windows for rows of a layer."""
    settings = explanation.settings
    grid = WindowGrid(explanation.image.shape[:-1], settings["window"], tuple(settings["stride"]))
    places = [np.searchsorted(grid.axis_origins(axis), origins[:, axis]) for axis in range(2)]
    relevance, error = (
        each[layer][np.asarray(rows)][:, places[0], places[1]]
        for each in (explanation.window_relevance, explanation.window_standard_error)
    )
    value = explanation.prediction[layer][np.asarray(rows)]
    classes = settings.get("num_classes", {}).get(layer)
    images = settings["num_training_images"] if classes else None
    quantity = "activation" if layer in explanation.layer_relevance else "output"
    return WindowNumbers(
        "p" if layer in settings["probabilities"] else quantity,
        value,
        value_without(explanation.measures[layer], value[:, None], relevance, images, classes),
        relevance,
        error,
    )


def value_without(
    label: str,
    value: Float[np.ndarray, "rows 1"],
    relevance: Float[np.ndarray, "rows n"],
    num_training_images: int | None,
    num_classes: int | None,
) -> Float[np.ndarray, "rows n"] | None:
    """Return the output without a window: its relevance, put into the measure the other way round.

    None for a measure of one's own, which is a function in one direction only.
    """
    value, relevance = value.astype(np.float64), relevance.astype(np.float64)
    if label in (ACTIVATION_DIFFERENCE.label, ProbabilityDifference().label):
        return value - relevance
    # Laplace's correction: p <- (p N + 1) / (N + K).
    scale, shift = 1.0, 0.0
    if num_training_images is not None:
        total = num_training_images + (num_classes or 0)
        scale, shift = num_training_images / total, 1 / total
    corrected = value * scale + shift
    if label == WeightOfEvidence().label:
        # Of what was rounded to 0 as much is left as `resolved` of the measure leaves.
        least = float(np.finfo(np.float32).epsneg) / 2
        p, complement = (np.where(each == 0, least, each) for each in (corrected, 1 - corrected))
        without = 1 / (1 + np.exp2(relevance) * complement / p)
    elif label == InformationDifference().label:
        without = corrected * np.exp2(-relevance)
    else:
        return None
    return np.clip((without - shift) / scale, 0, 1)
