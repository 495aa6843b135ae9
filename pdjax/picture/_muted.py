"""What a picture mutes on request: relevance so small beside its error that it could be zero."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb

from pdjax.picture._page import show

__all__ = ["muted_pixels", "show_muted", "with_note"]

NUM_ERRORS = 2
# Darker than white, which is no evidence at all, and without a hue, which is some.
MUTED_COLOR = "#cdcdcd"


def muted_pixels(
    relevance: Float[np.ndarray, "*shape"],
    standard_error: Float[np.ndarray, "*shape"] | None,
    mute_uncertain: bool,
) -> Bool[np.ndarray, "*shape"]:
    """Return where relevance is less than two standard errors from zero; nowhere unless asked for.

    Relevance of 0 with an error of 0 is known to be 0, so it is not muted.
    """
    if standard_error is None or not mute_uncertain:
        return np.zeros(relevance.shape, bool)
    return np.abs(relevance) < NUM_ERRORS * standard_error


def show_muted(axes: Axes, muted: Bool[np.ndarray, "h w"]) -> None:
    """Cover pixels of a map that is drawn already with grey."""
    if muted.any():
        # A layer of its own leaves the map below as it is: its range, and its colours at the edge.
        cover = np.zeros((*muted.shape, 4), np.float32)
        cover[..., :3], cover[..., 3] = to_rgb(MUTED_COLOR), muted
        show(axes, cover)


def with_note(caption: str, mute_uncertain: bool, where: str) -> str:
    """Return a caption that says in a line of its own what is muted and how it looks."""
    note = f"{where}: less than two standard errors from zero."
    return "\n".join(filter(None, (note, caption))) if mute_uncertain else caption
