"""Colours of relevance mean what they say, and need no matplotlib."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from pdjax._checks import ArgumentError
from pdjax.picture import overlay, relevance_colors, strongest, symmetric_scale

PHOTO = np.full((4, 5, 3), 0.5, dtype=np.float32)
MAP = np.ones((4, 5), dtype=np.float32)


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


def test_overlay_is_grey_without_evidence_and_colored_with_it():
    image = np.random.default_rng(0).random((12, 18, 3), dtype=np.float32)
    relevance = np.zeros((12, 18))
    relevance[0, :3] = 1, -1, 0.5
    result = overlay(image, relevance, scale=1.0)
    assert result.shape == (12, 18, 3)
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


def test_maps_are_ordered_by_strength_and_then_by_index():
    sizes = np.array([1, 3, 0, 3, 1e-42, 2], np.float32).reshape(-1, 1, 1)
    maps = np.ones((6, 4, 4), np.float32) * sizes
    assert strongest(-maps) == [1, 3, 5, 0, 2, 4]
    assert strongest(maps, 2) == [1, 3]


def test_colors_and_pages_do_without_matplotlib():
    program = """
import sys
import numpy as np
from pdjax.picture import overlay, relevance_html, strongest, symmetric_scale
photo, maps = np.zeros((2, 2, 3)), np.ones((1, 2, 2))
overlay(photo, maps[0], symmetric_scale(maps[strongest(maps)]))
relevance_html(photo, maps, None, titles=["a"], unit="u", caption="c")
assert "matplotlib" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize(
    ("argument", "call"),
    [
        ("image", lambda: overlay(PHOTO[..., 0], MAP, 1.0)),
        ("relevance", lambda: overlay(PHOTO, MAP[:3], 1.0)),
        ("scale", lambda: overlay(PHOTO, MAP, 0.0)),
        ("opacity", lambda: overlay(PHOTO, MAP, 1.0, opacity=1.5)),
        ("relevance", lambda: relevance_colors(MAP[None, None], 1.0)),
        ("scale", lambda: relevance_colors(MAP, float("nan"))),
        ("relevance", lambda: symmetric_scale(MAP * np.nan)),
        ("relevance", lambda: symmetric_scale(MAP * np.inf)),
        ("relevance", lambda: symmetric_scale(MAP[:0])),
        ("relevance", lambda: strongest(MAP[0])),
    ],
)
def test_bad_input_is_refused(argument, call):
    with pytest.raises(ArgumentError) as caught:
        call()
    assert caught.value.argument == argument
