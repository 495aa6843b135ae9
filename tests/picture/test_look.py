"""Scales, signs, modes, masks, axes of one's own and bare pictures do what they say."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pytest
from helpers.figures import caption_of, headings_of, label_of, panels_of, titles_of
from helpers.refusals import refused
from matplotlib.figure import Figure
from PIL import Image

from pdjax.picture import (
    Look,
    comparison_figure,
    feature_map_grid,
    overlay,
    relevance_figure,
    save_figure,
)

PHOTO = np.random.default_rng(0).random((20, 24, 3), dtype=np.float32)
SIZES = np.array([1, 4], np.float32).reshape(2, 1, 1)
MAPS = SIZES * np.random.default_rng(1).uniform(-1, 1, (2, 20, 24)).astype(np.float32)
WORDS = {"titles": ["a", "b"], "unit": "bits", "caption": "c"}
ONE = {"titles": ["a"], "unit": "bits", "caption": "c"}
ALONE = np.abs(MAPS).max((1, 2))


def limits_of(figure):
    return [axes.images[0].get_clim()[1] for axes in panels_of(figure)]


@pytest.mark.parametrize(
    ("scale", "expected"),
    [(None, ALONE.max()), ("all", ALONE.max()), ("each", ALONE), ("row", ALONE), (7, 7)],
)
def test_scales_of_classes(scale, expected):
    figure = relevance_figure(PHOTO, MAPS, scale=scale, **WORDS)
    drawn = panels_of(figure)[1::2]
    np.testing.assert_allclose([axes.images[0].get_clim()[1] for axes in drawn], expected)
    bars = [label_of(axes) for axes in drawn]
    assert bars == (["bits", "bits"] if scale in ("each", "row") else ["bits", None])


@pytest.mark.parametrize(
    ("scale", "expected"), [("all", [4, 4]), ("row", [2, 4]), ("each", [1, 2, 4, 2])]
)
def test_scales_of_a_comparison_are_of_one_unit(scale, expected):
    flat = [np.full((2, 3, 3), value, np.float32) for value in (1, 2)]
    flat[0][1] = 4
    words = {"titles": ["a", "b"], "columns": ["x", "y"], "caption": ""}
    photo = np.full((3, 3, 3), 0.5)
    figure = comparison_figure(photo, flat, units=["bits", "bits"], scale=scale, **words)
    found = limits_of(figure)[1:]
    np.testing.assert_allclose(found, np.repeat(expected, 4 // len(expected)))
    if scale == "all":
        apart = comparison_figure(photo, flat, units=["bits", "score"], scale=scale, **words)
        np.testing.assert_allclose(limits_of(apart)[1:], [4, 2, 4, 2])


def test_grids_have_a_scale_each_or_one_of_all():
    each = feature_map_grid(MAPS, image=PHOTO, unit="u")
    assert headings_of(each) == [f"unit {row}\n±{ALONE[row]:.3g}" for row in (1, 0)]
    one = feature_map_grid(MAPS, image=PHOTO, unit="u", scale="all", show_image=True)
    assert headings_of(one) == ["image", "unit 1", "unit 0"]
    assert limits_of(one)[1:] == [ALONE.max()] * 2


def test_only_one_sign_is_drawn():
    figure = relevance_figure(PHOTO, MAPS, sign="negative", **WORDS)
    _, drawn, over, *_ = panels_of(figure)
    shown = np.asarray(drawn.images[0].get_array())
    np.testing.assert_array_equal(shown, np.minimum(MAPS[0], 0))
    pixels = np.asarray(over.images[0].get_array())
    np.testing.assert_array_equal(np.ptp(pixels, axis=-1)[MAPS[0] > 0], 0)
    assert "Only negative" in caption_of(figure)
    none = relevance_figure(PHOTO, np.abs(MAPS[:1]), sign="negative", **ONE)
    assert panels_of(none)[1].texts[0].get_text() == "no negative evidence"


def test_a_map_of_zeros_says_so():
    figure = relevance_figure(PHOTO, 0 * MAPS[:1], **ONE)
    assert panels_of(figure)[1].texts[0].get_text() == "0 everywhere"


def test_overlays_over_colour_and_of_the_strongest():
    zero = overlay(PHOTO, 0 * MAPS[0], mode="color")
    np.testing.assert_array_equal(zero, PHOTO)
    assert np.abs(overlay(PHOTO, MAPS[0], mode="color", alpha=0.5) - PHOTO).max() > 0.1
    kept = overlay(PHOTO, MAPS[0], mode="strongest", percent=25)
    stay = (kept == PHOTO).all(-1)
    assert stay.mean() == pytest.approx(0.25, abs=0.01)
    assert np.abs(MAPS[0])[stay].min() >= np.abs(MAPS[0])[~stay].max()
    assert kept[~stay].min() > 0.8


def test_contours_lie_at_the_levels():
    relevance = np.zeros((1, 20, 24), np.float32)
    relevance[0, 5:9, 5:9], relevance[0, 12:16, 15:19] = 1, -1
    figure = relevance_figure(PHOTO, relevance, mode="contour", levels=0.5, **ONE)
    over = panels_of(figure)[2]
    np.testing.assert_array_equal(over.images[0].get_array(), PHOTO)
    paths = [path.get_extents() for each in over.collections for path in each.get_paths()]
    corners = {tuple(np.round([box.x0, box.y0, box.x1, box.y1], 1)) for box in paths}
    assert corners == {(4.5, 4.5, 8.5, 8.5), (14.5, 11.5, 18.5, 15.5)}
    assert "Lines at ±0.5" in caption_of(figure)
    errors = np.where(relevance > 0, 0.6, 0.1).astype(np.float32)
    figure = relevance_figure(
        PHOTO, relevance, standard_error=errors, mode="contour", levels_in="errors", **ONE
    )
    inks = [tuple(each.get_edgecolor()[0][:3]) for each in panels_of(figure)[2].collections]
    assert {mpl.colors.to_hex(ink) for ink in inks} == {"#ffffff", "#0b3c91"}


def test_masked_pixels_are_blank_and_scales_ignore_them():
    maps = MAPS.copy()
    maps[1, :10] = np.nan
    figure = relevance_figure(PHOTO, maps, standard_error=np.abs(maps), show_error=True, **WORDS)
    drawn = panels_of(figure)[4]
    shown = np.ma.asarray(drawn.images[0].get_array())
    np.testing.assert_array_equal(np.isnan(shown.filled(np.nan)), np.isnan(maps[1]))
    assert drawn.images[0].get_clim()[1] == np.nanmax(np.abs(maps))
    assert drawn.patch.get_hatch()
    assert "Hatched: not explained." in caption_of(figure)
    pixels = overlay(PHOTO, maps[1])
    assert np.isfinite(pixels).all()
    np.testing.assert_array_equal(np.ptp(pixels[:10], axis=-1), 0)


def test_axes_of_ones_own():
    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert relevance_figure(PHOTO, MAPS, ax=[left, right], title="mine", **WORDS) is figure
    np.testing.assert_array_equal(
        left.images[0].get_array(), overlay(PHOTO, MAPS[0], float(ALONE.max()))
    )
    assert (left.get_title(), right.get_title()) == ("mine", "mine")
    bar = figure.colorbar(left.images[0], ax=left)
    assert (bar.vmin, bar.vmax) == (-ALONE.max(), ALONE.max())
    relevance_figure(PHOTO, MAPS[:1], ax=right, only="map", **ONE)
    np.testing.assert_array_equal(right.images[-1].get_array(), MAPS[0])


@pytest.mark.parametrize("only", ["overlay", "map", "image"])
def test_a_bare_picture_has_a_dot_for_every_pixel(tmp_path, only):
    figure = relevance_figure(PHOTO, MAPS[:1], only=only, **ONE)
    save_figure(figure, tmp_path / "bare.png")
    pixels = np.asarray(Image.open(tmp_path / "bare.png").convert("RGB")) / 255
    assert pixels.shape == PHOTO.shape
    wanted = {"overlay": overlay(PHOTO, MAPS[0]), "image": PHOTO}
    if only in wanted:
        np.testing.assert_allclose(pixels, wanted[only], atol=1.01 / 255)
    assert not figure.texts


def test_titles_over_one_row_and_over_several():
    assert titles_of(relevance_figure(PHOTO, MAPS[:1], title="mine", **ONE)) == ["mine"]
    several = relevance_figure(PHOTO, MAPS, title="mine", **WORDS)
    assert several.get_suptitle() == "mine"
    assert titles_of(several) == ["a", "b"]


def test_colors_of_ones_own():
    figure = relevance_figure(PHOTO, MAPS[:1], cmap="PuOr", **ONE)
    colors = panels_of(figure)[1].images[0].get_cmap()
    np.testing.assert_allclose(colors([0.0, 1.0]), mpl.colormaps["PuOr"]([0.0, 1.0]), atol=0.01)


@pytest.mark.parametrize(
    ("argument", "options"),
    [
        ("scale", {"scale": "rows"}),
        ("scale", {"scale": 0}),
        ("scale", {"scale": True}),
        ("sign", {"sign": "+"}),
        ("mode", {"mode": "heat"}),
        ("levels", {"levels": 1.0}),
        ("levels", {"mode": "contour", "levels": [1.0, -1.0]}),
        ("levels_in", {"levels_in": "bits"}),
        ("levels_in", {"levels_in": "errors"}),
        ("percent", {"percent": 5}),
        ("percent", {"mode": "strongest", "percent": 101}),
        ("alpha", {"alpha": 1.5}),
    ],
)
def test_a_bad_look_is_refused(argument, options):
    with refused(argument):
        Look(**options)


@pytest.mark.parametrize(
    ("argument", "options"),
    [
        ("cmap", {"cmap": "no such map"}),
        ("only", {"only": "overlays"}),
        ("only", {"only": "map", "relevance": MAPS, **WORDS}),
        ("ax", {"ax": [Figure().subplots()] * 2}),
        ("standard_error", {"mode": "contour", "levels_in": "errors"}),
    ],
)
def test_a_bad_figure_is_refused(argument, options):
    with refused(argument):
        relevance_figure(**{"image": PHOTO, "relevance": MAPS[:1], **ONE, **options})
