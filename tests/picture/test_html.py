"""The page holds the exact data, loads nothing, and lets no words out of their places."""

from __future__ import annotations

import base64
import io
import json
import re
import zlib
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from pdjax._checks import ArgumentError
from pdjax.picture import PageLayer, explanation_page, relevance_html, symmetric_scale

HEIGHT, WIDTH = 12, 18
IMAGE = np.random.default_rng(0).random((HEIGHT, WIDTH, 3), dtype=np.float32)
MAPS = np.random.default_rng(1).normal(size=(2, HEIGHT, WIDTH)).astype(np.float32)
THREE = np.ones((3, 6, 5), np.float32) * np.array([0.2, 0, 3], np.float32).reshape(3, 1, 1)
WORDS = {"titles": ["a", "b"], "unit": "weight of evidence (bits)", "caption": "window 10"}


class Page(HTMLParser):
    """The elements of a page, the attributes that load things, and the texts."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.sources, self.texts, self.stack = [], [], {}, []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        named = dict(attrs)
        self.elements.append(tag)
        self.sources += [named[key] for key in ("src", "href") if key in named]
        self.stack.append(named.get("id", named.get("class", tag)))

    def handle_data(self, data):
        if self.stack:
            self.texts[self.stack[-1]] = self.texts.get(self.stack[-1], "") + data

    def handle_endtag(self, tag):
        self.stack.append(tag)

    @property
    def data(self):
        return json.loads(self.texts["data"])


def decoded(encoded, shape=(HEIGHT, WIDTH)):
    """A map as it stands in a page, read as the page's documentation says."""
    data = np.frombuffer(zlib.decompress(base64.b64decode(encoded["bytes"])), np.uint8)
    if encoded["step"] is None:
        return np.ascontiguousarray(data.reshape(4, -1).T).view("<f4").reshape(shape)
    whole = data.reshape(shape).astype(np.int64).cumsum(0).cumsum(1).astype(np.int8)
    return np.where(whole == -128, np.nan, whole * np.float64(encoded["step"]))


def visible(page):
    """The page without its style and scripts."""
    return re.sub(r"<(style|script).*?</\1>", "", page, flags=re.DOTALL)


def test_page_holds_the_exact_data():
    errors = np.abs(MAPS)
    page = relevance_html(IMAGE, MAPS, errors, **WORDS)
    data = Page(page).data
    (layer,) = data["layers"]
    for row in range(2):
        np.testing.assert_array_equal(decoded(layer["relevance"][row]), MAPS[row])
        np.testing.assert_array_equal(decoded(layer["standardError"][row]), errors[row])
        assert layer["scales"][row] == symmetric_scale(MAPS[row])
    photo = data["photo"].removeprefix("data:image/png;base64,")
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(photo))))
    np.testing.assert_allclose(pixels / 255, IMAGE, atol=0.5 / 255 + 1e-6)


def test_symbol_and_unit_are_what_they_are_said_to_be():
    (layer,) = Page(relevance_html(IMAGE, MAPS, None, symbol="nats", **WORDS)).data["layers"]
    assert (layer["symbol"], layer["unit"]) == ("nats", "weight of evidence (bits)")
    (layer,) = Page(relevance_html(IMAGE, MAPS, None, **WORDS)).data["layers"]
    assert layer["symbol"] == ""


def test_page_loads_nothing_from_elsewhere():
    page = relevance_html(IMAGE, MAPS, None, **WORDS)
    assert all(source.startswith("data:") for source in Page(page).sources)
    assert "://" not in page
    assert "@import" not in page
    assert "{{" not in page
    assert Page(page).data["layers"][0]["standardError"] is None


def test_page_escapes_words_from_outside():
    hostile = "</script><script>alert(1)</script><!--<img src=x>{{data}}"
    words = {"titles": [hostile, "b"], "unit": hostile, "symbol": hostile, "caption": hostile}
    words |= {"note": hostile, "title": hostile}
    page = relevance_html(IMAGE, MAPS, None, **words)
    plain = relevance_html(IMAGE, MAPS, None, **WORDS)
    assert Page(page).elements == Page(plain).elements
    assert page.count("<script") == page.count("</script") == plain.count("<script")
    (layer,) = Page(page).data["layers"]
    assert layer["titles"] == [hostile, "b"]
    assert layer["symbol"] == hostile


def page_of(rows):
    return relevance_html(
        np.full((6, 5, 3), 0.5),
        THREE,
        2 * THREE,
        titles=["a", "b", "c"],
        unit="u",
        caption="",
        rows=rows,
    )


def test_a_page_of_units_speaks_of_activations_and_is_ordered():
    (layer,), (in_order,) = (Page(page_of(rows)).data["layers"] for rows in ("units", "classes"))
    assert (layer["rows"], layer["highest"]) == ("units", "raises it")
    assert layer["titles"] == ["c", "a", "b"]
    assert layer["scales"] == pytest.approx([3, 0.2, 1])
    assert not layer["oneScale"]
    for key in ("relevance", "standardError"):
        assert layer[key] == [in_order[key][row] for row in (2, 0, 1)]


def test_a_page_of_classes_speaks_of_classes_and_keeps_their_order():
    (layer,) = Page(page_of("classes")).data["layers"]
    assert (layer["rows"], layer["highest"]) == ("classes", "for")
    assert layer["titles"] == ["a", "b", "c"]
    assert layer["oneScale"]


def test_masked_pixels_stay_masked_and_large_pages_round():
    maps = np.random.default_rng(2).normal(size=(30, 150, 160)).astype(np.float32)
    maps[0, :9, :9] = np.nan
    image, titles = np.full((150, 160, 3), 0.5), [str(row) for row in range(30)]
    words = {"titles": titles, "unit": "u", "caption": "c"}
    exact = relevance_html(image, maps[:2], None, **words | {"titles": titles[:2]})
    kept = decoded(Page(exact).data["layers"][0]["relevance"][0], (150, 160))
    np.testing.assert_array_equal(kept, maps[0])
    page = relevance_html(image, maps, np.abs(maps), **words)
    assert len(page) < 5e6
    assert "rounded to a hundredth" in visible(page)
    (layer,) = Page(page).data["layers"]
    for row in (0, 19):
        largest = np.nanmax(np.abs(maps[row]))
        read = decoded(layer["relevance"][row], (150, 160))
        np.testing.assert_allclose(read, maps[row], atol=largest / 250)
        np.testing.assert_array_equal(np.isnan(read), np.isnan(maps[row]))


def test_a_page_has_all_layers_and_opens_one():
    layers = [
        PageLayer("hidden", MAPS, None, ["a", "b"], "u", rows="units"),
        PageLayer("prob", MAPS, np.abs(MAPS), ["c", "d"], "bits", "bits", note="a doubling"),
    ]
    data = Page(explanation_page(IMAGE, layers, caption="")).data
    assert [layer["name"] for layer in data["layers"]] == ["hidden", "prob"]
    assert data["opened"] == 1
    assert data["layers"][1]["note"] == "a doubling"
    first = Page(explanation_page(IMAGE, layers, opened=0, caption="", scale=3.0, cmap="PuOr")).data
    assert first["opened"] == 0
    assert first["layers"][1]["scales"] == [3.0, 3.0]
    assert len(first["stops"]) > 100


def test_a_page_of_a_series_has_its_lines():
    series, maps = np.random.default_rng(3).normal(size=(40, 3)), np.ones((1, 40), np.float32)
    words = {"titles": ["a"], "unit": "u", "caption": "c"}
    data = Page(relevance_html(series, maps, None, **words)).data
    assert (data["kind"], data["height"], data["width"]) == ("series", 1, 40)
    lines = decoded(data["lines"], (40, 3))
    assert 0 <= lines.min() <= lines.max() <= 1
    np.testing.assert_allclose(np.corrcoef(lines[:, 2], series[:, 2])[0, 1], 1)


@pytest.mark.parametrize("mute_uncertain", [False, True])
def test_page_opens_as_asked(mute_uncertain):
    page = relevance_html(IMAGE, MAPS, np.abs(MAPS), mute_uncertain=mute_uncertain, **WORDS)
    assert ('<input id="certain" type="checkbox" checked>' in page) is mute_uncertain


def test_a_page_opens_with_its_look():
    page = relevance_html(IMAGE, MAPS, None, mode="color", alpha=0.25, title="cat.jpg", **WORDS)
    assert '<input id="color" type="checkbox" checked>' in page
    assert 'value="25"' in page
    assert "<figcaption>cat.jpg</figcaption>" in page


@pytest.mark.parametrize(
    ("argument", "change"),
    [
        ("image", {"image": IMAGE * np.nan}),
        ("relevance", {"relevance": MAPS * np.inf}),
        ("standard_error", {"standard_error": -(MAPS**2)}),
        ("standard_error", {"standard_error": MAPS * np.nan}),
        ("standard_error", {"mute_uncertain": True}),
        ("titles", {"titles": ["a"]}),
        ("rows", {"rows": "maps"}),
        ("mode", {"mode": "contour"}),
        ("image", {"image": np.ones((2, 2, 2, 1)), "relevance": np.ones((2, 2, 2, 2))}),
    ],
)
def test_bad_input_is_refused(argument, change):
    good = {"image": IMAGE, "relevance": MAPS, "standard_error": None, **WORDS}
    with pytest.raises(ArgumentError) as caught:
        relevance_html(**{**good, **change})
    assert caught.value.argument == argument
