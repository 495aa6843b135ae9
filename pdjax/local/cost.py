"""What a plan costs: which boxes to give up, and how many images to evaluate at once.

A step takes the time of its arithmetic, of the bytes it moves, and a fixed one for being started.
Parameters are read, and steps started, once a batch, so large batches save time; activations that
no longer fit into the cache lose it again. The best answer differs between the head of a network,
where boxes are small, and its tail with the large matrices, so both get a batch size of their own.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence

import numpy as np

from pdjax.jaxprs.program import Program
from pdjax.local.boxes import Places, box_sizes, whole
from pdjax.local.plan import Decision, Plan, make_plan
from pdjax.local.regions import MAX_AXES, favourable_places, region_plans, usual_places

__all__ = ["Device", "Schedule", "schedule"]

LONGEST_COMPILATION = 30.0
"""Seconds that are spent on compiling regions at most, however long the run."""

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
    compilation : float
        Seconds that a step takes to compile.
    """

    arithmetic: float
    memory: float
    cache: float
    cache_size: float
    start: float
    largest_batch: int
    budget: float
    compilation: float


DEVICES = {
    "cpu": Device(130e9, 10e9, 40e9, 24e6, 5e-6, 256, 0.75e9, 0.05),
    "gpu": Device(40e12, 2.5e12, 5e12, 40e6, 5e-6, 4096, 8e9, 0.1),
    "tpu": Device(40e12, 1e12, 1e12, 0.0, 2e-6, 4096, 4e9, 0.1),
}
"""Rough figures: of two CPU cores as measured with single operations, of others by data sheet."""


@dataclasses.dataclass(frozen=True, eq=False)
class Schedule:
    """A plan, and how it is run.

    Attributes
    ----------
    plans : tuple of Plan
        Plans of the head for several regions; the last holds for all windows, and for the tail.
    cut : int
        Steps of the head; the rest are the tail.
    head, tail : int
        Images evaluated at once in each.
    seconds, seconds_whole : float
        Predicted time for an image, and what it would be if everything were evaluated as a whole.
    """

    plans: tuple[Plan, ...]
    cut: int
    head: int
    tail: int
    seconds: float
    seconds_whole: float = math.inf

    @property
    def plan(self) -> Plan:
        """The plan that holds for all windows."""
        return self.plans[-1]

    @functools.cached_property
    def crossing(self) -> tuple[int, ...]:
        """Values that the head hands to the tail: made in the one and read in the other."""
        before = {self.plan.image}
        for decision in self.plan.decisions[: self.cut]:
            before.update(decision.step.outputs)
        after = [value for d in self.plan.decisions[self.cut :] for value in d.step.inputs]
        wanted = (v for v in (*after, *self.plan.program.results) if isinstance(v, int))
        # What has no box is fixed, and at hand in the tail as it is in the head.
        crossing = dict.fromkeys(v for v in wanted if v in before and v in self.plan.boxes)
        # The tail is mapped over what it is handed, so there has to be something.
        return tuple(crossing) or (self.plan.image,)


def schedule(
    program: Program,
    window: tuple[int, ...],
    platform: str,
    largest_batch: int | None = None,
    num_images: int = 0,
    memory: float | int = math.inf,
) -> Schedule:
    """Find the cheapest way to evaluate a program where windows change its image.

    The boxes do not depend on ``largest_batch`` and ``memory``, the bytes of the device, so that
    results do not either. From ``num_images``, the images of the whole run, follows what is worth
    compiling.
    """
    # A box that takes most of its array may cost more than it saves. How much is too much depends
    # on the network and the device, so a few answers are planned through and the cheapest is taken.
    device = DEVICES.get(platform, DEVICES["gpu"])
    bounded = dataclasses.replace(
        device,
        largest_batch=min(largest_batch or device.largest_batch, device.largest_batch),
        budget=min(device.budget, memory / 4),
    )
    # Where arrays are rolled, a window that is torn apart changes both ends of an axis. What is
    # planned for all windows holds for that one as well, and would be the whole array: so the
    # others are planned for by themselves, however few images there are.
    usual = usual_places(make_plan(program, window, 1.0)) if len(window) <= MAX_AXES else None
    plans = [make_plan(program, window, share, usual) for share in SHARES]
    if usual is not None:
        return _torn_apart(plans, usual, device, bounded, window)
    found = [_best_batches(plan, device, device.largest_batch) for plan in plans]
    best = min(range(len(found)), key=lambda index: found[index].seconds)
    chosen = dataclasses.replace(found[best], seconds_whole=found[0].seconds)
    # Only then is the batch bounded: with another bound another plan might be the cheapest, and
    # results would differ in rounding.
    if bounded != device:
        whole = _best_batches(plans[0], bounded, bounded.largest_batch).seconds
        chosen = _best_batches(plans[best], bounded, bounded.largest_batch)
        chosen = dataclasses.replace(chosen, seconds_whole=whole)
    affected = any(decision.box for decision in chosen.plan.decisions[: chosen.cut])
    if not affected or len(window) > MAX_AXES:
        return chosen
    # Every region but the one for all windows is one more head to compile.
    favourable, saved = favourable_places(chosen.plan, chosen.cut)
    compilation = (2 ** len(window) - 1) * device.compilation * chosen.cut
    if compilation > min(saved * chosen.seconds * num_images, LONGEST_COMPILATION):
        return chosen
    regions = region_plans(chosen.plan, window, SHARES[best], favourable)
    return dataclasses.replace(chosen, plans=regions, seconds=(1 - saved) * chosen.seconds)


def _torn_apart(
    plans: Sequence[Plan],
    usual: Places,
    device: Device,
    bounded: Device,
    window: tuple[int, ...],
) -> Schedule:
    """Find the cheapest plan for the usual places; all others are regions of their own."""

    def boxes_end(plan: Plan) -> int:
        parts = (i for i, d in enumerate(plan.decisions, 1) if d.box and not whole(d.box))
        return max(parts, default=0)

    # The tail has one plan, that for all windows: boxes have to have ended before it.
    found = [_best_batches(p, device, device.largest_batch, boxes_end(p)) for p in plans]
    best = min(range(len(found)), key=lambda index: found[index].seconds)
    if best == 0:
        # Nothing but whole arrays: one plan does for all places.
        plain = _best_batches(plans[0], bounded, bounded.largest_batch)
        every = make_plan(plans[0].program, window, SHARES[0])
        return dataclasses.replace(plain, plans=(every,), seconds_whole=plain.seconds)
    cut, every = found[best].cut, make_plan(plans[best].program, window, SHARES[best])
    # Batches have to be small enough for the windows that change everything, too.
    batches = 2 ** np.arange(bounded.largest_batch.bit_length())
    rows = [_seconds(decision, every, bounded, batches) for decision in every.decisions[:cut]]
    fits = np.isfinite(np.sum(rows, 0)) if rows else np.ones(len(batches), bool)
    largest = int(batches[fits].max(initial=1))
    chosen = _best_batches(plans[best], bounded, largest, boxes_end(plans[best]))
    regions = region_plans(every, window, SHARES[best], usual)
    return dataclasses.replace(chosen, plans=regions, seconds_whole=found[0].seconds)


def _best_batches(plan: Plan, device: Device, largest: int, earliest: int = 0) -> Schedule:
    """Find where to cut a plan into head and tail, and the best batch size for either."""
    # Powers of two are close enough, and few: every step is costed for all of them at once.
    batches = 2 ** np.arange(largest.bit_length())
    costs = np.array([_seconds(decision, plan, device, batches) for decision in plan.decisions])
    costs = costs.reshape(-1, len(batches))
    # Row `cut` of these has the cost of the steps before a cut, and of those behind it, for each
    # batch size: with the sums at hand, all cuts and all pairs of sizes are compared at once.
    nothing = np.zeros((1, len(batches)))
    head = np.concatenate([nothing, np.cumsum(costs, 0)])
    tail = np.concatenate([np.cumsum(costs[::-1], 0)[::-1], nothing])
    total = head.min(1) + tail.min(1)
    total[:earliest] = np.inf
    # The last of the best: where one batch size suits all steps, there is no tail.
    cut = int(np.flatnonzero(total <= (1 + 1e-9) * total.min())[-1])
    first, second = (int(batches[part[cut].argmin()]) for part in (head, tail))
    second = first if cut == len(plan.decisions) else second
    return Schedule((plan,), cut, first, second, float(total[cut]))


def _seconds(decision: Decision, plan: Plan, device: Device, batches: np.ndarray) -> np.ndarray:
    """Time of a step for an image, by size of its batch; infinite where memory does not suffice."""
    if decision.box is None:
        return np.zeros(len(batches))
    # Entries that are read and written for every image, and those that are read once a batch.
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
    # Activations of a small batch are still in the cache when the next step reads them.
    activations = moved * size
    speed = np.where(batches * activations < device.cache_size, device.cache, device.memory)
    seconds = (
        decision.arithmetic() / device.arithmetic
        + activations / speed
        + (weights * size / device.memory + device.start) / batches
    )
    # Three times over: a compiled program holds more at a time than the arrays of one step. One
    # image has to do, however little there is.
    too_many = (3 * batches * activations > device.budget) & (batches > 1)
    return np.where(too_many, np.inf, seconds)
