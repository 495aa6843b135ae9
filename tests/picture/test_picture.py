"""Pictures: colours mean what they say, no words escape, and files are written whole."""

from __future__ import annotations

import base64
import io
import json
import re
from html.parser import HTMLParser

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from pdjax.picture import (
    feature_map_grid,
    overlay,
    relevance_colors,
    relevance_figure,
    relevance_html,
    save_figure,
    symmetric_scale,
)
from pdjax.picture._text import fitted, width_of

HEIGHT, WIDTH = 12, 18
LONG = (
    "great white shark, white shark, man-eater, man-eating shark, Carcharodon carcharias, p = 0.83"
)
WORDS = {"unit": "weight of evidence (bits)", "caption": "window 10, stride 1, 10 samples"}


@pytest.fixture
def image():
    return np.random.default_rng(0).random((HEIGHT, WIDTH, 3), dtype=np.float32)


@pytest.fixture
def relevance():
    return np.random.default_rng(1).normal(size=(2, HEIGHT, WIDTH)).astype(np.float32)


def test_colors_at_the_limits_and_at_zero():
    against, none, favour = relevance_colors(np.array([[-2.0, 0.0, 2.0]]), scale=2.0)[0]
    assert none.tolist() == [1.0, 1.0, 1.0]
    assert favour[0] > 2 * max(favour[1], favour[2])
    assert against[2] > 2 * max(against[0], against[1])
    beyond = relevance_colors(np.array([[-9.0, 0.0, 9.0]]), scale=2.0)[0]
    np.testing.assert_array_equal(beyond, [against, none, favour])


def test_colors_fade_evenly_to_white():
    colors = relevance_colors(np.linspace(-1, 1, 101)[None], scale=1.0)[0]
    lightness = colors @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    assert np.all(np.diff(lightness[:51]) > 0)
    assert np.all(np.diff(lightness[50:]) < 0)
    np.testing.assert_allclose(lightness, lightness[::-1], atol=0.06)


def test_overlay_is_grey_without_evidence_and_colored_with_it(image):
    relevance = np.zeros((HEIGHT, WIDTH))
    relevance[0, :3] = 1, -1, 0.5
    result = overlay(image, relevance, scale=1.0)
    assert result.shape == (HEIGHT, WIDTH, 3)
    assert result.dtype == np.float32
    assert 0 <= result.min() <= result.max() <= 1
    np.testing.assert_array_equal(result[1:, :, 0], result[1:, :, 2])
    assert result[1:].min() > 0.5
    redness = result[0, :3, 0] - result[0, :3, 2]
    assert redness[0] > redness[2] > 0.05
    assert redness[1] < -0.3
    bare = overlay(image, relevance, scale=1.0, opacity=0.0)
    np.testing.assert_array_equal(bare[..., 0], bare[..., 1])


@pytest.mark.parametrize(
    ("relevance", "expected"),
    [
        (np.zeros((4, 4)), 1.0),
        (np.array([[0.25, -0.5]]), 0.5),
        (np.full((4, 4), 1e-9), np.float32(1e-9)),
        (np.full((1, 1), 1e-45), 1.0),
    ],
)
def test_symmetric_scale(relevance, expected):
    assert symmetric_scale(relevance) == expected


def test_symmetric_scale_ignores_corners_but_not_a_lonely_spot():
    relevance = np.full((100, 100), 0.1)
    relevance[0, 0] = 5
    assert symmetric_scale(relevance) == pytest.approx(0.1)
    lonely = np.zeros((100, 100))
    lonely[0, 0] = 5
    assert symmetric_scale(lonely) == 5


@pytest.mark.parametrize("rows", [1, 2, 10])
@pytest.mark.parametrize("shape", [(8, 8), (4, 40), (40, 4)])
def test_figure_has_symmetric_scales_and_holds_its_words(rows, shape):
    random = np.random.default_rng(2)
    grey = random.random((*shape, 1), dtype=np.float32)
    maps = random.normal(size=(rows, *shape)).astype(np.float32)
    figure = relevance_figure(grey, maps, titles=[LONG] * rows, **WORDS)
    panels = [axes for axes in figure.axes if axes.images]
    assert len(panels) == 3 * rows
    for row in range(rows):
        lowest, highest = panels[3 * row + 1].images[0].get_clim()
        assert -lowest == highest == symmetric_scale(maps[row])
    figure.draw_without_rendering()
    paper = figure.bbox
    boxes = [words.get_window_extent() for words in figure.texts]
    boxes += [axes.get_tightbbox() for axes in panels]
    for box in boxes:
        assert paper.x0 <= box.x0 <= box.x1 <= paper.x1
        assert paper.y0 <= box.y0 <= box.y1 <= paper.y1


def test_figure_panels_do_not_overlap(image, relevance):
    figure = relevance_figure(
        image,
        relevance * np.float32(1e-5),
        titles=[LONG, LONG],
        standard_error=np.abs(relevance),
        show_error=True,
        **WORDS,
    )
    figure.draw_without_rendering()
    boxes = [axes.get_tightbbox() for axes in figure.axes if axes.images]
    assert len(boxes) == 8
    boxes += [words.get_window_extent() for words in figure.texts]
    for index, box in enumerate(boxes):
        for other in boxes[index + 1 :]:
            assert not box.overlaps(other)


def test_figure_of_nothing_and_of_hostile_words(image):
    figure = relevance_figure(
        image, np.zeros((1, HEIGHT, WIDTH)), titles=["$x_1^"], unit="$", caption=r"$\frac{"
    )
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert mpl.colors.to_hex(figure.get_facecolor()) == "#ffffff"


@pytest.mark.parametrize("max_lines", [1, 2])
def test_shortened_words_keep_the_probability(max_lines):
    lines = fitted(LONG, width=2.5, size=11.0, max_lines=max_lines).split("\n")
    assert len(lines) <= max_lines
    assert lines[-1].endswith("… p = 0.83")
    assert max(width_of(line, 11.0) for line in lines) <= 2.5
    assert fitted("x" * 400, width=1.0, size=9.0, max_lines=2).endswith("…")
    assert fitted("", width=1.0, size=9.0, max_lines=2) == ""


def test_grid_is_ordered_by_strength(relevance):
    maps = relevance[0] * np.array([0.1, 3.0, 0.0, 1.0], dtype=np.float32).reshape(4, 1, 1)
    figure = feature_map_grid(maps, unit="activation difference", count=3, columns=2)
    titles = [axes.get_title().split("\n")[0] for axes in figure.axes if axes.images]
    assert titles == ["unit 1", "unit 3", "unit 0"]
    every = feature_map_grid(maps, unit="activation difference", names=list("abcd"))
    last = [axes.get_title() for axes in every.axes if axes.images][-1]
    assert last == "c\n0 everywhere"


def test_grid_over_the_image(image, relevance):
    figure = feature_map_grid(relevance, unit="activation difference", image=image)
    assert figure.axes[0].images[0].get_array().shape == (HEIGHT, WIDTH, 3)


class _Page(HTMLParser):
    """Collects the elements, the attributes that load things, and the texts of a page."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.sources, self.texts, self.stack = [], [], {}, []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        named = dict(attrs)
        self.elements.append(tag)
        self.sources += [named[key] for key in ("src", "href") if key in named]
        self.stack.append(named.get("id", tag))

    def handle_data(self, data):
        if self.stack:
            self.texts[self.stack[-1]] = self.texts.get(self.stack[-1], "") + data

    def handle_endtag(self, tag):
        self.stack.append(tag)


def _decoded(text):
    return np.frombuffer(base64.b64decode(text), "<f4").reshape(HEIGHT, WIDTH)


def test_page_holds_the_exact_data(image, relevance):
    errors = np.abs(relevance)
    page = relevance_html(image, relevance, errors, titles=["a", "b"], **WORDS)
    data = json.loads(_Page(page).texts["data"])
    for row in range(2):
        np.testing.assert_array_equal(_decoded(data["relevance"][row]), relevance[row])
        np.testing.assert_array_equal(_decoded(data["standardError"][row]), errors[row])
        assert data["scales"][row] == symmetric_scale(relevance[row])
    assert data["unit"] == "bits"
    photo = re.search(r'src="data:image/png;base64,([^"]+)"', page)[1]
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(photo))))
    np.testing.assert_allclose(pixels / 255, image, atol=0.5 / 255 + 1e-6)


def test_page_loads_nothing_from_elsewhere(image, relevance):
    page = relevance_html(image, relevance, None, titles=["a", "b"], **WORDS)
    assert all(source.startswith("data:") for source in _Page(page).sources)
    assert "://" not in page
    assert "@import" not in page
    assert "{{" not in page
    assert json.loads(_Page(page).texts["data"])["standardError"] is None


def test_page_escapes_words_from_outside(image, relevance):
    hostile = "</script><script>alert(1)</script><!--<img src=x>{{data}}"
    page = relevance_html(
        image, relevance, None, titles=[hostile, "b"], unit=hostile, caption=hostile
    )
    plain = relevance_html(image, relevance, None, titles=["a", "b"], unit="u", caption="c")
    assert _Page(page).elements == _Page(plain).elements
    assert page.count("<script") == page.count("</script") == plain.count("<script")
    assert json.loads(_Page(page).texts["data"])["titles"] == [hostile, "b"]


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg", ".PNG"])
def test_save_figure(tmp_path, suffix):
    path = tmp_path / f"map{suffix}"
    save_figure(Figure(figsize=(1, 1)), path)
    assert path.stat().st_size > 100
    assert list(tmp_path.iterdir()) == [path]


def test_save_figure_leaves_the_old_file_when_drawing_fails(tmp_path, monkeypatch):
    path = tmp_path / "map.png"
    path.write_bytes(b"old")
    figure = Figure(figsize=(1, 1))

    def fail(file, **options):
        file.write_bytes(b"half")
        raise RuntimeError("interrupted")

    monkeypatch.setattr(figure, "savefig", fail)
    with pytest.raises(RuntimeError, match="interrupted"):
        save_figure(figure, path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["map.bmp3", "map"])
def test_save_figure_names_the_supported_suffixes(tmp_path, name):
    with pytest.raises(ValueError, match=r"path: .*suffix.*\.pdf.*\.png.*\.svg"):
        save_figure(Figure(), tmp_path / name)
    assert not list(tmp_path.iterdir())


def _nan(array):
    array = np.array(array)
    array.flat[3] = np.nan
    return array


PHOTO = np.full((4, 5, 3), 0.5, dtype=np.float32)
MAPS = np.ones((2, 4, 5), dtype=np.float32)
TITLES = {"titles": ["a", "b"], **WORDS}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: relevance_figure(_nan(PHOTO), MAPS, **TITLES), "image: 1 of its 60 values"),
        (lambda: relevance_figure(PHOTO, _nan(MAPS), **TITLES), "relevance: 1 of its 40 values"),
        (lambda: relevance_figure(PHOTO * 255, MAPS, **TITLES), "image: has values from"),
        (lambda: relevance_figure(PHOTO[..., :2], MAPS, **TITLES), "image: has shape"),
        (lambda: relevance_figure(np.ones((4, 5, 3), np.uint8), MAPS, **TITLES), "image: holds"),
        (lambda: relevance_figure(PHOTO, MAPS[:, :3], **TITLES), "relevance: has shape"),
        (lambda: relevance_figure(PHOTO, MAPS[0], **TITLES), "relevance: has shape"),
        (lambda: relevance_figure(PHOTO, MAPS[:0], **TITLES), "relevance: has shape"),
        (lambda: relevance_figure(PHOTO, MAPS[:1], **TITLES), "titles: is 2 strings for 1"),
        (lambda: relevance_figure(PHOTO, MAPS, titles="ab", **WORDS), "titles: is 'ab'"),
        (
            lambda: relevance_figure(PHOTO, MAPS, show_error=True, **TITLES),
            "standard_error: is None",
        ),
        (
            lambda: relevance_figure(PHOTO, MAPS, standard_error=MAPS[:1], **TITLES),
            "standard_error: has shape",
        ),
        (lambda: relevance_html(PHOTO, MAPS, -MAPS, **TITLES), "standard_error: has the value -1"),
        (lambda: relevance_html(PHOTO, MAPS, _nan(MAPS), **TITLES), "standard_error: 1 of"),
        (lambda: relevance_html(PHOTO, MAPS * np.inf, None, **TITLES), "relevance: 40 of"),
        (lambda: relevance_html(PHOTO, np.full((2, 4, 5), 1e300), None, **TITLES), "beyond"),
        (lambda: relevance_html(PHOTO, MAPS, None, rows="maps", **TITLES), "rows: is 'maps'"),
        (lambda: overlay(PHOTO, MAPS[0], 0.0), "scale: is 0.0"),
        (lambda: overlay(PHOTO, MAPS[0], 1.0, opacity=1.5), "opacity: is 1.5"),
        (lambda: overlay(PHOTO, MAPS[0, :3], 1.0), "relevance: has shape"),
        (lambda: relevance_colors(MAPS[0], float("nan")), "scale: is nan"),
        (lambda: relevance_colors(MAPS, 1.0), "relevance: has shape"),
        (lambda: symmetric_scale(_nan(MAPS)), "relevance: 1 of"),
        (lambda: symmetric_scale(MAPS[:0]), "relevance: has shape"),
        (lambda: feature_map_grid(MAPS, unit="u", count=0), "count: is 0"),
        (lambda: feature_map_grid(MAPS, unit="u", columns=0), "columns: is 0"),
        (lambda: feature_map_grid(MAPS, unit="u", names=["a"]), "names: is 1 strings for 2"),
        (lambda: feature_map_grid(MAPS, unit="u", image=PHOTO[1:]), "relevance: has shape"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
