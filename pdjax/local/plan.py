"""Deciding, before anything runs, which box of every value a window can change."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

from pdjax.jaxprs.program import Program, Step, Value
from pdjax.local.boxes import Box, Places, all_places, share, whole, window_box
from pdjax.local.rules import RULES
from pdjax.local.rules.rule import Rule

__all__ = ["INHERITED", "Decision", "Plan", "make_plan"]


INHERITED = "its operands have changed as a whole"


@dataclasses.dataclass(frozen=True, eq=False)
class Decision:
    """How one step is evaluated.

    Attributes
    ----------
    step : Step
    rule : Rule or None
        None evaluates it as a whole.
    box : Box or None
        The box of its results; None where they do not depend on the image.
    why : str
        Why it is evaluated as a whole; empty where it is not.
    """

    step: Step
    rule: Rule | None
    box: Box | None
    why: str = ""


@dataclasses.dataclass(frozen=True, eq=False)
class Plan:
    """Decisions for all steps, and the box of every value that depends on the image.

    Boxes hold for windows at ``places``.
    """

    program: Program
    decisions: tuple[Decision, ...]
    boxes: dict[int, Box]
    places: Places

    @functools.cached_property
    def fixed_broadcasts(self) -> dict[int, Step]:
        """Steps that repeat entries of a parameter: a part of their result needs not all of it."""
        steps = (decision.step for decision in self.decisions if decision.box is None)
        return {step.outputs[0]: step for step in steps if step.name == "broadcast_in_dim"}

    @property
    def image(self) -> int:
        """Number of the value that holds the image."""
        return self.program.arguments[-1]

    def box(self, value: Value) -> Box | None:
        """Box of a value; None where it does not depend on the image."""
        return _box(self.boxes, value)


def make_plan(
    program: Program, window: Sequence[int], largest_share: float, places: Places | None = None
) -> Plan:
    """Follow the box of a window through a program.

    Parameters
    ----------
    program : Program
        Its last argument is a batch of one image ``(1, *spatial, c)``.
    window : sequence of int
        Pixels of the window on each spatial axis.
    largest_share : float
        Boxes that take more than this share of their array are given up for the whole array.
    places : tuple of int array, optional
        Origins of the windows in question on each spatial axis; by default all.
    """
    image = program.arguments[-1]
    spatial = program.avals[image].shape[1:-1]
    places = places or all_places(spatial, window)
    boxes = {image: window_box(spatial, window, places)}
    decisions = []
    for step in program.steps:
        decision = _decide(step, [_box(boxes, value) for value in step.inputs], largest_share)
        decisions.append(decision)
        if decision.box is not None:
            for output, aval in zip(step.outputs, step.out_avals, strict=True):
                alike = len(decision.box) == len(aval.shape)
                boxes[output] = decision.box if alike else (None,) * len(aval.shape)
    return Plan(program, tuple(decisions), boxes, places)


def _box(boxes: dict[int, Box], value: Value) -> Box | None:
    return boxes.get(value) if isinstance(value, int) else None


def _decide(step: Step, inputs: list[Box | None], largest_share: float) -> Decision:
    if all(box is None for box in inputs):
        return Decision(step, None, None)
    everything: Any = (None,) * len(step.out_avals[0].shape)
    if all(box is None or whole(box) for box in inputs):
        return Decision(step, None, everything, INHERITED)
    rule = RULES.get(step.name)
    box = rule.box(step, inputs) if rule else None
    if rule is None:
        return Decision(step, None, everything, f"{step.name} has no rule")
    if box is None:
        return Decision(step, None, everything, f"{step.name} mixes the box with the rest")
    if not whole(box) and share(box) > largest_share:
        return Decision(step, None, everything, "the box is most of the array")
    return Decision(step, rule, box, "the box has grown to the whole array" if whole(box) else "")
