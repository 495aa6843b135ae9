"""Series: every line, the band of colours, the curve with its errors, and what is masked."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.figures import caption_of
from helpers.refusals import refused
from matplotlib.figure import Figure

from pdjax.picture import comparison_figure, feature_map_grid, relevance_figure, save_figure

RNG = np.random.default_rng(0)
LENGTH = 50
MAPS = RNG.normal(size=(2, LENGTH)).astype(np.float32)
ERRORS = np.abs(RNG.normal(size=(2, LENGTH))).astype(np.float32)
WORDS = {"titles": ["peak, p = 0.9", "flat"], "unit": "bits", "caption": "windows of 4"}


def panels(figure):
    """The panels of lines and of curves, row by row."""
    return figure.axes[::2], figure.axes[1::2]


@pytest.mark.parametrize("channels", [1, 2, 12])
def test_lines_bands_and_curves(channels):
    series = 1.5 * RNG.normal(size=(LENGTH, channels))
    figure = relevance_figure(series, MAPS, standard_error=ERRORS, **WORDS)
    uppers, lowers = panels(figure)
    scale = float(np.abs(MAPS).max())
    assert len(uppers) == len(lowers) == 2
    for row, (upper, lower) in enumerate(zip(uppers, lowers, strict=True)):
        drawn = [line.get_ydata() for line in upper.lines]
        assert len(drawn) == channels
        for line, values in zip(drawn, series.T, strict=True):
            np.testing.assert_allclose(np.corrcoef(line, values)[0, 1], 1)
        (band,) = upper.images
        np.testing.assert_array_equal(band.get_array(), MAPS[row : row + 1])
        assert band.get_clim() == (-scale, scale)
        np.testing.assert_array_equal(lower.lines[-1].get_ydata(), MAPS[row])
        reach = float((np.abs(MAPS) + 2 * ERRORS).max())
        assert lower.get_ylim()[1] > reach
    if channels == 1:
        np.testing.assert_array_equal(drawn[0], series[:, 0])
    assert [axes.get_title(loc="left") for axes in uppers] == WORDS["titles"]
    assert "two standard errors" in caption_of(figure)
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_very_many_channels_are_an_image():
    figure = relevance_figure(RNG.normal(size=(LENGTH, 40)), MAPS, **WORDS)
    upper = figure.axes[0]
    assert not upper.lines
    assert upper.images[0].get_array().shape == (40, LENGTH)


def test_channels_of_other_units_have_a_lane_of_their_own():
    series = RNG.normal(size=(LENGTH, 2)) * [1, 1000]
    small, large = figure_lines(relevance_figure(series, MAPS, **WORDS))
    np.testing.assert_allclose(np.ptp(small), np.ptp(large), rtol=1e-5)
    alike = series / [1, 2000]
    small, large = figure_lines(relevance_figure(alike, MAPS, **WORDS))
    np.testing.assert_allclose(
        np.ptp(large) / np.ptp(small), np.ptp(alike[:, 1]) / np.ptp(alike[:, 0]), rtol=1e-4
    )


def figure_lines(figure):
    return [line.get_ydata() for line in figure.axes[0].lines]


def test_bands_and_another_series_are_shown():
    series, other = RNG.normal(size=(LENGTH, 5)), 1000 * RNG.normal(size=(LENGTH, 1))
    chosen = figure_lines(relevance_figure(series, MAPS, bands=3, **WORDS))
    np.testing.assert_array_equal(chosen, series[None, :, 3])
    shown = figure_lines(relevance_figure(series, MAPS, display=other, **WORDS))
    np.testing.assert_array_equal(shown, other.T)


def test_masked_and_muted_stretches():
    maps = MAPS.copy()
    maps[:, 30:] = np.nan
    figure = relevance_figure(
        np.ones((LENGTH, 1)), maps, standard_error=ERRORS, mute_uncertain=True, **WORDS
    )
    upper, lower = (axes[0] for axes in panels(figure))
    hatched = [each for each in upper.collections if each.get_hatch()]
    assert hatched[0].get_paths()[0].get_extents().x0 == 29.5
    assert np.isnan(lower.lines[-1].get_ydata()[30:]).all()
    assert {
        "Hatched: not explained",
        "Grey in the band: less than two standard errors from zero",
    } <= {each.strip() for each in caption_of(figure).replace("\n", " ").split(".")}


def test_a_grid_has_a_band_for_each_map():
    maps = MAPS * np.array([[1], [0]], np.float32)
    figure = feature_map_grid(maps, image=np.ones((LENGTH, 2)), unit="u", names=["x", "y"])
    words = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert words[0] == "x"
    assert words[2:] == ["y", "0 everywhere"]
    with refused("image"):
        feature_map_grid(maps, unit="u")


def test_a_comparison_has_a_row_for_each_layer():
    figure = comparison_figure(
        np.ones((LENGTH, 1)),
        [MAPS, 9 * MAPS],
        titles=["a", "b"],
        columns=["scores", "prob"],
        units=["u", "bits"],
        caption="",
    )
    titles = [axes.get_title(loc="left") for axes in panels(figure)[0]]
    assert titles == ["a: scores", "a: prob", "b: scores", "b: prob"]
    limits = [axes.images[0].get_clim()[1] for axes in panels(figure)[0]]
    np.testing.assert_allclose(limits, np.abs(MAPS).max() * np.array([1, 9, 1, 9]))


def test_axes_of_ones_own_and_a_bare_picture(tmp_path):
    figure = Figure()
    axes = figure.subplots()
    one = {**WORDS, "titles": ["a"]}
    assert relevance_figure(np.ones((LENGTH, 1)), MAPS[:1], ax=axes, **one) is figure
    assert len(axes.images) == 1
    bare = relevance_figure(np.ones((LENGTH, 1)), MAPS[:1], only="map", **one)
    save_figure(bare, tmp_path / "bare.svg")
    assert not bare.texts


@pytest.mark.parametrize(
    ("argument", "options"),
    [
        ("mode", {"mode": "contour"}),
        ("display", {"display": np.ones((3, 1))}),
        ("bands", {"bands": 1}),
        ("relevance", {"relevance": MAPS[:, :4]}),
        ("image", {"image": np.ones(LENGTH)}),
        ("only", {"only": "map"}),
    ],
)
def test_bad_input_is_refused(argument, options):
    with refused(argument):
        relevance_figure(**{"image": np.ones((LENGTH, 1)), "relevance": MAPS, **WORDS, **options})
