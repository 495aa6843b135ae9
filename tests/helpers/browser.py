"""A headless Chromium for tests of pages, where there is one."""

from __future__ import annotations

import base64
import contextlib
import io
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

__all__ = ["headless", "opened", "pixels_of"]

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


@contextlib.contextmanager
def headless() -> Iterator[Any]:
    """Run a browser, or skip with the reason why there is none."""
    driver = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(f"there is no browser: none of {', '.join(NAMES)}")
    # The sandbox of Chromium does not work for root.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with driver.sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=found, args=arguments)
        except driver.Error as error:
            pytest.skip(f"{found} does not start: {str(error).splitlines()[0]}")
        yield browser
        browser.close()


@contextlib.contextmanager
def opened(browser: Any, path: Path, size: tuple[int, int] = (1280, 720)) -> Iterator[Any]:
    """Open a page; whatever it complains of in the console is an error."""
    width, height = size
    page = browser.new_page(viewport={"width": width, "height": height})
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text))
    page.goto(path.as_uri())
    page.wait_for_selector("html[data-ready=yes]")
    yield page
    page.close()
    assert complaints == []


def pixels_of(page: Any, canvas: str) -> np.ndarray:
    """Return the pixels of a canvas, ints ``(h, w, 3)``."""
    source = page.eval_on_selector(canvas, "canvas => canvas.toDataURL()")
    picture = Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2])))
    return np.asarray(picture)[..., :3].astype(int)
