"""Deciding, before anything runs, which box of every value a window can change.

The box of the window is followed from the image through all steps, by the rule of each. As `boxes`
shows by example, it gets smaller with every stride and grows with every kernel, and where it has
come to be most of the array, or meets an operation without a rule, the rest of the network is
evaluated as a whole.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence

from pdjax.jaxprs.program import Program, Step, Value
from pdjax.local.boxes import Box, Places, all_places, box_sizes, settled, share, whole, window_box
from pdjax.local.rules import RULES
from pdjax.local.rules.rule import Rule

__all__ = ["Decision", "Plan", "make_plan"]


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
    extent : Box or None
        The same as the box, but for axes all of which change at a few places of the window only:
        what changes of them, place by place. From this follows what is planned for the others.
    why : str
        Why it is evaluated as a whole, where that begins with this step; empty elsewhere.
    """

    step: Step
    rule: Rule | None
    box: Box | None
    extent: Box | None
    why: str = ""

    def arithmetic(self, full: bool = False) -> int:
        """Multiplications and additions of the step in its box, or for the full result."""
        step = self.step
        shape = step.out_avals[0].shape
        results = math.prod(shape if full or self.box is None else box_sizes(self.box, shape))
        if step.name == "conv_general_dilated":
            kernel, numbers = step.in_avals[1].shape, step.params["dimension_numbers"]
            return 2 * results * math.prod(kernel) // kernel[numbers.rhs_spec[0]]
        if step.name == "dot_general":
            contracted = step.params["dimension_numbers"][0][0]
            return 2 * results * math.prod(step.in_avals[0].shape[axis] for axis in contracted)
        return results * math.prod(step.params.get("window_dimensions", (1,)))


@dataclasses.dataclass(frozen=True, eq=False)
class Plan:
    """Decisions for all steps, and the box of every value that depends on the image.

    Attributes
    ----------
    program : Program
    decisions : tuple of Decision
        One for every step, in order.
    boxes, extents : dict
        By number of a value, the box that a window can change of it, and its extent.
    places : Places
        Where the window may lie: the plan holds for windows at these places only.
    """

    program: Program
    decisions: tuple[Decision, ...]
    boxes: dict[int, Box]
    extents: dict[int, Box]
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
    first = window_box(spatial, window, places)
    boxes, extents = {image: settled(first)}, {image: settled(first, seams=True)}
    decisions = []
    for step in program.steps:
        decision = _decide(step, [_box(extents, value) for value in step.inputs], largest_share)
        decisions.append(decision)
        for kept, box in ((boxes, decision.box), (extents, decision.extent)):
            if box is not None:
                for output, aval in zip(step.outputs, step.out_avals, strict=True):
                    # A step with results of several ranks has no rule: all of them have changed.
                    alike = len(box) == len(aval.shape)
                    kept[output] = box if alike else (None,) * len(aval.shape)
    return Plan(program, tuple(decisions), boxes, extents, places)


def _box(boxes: dict[int, Box], value: Value) -> Box | None:
    return boxes.get(value) if isinstance(value, int) else None


def _decide(step: Step, inputs: list[Box | None], largest_share: float) -> Decision:
    # A step that depends on parameters alone is no part of the evaluation: it is done once, before.
    if all(box is None for box in inputs):
        return Decision(step, None, None, None)
    everything: Box = (None,) * len(step.out_avals[0].shape)
    # Once all of an operand may have changed there is nothing to follow any more. This holds for
    # most of the steps behind the one where it began, which alone says why.
    if all(box is None or whole(box) for box in inputs):
        return Decision(step, None, everything, everything)
    rule = RULES.get(step.name)
    found = rule.box(step, inputs) if rule else None
    if rule is None:
        return Decision(step, None, everything, everything, f"{step.name} has no rule")
    if found is None:
        why = rule.why or f"{step.name} mixes the box with the rest"
        return Decision(step, None, everything, everything, why)
    box, extent = settled(found), settled(found, seams=True)
    if all(one is None or whole(settled(one)) for one in inputs):
        return Decision(step, None, everything, extent)
    # Arithmetic is saved in proportion to the box, but cutting its surroundings out and putting
    # the box into them costs time for every step. `cost` finds the share beyond which it is more.
    if not whole(box) and share(box) > largest_share:
        extent = everything if extent == box else extent
        return Decision(step, None, everything, extent, "the box is most of the array")
    why = rule.why or "the box has grown to the whole array"
    if not whole(extent):
        why = "at few places of the window all changes; they are a region of their own"
    if not whole(box):
        return Decision(step, rule, box, extent)
    return Decision(step, rule if rule.joins or not rule.why else None, box, extent, why)
