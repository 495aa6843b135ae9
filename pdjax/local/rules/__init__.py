"""The rules, by name of the primitive."""

from __future__ import annotations

from pdjax.local.rules import elementwise, reductions, structure, windows
from pdjax.local.rules.rule import Rule

__all__ = ["RULES"]

RULES: dict[str, Rule] = {
    **dict.fromkeys(elementwise.ELEMENTWISE_NAMES, elementwise.ELEMENTWISE),
    "concatenate": elementwise.CONCATENATE,
    "broadcast_in_dim": structure.BROADCAST,
    "reshape": structure.RESHAPE,
    "squeeze": structure.RESHAPE,
    "expand_dims": structure.RESHAPE,
    "transpose": structure.TRANSPOSE,
    "rev": structure.REVERSE,
    "slice": structure.SLICE,
    "pad": structure.PAD,
    "split": structure.SPLIT,
    "conv_general_dilated": windows.CONVOLUTION,
    "reduce_window_max": windows.WINDOW_MAX,
    "reduce_window_min": windows.WINDOW_MIN,
    "reduce_window_sum": windows.WINDOW_SUM,
    "reduce_window": windows.WINDOW_REDUCTION,
    "reduce_sum": reductions.SUM,
    **dict.fromkeys(
        ("reduce_max", "reduce_min", "reduce_prod", "reduce_and", "reduce_or", "argmax", "argmin"),
        reductions.REDUCTION,
    ),
    **dict.fromkeys(
        ("cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp"), reductions.ALONG_AXIS
    ),
    "dot_general": reductions.PRODUCT,
}
