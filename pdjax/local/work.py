"""The arithmetic of a step: what its time is reckoned by."""

from __future__ import annotations

import math

from pdjax.local.boxes import box_sizes
from pdjax.local.plan import Decision

__all__ = ["arithmetic"]


def arithmetic(decision: Decision, full: bool = False) -> int:
    """Multiplications and additions of a step in its box, or for the full result."""
    step = decision.step
    shape = step.out_avals[0].shape
    results = math.prod(shape if full or decision.box is None else box_sizes(decision.box, shape))
    if step.name == "conv_general_dilated":
        kernel, numbers = step.in_avals[1].shape, step.params["dimension_numbers"]
        return 2 * results * math.prod(kernel) // kernel[numbers.rhs_spec[0]]
    if step.name == "dot_general":
        contracted = step.params["dimension_numbers"][0][0]
        return 2 * results * math.prod(step.in_avals[0].shape[axis] for axis in contracted)
    return results * math.prod(step.params.get("window_dimensions", (1,)))
