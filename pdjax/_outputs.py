"""What the outputs of a network hold: the kind of their numbers, the names of their classes.

A network says it of each output layer (`Head`); nothing here guesses it from a width or a place.
Where what was said does not fit the numbers that come out, the error says what they look like.
"""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from pdjax._checks import ArgumentTypeError, ArgumentValueError, check_choice, is_integer

__all__ = ["KINDS", "Head", "bare_name", "check_head", "heads_of", "ordered"]

KINDS = {
    "softmax": "probabilities of classes that exclude each other, rows that sum to one",
    "logits": "scores of classes that exclude each other, of which a softmax makes probabilities",
    "sigmoid": "probabilities that are independent of each other",
    "sigmoid_logits": "independent scores, of which a sigmoid makes probabilities",
    "values": "numbers of any other kind, measured by their difference",
}
"""What an output layer can hold, one number per class in the last axis."""

SINGLE = ("sigmoid", "sigmoid_logits", "values")
"""The kinds for which one number is an output by itself."""


@dataclasses.dataclass(frozen=True)
class Head:
    """One output layer: what its numbers are, and of which classes.

    Attributes
    ----------
    kind : str
        One of `KINDS`.
    labels : tuple of str
        Names of the classes, in the order of the layer's last axis.
    """

    kind: str
    labels: tuple[str, ...]

    @property
    def of_probabilities(self) -> bool:
        """Whether it holds probabilities, or what they are made of."""
        return self.kind != "values"

    @property
    def num_classes(self) -> int:
        """K of Laplace's correction: an independent label is there or not."""
        return 2 if self.kind in ("sigmoid", "sigmoid_logits") else len(self.labels)


def bare_name(outputs: str | Mapping[str, str] | None, probabilities: Sequence[str]) -> str:
    """Return the name of the one array that a function returns where it names none."""
    if isinstance(outputs, str):
        return "output" if outputs == "values" else "prob"
    known = tuple(probabilities if outputs is None else outputs)
    return known[0] if len(known) == 1 else "output"


def heads_of(
    shapes: Mapping[str, tuple[int, ...]],
    outputs: str | Mapping[str, str] | None,
    probabilities: Sequence[str],
    labels: Any = None,
) -> dict[str, Head]:
    """Return the output layers in forward order, with the names of their classes.

    Parameters
    ----------
    shapes : mapping of str to tuple of int
        All layers with the shapes of their activations for one image.
    outputs : str or mapping of str to str, optional
        What the output layers hold: one of `KINDS` for the only layer, or by layer. By default
        the layers in ``probabilities`` hold a softmax; where there are none, the last layer holds
        values if it has no spatial axes.
    probabilities : sequence of str
        Layers that hold a softmax.
    labels : optional
        Names of classes in any form that `ordered` takes, of all output layers with as many
        classes, or a mapping of layers to such. By default the indices.

    Raises
    ------
    ValueError
        If a kind is unknown, or a layer is not there, has spatial axes, or has not as many classes
        as names.
    """
    kinds = _kinds(shapes, outputs, probabilities)
    for layer, kind in kinds.items():
        _check_shape(layer, kind, shapes[layer])
    widths = {layer: shapes[layer][-1] for layer in shapes if layer in kinds}
    names = _names(labels, widths)
    return {layer: Head(kinds[layer], names[layer]) for layer in widths}


def _kinds(
    shapes: Mapping[str, tuple[int, ...]],
    outputs: str | Mapping[str, str] | None,
    probabilities: Sequence[str],
) -> dict[str, str]:
    if outputs is None:
        for layer in probabilities:
            if layer not in shapes:
                raise ArgumentValueError(
                    "probabilities",
                    f"names {layer!r}, which is not returned; there is {', '.join(shapes)}",
                    "say what each output holds, as in outputs={'scores': 'logits'}, or pass "
                    "probabilities=() if none is a probability",
                    value=probabilities,
                )
        last = list(shapes)[-1]
        if probabilities or len(shapes[last]) > 1:
            return dict.fromkeys(probabilities, "softmax")
        return {last: "values"}
    if isinstance(outputs, Mapping):
        for layer, kind in outputs.items():
            check_choice("outputs", kind, KINDS)
            if layer not in shapes:
                raise ArgumentValueError(
                    "outputs",
                    f"name {layer!r}, which is not returned",
                    f"choose from {', '.join(shapes)}",
                )
        return dict(outputs)
    kind = check_choice("outputs", outputs, KINDS)
    if len(shapes) > 1:
        raise ArgumentValueError(
            "outputs",
            f"must say which of the layers {', '.join(shapes)} holds {kind}",
            f"pass a mapping, as in outputs={{{list(shapes)[-1]!r}: {kind!r}}}",
        )
    return dict.fromkeys(shapes, kind)


def _names(labels: Any, widths: Mapping[str, int]) -> dict[str, tuple[str, ...]]:
    """Return names of the classes of each output layer, given how many it has."""
    names = {layer: tuple(map(str, range(width))) for layer, width in widths.items()}
    if labels is None:
        return names
    if isinstance(labels, Mapping) and labels and all(map(_several, labels.values())):
        for layer in labels:
            if layer not in widths:
                raise ArgumentValueError(
                    "labels",
                    f"are of {layer!r}, which is no output layer",
                    f"choose from {', '.join(widths) or 'none'}, or give a list of names",
                )
        own = {layer: ordered(some) for layer, some in labels.items()}
    else:
        common = ordered(labels)
        fitting = [layer for layer, width in widths.items() if width == len(common)]
        own = dict.fromkeys(fitting or list(widths)[-1:] or ["output"], common)
    for layer, some in own.items():
        if len(some) != widths.get(layer, 0):
            raise ArgumentValueError(
                "labels",
                f"are {len(some)} names for the {widths.get(layer, 0)} classes of {layer!r}",
                "name each class of an output layer",
            )
    return names | own


def ordered(labels: Any) -> tuple[str, ...]:
    """Return names of classes in the order of their index.

    Parameters
    ----------
    labels : sequence of str, or mapping
        Names in order, names by index (``id2label`` of Hugging Face) or indices by name
        (``class_indices`` of Keras).

    Raises
    ------
    TypeError
        If they have no order, or are one bare text.
    ValueError
        If the indices are not 0, 1, 2, ...

    Examples
    --------
    >>> ordered({1: "dog", 0: "cat"}), ordered({"dog": 1, "cat": 0}), ordered(["cat", "dog"])
    (('cat', 'dog'), ('cat', 'dog'), ('cat', 'dog'))
    """
    if isinstance(labels, Mapping):
        return _by_index(labels)
    if isinstance(labels, str | bytes) or not isinstance(labels, Sequence | np.ndarray):
        what = "one text" if isinstance(labels, str | bytes) else f"a {type(labels).__name__}"
        raise ArgumentTypeError(
            "labels",
            f"are {what}, which is no list of names in order",
            "give a list with the name of every class, or a dict of names by index",
        )
    names = tuple(labels)
    if not all(isinstance(name, str) or is_integer(name) for name in names):
        raise ArgumentTypeError("labels", "must be names, as texts", "give a list of str")
    return tuple(map(str, names))


def _several(value: Any) -> bool:
    """Whether a value of a mapping is itself names of classes, and not a name or an index."""
    return isinstance(value, Iterable) and not isinstance(value, str | bytes)


def _by_index(labels: Mapping[Any, Any]) -> tuple[str, ...]:
    by_name = all(map(is_integer, labels.values())) and not all(map(is_integer, labels))
    pairs = [(index, name) if not by_name else (name, index) for index, name in labels.items()]
    try:
        names = {_index(index): str(name) for index, name in pairs}
    except (TypeError, ValueError):
        names = {}
    if not labels or sorted(names) != list(range(len(labels))):
        raise ArgumentValueError(
            "labels",
            f"must give each index from 0 to {max(len(labels) - 1, 0)} one name",
            "give a list of names in the order of the classes",
        )
    return tuple(names[index] for index in range(len(names)))


def _index(index: Any) -> int:
    """Return a whole number, also of a text."""
    return int(index) if isinstance(index, str) else operator.index(index)


def _check_shape(layer: str, kind: str, shape: tuple[int, ...]) -> None:
    if len(shape) > 1:
        raise ArgumentValueError(
            "outputs",
            f"of layer {layer!r} are said to be {kind}, but have spatial axes: their shape for one "
            f"image is {shape}",
            "average over space in the network, or pass outputs={} to explain their feature maps",
        )
    if shape[-1] == 1 and kind not in SINGLE:
        raise ArgumentValueError(
            "outputs",
            f"of layer {layer!r} are one column, which names no classes that exclude each other",
            "pass outputs='sigmoid' if it is a probability, outputs='sigmoid_logits' if a sigmoid "
            "makes one of it, or outputs='values' if it is a number of another kind, such as a "
            "regression",
        )


def check_head(layer: str, head: Head, values: np.ndarray) -> None:
    """Raise where the numbers of an output layer ``(n, classes)`` are not what it is said to hold.

    Raises
    ------
    ValueError
        With what they look like, and the argument to pass.
    """
    values = np.asarray(values, np.float64)
    least, most, totals = values.min(), values.max(), values.sum(-1)
    inside = bool(least >= -SLACK and most <= 1 + SLACK)
    if head.kind == "softmax" and (np.abs(totals - 1).max() > SLACK or least < 0):
        if inside:
            look = f"sum to {totals[0]:.4g}: they look like independent probabilities (sigmoids)"
            remedy = "pass outputs='sigmoid'"
        else:
            look = f"lie between {least:.4g} and {most:.4g}: they look like scores (logits)"
            remedy = (
                "pass outputs='logits' if the classes exclude each other, "
                "outputs='sigmoid_logits' if each label is independent, or outputs='values' if "
                "they are no scores of classes"
            )
        raise ArgumentValueError(
            "outputs", f"of layer {layer!r} are said to be a softmax, but {look}", remedy
        )
    if head.kind == "sigmoid" and not inside:
        raise ArgumentValueError(
            "outputs",
            f"of layer {layer!r} are said to be probabilities, but lie between {least:.4g} and "
            f"{most:.4g}: they look like logits",
            "pass outputs='sigmoid_logits', or outputs='values' if they are numbers of another "
            "kind",
        )


SLACK = 1e-3
"""How far a sum of probabilities may lie from one."""
