"""The grid of a hidden layer's maps: the strongest first, each with its scale over it."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.figures import assert_all_is_seen, caption_of, headings_of, panels_of

from pdjax._checks import ArgumentError
from pdjax.picture import feature_map_grid

THREE = np.ones((3, 6, 5), np.float32) * np.array([0.2, 0, 3], np.float32).reshape(3, 1, 1)
NOTE = "less than two standard errors from zero."


def shared_label(figure):
    (bar,) = (child for axes in figure.axes for child in axes.child_axes)
    return " ".join(bar.get_xlabel().split())


def test_maps_are_ordered_by_strength():
    noise = np.random.default_rng(1).normal(size=(12, 18)).astype(np.float32)
    maps = noise * np.array([0.1, 3.0, 0.0, 1.0], dtype=np.float32).reshape(4, 1, 1)
    figure = feature_map_grid(maps, unit="activation difference", count=3, columns=2)
    assert [words.split("\n")[0] for words in headings_of(figure)] == ["unit 1", "unit 3", "unit 0"]
    every = feature_map_grid(maps, unit="activation difference", names=list("abcd"))
    assert headings_of(every)[-1] == "c\n0 everywhere"


def test_a_map_of_zeros_has_no_scale():
    figure = feature_map_grid(THREE, unit="activation difference", names=["a", "b", "c"])
    assert headings_of(figure) == ["c\n±3", "a\n±0.2", "b\n0 everywhere"]
    assert shared_label(figure) == "activation difference; the scale ± stands over each map"
    for axes, scale in zip(panels_of(figure), (3, 0.2, 1), strict=True):
        assert axes.images[0].get_clim() == pytest.approx((-scale, scale))
    alone = feature_map_grid(THREE[1:2], unit="activation difference")
    assert headings_of(alone) == ["unit 0\n0 everywhere"]
    assert shared_label(alone) == "activation difference"


@pytest.mark.parametrize("count", [1, 2, 7])
@pytest.mark.parametrize("shape", [(8, 8), (4, 40), (40, 4)])
@pytest.mark.parametrize("caption", ["", "long " * 90 + "\n$x_1^"], ids=["bare", "long"])
def test_all_words_are_on_the_paper(count, shape, caption):
    maps = np.random.default_rng(0).normal(size=(count, *shape)).astype(np.float32)
    names = ["$x^", "a name of many words that takes two lines", *map(str, range(5))][:count]
    figure = feature_map_grid(
        maps, unit="inception_3a/output: activation", caption=caption, names=names
    )
    assert len(panels_of(figure)) == count
    assert caption_of(figure).split() == caption.split()
    assert_all_is_seen(figure)


def test_the_uncertain_is_muted_in_maps_and_over_the_photo():
    photo = np.random.default_rng(0).random((1, 6, 3), dtype=np.float32)
    strip = np.array([[[4, -4, 1, -1, 2, 0]]], np.float32)
    errors = np.array([[[1, 1, 1, 1, 1, 0]]], np.float32)
    given = {
        "standard_error": np.concatenate([errors / 9, errors]),
        "mute_uncertain": True,
        "unit": "u",
    }
    maps = np.concatenate([strip / 2, strip])
    figure = feature_map_grid(maps, **given)
    strong, certain = panels_of(figure)
    cover = strong.images[1].get_array()[0, :, 3]
    assert cover.tolist() == [False, False, True, True, False, False]
    assert len(certain.images) == 1
    assert caption_of(figure) == f"Grey: {NOTE}"
    figure = feature_map_grid(maps, image=photo, caption="windows", **given)
    shown = panels_of(figure)[0].images[0].get_array()[0]
    colored = np.ptp(shown, axis=-1) > 0
    assert colored.tolist() == [True, True, False, False, True, False]
    assert caption_of(figure) == f"Uncoloured: {NOTE}\nwindows"


@pytest.mark.parametrize(
    ("argument", "change"),
    [
        ("relevance", {"relevance": THREE[0, 0]}),
        ("relevance", {"image": np.zeros((5, 5, 3))}),
        ("image", {"image": np.zeros((6, 5))}),
        ("image", {"relevance": THREE[0]}),
        ("image", {"mode": "color"}),
        ("image", {"show_image": True}),
        ("count", {"count": 0}),
        ("columns", {"columns": 0}),
        ("names", {"names": ["a"]}),
        ("standard_error", {"standard_error": -THREE}),
        ("standard_error", {"mute_uncertain": True}),
    ],
)
def test_bad_input_is_refused(argument, change):
    with pytest.raises(ArgumentError) as caught:
        feature_map_grid(**{"relevance": THREE, "unit": "u", **change})
    assert caught.value.argument == argument
