"""Pictures of relevance: NumPy arrays in, a figure or a page out; nothing here knows of models."""

from __future__ import annotations

from pdjax.picture.comparison import comparison_figure
from pdjax.picture.figure import relevance_figure, save_figure
from pdjax.picture.grid import feature_map_grid
from pdjax.picture.html import relevance_html
from pdjax.picture.overlay import overlay, relevance_colors, strongest, symmetric_scale

__all__ = [
    "comparison_figure",
    "feature_map_grid",
    "overlay",
    "relevance_colors",
    "relevance_figure",
    "relevance_html",
    "save_figure",
    "strongest",
    "symmetric_scale",
]
