"""The page in a browser: switches, pins and downloads do what they say, and nothing complains."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.browser import headless, opened, pixels_of
from PIL import Image

from pdjax.picture import (
    PageLayer,
    PageWindows,
    WindowNumbers,
    explanation_page,
    overlay,
    relevance_colors,
)

HEIGHT, WIDTH, WINDOW = 24, 36, 6
RNG = np.random.default_rng(0)
# Values of the photo are those of a PNG.
PHOTO = (RNG.integers(0, 256, (HEIGHT, WIDTH, 3)) / 255).astype(np.float32)
MAPS = RNG.normal(size=(2, HEIGHT, WIDTH)).astype(np.float32) * np.float32([[[1]], [[3]]])
ERRORS = np.abs(RNG.normal(size=MAPS.shape)).astype(np.float32) / 2
MAPS[1, :3, :3] = ERRORS[1, :3, :3] = np.nan
UNITS = RNG.normal(size=(5, HEIGHT, WIDTH)).astype(np.float32)
ORIGINS = np.stack(
    np.meshgrid(np.arange(0, 19, 3), np.arange(0, 31, 3), indexing="ij"), -1
).reshape(-1, 2)
COLORS = RNG.random((len(ORIGINS), 2, 3))
CONTENTS = np.broadcast_to(COLORS[:, :, None, None], (len(ORIGINS), 2, WINDOW, WINDOW, 3))
NUMBERS = WindowNumbers(
    "p",
    np.float32([0.75, 0.0625]),
    RNG.random((2, len(ORIGINS))),
    RNG.normal(size=(2, len(ORIGINS))),
    np.abs(RNG.normal(size=(2, len(ORIGINS)))),
)
LAYERS = [
    PageLayer(
        "conv", UNITS, None, [f"map {row}, 1" for row in range(5)], "difference", "", "units"
    ),
    PageLayer(
        "prob", MAPS, ERRORS, ["cat, p = 0.75", "dog, p = 0.06"], "bits", "bits", windows=NUMBERS
    ),
]
# Canvases are read back with the rounding of their colours.
CLOSE = 2


@pytest.fixture(scope="module")
def browser():
    with headless() as found:
        yield found


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    windows = PageWindows(ORIGINS, (WINDOW, WINDOW), CONTENTS)
    page = explanation_page(PHOTO, LAYERS, windows=windows, caption="how", title="cat.jpg")
    written = tmp_path_factory.mktemp("page") / "page.html"
    written.write_text(page, encoding="utf-8")
    return written


@pytest.fixture
def page(browser, path):
    with opened(browser, path) as shown:
        yield shown


def drawn(page) -> np.ndarray:
    return pixels_of(page, "#overlay")


def levels(colors) -> np.ndarray:
    return np.rint(255 * np.asarray(colors, float)).astype(int)


def scale_of(page) -> float:
    return max(
        page.evaluate("JSON.parse(document.getElementById('data').textContent).layers")[1]["scales"]
    )


def point(page, row: int, column: int, *, click: bool = False) -> None:
    box = page.locator("#chart").bounding_box()
    x = box["x"] + (column + 0.5) / WIDTH * box["width"]
    y = box["y"] + (row + 0.5) / HEIGHT * box["height"]
    page.mouse.click(x, y) if click else page.mouse.move(x, y)


def test_the_views_are_those_of_a_figure(page) -> None:
    scale = scale_of(page)
    np.testing.assert_allclose(
        drawn(page), levels(overlay(PHOTO, MAPS[0], scale=scale)), atol=CLOSE
    )
    page.check("#color")
    over_color = overlay(PHOTO, MAPS[0], scale=scale, mode="color", alpha=0.9)
    np.testing.assert_allclose(drawn(page), levels(over_color), atol=CLOSE)
    page.check("[value=map]")
    np.testing.assert_allclose(
        drawn(page), levels(relevance_colors(MAPS[0], scale=scale)), atol=CLOSE
    )
    page.uncheck("#same")
    one = float(page.inner_text("#highest"))
    assert one < scale
    np.testing.assert_allclose(
        drawn(page), levels(relevance_colors(MAPS[0], scale=one)), atol=CLOSE
    )
    page.check("[value=error]")
    assert "standard error" in page.inner_text("#unit")
    darkness = 765 - drawn(page).sum(-1)
    assert darkness.flat[ERRORS[0].argmax()] == darkness.max() > 300


def test_the_threshold_greys_out_what_is_uncertain_and_no_more(page) -> None:
    page.check("[value=map]")
    before = drawn(page)
    page.check("#certain")
    uncertain = np.abs(MAPS[0]) < 2 * ERRORS[0]
    assert 0 < uncertain.sum() < uncertain.size
    assert (drawn(page)[uncertain] == 205).all()
    np.testing.assert_array_equal(drawn(page)[~uncertain], before[~uncertain])


def test_classes_differences_and_layers_are_chosen(page) -> None:
    scale = scale_of(page)
    page.check("[value=map]")
    page.get_by_label("dog, p = 0.06", exact=True).check()
    assert page.inner_text("h1") == "dog, p = 0.06"
    seen, explained = drawn(page), ~np.isnan(MAPS[1])
    expected = levels(relevance_colors(np.nan_to_num(MAPS[1]), scale=scale))
    np.testing.assert_allclose(seen[explained], expected[explained], atol=CLOSE)
    page.select_option("#minus", label="cat, p = 0.75")
    assert page.inner_text("h1") == "dog, p = 0.06 minus cat, p = 0.75"
    reach = float(page.inner_text("#highest"))
    expected = levels(relevance_colors(np.nan_to_num(MAPS[1] - MAPS[0]), scale=reach))
    np.testing.assert_allclose(drawn(page)[explained], expected[explained], atol=4)
    page.select_option("#layer", label="conv")
    assert page.locator("#many canvas").count() == 5
    assert not page.is_visible("#error-label")
    point(page, 12, 12, click=True)
    assert " p " not in page.inner_text("#readout")


def test_a_pixel_is_read_with_its_error_and_the_output_without_its_window(page) -> None:
    # The centre of the window at (6, 15) is nearest.
    point(page, 8, 17)
    index = int(np.flatnonzero((ORIGINS == [6, 15]).all(1))[0])
    first, place, second = page.inner_text("#readout").splitlines()
    assert first.startswith(f"{MAPS[0, 8, 17]:+.3g}".replace("-", "\u2212")[:4])
    assert f"{ERRORS[0, 8, 17]:.2g}"[:3] in first
    assert place == "row 8, column 17"
    assert second.startswith(f"p = 0.75, without its window {NUMBERS.without[0, index]:.3g}"[:33])
    assert not page.is_visible("#inside-shown")
    point(page, 1, 1)
    page.get_by_label("dog, p = 0.06", exact=True).check()
    point(page, 1, 1)
    assert page.inner_text("#readout").startswith("Not explained\nrow 1")


def test_a_click_pins_a_pixel_and_shows_what_was_put_into_its_windows(page) -> None:
    # The centre of the window at (6, 15) is nearest.
    point(page, 8, 17, click=True)
    assert "(pinned)" in page.inner_text("#readout")
    assert "Rows 6 to 11, columns 15 to 20" in page.inner_text("#inside-place")
    index = int(np.flatnonzero((ORIGINS == [6, 15]).all(1))[0])
    canvases = page.locator("#contents canvas")
    assert canvases.count() == 3
    zoom = 18
    for sample in range(2):
        canvases.nth(1 + sample).evaluate("canvas => { canvas.id = 'looked-at'; }")
        seen = pixels_of(page, "#looked-at")
        canvases.nth(1 + sample).evaluate("canvas => { canvas.id = ''; }")
        inside = seen[4 * zoom : 10 * zoom, 4 * zoom : 10 * zoom]
        np.testing.assert_allclose(
            inside, np.broadcast_to(255 * COLORS[index, sample], inside.shape), atol=5
        )
        surroundings = levels(PHOTO[2:6, 11:25]).repeat(zoom, 0).repeat(zoom, 1)
        np.testing.assert_allclose(seen[: 3 * zoom], surroundings[: 3 * zoom], atol=1)
    numbers = page.inner_text("#inside-numbers")
    assert "p with it" in numbers
    assert f"{NUMBERS.without[0, index]:.3g}"[:4] in numbers
    # Another class, another window, and none.
    page.get_by_label("dog, p = 0.06", exact=True).check()
    assert f"{NUMBERS.without[1, index]:.3g}"[:4] in page.inner_text("#inside-numbers")
    assert page.locator("#around input").count() == 4
    page.locator("#around input:checked").focus()
    page.keyboard.press("ArrowDown")
    assert "Rows 6 to 11, columns 15 to 20" not in page.inner_text("#inside-place")
    outline = page.locator("#chart .window").bounding_box()
    frame = page.locator("#overlay").bounding_box()
    assert outline["width"] / frame["width"] == pytest.approx(WINDOW / WIDTH, abs=0.01)
    page.locator("#chart").focus()
    page.keyboard.press("ArrowLeft")
    assert "row 8, column 16 (pinned)" in page.inner_text("#readout")
    page.keyboard.press("Escape")
    assert not page.is_visible("#inside-shown")
    assert page.is_visible("#inside-hint")


def test_what_is_shown_can_be_saved(page, tmp_path) -> None:
    for button, name in (("#save-png", "cat.png"), ("#save-csv", "cat.csv")):
        with page.expect_download() as download:
            page.click(button)
        download.value.save_as(tmp_path / name)
    assert np.asarray(Image.open(tmp_path / "cat.png")).shape[:2] == (HEIGHT, WIDTH)
    header, *lines = (tmp_path / "cat.csv").read_text(encoding="utf-8").splitlines()
    assert header == "row,column,relevance,standard_error"
    row, column, value, error = map(float, lines[100].split(","))
    assert (row, column) == (100 // WIDTH, 100 % WIDTH)
    np.testing.assert_allclose([value, error], [MAPS[0].flat[100], ERRORS[0].flat[100]])


def test_scale_reading_and_controls_are_seen_without_scrolling(page) -> None:
    for place in ("#side .scale", "#readout", "#rows", ".controls", "#save-csv", "#overlay"):
        box = page.locator(place).bounding_box()
        assert box["y"] + box["height"] <= 720, place
    point(page, 8, 17, click=True)
    box = page.locator("#inside-shown").bounding_box()
    assert box["y"] < 640


def test_a_phone_shows_everything_one_below_the_other(browser, path) -> None:
    with opened(browser, path, (390, 844)) as page:
        point(page, 8, 17, click=True)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        below = page.locator("#inside-shown").bounding_box()
        assert below["y"] < 844


def test_a_series_is_read_without_windows(browser, tmp_path) -> None:
    series, maps = RNG.random((40, 2)), RNG.normal(size=(1, 40)).astype(np.float32)
    layer = PageLayer("prob", maps, None, ["beat, p = 1"], "bits", "bits")
    path = tmp_path / "series.html"
    path.write_text(explanation_page(series, [layer], caption="how"), encoding="utf-8")
    with opened(browser, path) as page:
        page.locator("#chart").focus()
        page.keyboard.press("ArrowRight")
        assert "position" in page.inner_text("#readout")
        assert not page.is_visible("#inside")
