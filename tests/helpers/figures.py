"""What is in a figure, told by matplotlib's objects, and whether all of it can be seen."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure


def panels_of(figure: Figure) -> list[Axes]:
    """The panels that hold an image, in the order of reading."""
    return [axes for axes in figure.axes if axes.images]


def titles_of(figure: Figure) -> list[str]:
    """The titles over rows of panels, each as one line."""
    bare = [axes for axes in figure.axes if not axes.images]
    return [" ".join(words.get_text().split()) for axes in bare for words in axes.texts]


def headings_of(figure: Figure) -> list[str]:
    """The titles over single panels."""
    return [axes.get_title() for axes in panels_of(figure)]


def caption_of(figure: Figure) -> str:
    """The lines under everything."""
    return "\n".join(words.get_text() for words in figure.texts)


def label_of(axes: Axes) -> str | None:
    """The label of a panel's colour bar, as one line; None where it has no bar."""
    if axes.images[0].colorbar is None:
        return None
    return " ".join(axes.images[0].colorbar.ax.get_ylabel().split())


def assert_all_is_seen(figure: Figure) -> None:
    """Nothing is cut off, nothing covers anything else, and panels are alike."""
    figure.draw_without_rendering()
    # What belongs to a panel is in its box: headings, and the bar with its ticks and label.
    boxes = [axes.get_tightbbox() for axes in figure.axes if axes.images or axes.child_axes]
    # Words inside a panel lie over its image on purpose.
    bare = [axes for axes in figure.axes if not axes.images]
    words = [each for axes in bare for each in axes.texts] + figure.texts
    boxes += [each.get_window_extent() for each in words if each.get_text()]
    lows, highs = np.array([box.min for box in boxes]), np.array([box.max for box in boxes])
    # Letters may take a pixel more when they are drawn than when they are laid out.
    assert (lows > -1).all()
    assert (highs < figure.bbox.max + 1).all()
    overlap = (lows[:, None] + 2 < highs).all(-1) & (lows + 2 < highs[:, None]).all(-1)
    np.testing.assert_array_equal(overlap, np.eye(len(boxes), dtype=bool))
    panels = panels_of(figure)
    sizes = [axes.get_window_extent().size for axes in panels]
    np.testing.assert_allclose(sizes, [sizes[0]] * len(sizes), atol=1)
    for axes in panels:
        rows, columns = axes.images[0].get_array().shape[:2]
        width, height = axes.get_window_extent().size
        np.testing.assert_allclose(width / height, columns / rows, rtol=0.01)
        if axes.images[0].colorbar is not None:
            bar = axes.images[0].colorbar.outline.get_window_extent()
            image = axes.get_window_extent()
            np.testing.assert_allclose((bar.y0, bar.y1), (image.y0, image.y1), atol=1)
