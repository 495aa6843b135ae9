"""Whether maps are true: deletion curves, pointing games, sparseness, agreement, randomisation."""

from pdjax.metrics.agreement import rank_correlation, structural_similarity, top_intersection
from pdjax.metrics.curves import Curve, deletion, filled, insertion, road
from pdjax.metrics.pointing import grid_pointing_game, mosaic, pointing_game
from pdjax.metrics.randomisation import randomisation_check
from pdjax.metrics.sparseness import effective_pixels, gini
from pdjax.metrics.table import Table, evaluate

__all__ = [
    "Curve",
    "Table",
    "deletion",
    "effective_pixels",
    "evaluate",
    "filled",
    "gini",
    "grid_pointing_game",
    "insertion",
    "mosaic",
    "pointing_game",
    "randomisation_check",
    "rank_correlation",
    "road",
    "structural_similarity",
    "top_intersection",
]
