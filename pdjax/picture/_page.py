"""Paper and print: a figure that shows itself, panels for images, and colour bars."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator

from pdjax.picture._text import fitted, height_of, signed, width_of
from pdjax.picture.overlay import COLOR_STOPS

__all__ = [
    "ERROR_COLORMAP",
    "FAINT",
    "INK",
    "RELEVANCE_COLORMAP",
    "Picture",
    "add_bar",
    "bar_ticks",
    "bar_width",
    "caption_lines",
    "panel_size",
    "show",
    "style_bar",
]

# An odd number of colours, so that the middle one is exactly the colour of zero.
RELEVANCE_COLORMAP = LinearSegmentedColormap.from_list("relevance", COLOR_STOPS, N=1023)
ERROR_COLORMAP = LinearSegmentedColormap.from_list("error", ("#ffffff", "#a89fce", "#4b3f85"))

INK = "#1a1a1a"
FAINT = "#5c5c5c"
FRAME = "#b0b0b0"

BAR_GAP = 0.09
BAR_THICKNESS = 0.13
TICK_LENGTH = 0.09
TICK_SIZE = 8.0
LABEL_SIZE = 8.5
CAPTION_SIZE = 7.5


class Picture(Figure):
    """A figure of its own, known to no window or global state, that notebooks can display."""

    def __init__(self, width: float, height: float) -> None:
        super().__init__(figsize=(width, height), dpi=100, facecolor="white")
        FigureCanvasAgg(self)

    def _repr_png_(self) -> bytes:
        """Return the figure as PNG, the form in which IPython shows an object."""
        buffer = io.BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()

    def add_panel(self, left: float, top: float, width: float, height: float) -> Axes:
        """Add axes at a place given in inches from the upper left corner of the paper."""
        across, down = self.get_size_inches()
        bottom = down - top - height
        return self.add_axes((left / across, bottom / down, width / across, height / down))

    def add_words(
        self,
        words: str,
        left: float,
        bottom: float,
        size: float,
        color: str,
        weight: str = "normal",
    ) -> None:
        """Write lines whose last one ends at ``bottom``, in inches from the upper left corner."""
        across, down = self.get_size_inches()
        self.text(
            left / across,
            1 - bottom / down,
            words,
            fontsize=size,
            fontweight=weight,
            color=color,
            ha="left",
            va="bottom",
            parse_math=False,
        )

    def add_caption(self, words: str, left: float, bottom: float) -> None:
        """Write the lines of `caption_lines`, the last one ending at ``bottom``."""
        self.add_words(words, left, bottom, CAPTION_SIZE, FAINT)


def caption_lines(caption: str, width: float) -> tuple[str, float]:
    """Return a caption in lines of at most ``width`` inches, and the height of all in inches."""
    words = "\n".join(
        fitted(each, width=width, size=CAPTION_SIZE, max_lines=20) for each in caption.splitlines()
    )
    return words, height_of(words, CAPTION_SIZE)


def panel_size(height: int, width: int, *, side: float) -> tuple[float, float]:
    """Return inches across and down for an image, about ``side`` each whatever its proportions."""
    aspect = width / height
    across = min(side * aspect**0.5, 1.5 * side, 1.5 * side * aspect)
    return max(across, 0.35 * side), max(across / aspect, 0.3 * side)


def show(axes: Axes, array: np.ndarray, **options: Any) -> AxesImage:
    """Draw an array as an image without ticks, in a thin frame."""
    drawn = axes.imshow(array, origin="upper", aspect="equal", **options)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(linewidth=0.5, color=FRAME)
    axes.grid(False)
    return drawn


def bar_ticks(lowest: float, highest: float, height: float) -> dict[float, str]:
    """Return round numbers within a range and how they are written, for a bar ``height`` high."""
    locator = MaxNLocator(nbins=5 if height > 1.6 else 3, steps=[1, 2, 2.5, 5, 10])
    values = [float(value) for value in locator.tick_values(lowest, highest)]
    write = signed if lowest < 0 else "{:.3g}".format
    return {value: write(value) for value in values if lowest <= value <= highest}


def bar_width(ticks: dict[float, str], label: str, height: float) -> float:
    """Return the inches that a colour bar takes beside its image, words and all."""
    words = fitted(label, width=height, size=LABEL_SIZE, max_lines=2)
    return _label_left(ticks) + height_of(words, LABEL_SIZE)


def add_bar(
    figure: Figure,
    axes: Axes,
    drawn: AxesImage,
    ticks: dict[float, str],
    label: str,
    *,
    extended: bool,
) -> None:
    """Draw a colour bar as high as the image beside it; pointed ends say that values go beyond."""
    across, down = figure.get_size_inches()
    place = axes.get_position()
    width, height = place.width * across, place.height * down
    bar_axes = axes.inset_axes((1 + BAR_GAP / width, 0, BAR_THICKNESS / width, 1))
    bar = figure.colorbar(
        drawn, cax=bar_axes, extend="both" if extended else "neither", extendfrac=0.1 / height
    )
    bar.set_ticks(list(ticks), labels=list(ticks.values()))
    style_bar(bar)
    words = fitted(label, width=height, size=LABEL_SIZE, max_lines=2)
    axes.text(
        1 + _label_left(ticks) / width,
        0.5,
        words,
        transform=axes.transAxes,
        rotation="vertical",
        ha="left",
        va="center",
        multialignment="center",
        fontsize=LABEL_SIZE,
        color=INK,
        parse_math=False,
    )


def style_bar(bar: Any) -> None:
    """Give a colour bar the thin lines and small figures of the other panels."""
    bar.ax.tick_params(labelsize=TICK_SIZE, width=0.5, length=2.5, color=FRAME, labelcolor=INK)
    bar.ax.minorticks_off()
    bar.outline.set(linewidth=0.5, edgecolor=FRAME)


def _label_left(ticks: dict[float, str]) -> float:
    widest = max((width_of(text, TICK_SIZE) for text in ticks.values()), default=0.0)
    return BAR_GAP + BAR_THICKNESS + TICK_LENGTH + widest + 0.06
