"""One panel: an image, a map with its colour bar, or a map over the photo."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.colorbar import Colorbar
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.image import AxesImage
from matplotlib.ticker import FuncFormatter, MaxNLocator, StrMethodFormatter
from matplotlib.transforms import (
    Affine2DBase,
    ScaledTranslation,
    Transform,
    blended_transform_factory,
)

from pdjax.picture._page import INK
from pdjax.picture._text import fitted, signed
from pdjax.picture.overlay import COLOR_STOPS, tinted

__all__ = [
    "RELEVANCE_COLORMAP",
    "add_bar",
    "caption_with_note",
    "inches_from",
    "muted_pixels",
    "show_errors",
    "show_image",
    "show_map",
    "show_overlay",
    "style_bar",
]

# An odd number of colours, so that the middle one is exactly the colour of zero.
RELEVANCE_COLORMAP = LinearSegmentedColormap.from_list("relevance", COLOR_STOPS, N=1023)
ERROR_COLORMAP = LinearSegmentedColormap.from_list("error", ("#ffffff", "#a89fce", "#4b3f85"))
FRAME = "#b0b0b0"
# Darker than white, which is no evidence at all, and without a hue, which is some.
MUTED_COLOR = "#cdcdcd"
NUM_ERRORS = 2

BAR_GAP = 0.09
BAR_THICKNESS = 0.13
LABEL_SIZE = 8.5
LEAST_LABEL = 1.0


def show_image(axes: Axes, array: np.ndarray, **options: Any) -> AxesImage:
    """Draw an array as an image that fills its cell, without ticks, in a thin frame."""
    drawn = axes.imshow(array, origin="upper", aspect="auto", **options)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(linewidth=0.5, color=FRAME)
    axes.grid(False)
    return drawn


def show_map(
    axes: Axes, relevance: Float[np.ndarray, "h w"], scale: float, muted: Bool[np.ndarray, "h w"]
) -> AxesImage:
    """Draw relevance in colours from ``-scale`` to ``scale``, grey where it is muted."""
    drawn = show_image(axes, relevance, cmap=RELEVANCE_COLORMAP, vmin=-scale, vmax=scale)
    _hatch_unknown(axes, relevance)
    if muted.any():
        # A layer of its own leaves the map below as it is: its range, and its colours at the edge.
        cover = np.zeros((*muted.shape, 4), np.float32)
        cover[..., :3], cover[..., 3] = to_rgb(MUTED_COLOR), muted
        show_image(axes, cover)
    return drawn


def show_overlay(
    axes: Axes,
    photo: Float[np.ndarray, "h w 3"],
    relevance: Float[np.ndarray, "h w"],
    scale: float,
    muted: Bool[np.ndarray, "h w"],
) -> AxesImage:
    """Draw relevance over the photo, without colour where it is muted."""
    return show_image(axes, tinted(photo, np.where(muted, 0, relevance), scale))


def _hatch_unknown(axes: Axes, values: np.ndarray) -> None:
    """Let what is masked be told from a relevance of zero: white behind, and hatched."""
    if np.ma.is_masked(values):
        axes.patch.set(facecolor="white", edgecolor=FRAME, hatch="////", linewidth=0)


def show_errors(axes: Axes, errors: Float[np.ndarray, "h w"]) -> AxesImage:
    """Draw standard errors in colours from 0 to the largest."""
    _hatch_unknown(axes, errors)
    return show_image(axes, errors, cmap=ERROR_COLORMAP, vmin=0, vmax=float(errors.max()) or 1.0)


def add_bar(drawn: AxesImage, label: str, height: float) -> Colorbar:
    """Draw a colour bar right of an image and as high, which is ``height`` inches.

    Pointed ends say that values go beyond.
    """
    axes, (lowest, highest) = drawn.axes, drawn.get_clim()
    beyond = np.abs(np.asarray(drawn.get_array())).max() > highest
    # Across in inches, up in shares of the height: the bar belongs to the image, so that it is
    # exactly as high, and the layout makes room for both at once.
    beside = blended_transform_factory(inches_from(axes, 1.0, 0.0), axes.transAxes)
    bar = axes.figure.colorbar(
        drawn,
        cax=axes.inset_axes((BAR_GAP, 0, BAR_THICKNESS, 1), transform=beside),
        ticks=MaxNLocator(nbins=5 if height > 1.6 else 3, steps=[1, 2, 2.5, 5, 10]),
        format=FuncFormatter(signed) if lowest < 0 else StrMethodFormatter("{x:.3g}"),
        extend="both" if beyond else "neither",
    )
    words = fitted(label, width=max(height, LEAST_LABEL), size=LABEL_SIZE, max_lines=3)
    bar.set_label(words, fontsize=LABEL_SIZE, color=INK, parse_math=False)
    style_bar(bar)
    return bar


def inches_from(axes: Axes, x: float, y: float) -> Transform:
    """Return coordinates in inches from a point of a panel, given as shares of its sides."""
    corner = ScaledTranslation(x, y, cast(Affine2DBase, axes.transAxes))
    return axes.figure.dpi_scale_trans + corner


def style_bar(bar: Colorbar) -> None:
    """Give a colour bar the thin lines and small figures of the other panels."""
    bar.ax.tick_params(labelsize=8.0, width=0.5, length=2.5, color=FRAME, labelcolor=INK)
    bar.ax.minorticks_off()
    bar.outline.set(linewidth=0.5, edgecolor=FRAME)


def muted_pixels(
    relevance: Float[np.ndarray, "*shape"],
    errors: Float[np.ndarray, "*shape"] | None,
    mute_uncertain: bool,
) -> Bool[np.ndarray, "*shape"]:
    """Return where relevance is less than two standard errors from zero; nowhere unless asked for.

    Relevance of 0 with an error of 0 is known to be 0, so it is not muted.
    """
    if errors is None or not mute_uncertain:
        return np.zeros(relevance.shape, bool)
    return np.ma.filled(np.abs(relevance) < NUM_ERRORS * errors, False)


def caption_with_note(caption: str, mute_uncertain: bool, where: str) -> str:
    """Return a caption that says in a line of its own what is muted and how it looks."""
    note = f"{where}: less than two standard errors from zero."
    return "\n".join(filter(None, (note, caption))) if mute_uncertain else caption
