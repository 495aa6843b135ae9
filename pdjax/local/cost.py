"""What a plan costs: which boxes to give up, and how many images to evaluate at once.

A step takes the time of its arithmetic, of the bytes it moves, and a fixed one for being started.
Parameters are read, and steps started, once a batch, so large batches save time; activations that
no longer fit into the cache lose it again. The best answer differs between the head of a network,
where boxes are small, and its tail with the large matrices, so both get a batch size of their own.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from pdjax.local.boxes import box_sizes
from pdjax.local.plan import Decision, Plan, make_plan
from pdjax.local.program import Program

__all__ = ["Device", "Schedule", "arithmetic", "schedule"]

SHARES = (0.0, 0.2, 0.35, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Shares of an array beyond which a box may be given up; the cheapest is taken."""


@dataclasses.dataclass(frozen=True)
class Device:
    """What a device can do; only the proportions matter.

    Attributes
    ----------
    arithmetic : float
        Operations a second.
    memory, cache : float
        Bytes a second from memory and from the cache.
    cache_size : float
        Bytes of the cache.
    start : float
        Seconds that a step takes to start.
    largest_batch : int
        Images to evaluate at once, at most.
    budget : float
        Bytes that a batch may take.
    """

    arithmetic: float
    memory: float
    cache: float
    cache_size: float
    start: float
    largest_batch: int
    budget: float


DEVICES = {
    "cpu": Device(130e9, 10e9, 40e9, 24e6, 5e-6, 256, 0.75e9),
    "gpu": Device(40e12, 2.5e12, 5e12, 40e6, 5e-6, 4096, 8e9),
    "tpu": Device(40e12, 1e12, 1e12, 0.0, 2e-6, 4096, 4e9),
}
"""Rough figures: of two CPU cores as measured with single operations, of others by data sheet."""


@dataclasses.dataclass(frozen=True, eq=False)
class Schedule:
    """A plan, and how it is run.

    Attributes
    ----------
    plan : Plan
    cut : int
        Steps of the head; the rest are the tail.
    head, tail : int
        Images evaluated at once in each.
    seconds : float
        Predicted time for an image.
    """

    plan: Plan
    cut: int
    head: int
    tail: int
    seconds: float


def schedule(
    program: Program, window: Sequence[int], platform: str, largest_batch: int | None = None
) -> Schedule:
    """Find the cheapest way to evaluate a program where windows change its image.

    The boxes do not depend on ``largest_batch``, so that results do not either.
    """
    device = DEVICES.get(platform, DEVICES["gpu"])
    plans = (make_plan(program, window, share) for share in SHARES)
    found = (_best_batches(plan, device, device.largest_batch) for plan in plans)
    best = min(found, key=lambda schedule: schedule.seconds)
    if largest_batch is None:
        return best
    return _best_batches(best.plan, device, min(largest_batch, device.largest_batch))


def _best_batches(plan: Plan, device: Device, largest: int) -> Schedule:
    batches = 2 ** np.arange(largest.bit_length())
    costs = np.array([_seconds(decision, plan, device, batches) for decision in plan.decisions])
    costs = costs.reshape(-1, len(batches))
    none = np.zeros((1, len(batches)))
    head = np.concatenate([none, np.cumsum(costs, 0)])
    tail = np.concatenate([np.cumsum(costs[::-1], 0)[::-1], none])
    total = head.min(1) + tail.min(1)
    cut = int(total.argmin())
    first, second = (int(batches[part[cut].argmin()]) for part in (head, tail))
    # A part without steps goes along with the other.
    first = second if cut == 0 else first
    second = first if cut == len(plan.decisions) else second
    return Schedule(plan, cut, first, second, float(total[cut]))


def _seconds(decision: Decision, plan: Plan, device: Device, batches: np.ndarray) -> np.ndarray:
    """Time of a step for an image, by size of its batch; infinite where memory does not suffice."""
    if decision.box is None:
        return np.zeros(len(batches))
    step, size = decision.step, decision.step.out_avals[0].dtype.itemsize
    moved = sum(math.prod(box_sizes(decision.box, aval.shape)) for aval in step.out_avals[:1])
    weights = 0
    for value, aval in zip(step.inputs, step.in_avals, strict=True):
        box = plan.box(value)
        if box is None:
            weights += math.prod(aval.shape)
            continue
        own = math.prod(box_sizes(box, aval.shape))
        # What surrounds a box is cut out, the box put into it, and both read again.
        moved += own if decision.rule is not None else math.prod(aval.shape)
        moved += 0 if all(span is None for span in box) else 2 * own
    activations = moved * size
    speed = np.where(batches * activations < device.cache_size, device.cache, device.memory)
    seconds = (
        arithmetic(decision) / device.arithmetic
        + activations / speed
        + (weights * size / device.memory + device.start) / batches
    )
    return np.where(3 * batches * activations > device.budget, np.inf, seconds)


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
