"""Relevance that could as well be zero: grey in maps, uncoloured over the photo, and said so."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pdjax
from pdjax.picture import (
    comparison_figure,
    feature_map_grid,
    overlay,
    relevance_figure,
    relevance_html,
    symmetric_scale,
)

PHOTO = np.random.default_rng(0).random((1, 6, 3), dtype=np.float32)
# Certain both ways, uncertain both ways, just certain, and known to be nothing.
MAPS = np.array([[[4, -4, 1, -1, 2, 0]]], np.float32)
ERRORS = np.array([[[1, 1, 1, 1, 1, 0]]], np.float32)
MUTED = [False, False, True, True, False, False]
NOTE = "less than two standard errors from zero."
WORDS = {"titles": ["a"], "caption": "windows"}
GIVEN = {"standard_error": ERRORS, "mute_uncertain": True}


def panels_of(figure):
    return [axes for axes in figure.axes if axes.images]


def grey_of(axes):
    """Pixels that are covered with grey, having checked that it is neither white nor a colour."""
    _, cover = (drawn.get_array() for drawn in axes.images)
    shade = cover[..., :3]
    assert (shade == shade[0, 0, 0]).all()
    assert 0.7 < shade[0, 0, 0] < 0.9
    return cover[0, :, 3].tolist()


def note_of(figure):
    return figure.texts[-1].get_text().split("\n")[0]


def test_figure_mutes_the_map_and_the_overlay():
    figure = relevance_figure(PHOTO, MAPS, unit="bits", **WORDS, **GIVEN)
    _, drawn, over = panels_of(figure)
    np.testing.assert_array_equal(drawn.images[0].get_array(), MAPS[0])
    assert drawn.images[0].get_clim()[1] == symmetric_scale(MAPS)
    assert grey_of(drawn) == MUTED
    shown = over.images[0].get_array()[0]
    full = overlay(PHOTO, MAPS[0], symmetric_scale(MAPS))[0]
    bare = overlay(PHOTO, MAPS[0], 1.0, opacity=0.0)[0]
    np.testing.assert_array_equal(shown, np.where(np.array(MUTED)[:, None], bare, full))
    assert note_of(figure) == f"Grey in the map, uncoloured in the overlay: {NOTE}"


def test_comparison_mutes_each_layer_by_its_own_errors():
    figure = comparison_figure(
        PHOTO, [MAPS, MAPS], columns=["a", "b"], units=["u", "v"], **WORDS,
        standard_errors=[ERRORS, 10 * ERRORS], mute_uncertain=True,
    )  # fmt: skip
    _, first, second = panels_of(figure)
    assert grey_of(first) == MUTED
    assert grey_of(second) == [True] * 5 + [False]
    assert note_of(figure) == f"Grey: {NOTE}"


def test_grid_mutes_maps_alone_and_over_the_photo():
    maps, errors = np.concatenate([MAPS / 2, MAPS]), np.concatenate([ERRORS / 9, ERRORS])
    given = {"standard_error": errors, "mute_uncertain": True, "unit": "u"}
    figure = feature_map_grid(maps, **given)
    strongest, certain = panels_of(figure)[:2]
    assert grey_of(strongest) == MUTED
    assert len(certain.images) == 1
    assert note_of(figure) == f"Grey: {NOTE}"
    figure = feature_map_grid(maps, image=PHOTO, caption="windows", **given)
    shown = panels_of(figure)[0].images[0].get_array()[0]
    colored = np.ptp(shown, axis=-1) > 0
    assert colored.tolist() == [True, True, False, False, True, False]
    assert figure.texts[-1].get_text() == f"Uncoloured: {NOTE}\nwindows"


def test_nothing_is_muted_unless_asked_for_or_where_errors_are_0():
    plain = relevance_figure(PHOTO, MAPS, unit="bits", standard_error=ERRORS, **WORDS)
    assert note_of(plain) == "windows"
    exact = relevance_figure(
        PHOTO, MAPS, unit="bits", standard_error=0 * ERRORS, mute_uncertain=True, **WORDS
    )
    for figure in (plain, exact):
        assert [len(axes.images) for axes in panels_of(figure)] == [1, 1, 1]


@pytest.mark.parametrize("mute_uncertain", [False, True])
def test_page_opens_as_asked(mute_uncertain):
    page = relevance_html(PHOTO, MAPS, ERRORS, unit="bits", mute_uncertain=mute_uncertain, **WORDS)
    assert ('<input id="certain" type="checkbox" checked>' in page) is mute_uncertain


def test_an_explanation_passes_its_errors_on(tmp_path):
    def network(params, images):
        hidden = jax.nn.relu(images[:, ::2, ::2] @ params)
        scores = hidden.mean((1, 2))
        return {"hidden": hidden, "scores": scores, "prob": jax.nn.softmax(scores)}

    params = jnp.array(np.random.default_rng(1).normal(size=(3, 4)), jnp.float32)
    net = pdjax.Classifier.from_function(network, params, image_size=8)
    images = np.random.default_rng(2).random((4, 8, 8, 3), dtype=np.float32)
    explanation = pdjax.explain(
        net, images[0], pdjax.Marginal(images[1:], window=2), rng_key=jax.random.key(0),
        num_samples=3, stride=2, layers=("hidden", "scores", "prob"), classes=1,
    )  # fmt: skip
    expected = np.abs(explanation.relevance["prob"][0]) < 2 * explanation.standard_error["prob"][0]
    assert expected.any()
    _, drawn, _ = panels_of(explanation.plot(mute_uncertain=True))
    np.testing.assert_array_equal(drawn.images[1].get_array()[..., 3], expected)
    compared = panels_of(explanation.compare(mute_uncertain=True))[-1]
    np.testing.assert_array_equal(compared.images[1].get_array()[..., 3], expected)
    assert "Uncoloured" in note_of(explanation.plot("hidden", mute_uncertain=True))
    explanation.to_html(tmp_path / "page.html", mute_uncertain=True)
    assert "checked>" in (tmp_path / "page.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: relevance_figure(PHOTO, MAPS, unit="u", mute_uncertain=True, **WORDS),
            "standard_error: is None though mute_uncertain",
        ),
        (
            lambda: feature_map_grid(MAPS, unit="u", mute_uncertain=True),
            "standard_error: is None though mute_uncertain",
        ),
        (
            lambda: relevance_html(PHOTO, MAPS, None, unit="u", mute_uncertain=True, **WORDS),
            "standard_error: is None though mute_uncertain",
        ),
        (
            lambda: feature_map_grid(MAPS, unit="u", standard_error=-ERRORS),
            "standard_error: has the value -1",
        ),
        (
            lambda: comparison_figure(
                PHOTO, [MAPS], columns=["a"], units=["u"], mute_uncertain=True, **WORDS
            ),
            r"standard_errors\[0\]: is None though mute_uncertain",
        ),
        (
            lambda: comparison_figure(
                PHOTO, [MAPS], columns=["a"], units=["u"], standard_errors=[], **WORDS
            ),
            "standard_errors: are of 0 layers, and relevances of 1",
        ),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
