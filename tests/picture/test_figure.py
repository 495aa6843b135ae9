"""Figures of classes: every panel is what it says, and all words are on the paper."""

from __future__ import annotations

import re

import matplotlib as mpl
import numpy as np
import pytest
from helpers.figures import (
    assert_all_is_seen,
    caption_of,
    label_of,
    panels_of,
    titles_of,
)
from matplotlib.figure import Figure

from pdjax._checks import ArgumentError
from pdjax.picture import (
    comparison_figure,
    overlay,
    relevance_figure,
    save_figure,
    symmetric_scale,
)

LONG = (
    "great white shark, white shark, man-eater, man-eating shark, Carcharodon carcharias, p = 0.83"
)
CAPTION = "window 10, stride 1, 10 samples\n" + "long " * 60
UNITS = ("activation difference", "weight of evidence (bits)", "probability difference")
COLUMNS = ("loss3/classifier", "prob", "/features/features.18/" * 9)
SHAPES = [(8, 8), (4, 40), (40, 4)]


def random_maps(*shape):
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


def random_photo(*shape):
    return np.random.default_rng(0).random(shape, dtype=np.float32)


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("shape", SHAPES)
def test_relevance_has_its_photo_map_and_overlay(rows, shape):
    grey, maps = random_photo(*shape, 1), random_maps(rows, *shape)
    figure = relevance_figure(grey, maps, titles=[LONG] * rows, unit=UNITS[1], caption=CAPTION)
    first, *panels = panels_of(figure)
    assert len(panels) == 2 * rows
    np.testing.assert_array_equal(first.images[0].get_array(), np.repeat(grey, 3, axis=-1))
    scale = max(map(symmetric_scale, maps))
    for row in range(rows):
        drawn, over = panels[2 * row : 2 * row + 2]
        np.testing.assert_array_equal(drawn.images[0].get_array(), maps[row])
        assert drawn.images[0].get_clim() == (-scale, scale)
        assert label_of(drawn) == (UNITS[1] if row == 0 else None)
        np.testing.assert_array_equal(over.images[0].get_array(), overlay(grey, maps[row], scale))
    names = [axes.get_xlabel() for axes in (first, *panels[-2:])]
    assert names == ["image", "relevance", "overlay"]
    assert caption_of(figure).split() == CAPTION.split()
    assert_all_is_seen(figure)


def test_errors_have_a_column_of_their_own():
    maps = random_maps(2, 12, 18) * np.float32(1e-5)
    errors = np.abs(random_maps(2, 12, 18))
    errors[1] = 0
    figure = relevance_figure(
        random_photo(12, 18, 3),
        maps,
        titles=[LONG, "b"],
        unit="bits",
        caption="",
        standard_error=errors,
        show_error=True,
        scale="each",
    )
    _, *panels = panels_of(figure)
    assert len(panels) == 6
    for axes, each, highest in zip(panels[2::3], errors, (errors[0].max(), 1), strict=True):
        np.testing.assert_array_equal(axes.images[0].get_array(), each)
        assert axes.images[0].get_clim() == (0, highest)
        assert label_of(axes) == "standard error, bits"
    assert panels[-1].get_xlabel() == "standard error"
    assert_all_is_seen(figure)


def test_ten_classes_are_on_one_page():
    photo, maps = random_photo(6, 6, 3), random_maps(10, 6, 6)
    figure = relevance_figure(photo, maps, titles=[LONG] * 10, unit="bits", caption=CAPTION)
    assert len(panels_of(figure)) == 21
    assert_all_is_seen(figure)


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_comparison_has_a_map_for_each_layer(rows, layers, shape):
    sizes = np.array([1e-6, 1.0, 1e5]).reshape(3, 1, 1, 1)[:layers]
    maps = (sizes * random_maps(layers, rows, *shape)).astype(np.float32)
    photo = random_photo(*shape, 3)
    figure = comparison_figure(
        photo,
        list(maps),
        titles=[LONG] * rows,
        columns=COLUMNS[:layers],
        units=UNITS[:layers],
        caption=CAPTION,
    )
    first, *panels = panels_of(figure)
    assert len(panels) == rows * layers
    np.testing.assert_array_equal(first.images[0].get_array(), photo)
    for row in range(rows):
        others = panels[row * layers : (row + 1) * layers]
        for axes, drawn, unit in zip(others, maps, UNITS, strict=False):
            np.testing.assert_array_equal(axes.images[0].get_array(), drawn[row])
            scale = max(map(symmetric_scale, drawn))
            assert axes.images[0].get_clim() == (-scale, scale)
            assert label_of(axes) == (unit if row == 0 else None)
    assert_all_is_seen(figure)


def test_columns_are_named_under_the_last_row():
    photo, maps = np.zeros((6, 6, 3)), np.zeros((2, 6, 6))
    figure = comparison_figure(
        photo,
        [maps, maps],
        titles=["a", "b"],
        columns=["scores", "prob"],
        units=["", "bits"],
        caption="",
    )
    names = [axes.get_xlabel() for axes in panels_of(figure)]
    assert names == ["image", "", "", "scores", "prob"]


def test_a_title_that_is_too_long_keeps_the_probability():
    photo, maps = random_photo(40, 4, 3), random_maps(4, 40, 4)
    titles = ["a, p = 0.1", LONG, "x" * 400, ""]
    figure = relevance_figure(photo, maps, titles=titles, unit="bits", caption="")
    short, shortened, cut, empty = titles_of(figure)
    assert (short, empty) == ("a, p = 0.1", "")
    assert re.fullmatch(r"great white shark, .*\w… p = 0\.83", shortened)
    assert re.fullmatch(r"x+ x+…", cut)
    assert_all_is_seen(figure)


def test_words_are_not_formulas():
    photo, maps = np.zeros((6, 6, 3)), np.zeros((1, 6, 6))
    words = {"titles": ["$x_1^"], "caption": r"$\frac{"}
    figures = (
        relevance_figure(photo, maps, unit="$", **words),
        comparison_figure(photo, [maps], units=["$"], columns=["$a^"], **words),
    )
    for figure in figures:
        assert figure._repr_png_().startswith(b"\x89PNG")
        assert mpl.colors.to_hex(figure.get_facecolor()) == "#ffffff"


# Certain both ways, uncertain both ways, just certain, and known to be nothing.
STRIP = np.array([[[4, -4, 1, -1, 2, 0]]], np.float32)
ERRORS = np.array([[[1, 1, 1, 1, 1, 0]]], np.float32)
MUTED = [False, False, True, True, False, False]
NOTE = "less than two standard errors from zero."
WORDS = {"titles": ["a"], "caption": "windows"}


def grey_of(axes):
    """Pixels that are covered with grey, having checked that it is neither white nor a colour."""
    _, cover = (drawn.get_array() for drawn in axes.images)
    shade = cover[..., :3]
    assert (shade == shade[0, 0, 0]).all()
    assert 0.7 < shade[0, 0, 0] < 0.9
    return cover[0, :, 3].tolist()


def test_the_uncertain_is_muted_in_the_map_and_the_overlay():
    photo = random_photo(1, 6, 3)
    figure = relevance_figure(
        photo, STRIP, unit="bits", standard_error=ERRORS, mute_uncertain=True, **WORDS
    )
    _, drawn, over = panels_of(figure)
    np.testing.assert_array_equal(drawn.images[0].get_array(), STRIP[0])
    assert drawn.images[0].get_clim()[1] == symmetric_scale(STRIP)
    assert grey_of(drawn) == MUTED
    shown = over.images[0].get_array()[0]
    full = overlay(photo, STRIP[0], symmetric_scale(STRIP))[0]
    bare = overlay(photo, STRIP[0], 1.0, opacity=0.0)[0]
    np.testing.assert_array_equal(shown, np.where(np.array(MUTED)[:, None], bare, full))
    assert caption_of(figure) == f"Grey in the map, uncoloured in the overlay: {NOTE}\nwindows"


def test_each_layer_of_a_comparison_is_muted_by_its_own_errors():
    figure = comparison_figure(
        random_photo(1, 6, 3),
        [STRIP, STRIP],
        columns=["a", "b"],
        units=["u", "v"],
        standard_errors=[ERRORS, 10 * ERRORS],
        mute_uncertain=True,
        **WORDS,
    )
    _, first, second = panels_of(figure)
    assert grey_of(first) == MUTED
    assert grey_of(second) == [True] * 5 + [False]
    assert caption_of(figure).startswith(f"Grey: {NOTE}")


def test_nothing_is_muted_unless_asked_for_or_where_errors_are_0():
    photo = random_photo(1, 6, 3)
    plain = relevance_figure(photo, STRIP, unit="bits", standard_error=ERRORS, **WORDS)
    assert caption_of(plain) == "windows"
    exact = relevance_figure(
        photo, STRIP, unit="bits", standard_error=0 * ERRORS, mute_uncertain=True, **WORDS
    )
    for figure in (plain, exact):
        assert [len(axes.images) for axes in panels_of(figure)] == [1, 1, 1]


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg", ".PNG"])
def test_save_figure(tmp_path, suffix):
    figure = relevance_figure(
        random_photo(4, 4, 3), random_maps(1, 4, 4), titles=["a"], unit="bits", caption="c"
    )
    path = tmp_path / f"map{suffix}"
    save_figure(figure, path)
    assert path.stat().st_size > 1000
    assert list(tmp_path.iterdir()) == [path]
    if suffix == ".svg":
        assert "<text" in path.read_text("utf-8")
    if suffix == ".pdf":
        # Publishers refuse fonts of type 3; those of type 42 are embedded as TrueType.
        assert b"/FontFile2" in path.read_bytes()
        assert b"/Type3" not in path.read_bytes()


def test_save_figure_leaves_the_old_file_when_drawing_fails(tmp_path):
    path = tmp_path / "map.png"
    path.write_bytes(b"old")

    class Failing(Figure):
        def savefig(self, file, **options):
            file.write_bytes(b"half")
            raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError, match="interrupted"):
        save_figure(Failing(), path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["map.bmp3", "map"])
def test_save_figure_names_the_suffixes_that_there_are(tmp_path, name):
    with pytest.raises(ArgumentError) as caught:
        save_figure(Figure(), tmp_path / name)
    assert caught.value.argument == "path"
    assert {".pdf", ".png", ".svg"} <= set(re.findall(r"\.\w+", caught.value.remedy))
    assert not list(tmp_path.iterdir())


PHOTO = np.full((4, 5, 3), 0.5, dtype=np.float32)
MAPS = np.ones((2, 4, 5), dtype=np.float32)
INFINITE = np.where(np.arange(40).reshape(2, 4, 5) == 3, np.inf, MAPS)
GOOD = {"titles": ("a", "b"), "unit": "bits", "caption": ""}


@pytest.mark.parametrize(
    ("argument", "change"),
    [
        ("image", {"image": PHOTO * np.nan}),
        ("image", {"image": PHOTO[..., 0]}),
        ("image", {"image": PHOTO[0, 0]}),
        ("image", {"image": np.ones((4, 5, 3), np.uint8)}),
        ("relevance", {"relevance": INFINITE}),
        ("relevance", {"relevance": MAPS * np.array([1, np.nan], np.float32).reshape(2, 1, 1)}),
        ("relevance", {"relevance": np.full((2, 4, 5), 1e300)}),
        ("relevance", {"relevance": MAPS[:, :3]}),
        ("relevance", {"relevance": MAPS[0]}),
        ("relevance", {"relevance": MAPS[:0]}),
        ("titles", {"titles": ["a"]}),
        ("titles", {"titles": "ab"}),
        ("standard_error", {"show_error": True}),
        ("standard_error", {"mute_uncertain": True}),
        ("standard_error", {"standard_error": MAPS[:1]}),
        ("standard_error", {"standard_error": -MAPS}),
    ],
)
def test_bad_relevance_is_refused(argument, change):
    with pytest.raises(ArgumentError) as caught:
        relevance_figure(**{"image": PHOTO, "relevance": MAPS, **GOOD, **change})
    assert caught.value.argument == argument


@pytest.mark.parametrize(
    ("argument", "change"),
    [
        ("relevances", {"relevances": ()}),
        ("relevances[0]", {"relevances": tuple(MAPS)}),
        ("relevances[1]", {"relevances": (MAPS, INFINITE)}),
        ("scale", {"scale": 2.0}),
        ("image", {"image": [PHOTO]}),
        ("relevances", {"relevances": (MAPS, MAPS[:1])}),
        ("titles", {"titles": ("a",)}),
        ("columns", {"columns": ("a", "b", "c")}),
        ("units", {"units": "bits"}),
        ("relevances[0]", {"image": PHOTO[0]}),
        ("standard_errors", {"standard_errors": []}),
        ("standard_errors[1]", {"standard_errors": [MAPS, INFINITE]}),
        ("standard_errors[0]", {"mute_uncertain": True}),
    ],
)
def test_a_bad_comparison_is_refused(argument, change):
    good = {
        "image": PHOTO,
        "relevances": (MAPS, MAPS),
        "titles": ("a", "b"),
        "columns": ("scores", "prob"),
        "units": ("activation difference", "bits"),
        "caption": "",
    }
    with pytest.raises(ArgumentError) as caught:
        comparison_figure(**{**good, **change})
    assert caught.value.argument == argument
