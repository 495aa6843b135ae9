"""Explanations side by side: common classes, one scale, and what their settings differ in."""

from __future__ import annotations

import dataclasses

import numpy as np
from helpers.explanations import small_explanation
from helpers.figures import caption_of, panels_of, titles_of
from helpers.refusals import refused

import pdjax

FIRST = small_explanation()
SECOND = small_explanation(sampler="occlusion by 0.5", names=("b, bee", "a, bee", "c"), seed=1)


def limits_of(figure):
    return [axes.images[0].get_clim()[1] for axes in panels_of(figure)[1:]]


def test_classes_of_both_stand_in_a_row_on_one_scale():
    figure = pdjax.compare([FIRST, SECOND])
    _, *panels = panels_of(figure)
    assert len(panels) == 4
    a, b = FIRST.relevance["prob"], SECOND.relevance["prob"]
    for axes, expected in zip(panels, (a[0], b[1], a[1], b[0]), strict=True):
        np.testing.assert_array_equal(axes.images[0].get_array(), expected)
    assert len(set(limits_of(figure))) == 1
    assert [axes.get_xlabel() for axes in panels[-2:]] == ["samples", "occlusion by 0.5"]
    assert len(caption_of(figure).splitlines()) == 2


def test_chosen_classes_and_names_of_columns():
    figure = pdjax.compare([FIRST, SECOND], classes=["b"], names=["mine", "theirs"])
    assert [axes.get_xlabel() for axes in panels_of(figure)] == ["image", "mine", "theirs"]
    (title,) = titles_of(figure)
    assert title.startswith("b")


def test_other_images_lie_under_their_own_maps():
    larger = small_explanation(size=(10, 10))
    figure = pdjax.compare([FIRST, larger])
    shapes = [np.shape(axes.images[0].get_array()) for axes in panels_of(figure)]
    assert shapes == [(8, 8, 3), (10, 10, 3)] * 2


def test_what_cannot_be_compared_is_refused():
    with refused("explanations"):
        pdjax.compare([FIRST])
    with refused("explanations", TypeError):
        pdjax.compare([FIRST, "second.npz"])
    with refused("layers"):
        pdjax.compare([FIRST, SECOND], layers="hidden")
    with refused("layers"):
        pdjax.compare([FIRST, SECOND], layers=["prob"])
    with refused("classes"):
        pdjax.compare([FIRST, SECOND], classes=["c"])
    alone = dataclasses.replace(SECOND, names={"prob": ("x", "y", "z")})
    with refused("explanations"):
        pdjax.compare([FIRST, alone])
