"""Which classes to explain: the highest-scoring, or chosen by index or name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from pdjax._checks import ArgumentTypeError, ArgumentValueError, is_integer

__all__ = ["select_classes"]


def select_classes(classes: Any, labels: Sequence[str], scores: np.ndarray) -> tuple[int, ...]:
    """Return indices of classes.

    Parameters
    ----------
    classes : int, or sequence or array of int or str
        An int: so many highest-scoring classes. Otherwise indices, or names as in ``labels``: all
        of a label or one of its comma-separated synonyms, in any case.
    labels : sequence of str
        Names of all classes.
    scores : float array, shape (len(labels),)
        What the network gives for each.

    Raises
    ------
    ValueError
        If a class does not exist, or a name stands for several.

    Examples
    --------
    >>> select_classes(2, ["cat, tabby", "dog", "fox"], np.array([0.1, 0.7, 0.2]))
    (1, 2)
    >>> select_classes(["Tabby", 2], ["cat, tabby", "dog", "fox"], np.zeros(3))
    (0, 2)
    """
    if hasattr(classes, "dtype"):
        # As Python's own: a list, or one number.
        classes = np.asarray(classes).tolist()
    if is_integer(classes):
        if not 1 <= classes <= len(labels):
            raise ArgumentValueError(
                "classes",
                f"must be between 1 and {len(labels)}, the number of classes",
                "put an index into a list to explain that one class",
                value=int(classes),
            )
        return tuple(int(index) for index in np.argsort(-scores, kind="stable")[:classes])
    # Read several times, which an iterator cannot be.
    if not isinstance(classes, Iterable) or isinstance(classes, Iterator):
        raise ArgumentTypeError(
            "classes", "must be an int, or a sequence of indices and names", value=classes
        )
    wanted = (classes,) if isinstance(classes, str) else tuple(classes)
    if not wanted:
        raise ArgumentValueError("classes", "are none", "name at least one class")
    chosen = [
        _by_name(entry, labels) if isinstance(entry, str) else _by_index(entry, labels)
        for entry in wanted
    ]
    return tuple(dict.fromkeys(chosen))


def _by_index(index: object, labels: Sequence[str]) -> int:
    if not is_integer(index):
        raise ArgumentTypeError(
            "classes", f"hold {index!r}, neither an index nor a name", "give an int or a str"
        )
    if not 0 <= index < len(labels):
        raise ArgumentValueError(
            "classes",
            f"hold {index}, which there is not",
            f"choose indices from 0 to {len(labels) - 1}",
        )
    return int(index)


def _by_name(name: str, labels: Sequence[str]) -> int:
    wanted = name.strip().lower()
    whole = [index for index, label in enumerate(labels) if label.lower() == wanted]
    synonyms = [[part.strip().lower() for part in label.split(",")] for label in labels]
    found = whole or [index for index, parts in enumerate(synonyms) if wanted in parts]
    if len(found) == 1:
        return found[0]
    if found:
        several = "; ".join(f"{index} ({labels[index]})" for index in found)
        raise ArgumentValueError(
            "classes",
            f"hold {name!r}, which stands for several classes",
            f"choose by index: {several}",
        )
    missing = f"hold {name!r}, which is no class"
    if tuple(labels) == tuple(map(str, range(len(labels)))):
        raise ArgumentValueError(
            "classes",
            missing,
            "the classes of this network have no names but their indices, from 0 to "
            f"{len(labels) - 1}",
        )
    known = {part: None for parts in synonyms for part in parts}
    near = difflib.get_close_matches(wanted, known, n=3, cutoff=0.5)
    inside = [part for part in known if wanted and wanted in part][:3]
    hints = list(dict.fromkeys(inside + near))[:4]
    advice = f"did you mean {' or '.join(map(repr, hints))}?" if hints else "see the model's labels"
    raise ArgumentValueError("classes", missing, advice)
