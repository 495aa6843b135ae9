"""Classes by number, index, name and synonym."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.refusals import refused

from pdjax._explain.classes import select_classes

# Whatever is a sequence to a person will do, of NumPy too.
pytestmark = pytest.mark.usefixtures("untyped")

LABELS = ("tabby, tabby cat", "crane, bird", "crane, machine", "Egyptian cat", "fox")
SCORES = np.array([0.1, 0.4, -3.0, 0.9, 0.4])


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        ([3, 0], (3, 0)),
        ([3, 0, 3], (3, 0)),
        (np.array([3, 0]), (3, 0)),
        (["fox"], (4,)),
        ("fox", (4,)),
        (["Tabby Cat", 1], (0, 1)),
        (["tabby, tabby cat", "tabby", 0], (0,)),
        (["machine", "egyptian cat"], (2, 3)),
        (1, (3,)),
        (3, (3, 1, 4)),
        (np.int64(5), (3, 1, 4, 0, 2)),
        (np.array(2), (3, 1)),
    ],
    ids=str,
)
def test_ways_to_name_classes(classes, expected) -> None:
    chosen = select_classes(classes, LABELS, SCORES)
    assert chosen == expected
    assert {type(index) for index in chosen} == {int}


@pytest.mark.parametrize(
    ("classes", "kind", "told"),
    [
        (0, ValueError, "5"),
        (6, ValueError, "5"),
        ([], ValueError, ""),
        ([5], ValueError, "0 to 4"),
        ([-1], ValueError, "-1"),
        ([1.5], TypeError, "1.5"),
        (1.5, TypeError, "1.5"),
        (True, TypeError, "True"),
        ([True], TypeError, "True"),
        (["tiger"], ValueError, "'tiger'"),
        (["tabbi"], ValueError, "'tabby'"),
        (["egypt"], ValueError, "'egyptian cat'"),
        (["crane"], ValueError, "1 (crane, bird); 2 (crane, machine)"),
    ],
    ids=str,
)
def test_classes_that_there_are_not(classes, kind, told) -> None:
    with refused("classes", kind) as caught:
        select_classes(classes, LABELS, SCORES)
    assert told in str(caught.value)


def test_classes_without_names_are_asked_for_by_index() -> None:
    with refused("classes") as caught:
        select_classes(["tabby"], tuple("01234"), SCORES)
    assert "0 to 4" in caught.value.remedy
