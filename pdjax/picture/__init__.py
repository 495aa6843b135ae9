"""Pictures of relevance: NumPy arrays in, a figure or a page out; nothing here knows of models."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from pdjax.picture.html import PageLayer, explanation_page, relevance_html
from pdjax.picture.look import Look
from pdjax.picture.overlay import overlay, relevance_colors, strongest, symmetric_scale
from pdjax.picture.windows import PageWindows, WindowNumbers

if TYPE_CHECKING:
    from pdjax.picture.figure import comparison_figure, relevance_figure
    from pdjax.picture.grid import feature_map_grid
    from pdjax.picture.saving import save_figure

__all__ = [
    "Look",
    "PageLayer",
    "PageWindows",
    "WindowNumbers",
    "comparison_figure",
    "explanation_page",
    "feature_map_grid",
    "overlay",
    "relevance_colors",
    "relevance_figure",
    "relevance_html",
    "save_figure",
    "strongest",
    "symmetric_scale",
]

# Figures bring matplotlib, which pages and colours do without.
FIGURES = {
    "comparison_figure": "pdjax.picture.figure",
    "feature_map_grid": "pdjax.picture.grid",
    "relevance_figure": "pdjax.picture.figure",
    "save_figure": "pdjax.picture.saving",
}


def __getattr__(name: str) -> Any:
    if name not in FIGURES:
        raise AttributeError(f"module 'pdjax.picture' has no attribute {name!r}")
    return getattr(importlib.import_module(FIGURES[name]), name)
