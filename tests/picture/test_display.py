"""Images of any number of bands and axes are drawn: which bands, in which range, and where."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.figures import assert_all_is_seen, panels_of
from helpers.refusals import refused

from pdjax.picture import feature_map_grid, overlay, relevance_figure

WORDS = {"titles": ["a"], "unit": "bits", "caption": "c"}
RNG = np.random.default_rng(0)
MAP = RNG.normal(size=(1, 6, 7)).astype(np.float32)


def photo_of(image, **look):
    figure = relevance_figure(image, MAP, **WORDS, **look)
    return np.asarray(panels_of(figure)[0].images[0].get_array())


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 13])
def test_images_of_any_number_of_bands_are_drawn(channels):
    image = RNG.random((6, 7, channels)).astype(np.float32)
    shown = image[..., :3] if channels > 2 else np.repeat(image.mean(-1, keepdims=True), 3, -1)
    np.testing.assert_allclose(photo_of(image), shown, atol=1e-6)
    assert overlay(image, MAP[0]).shape == (6, 7, 3)
    grid = feature_map_grid(np.repeat(MAP, 3, 0), image=image, unit="u", show_image=True)
    assert len(panels_of(grid)) == 4


def test_bands_are_chosen_and_another_image_is_shown():
    image = RNG.random((6, 7, 5)).astype(np.float32)
    np.testing.assert_allclose(photo_of(image, bands=(4, 0, 2)), image[..., [4, 0, 2]])
    grey = photo_of(image, bands=3)
    np.testing.assert_allclose(grey, np.repeat(image[..., 3:4], 3, -1))
    other = RNG.random((6, 7, 1)).astype(np.float32)
    np.testing.assert_allclose(photo_of(image * 9, display=other), np.repeat(other, 3, -1))


def test_other_values_are_scaled_to_their_range_or_to_bounds():
    image = np.linspace(-1000, 1000, 42).reshape(6, 7, 1)
    shown = photo_of(image)
    assert (shown.min(), shown.max()) == (0, 1)
    np.testing.assert_allclose(np.diff(shown[0, :, 0]), 1 / 41, rtol=1e-4)
    windowed = photo_of(image, bounds=(0, 500))[..., 0]
    np.testing.assert_allclose(windowed, np.clip(image[..., 0] / 500, 0, 1), atol=1e-6)
    dim = np.full((6, 7, 1), 0.2)
    assert (photo_of(dim) == np.float32(0.2)).all()
    assert np.isfinite(photo_of(dim * 20)).all()


def volume_and_map():
    volume = RNG.random((4, 6, 9, 1)).astype(np.float32)
    relevance = np.zeros((2, 4, 6, 9), np.float32)
    relevance[0, 1, 2, 7], relevance[1, 3, 5, 0] = 2, -1
    return volume, relevance


def test_a_volume_is_cut_at_its_strongest_voxel():
    volume, relevance = volume_and_map()
    words = {**WORDS, "titles": ["a", "b"]}
    figure = relevance_figure(
        volume, relevance, standard_error=np.abs(relevance), show_error=True, **words
    )
    panels = panels_of(figure)
    # The slices differ from row to row, so each row has its own image.
    assert len(panels) == 8
    for row, (z, y, x) in enumerate([(1, 2, 7), (3, 5, 0)]):
        for panel, whole in ((0, volume[..., 0]), (1, relevance[row])):
            sheet = np.asarray(panels[4 * row + panel].images[0].get_array())
            sheet = sheet[..., 0] if panel == 0 else sheet
            np.testing.assert_array_equal(sheet[:6, :9], whole[z])
            np.testing.assert_array_equal(sheet[-4:, :9], whole[:, y])
            np.testing.assert_array_equal(sheet[:6, -4:], whole[:, :, x].T)
        assert f"{z}, {y}, {x}" in panels[4 * row].texts[0].get_text()
    assert_all_is_seen(figure)


def test_a_volume_in_a_grid_and_under_its_overlay():
    volume, relevance = volume_and_map()
    figure = feature_map_grid(relevance, image=volume, unit="u", scale="all")
    assert len(panels_of(figure)) == 2
    colored = overlay(volume, relevance[0])
    assert colored.shape == (4, 6, 9, 3)
    assert np.argwhere(np.ptp(colored, axis=-1) > 0.1).tolist() == [[1, 2, 7]]


@pytest.mark.parametrize(
    ("argument", "change", "kind"),
    [
        ("bands", {"bands": 3}, ValueError),
        ("bands", {"bands": (0, 1)}, ValueError),
        ("bands", {"bands": (0, 1, -1)}, ValueError),
        ("bounds", {"bounds": (1, 0)}, ValueError),
        ("display", {"display": np.ones((6, 7, 3), np.uint8)}, TypeError),
        ("display", {"display": np.ones((6, 7, 2))}, ValueError),
        ("display", {"display": np.ones((7, 6, 3))}, ValueError),
        ("display", {"display": np.full((6, 7, 3), 255.0)}, ValueError),
        (
            "image",
            {"image": np.ones((2, 2, 2, 2, 1)), "relevance": np.ones((1, 2, 2, 2, 2))},
            ValueError,
        ),
    ],
)
def test_what_cannot_be_shown_is_refused(argument, change, kind):
    given = {"image": np.full((6, 7, 3), 0.5), "relevance": MAP, **WORDS}
    with refused(argument, kind):
        relevance_figure(**{**given, **change})
