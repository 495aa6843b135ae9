"""Pictures and pages of hidden layers: put into words and in order as feature maps, not classes."""

from __future__ import annotations

import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pdjax
from pdjax.picture import feature_map_grid, relevance_html, strongest

SIDE, MAPS = 12, 20
CAPTION = "small; windows of 3 by 3 pixels at stride 3, 4 samples a window, 65 forward passes"
PHOTO = np.full((6, 5, 3), 0.5, dtype=np.float32)
THREE = np.ones((3, 6, 5), np.float32) * np.array([0.2, 0, 3], np.float32).reshape(3, 1, 1)


def test_maps_are_ordered_by_strength_and_then_by_index():
    sizes = np.array([1, 3, 0, 3, 1e-42, 2], np.float32).reshape(-1, 1, 1)
    maps = np.ones((6, 4, 4), np.float32) * sizes
    assert strongest(-maps) == [1, 3, 5, 0, 2, 4]
    assert strongest(maps, 2) == [1, 3]


def page_of(rows, errors=None):
    page = relevance_html(
        PHOTO, THREE, errors, titles=["a", "b", "c"], unit="u", caption="", rows=rows
    )
    return page, json.loads(re.search(r'id="data">(.*?)</script>', page)[1])


def test_a_page_of_units_speaks_of_activations_and_is_ordered():
    page, data = page_of("units", 2 * THREE)
    assert "the activation falls" in page
    assert "raises it" in page
    assert not re.search(
        r"class(es)?\b(?!=)", re.sub(r"<(style|script).*?</\1>", "", page, flags=re.S)
    )
    assert data["titles"] == ["c", "a", "b"]
    assert data["scales"] == pytest.approx([3, 0.2, 1])
    in_order = page_of("classes", 2 * THREE)[1]
    for key in ("relevance", "standardError"):
        assert data[key] == [in_order[key][row] for row in (2, 0, 1)]


def test_a_page_of_classes_speaks_of_classes_and_keeps_their_order():
    page, data = page_of("classes")
    assert "speak for the class" in page
    assert "activation" not in re.sub(r"<script.*?</script>", "", page, flags=re.S)
    assert data["titles"] == ["a", "b", "c"]


def titles_of(figure):
    return [axes.get_title() for axes in figure.axes if axes.images]


def test_a_map_of_zeros_has_no_scale():
    figure = feature_map_grid(THREE, unit="activation difference", names=["a", "b", "c"])
    assert titles_of(figure) == ["c\n±3", "a\n±0.2", "b\n0 everywhere"]
    label = figure.axes[-1].get_xlabel().replace("\n", " ")
    assert label == "activation difference; the scale ± stands over each map"
    alone = feature_map_grid(THREE[1:2], unit="activation difference")
    assert titles_of(alone) == ["unit 0\n0 everywhere"]
    assert alone.axes[-1].get_xlabel() == "activation difference"


@pytest.mark.parametrize("count", [1, 2, 16])
@pytest.mark.parametrize("shape", [(8, 8), (4, 40), (40, 4)])
@pytest.mark.parametrize("caption", ["", CAPTION, "long " * 90 + "\n$x_1^"])
def test_the_caption_of_a_grid_is_on_the_paper_and_covers_nothing(count, shape, caption):
    maps = np.random.default_rng(0).normal(size=(count, *shape)).astype(np.float32)
    figure = feature_map_grid(maps, unit="inception_3a/output: activation", caption=caption)
    figure.draw_without_rendering()
    words = figure.texts[0]
    assert words.get_text().split() == caption.split()
    boxes = [axes.get_tightbbox() for axes in figure.axes if axes.get_visible()]
    # The layout is solved to within a pixel.
    paper = figure.bbox.padded(1)
    for box in (*boxes, words.get_window_extent()) if caption else boxes:
        assert paper.x0 <= box.x0 <= box.x1 <= paper.x1
        assert paper.y0 <= box.y0 <= box.y1 <= paper.y1
    if caption:
        assert not any(words.get_window_extent().overlaps(box) for box in boxes)


def network(params, images):
    strengths = jnp.linspace(1.0, 2.0, MAPS, dtype=images.dtype).reshape(1, 1, 1, MAPS)
    hidden = jax.nn.relu(images[..., :1] - images[..., 1:2]) * strengths
    dead = hidden.at[..., 3].set(0)
    return {"hidden": dead, "prob": jax.nn.softmax(dead.mean((1, 2)) @ params.astype(images.dtype))}


@pytest.fixture(scope="module")
def explain():
    params = jax.random.normal(jax.random.key(0), (MAPS, 3))
    net = pdjax.Classifier.from_function(
        network, params, image_size=SIDE, name="small", num_training_images=0
    )
    images = np.asarray(jax.random.uniform(jax.random.key(1), (5, SIDE, SIDE, 3)))

    def run(units=None):
        return pdjax.explain(
            net, images[0], pdjax.Marginal(images[1:], window=3), rng_key=jax.random.key(2),
            num_samples=4, stride=3, layers=("hidden", "prob"), units=units,
        )  # fmt: skip

    return run


def test_picture_and_page_show_the_same_maps_in_the_same_order(explain, tmp_path):
    explanation = explain()
    expected = [f"feature map {index}" for index in range(MAPS - 1, MAPS - 17, -1)]
    assert [title.split("\n")[0] for title in titles_of(explanation.plot("hidden"))] == expected
    explanation.to_html(tmp_path / "page.html", "hidden")
    page = (tmp_path / "page.html").read_text("utf-8")
    data = json.loads(re.search(r'id="data">(.*?)</script>', page)[1])
    assert [title.split(",")[0] for title in data["titles"]] == expected
    assert data["unit"] == "activation difference"
    assert "bits" not in page
    assert "the activation falls" in page
    explanation.to_html(tmp_path / "prob.html")
    assert "speak for the class" in (tmp_path / "prob.html").read_text("utf-8")


def test_the_grid_has_the_settings_below_it(explain):
    explanation = explain()
    assert "stride 3, 4 samples a window" in explanation.caption
    assert "N = 0" in explanation.caption
    figure = explanation.plot("hidden")
    assert figure.texts[0].get_text().replace("\n", " ") == explanation.caption


def test_all_units_that_were_asked_for_are_drawn(explain):
    figure = explain().plot("hidden", units=range(MAPS))
    assert len(titles_of(figure)) == MAPS
    assert titles_of(figure)[-1] == "feature map 3\n0 everywhere"


def test_single_units_are_called_units(explain):
    explanation = explain({"hidden": [7, (7, 5, 5), (3, 0, 0)]})
    words = ["feature map 7", "unit (7, 5, 5)", "unit (3, 0, 0)"]
    assert [title.partition(", hidden")[0] for title in explanation.titles("hidden")] == words
    assert titles_of(explanation.plot("hidden"))[-1] == "unit (3, 0, 0)\n0 everywhere"
    assert explanation.names["hidden"] == ("7", "(7, 5, 5)", "(3, 0, 0)")
