"""Loops and branches that a box comes to are opened, where it goes on behind them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pdjax.jaxprs.known import with_known
from pdjax.jaxprs.program import Program, Value
from pdjax.jaxprs.unrolling import can_be_unrolled, unrolled
from pdjax.local.boxes import whole
from pdjax.local.plan import Plan, make_plan

__all__ = ["opened"]


def opened(
    program: Program, constants: tuple[Any, ...], window: Sequence[int]
) -> tuple[Program, tuple[Any, ...]]:
    """Write out loops of known length, and branches that do not depend on the image.

    Written out, they take longer to compile. So this is done only where a part of what goes in
    changes, and only a part of what comes out: a loop over blocks that see all of the image, for
    example, is better left as it is.
    """
    left: set[int] = set()
    plan = _plan(program, constants, window)
    while (number := _next(plan, left)) is not None:
        more, values, results = unrolled(program, constants, number)
        followed = _plan(more, values, window)
        if any(_is_part(followed, value) for value in results):
            program, constants, plan = more, values, followed
        else:
            left.add(number)
    return program, constants


def _plan(program: Program, constants: tuple[Any, ...], window: Sequence[int]) -> Plan:
    return make_plan(with_known(program, constants), window, largest_share=1.0)


def _next(plan: Plan, left: set[int]) -> int | None:
    """Return the first result of the next step to open."""
    for step in (decision.step for decision in plan.decisions):
        if step.outputs[0] in left or not can_be_unrolled(step):
            continue
        chosen_by_image = step.name == "cond" and plan.box(step.inputs[0]) is not None
        if not chosen_by_image and any(_is_part(plan, value) for value in step.inputs):
            return step.outputs[0]
    return None


def _is_part(plan: Plan, value: Value) -> bool:
    box = plan.extents.get(value) if isinstance(value, int) else None
    return box is not None and not whole(box)
