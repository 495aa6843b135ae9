"""The page holds the exact data, loads nothing, and lets no words out of their places."""

from __future__ import annotations

import base64
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from pdjax._checks import ArgumentError
from pdjax.picture import relevance_html, symmetric_scale

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


def decoded(text):
    return np.frombuffer(base64.b64decode(text), "<f4").reshape(HEIGHT, WIDTH)


def visible(page):
    """The page without its style and scripts."""
    return re.sub(r"<(style|script).*?</\1>", "", page, flags=re.DOTALL)


def test_page_holds_the_exact_data():
    errors = np.abs(MAPS)
    page = relevance_html(IMAGE, MAPS, errors, **WORDS)
    data = Page(page).data
    for row in range(2):
        np.testing.assert_array_equal(decoded(data["relevance"][row]), MAPS[row])
        np.testing.assert_array_equal(decoded(data["standardError"][row]), errors[row])
        assert data["scales"][row] == symmetric_scale(MAPS[row])
    photo = re.search(r'src="data:image/png;base64,([^"]+)"', page)[1]
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(photo))))
    np.testing.assert_allclose(pixels / 255, IMAGE, atol=0.5 / 255 + 1e-6)


def test_symbol_and_unit_are_what_they_are_said_to_be():
    page = Page(relevance_html(IMAGE, MAPS, None, symbol="nats", **WORDS))
    assert page.data["symbol"] == "nats"
    assert page.texts["unit"] == "weight of evidence (bits)"
    assert Page(relevance_html(IMAGE, MAPS, None, **WORDS)).data["symbol"] == ""


def test_page_loads_nothing_from_elsewhere():
    page = relevance_html(IMAGE, MAPS, None, **WORDS)
    assert all(source.startswith("data:") for source in Page(page).sources)
    assert "://" not in page
    assert "@import" not in page
    assert "{{" not in page
    assert Page(page).data["standardError"] is None


def test_page_escapes_words_from_outside():
    hostile = "</script><script>alert(1)</script><!--<img src=x>{{data}}"
    words = {"titles": [hostile, "b"], "unit": hostile, "symbol": hostile, "caption": hostile}
    page = relevance_html(IMAGE, MAPS, None, **words)
    plain = relevance_html(IMAGE, MAPS, None, **WORDS)
    assert Page(page).elements == Page(plain).elements
    assert page.count("<script") == page.count("</script") == plain.count("<script")
    assert Page(page).data["titles"] == [hostile, "b"]
    assert Page(page).data["symbol"] == hostile


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
    page = page_of("units")
    assert "the activation falls" in page
    assert "raises it" in page
    assert not re.search(r"class(es)?\b(?!=)", visible(page))
    data, in_order = Page(page).data, Page(page_of("classes")).data
    assert data["titles"] == ["c", "a", "b"]
    assert data["scales"] == pytest.approx([3, 0.2, 1])
    for key in ("relevance", "standardError"):
        assert data[key] == [in_order[key][row] for row in (2, 0, 1)]


def test_a_page_of_classes_speaks_of_classes_and_keeps_their_order():
    page = page_of("classes")
    assert "speak for the class" in page
    assert "activation" not in visible(page)
    assert Page(page).data["titles"] == ["a", "b", "c"]


@pytest.mark.parametrize("mute_uncertain", [False, True])
def test_page_opens_as_asked(mute_uncertain):
    page = relevance_html(IMAGE, MAPS, np.abs(MAPS), mute_uncertain=mute_uncertain, **WORDS)
    assert ('<input id="certain" type="checkbox" checked>' in page) is mute_uncertain


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
    ],
)
def test_bad_input_is_refused(argument, change):
    good = {"image": IMAGE, "relevance": MAPS, "standard_error": None, **WORDS}
    with pytest.raises(ArgumentError) as caught:
        relevance_html(**{**good, **change})
    assert caught.value.argument == argument
