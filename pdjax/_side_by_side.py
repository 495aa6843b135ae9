"""Several explanations in one figure: other samplers, window sizes, networks or layers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pdjax._caption import stride_in_words
from pdjax._checks import ArgumentTypeError, ArgumentValueError, by_sides
from pdjax._drawn import MAX_ROWS, drawn_of, shown_look
from pdjax.explanation import Explanation
from pdjax.picture.look import Look, with_look

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["compare"]

# What may tell explanations apart, in the order in which it is said over their columns.
PARTS: tuple[Callable[[Explanation], str], ...] = (
    lambda each: str(each.settings["model"]),
    lambda each: str(each.settings["sampler"]),
    lambda each: f"windows of {by_sides(each.settings['window'])}",
    lambda each: f"stride {stride_in_words(each.settings)}",
    lambda each: (
        f"{each.settings['num_samples']} sample" + "s" * (each.settings["num_samples"] > 1)
    ),
)


@with_look
def compare(
    explanations: Sequence[Any],
    layers: str | Sequence[str] | None = None,
    classes: Sequence[str] | None = None,
    *,
    names: Sequence[str] | None = None,
    look: Look,
) -> Figure:
    """Draw several explanations side by side, a row for every class that all of them explain.

    Maps of the same unit share a scale, so that equal colours mean equal relevance. Where images
    differ, as those of networks of different size do, every map lies over its own.

    Parameters
    ----------
    explanations : sequence of Explanation
        At least two; for layers of one see `Explanation.compare`.
    layers : str or sequence of str, optional
        The layer of each, or of all; by default the last explained of each.
    classes : sequence of str, optional
        Names of the classes to draw; by default the first ten that all have.
    names : sequence of str, optional
        What stands under the columns; by default what their settings differ in.
    look
        Keywords of `pdjax.picture.Look`: ``scale``, ``mode``, ``sign``, ``cmap`` and others.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError, TypeError
        If there are fewer than two, they have no class in common, or a layer was not explained or
        has no row per class.

    Examples
    --------
    >>> import pdjax
    >>> pdjax.compare([])
    Traceback (most recent call last):
    ...
    pdjax._checks.ArgumentValueError: explanations are 0; give at least two
    """
    from pdjax.picture import comparison_figure

    every = list(explanations)
    if not all(isinstance(each, Explanation) for each in every):
        raise ArgumentTypeError(
            "explanations", "must be explanations", "load files with pdjax.Explanation.load"
        )
    if len(every) < 2:
        raise ArgumentValueError("explanations", f"are {len(every)}", "give at least two")
    chosen = _layers(every, layers)
    rows = _common(every, chosen, classes)
    images = [each.image for each in every]
    alike = all(np.array_equal(first, second) for first, second in itertools.pairwise(images))
    drawn = [
        drawn_of(each, layer, [each.names[layer].index(name) for name in rows])
        for each, layer in zip(every, chosen, strict=True)
    ]
    titles = [
        titles[0] if len(set(titles)) == 1 else titles[0].rpartition(",")[0]
        for titles in zip(*(each.titles for each in drawn), strict=True)
    ]
    columns = _columns(every, chosen) if names is None else names
    lines = list(dict.fromkeys(each.caption for each in every))
    return comparison_figure(
        images[0] if alike else images,
        [each.maps for each in drawn],
        titles=titles,
        columns=columns,
        units=[each.measures[layer] for each, layer in zip(every, chosen, strict=True)],
        caption="\n".join(lines),
        standard_errors=[each.errors for each in drawn],
        look=shown_look(every[0], look),
    )


def _layers(every: Sequence[Explanation], layers: str | Sequence[str] | None) -> list[str]:
    """Return the layer of each explanation."""
    if layers is None or isinstance(layers, str):
        chosen = [each.layers[-1] if layers is None else layers for each in every]
    else:
        chosen = list(layers)
    if len(chosen) != len(every):
        raise ArgumentValueError(
            "layers", f"are {len(chosen)} for {len(every)} explanations", "give one for each"
        )
    for each, layer in zip(every, chosen, strict=True):
        known = [name for name in each.layers if name not in each.layer_relevance]
        if layer not in known:
            raise ArgumentValueError(
                "layers",
                "must be explained layers with a row per class",
                f"choose from {', '.join(known)}",
                value=layer,
            )
    return chosen


def _common(
    every: Sequence[Explanation], layers: Sequence[str], classes: Sequence[str] | None
) -> list[str]:
    """Return the names of the classes that are drawn, in the order of the first explanation."""
    sets = [each.names[layer] for each, layer in zip(every, layers, strict=True)]
    common = [name for name in sets[0] if all(name in names for names in sets)]
    if not common:
        raise ArgumentValueError(
            "explanations",
            "have no class in common",
            "explain the same classes with pdjax.explain(classes=[...])",
        )
    if classes is None:
        return common[:MAX_ROWS]
    wanted = [classes] if isinstance(classes, str) else list(classes)
    found = [
        next((name for name in common if one in (name, name.split(",")[0])), None) for one in wanted
    ]
    if not found or None in found:
        raise ArgumentValueError(
            "classes", "must be explained by all", f"choose from {'; '.join(common)}", value=classes
        )
    return [name for name in found if name is not None]


def _columns(every: Sequence[Explanation], layers: Sequence[str]) -> list[str]:
    """Say what tells each explanation from the others."""
    parts = [*([part(each) for each in every] for part in PARTS), list(layers)]
    differing = [values for values in parts if len(set(values)) > 1]
    if not differing:
        return [f"result {index + 1}" for index in range(len(every))]
    return [", ".join(words) for words in zip(*differing, strict=True)]
