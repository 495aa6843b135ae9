"""Pictures and pages of an explanation: it gives each drawing what belongs to the layer."""

from __future__ import annotations

import dataclasses
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.figures import caption_of, headings_of, label_of, panels_of, titles_of
from helpers.refusals import refused
from matplotlib.figure import Figure

import pdjax
from pdjax._checks import ArgumentError

SIDE, MAPS = 12, 20


def network(params, images):
    strengths = jnp.linspace(1.0, 2.0, MAPS, dtype=images.dtype).reshape(1, 1, 1, MAPS)
    hidden = jax.nn.relu(images[..., :1] - images[..., 1:2]) * strengths
    dead = hidden.at[..., 3].set(0)
    scores = dead.mean((1, 2)) @ params.astype(images.dtype)
    return {"hidden": dead, "scores": scores, "prob": jax.nn.softmax(scores)}


@pytest.fixture(scope="module")
def explain():
    params = jax.random.normal(jax.random.key(0), (MAPS, 3))
    net = pdjax.Classifier.from_function(
        network,
        params,
        image_size=SIDE,
        name="small",
        labels=("red", "green", "blue"),
        outputs={"scores": "values", "prob": "softmax"},
        num_training_images=100,
    )
    images = np.asarray(jax.random.uniform(jax.random.key(1), (5, SIDE, SIDE, 3)))

    def run(units=None):
        return pdjax.explain(
            net,
            images[0],
            pdjax.Marginal(images[1:], window=3),
            rng_key=jax.random.key(2),
            num_samples=4,
            stride=3,
            classes=3,
            layers=("hidden", "scores", "prob"),
            units=units,
            engine="dense",
        )

    return run


@pytest.fixture(scope="module")
def explanation(explain):
    return explain()


def data_of(path):
    return json.loads(re.search(r'id="data">(.*?)</script>', path.read_text("utf-8"))[1])


def test_a_layer_of_classes_has_a_row_for_each(explanation, tmp_path):
    figure = explanation.plot(show_error=True)
    _, *panels = panels_of(figure)
    assert len(panels) == 9
    for row in range(3):
        drawn, _, spread = panels[3 * row : 3 * row + 3]
        np.testing.assert_array_equal(
            drawn.images[0].get_array(), explanation.relevance["prob"][row]
        )
        np.testing.assert_array_equal(
            spread.images[0].get_array(), explanation.standard_error["prob"][row]
        )
    assert titles_of(figure) == explanation.titles("prob")
    assert label_of(panels[0]) == explanation.measures["prob"]
    assert caption_of(figure).replace("\n", " ") == explanation.caption
    explanation.to_html(tmp_path / "all.html")
    data = data_of(tmp_path / "all.html")
    assert [layer["name"] for layer in data["layers"]] == ["hidden", "scores", "prob"]
    assert data["opened"] == 2
    assert data["layers"][2]["symbol"] == explanation.symbols["prob"] == "bits"
    assert "doubling" in data["layers"][2]["note"]


def test_picture_and_page_show_the_same_maps_in_the_same_order(explanation, tmp_path):
    expected = [f"feature map {index}" for index in range(MAPS - 1, MAPS - 17, -1)]
    figure = explanation.plot("hidden")
    assert [title.split("\n")[0] for title in headings_of(figure)] == expected
    assert caption_of(figure).replace("\n", " ") == explanation.caption
    assert "stride 3, 4 samples a window" in explanation.caption
    explanation.to_html(tmp_path / "page.html", "hidden")
    (layer,) = data_of(tmp_path / "page.html")["layers"]
    assert [title.split(",")[0] for title in layer["titles"]][: len(expected)] == expected
    assert (layer["symbol"], layer["rows"]) == ("", "units")


def test_captions_leave_the_correction_to_the_settings(explanation):
    assert explanation.settings["num_training_images"] == 100
    assert explanation.caption.endswith("forward passes")


def test_classes_go_by_their_first_name_unless_another_has_it(explanation):
    names = explanation.names | {"prob": ("tabby, tabby cat", "crane, bird", "crane, machine")}
    titles = dataclasses.replace(explanation, names=names).titles("prob")
    assert [title.rpartition(", p =")[0] for title in titles] == ["tabby", *names["prob"][1:]]


def test_all_units_that_were_asked_for_are_drawn(explanation):
    titles = headings_of(explanation.plot("hidden", units=range(MAPS)))
    assert len(titles) == MAPS
    assert titles[-1] == "feature map 3\n0 everywhere"


def test_single_units_are_called_units(explain):
    explanation = explain({"hidden": [7, (7, 5, 5), (3, 0, 0)]})
    words = ["feature map 7", "unit (7, 5, 5)", "unit (3, 0, 0)"]
    assert [title.partition(", hidden")[0] for title in explanation.titles("hidden")] == words
    assert headings_of(explanation.plot("hidden"))[-1] == "unit (3, 0, 0)\n0 everywhere"


def test_compare_draws_the_layers_that_have_a_row_per_class(explanation):
    _, *panels = panels_of(explanation.compare())
    assert [axes.get_xlabel() for axes in panels[-2:]] == ["scores", "prob"]
    assert len(panels) == 6
    for row in range(3):
        for column, layer in enumerate(("scores", "prob")):
            axes = panels[2 * row + column]
            drawn = axes.images[0].get_array()
            np.testing.assert_array_equal(drawn, explanation.relevance[layer][row])
            assert label_of(axes) == (None if row else explanation.measures[layer])


def test_compare_draws_the_chosen_layers_and_rows_titled_by_probability(explanation):
    figure = explanation.compare(layers=("prob", "scores"), units=[2, 0])
    assert [axes.get_xlabel() for axes in panels_of(figure)[-2:]] == ["prob", "scores"]
    titles = explanation.titles("prob")
    assert titles_of(figure) == [titles[2], titles[0]]
    again = explanation.compare(layers=("scores", "scores"))
    assert titles_of(again) == explanation.titles("scores")


@pytest.mark.parametrize("layers", [(), ("prob",), "prob", ("hidden", "prob"), ("prob", "nine")])
def test_compare_needs_two_layers_with_a_row_per_class(explanation, layers):
    with pytest.raises(ArgumentError) as caught:
        explanation.compare(layers=layers)
    assert caught.value.argument == "layers"


def test_compare_refuses_what_cannot_stand_side_by_side(explanation):
    with pytest.raises(ArgumentError) as caught:
        explanation.compare(units=[3])
    assert caught.value.argument == "units"
    names = explanation.names | {"scores": ("red", "blue", "green")}
    with pytest.raises(ArgumentError) as caught:
        dataclasses.replace(explanation, names=names).compare()
    assert caught.value.argument == "layers"


def test_errors_mute_the_uncertain(explanation, tmp_path):
    expected = np.abs(explanation.relevance["prob"][0]) < 2 * explanation.standard_error["prob"][0]
    assert expected.any()
    drawn = panels_of(explanation.plot(units=[0], mute_uncertain=True))[1]
    np.testing.assert_array_equal(drawn.images[1].get_array()[..., 3], expected)
    compared = panels_of(explanation.compare(units=[0], mute_uncertain=True))[-1]
    np.testing.assert_array_equal(compared.images[1].get_array()[..., 3], expected)
    assert "Uncoloured" in caption_of(explanation.plot("hidden", mute_uncertain=True))
    explanation.to_html(tmp_path / "page.html", mute_uncertain=True)
    assert "checked>" in (tmp_path / "page.html").read_text("utf-8")


def test_a_whole_layer_a_bare_panel_and_axes_of_ones_own(explanation, tmp_path):
    whole = panels_of(explanation.plot("hidden", "layer", show_error=True))
    assert len(whole) == 4
    np.testing.assert_array_equal(
        whole[1].images[0].get_array(), explanation.layer_relevance["hidden"]
    )
    (bare,) = panels_of(explanation.plot("hidden", only="map"))
    np.testing.assert_array_equal(
        bare.images[0].get_array(), explanation.relevance["hidden"][MAPS - 1]
    )
    left, right = Figure().subplots(1, 2)
    explanation.plot(ax=[left, right], only="map", scale="each")
    np.testing.assert_array_equal(right.images[0].get_array(), explanation.relevance["prob"][1])
    explanation.to_html(tmp_path / "page.html", "hidden", "layer", title="photo.jpg")
    (layer,) = data_of(tmp_path / "page.html")["layers"]
    assert layer["titles"] == ["hidden, mean"]
    with_photo = panels_of(explanation.plot("hidden", show_image=True, scale="all"))
    assert len(with_photo) == 16
    assert len({axes.images[0].get_clim() for axes in with_photo[1:]}) == 1


def test_images_are_drawn_in_the_bounds_they_were_explained_in(explanation):
    wide = dataclasses.replace(
        explanation,
        image=explanation.image * 4 - 2,
        settings=explanation.settings | {"bounds": [-2.0, 2.0]},
    )
    photo = panels_of(wide.plot())[0].images[0].get_array()
    np.testing.assert_allclose(photo, explanation.image, atol=1e-6)
    other = panels_of(wide.plot(display=explanation.image[::-1]))[0].images[0].get_array()
    np.testing.assert_allclose(other, explanation.image[::-1])


def test_notebooks_show_an_explanation(explanation):
    assert explanation._repr_png_().startswith(b"\x89PNG")
    assert "<img alt=" in explanation._repr_html_()
    damaged = dataclasses.replace(explanation, image=explanation.image * np.nan)
    assert damaged._repr_png_() is None


@pytest.mark.parametrize(
    ("argument", "options"),
    [
        ("units", {"units": "layer"}),
        ("units", {"layer": "hidden", "units": "all"}),
        ("show_error", {"layer": "hidden", "show_error": True}),
        ("show_error", {"only": "map", "show_error": True}),
        ("show_image", {"show_image": True}),
        ("layer", {"layer": "conv"}),
        ("scale", {"scale": "rows"}),
    ],
)
def test_what_a_picture_does_not_have_is_refused(explanation, argument, options):
    with refused(argument):
        explanation.plot(**options)
