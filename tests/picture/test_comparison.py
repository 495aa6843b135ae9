"""Layers side by side: a map for each, on scales symmetric about 0, with all words on the paper."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pdjax
from pdjax.picture import comparison_figure, symmetric_scale

LONG = (
    "great white shark, white shark, man-eater, man-eating shark, Carcharodon carcharias, p = 0.83"
)
UNITS = ("activation difference", "weight of evidence (bits)", "probability difference")
COLUMNS = ("loss3/classifier", "prob", "/features/features.18/" * 9)


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("shape", [(8, 8), (4, 40), (40, 4)])
def test_panels_have_symmetric_scales_and_nothing_is_cut(rows, layers, shape):
    random = np.random.default_rng(0)
    sizes = np.array([1e-6, 1.0, 1e5]).reshape(3, 1, 1, 1)[:layers]
    maps = (sizes * random.normal(size=(layers, rows, *shape))).astype(np.float32)
    photo = random.random((*shape, 3), dtype=np.float32)
    figure = comparison_figure(
        photo, list(maps), titles=[LONG] * rows, columns=COLUMNS[:layers], units=UNITS[:layers],
        caption="window 10, stride 1, 10 samples\n" + "long " * 60,
    )  # fmt: skip
    panels = [axes for axes in figure.axes if axes.images]
    assert len(panels) == rows * (1 + layers)
    for row in range(rows):
        first, *others = panels[row * (1 + layers) : (row + 1) * (1 + layers)]
        np.testing.assert_array_equal(first.images[0].get_array(), photo)
        for axes, drawn in zip(others, maps[:, row], strict=True):
            np.testing.assert_array_equal(axes.images[0].get_array(), drawn)
            lowest, highest = axes.images[0].get_clim()
            assert -lowest == highest == symmetric_scale(drawn)
            assert axes.images[0].colorbar is not None
    figure.draw_without_rendering()
    paper = figure.bbox
    boxes = [words.get_window_extent() for words in figure.texts]
    boxes += [axes.get_tightbbox() for axes in panels]
    for index, box in enumerate(boxes):
        assert paper.x0 <= box.x0 <= box.x1 <= paper.x1
        assert paper.y0 <= box.y0 <= box.y1 <= paper.y1
        assert not any(box.overlaps(other) for other in boxes[index + 1 :])


def test_columns_are_named_under_the_last_row_and_words_are_not_formulas():
    photo, maps = np.zeros((6, 6, 3)), np.zeros((2, 6, 6))
    figure = comparison_figure(
        photo, [maps, maps], titles=["$a^", "b"], columns=["$x_", "prob"], units=["$", "bits"],
        caption=r"\frac{",
    )  # fmt: skip
    names = [axes.get_xlabel() for axes in figure.axes if axes.images]
    assert names == ["", "", "", "image", "$x_", "prob"]
    assert figure._repr_png_().startswith(b"\x89PNG")


PHOTO = np.full((4, 5, 3), 0.5, dtype=np.float32)
MAPS = np.ones((2, 4, 5), dtype=np.float32)
GOOD = {
    "relevances": (MAPS, MAPS),
    "titles": ("a", "b"),
    "columns": ("scores", "prob"),
    "units": ("activation difference", "bits"),
    "caption": "",
}
BAD = {
    "no layers": ({"relevances": ()}, "relevances: is empty"),
    "one map for a layer": ({"relevances": tuple(MAPS)}, r"relevances\[0\]: has shape \(4, 5\)"),
    "wrong size": ({"relevances": (MAPS, MAPS[:, :3])}, r"relevances\[1\]: has shape \(2, 3, 5\)"),
    "NaN": ({"relevances": (MAPS, MAPS * np.nan)}, r"relevances\[1\]: 40 of its 40 values"),
    "rows differ": ({"relevances": (MAPS, MAPS[:1])}, r"relevances: have \[2, 1\] rows"),
    "titles": ({"titles": ("a",)}, "titles: is 1 strings for 2 rows"),
    "columns": ({"columns": ("a", "b", "c")}, "columns: is 3 strings for 2 layers"),
    "one string of units": ({"units": "bits"}, "units: is 'bits' for 2 layers"),
    "image": ({"image": PHOTO * 255}, "image: has values"),
}


@pytest.mark.parametrize(("change", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        comparison_figure(**{"image": PHOTO, **GOOD, **change})


def network(params, images):
    hidden = jnp.einsum("nhwc,cd->nhwd", images, params[:3].astype(images.dtype))
    scores = jnp.einsum("nhwd,dk->nk", hidden, params[3:].astype(images.dtype)) / 9
    return {"hidden": hidden, "scores": scores, "prob": jax.nn.softmax(scores)}


@pytest.fixture(scope="module")
def explanation():
    params = jax.random.normal(jax.random.key(0), (6, 3))
    labels = ("red", "green", "blue")
    net = pdjax.Classifier.from_function(network, params, image_size=8, labels=labels)
    image = jax.random.uniform(jax.random.key(1), (8, 8, 3))
    return pdjax.explain(
        net, image, pdjax.Constant(0.5, window=3), rng_key=jax.random.key(2), num_samples=1,
        classes=3, layers=("hidden", "scores", "prob"),
    )  # fmt: skip


def test_compare_draws_the_layers_that_have_a_row_per_class(explanation):
    figure = explanation.compare()
    panels = [axes for axes in figure.axes if axes.images]
    assert [axes.get_xlabel() for axes in panels[-3:]] == ["image", "scores", "prob"]
    assert len(panels) == 9
    for row in range(3):
        for column, layer in ((1, "scores"), (2, "prob")):
            drawn = panels[3 * row + column].images[0].get_array()
            np.testing.assert_array_equal(drawn, explanation.relevance[layer][row])
    words = [text.get_text() for axes in panels for text in axes.texts]
    assert {each.replace("\n", " ") for each in words} == {
        explanation.measures[layer] for layer in ("scores", "prob")
    }


def test_compare_draws_the_chosen_layers_and_rows_titled_by_probability(explanation):
    figure = explanation.compare(layers=("prob", "scores"), units=[2, 0])
    panels = [axes for axes in figure.axes if axes.images]
    assert [axes.get_xlabel() for axes in panels[-3:]] == ["image", "prob", "scores"]
    titles = explanation.titles("prob")
    assert [words.get_text() for words in figure.texts[:2]] == [titles[2], titles[0]]
    again = explanation.compare(layers=("scores", "scores"))
    assert again.texts[0].get_text() == explanation.titles("scores")[0]


@pytest.mark.parametrize("layers", [(), ("prob",), "prob", ("hidden", "prob"), ("prob", "nine")])
def test_compare_needs_two_layers_with_a_row_per_class(explanation, layers):
    with pytest.raises(ValueError, match=r"layers=.* at least two .*\('scores', 'prob'\)"):
        explanation.compare(layers=layers)


def test_compare_refuses_what_cannot_stand_side_by_side(explanation):
    with pytest.raises(ValueError, match="rows of the 3 units"):
        explanation.compare(units=[3])
    names = explanation.names | {"scores": ("red", "blue", "green")}
    with pytest.raises(ValueError, match="rows of different classes"):
        dataclasses.replace(explanation, names=names).compare()
