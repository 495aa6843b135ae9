"""Regions: windows at whose places less can change than at the worst one.

As sizes are static, a box is as large as the largest over all places of a window. At many places
less would do: near the border the box is cut off, and where a window falls favourably between the
strides of a layer it touches one entry less. So the places on every axis are split in two, and the
head of a network gets a plan for every combination: where both axes are favourable, where one is,
and one that holds for all windows. What each costs to compile is paid back by large runs only.
"""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np

from pdjax.local.boxes import Places
from pdjax.local.plan import Decision, Plan, make_plan

__all__ = [
    "MAX_AXES",
    "favourable_places",
    "region_of",
    "region_plans",
    "region_shares",
    "usual_places",
]

MAX_AXES = 2
"""Spatial axes up to which regions are used: their number doubles with each."""

MUCH_DEARER = 0.5
"""Share of the arithmetic for all places that is saved on average, if some are much dearer."""

SHARES = np.linspace(0.1, 0.9, 17)
"""Shares of an axis's places that may be called favourable; the best is taken."""


def favourable_places(plan: Plan, cut: int) -> tuple[Places, float]:
    """Choose places that are best planned for by themselves.

    Parameters
    ----------
    plan : Plan
        The plan that holds for all places.
    cut : int
        Steps of the head; only they get other plans.

    Returns
    -------
    tuple of int array
        Favourable origins on each axis.
    float
        Share of the plan's arithmetic that is saved, averaged over all places.
    """
    work = np.array([d.arithmetic() for d in plan.decisions if d.box is not None], float)
    head = [d for d in plan.decisions[:cut] if d.box is not None]
    # What is left of the arithmetic of every step of the head, by share of favourable places. The
    # arithmetic goes with the product of the sides of a box, and places on different axes combine
    # freely, so what is left on average is the product over axes.
    left: np.ndarray | float = 1.0
    options = []
    for axis, places in enumerate(plan.places):
        sizes = np.stack([_relative_sizes(d, axis, len(places)) for d in head])
        # The most favourable place is the one with the least arithmetic in all steps together.
        order = np.argsort(work[: len(head)] @ sizes, kind="stable")
        counts = np.maximum(1, (SHARES * len(places)).astype(int))
        # Steps by counts: the largest box over so many of the most favourable places.
        largest = np.maximum.accumulate(sizes[:, order], axis=1)[:, counts - 1]
        share = counts / len(places)
        left = left * (share * largest + 1 - share)
        options.append([np.sort(places[order[:count]]) for count in counts])
    saved = work[: len(head)] @ (1 - left)
    best = int(saved.argmax())
    return tuple(by_share[best] for by_share in options), float(saved[best] / work.sum())


def usual_places(plan: Plan) -> Places | None:
    """Return the places but for a few at which far more changes; None if there are no such few."""
    if all(decision.box is None for decision in plan.decisions):
        return None
    places, saved = favourable_places(plan, len(plan.decisions))
    return places if saved > MUCH_DEARER else None


def _relative_sizes(decision: Decision, axis: int, places: int) -> np.ndarray:
    """Entries that change on an axis, by place, as a share of those that are kept."""
    for span in decision.extent or ():
        if span is not None and span.axis == axis:
            return np.maximum(span.high - span.low, 1) / span.size
    # A step that is whole along this axis takes the same at all places.
    return np.ones(places)


def region_plans(
    plan: Plan, window: tuple[int, ...], largest_share: float, favourable: Places
) -> tuple[Plan, ...]:
    """Return a plan for every choice of favourable or all places on the axes, the last for all."""
    *some, _ = itertools.product(*zip(favourable, plan.places, strict=True))
    plans = [make_plan(plan.program, window, largest_share, places) for places in some]
    return (*plans, plan)


def region_of(plans: tuple[Plan, ...], origins: jax.Array) -> jax.Array:
    """Return which of `region_plans` holds for all of some windows ``(n, d)``: an int.

    The number has one bit an axis, in the order of `region_plans`: 1 where the place of any window
    on that axis is not favourable.
    """
    number = jnp.zeros((), jnp.int32)
    for axis, places in enumerate(plans[-1].places):
        unfavourable = ~np.isin(places, plans[0].places[axis])
        number = 2 * number + jnp.asarray(unfavourable)[origins[:, axis]].any().astype(jnp.int32)
    return number


def region_shares(plans: tuple[Plan, ...]) -> np.ndarray:
    """Share of all places of a window that fall into each region."""
    # In the order of `region_plans`: favourable before all others, the last axis fastest.
    shares = np.ones(1)
    if len(plans) > 1:
        for some, places in zip(plans[0].places, plans[-1].places, strict=True):
            share = len(some) / len(places)
            shares = np.outer(shares, [share, 1 - share]).ravel()
    return shares
