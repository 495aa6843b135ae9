"""What a page tells of windows: which ones, the output without them, and what was put into them."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import re
import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.refusals import refused
from PIL import Image

import pdjax
from pdjax._page_windows import shown_grid, value_without
from pdjax.method.measures import MEASURES, Probability
from pdjax.picture import PageWindows, WindowNumbers
from pdjax.picture.look import Look
from pdjax.picture.windows import LEFT_OUT, MOST_FILLS, described_windows

SIDE, WINDOW = 12, 4


@pytest.mark.parametrize("counts", [(None, None), (1000, 4), (1_281_167, 1000)])
@pytest.mark.parametrize("kind", MEASURES.values())
def test_relevance_gives_the_output_without_a_window(kind, counts) -> None:
    p = np.float32([0.75, 0.999, 1e-3])[:, None]
    without = np.float32([0.2, 0.9, 0.999, 1e-3, 2e-6])[None]
    measure = kind(*counts)
    pair = (Probability(jnp.asarray(each), jnp.asarray(1 - each)) for each in (p, without))
    with jax.numpy_rank_promotion("allow"):
        relevance = np.asarray(measure.difference(*pair))
    found = value_without(measure.label, p, relevance, *counts)
    np.testing.assert_allclose(found, np.broadcast_to(without, found.shape), rtol=1e-3, atol=1e-6)


def test_outputs_at_the_ends_stay_probabilities() -> None:
    ends, relevance = np.float32([[0.0], [1.0]]), np.float32([[-3.0, 0.0, 3.0]] * 2)
    found = value_without("weight of evidence (bits)", ends, relevance, None, None)
    assert ((found >= 0) & (found <= 1)).all()
    assert found[1, 2] < found[1, 0] < 1
    other = value_without("activation difference", np.float32([[2.0]]), relevance[:1], 9, 3)
    np.testing.assert_array_equal(other, [[5, 2, -1]])
    assert value_without("a measure of one's own", ends, relevance, None, None) is None


@pytest.mark.parametrize(
    ("window", "stride", "shown"), [(10, 5, 5), (20, 5, 5), (10, 1, 5), (4, 1, 4), (20, 2, 6)]
)
def test_a_page_has_room_for_some_windows(window, stride, shown) -> None:
    grid = shown_grid(pdjax.WindowGrid((224, 224), window, stride))
    assert grid.stride == (shown, shown)


def network(params, images):
    scores = images.mean((1, 2)) @ params
    return {"conv": images, "scores": scores, "prob": jax.nn.softmax(scores)}


@pytest.fixture(scope="module")
def net():
    outputs = {"scores": "values", "prob": "softmax"}
    params = 9 * jax.random.normal(jax.random.key(0), (3, 4))
    return pdjax.Classifier.from_function(
        network, params, image_size=SIDE, outputs=outputs, num_training_images=50
    )


IMAGE, *OTHERS = np.asarray(jax.random.uniform(jax.random.key(1), (4, SIDE, SIDE, 3)))
SAMPLER = pdjax.Marginal(np.stack(OTHERS), window=WINDOW)
COMMON = {"rng_key": jax.random.key(0), "num_samples": 3, "stride": 4}


@pytest.fixture(scope="module")
def explanation(net):
    return pdjax.explain(
        net,
        IMAGE,
        SAMPLER,
        engine="dense",
        classes=[2, 0],
        layers=("conv", "scores", "prob"),
        bias_correction=False,
        **COMMON,
    )


@pytest.fixture(scope="module")
def fills():
    return pdjax.window_samples(IMAGE, SAMPLER, **COMMON)


def data_of(path):
    return json.loads(re.search(r'id="data">(.*?)</script>', path.read_text("utf-8"))[1])


def numbers_of(text):
    return [
        np.frombuffer(
            np.frombuffer(zlib.decompress(base64.b64decode(each["bytes"])), np.uint8)
            .reshape(4, -1)
            .T.tobytes(),
            "<f4",
        )
        for each in text
    ]


def test_a_page_tells_what_the_network_gave_without_each_window(
    net, explanation, fills, tmp_path
) -> None:
    explanation.to_html(tmp_path / "page.html", fills=fills)
    windows = data_of(tmp_path / "page.html")["windows"]
    assert (windows["size"], len(windows["origins"])) == ([WINDOW, WINDOW], 9)
    assert [layer["quantity"] for layer in windows["layers"]] == ["activation", "output", "p"]
    for index, (row, column) in enumerate(windows["origins"]):
        images = np.repeat(IMAGE[None], 3, 0)
        box = slice(row, row + WINDOW), slice(column, column + WINDOW)
        images[:, *box] = np.asarray(OTHERS)[:, *box]
        outputs = net(images, capture=("scores", "prob"))
        for layer in ("scores", "prob"):
            told = windows["layers"][("conv", "scores", "prob").index(layer)]
            expected = np.asarray(outputs[layer]).mean(0)[[2, 0]]
            found = [values[index] for values in numbers_of(told["without"])]
            np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_a_page_has_what_was_put_into_windows(explanation, fills, tmp_path) -> None:
    explanation.to_html(tmp_path / "page.html", fills=fills)
    windows = data_of(tmp_path / "page.html")["windows"]
    assert (windows["samples"], len(windows["fills"])) == (3, 3)
    (down, across), columns = windows["cell"], windows["columns"]
    for sample, source in enumerate(windows["fills"]):
        packed = base64.b64decode(source.removeprefix("data:image/jpeg;base64,"))
        sheet = np.asarray(Image.open(io.BytesIO(packed))) / 255
        for index, contents in enumerate(fills.contents[:, sample]):
            top, left = down * (index // columns), across * (index % columns)
            seen = sheet[top : top + WINDOW, left : left + WINDOW]
            # JPEG rounds the finest waves of noise.
            assert np.abs(seen - contents).mean() < 0.03


def test_what_has_no_room_is_left_out_in_a_sentence() -> None:
    origins, contents = np.array([[0, 0], [4, 4]]), np.random.default_rng(0).random((2, 6, 4, 4, 3))
    numbers = WindowNumbers("p", np.ones(1), *np.ones((3, 1, 2)))

    def described(room, given=contents):
        windows = PageWindows(origins, (4, 4), given)
        return described_windows(windows, [numbers, None], IMAGE, Look(), room)

    whole, words = described(10**6)
    assert (len(whole["fills"]), whole["samples"], words) == (MOST_FILLS, 6, "")
    numbers_alone = len(json.dumps(described(10**6, None)[0]))
    one = len(whole["fills"][0])
    some, words = described(numbers_alone + one + 200)
    assert (some["fills"], words) == (whole["fills"][:1], "")
    none, words = described(numbers_alone + 10)
    assert (none["fills"], words) == ([], LEFT_OUT)
    assert described(10) == (None, LEFT_OUT)
    assert described(10, None) == (None, "")


def test_fills_of_other_windows_are_refused(explanation, fills, tmp_path) -> None:
    path = tmp_path / "page.html"
    elsewhere = fills._replace(origins=np.asarray(fills.origins) + 1)
    larger = fills._replace(contents=np.zeros((9, 3, 5, 5, 3)))
    fewer = fills._replace(contents=fills.contents[1:])
    for bad in (elsewhere, larger, fewer):
        with refused("fills"):
            explanation.to_html(path, fills=bad)
    for change in ({"regions": [0, 1]}, {"start": "conv"}, {"channels": [0]}):
        settings = explanation.settings | change
        with refused("fills"):
            dataclasses.replace(explanation, settings=settings).to_html(path, fills=fills)
    with refused("fills"):
        explanation.to_html(path, fills=fills, display=IMAGE)
    assert not path.exists()
