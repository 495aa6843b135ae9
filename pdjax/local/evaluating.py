"""Evaluating a recorded function where windows have changed."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pdjax._checks import ArgumentValueError
from pdjax._types import Array, Float, Int, Params
from pdjax.jaxprs.hoisting import hoisted
from pdjax.jaxprs.lowerings import performer
from pdjax.jaxprs.program import Operand
from pdjax.local.interpreter import WindowRun
from pdjax.local.plan import Plan
from pdjax.local.recording import Record, Static
from pdjax.local.regions import region_of

__all__ = ["evaluate", "evaluate_windows", "map_in_groups", "shared_evenly"]


def evaluate(
    record: Record,
    params: Params,
    origins: Int[Array, "n d"],
    patches: Float[Array, "n *window c"],
) -> Any:
    """Evaluate a recorded function at images that differ from the recorded one in a window.

    Parameters
    ----------
    record : Record
        What `record` gave.
    params : PyTree of arrays
        The parameters with which it was recorded.
    origins : int array, shape (n, d)
        First corner of each window; a window must lie within the image.
    patches : float array, shape (n, *window, c)
        The new contents of each window.

    Returns
    -------
    PyTree of arrays (n, ...)
        What the function gives for each of the ``n`` images, up to rounding.

    Raises
    ------
    ValueError
        If shapes do not fit the record, or an origin that is known lies outside the image.
    """
    return evaluate_windows(record, params, origins, patches[:, None])


def evaluate_windows(
    record: Record,
    params: Params,
    origins: Int[Array, "w d"],
    patches: Float[Array, "w s *window c"],
) -> Any:
    """Evaluate ``s`` contents for each of ``w`` windows, arrays ``(w * s, ...)``.

    The same as `evaluate` with every origin repeated ``s`` times, but what surrounds a window is
    cut out once for all of its contents.
    """
    _check_arguments(record.static, params, origins, patches)
    return _evaluate(record, params, origins.astype(jnp.int32), patches)


@jax.jit
def _evaluate(record: Record, params: Params, origins: jax.Array, patches: jax.Array) -> Any:
    static = record.static
    best, program = static.schedule, static.schedule.plan.program
    perform = performer(static.lowerings)
    fixed = program.bound(record.constants, jax.tree.leaves(params))
    fixed |= dict(zip(static.fixed, record.fixed, strict=True))
    kept = dict(zip(static.kept, record.kept, strict=True))
    crossing = best.crossing

    def head(plan: Plan, origin: jax.Array, patch: jax.Array) -> list[Operand]:
        run = WindowRun(plan, perform, kept, fixed, origin)
        patch = patch[None].astype(program.avals[plan.image].dtype)
        return run.head(patch, best.cut, crossing, best.plan)

    def tail(origin: jax.Array, values: list[jax.Array]) -> list[jax.Array]:
        run = WindowRun(best.plan, perform, kept, fixed, origin)
        run.values.update(zip(crossing, values, strict=True))
        run.run(best.plan.decisions[best.cut :])
        return [jnp.asarray(run.whole(value))[0] for value in program.results]

    # A batch is evaluated by the plan that holds for all of its windows. Sorted by region, windows
    # share a batch with others of their own, so that few batches take a plan for the worse.
    order = jnp.argsort(jax.vmap(lambda origin: region_of(best.plans, origin[None]))(origins))
    origins, patches = origins[order], patches[order]
    heads = [_each(functools.partial(head, plan)) for plan in best.plans]
    region = functools.partial(region_of, best.plans)

    # Small batches of the head stay in the cache; large ones of the tail share one reading of its
    # large matrices. So all windows go through the head first, and then through the tail.
    halfway = _in_groups(heads, region, origins, patches, best.head)
    outputs = _in_groups([_each(tail)], region, origins, halfway, best.tail)
    back = jnp.argsort(order)
    flat = [a[back].reshape(-1, *a.shape[2:]) for a in outputs]
    return jax.tree.unflatten(static.outputs, flat)


def _each(f: Callable[[jax.Array, Any], Any]) -> Callable[[jax.Array, Any], Any]:
    """Map a function of one window and one content over windows and their contents."""
    # The inner map leaves the origin alone, so that what is cut out there is cut out once a window.
    return jax.vmap(jax.vmap(f, (None, 0)))


def _in_groups(
    branches: Sequence[Callable[[jax.Array, Any], Any]],
    choose: Callable[[jax.Array], jax.Array],
    origins: jax.Array,
    contents: Any,
    images: int,
) -> Any:
    """Apply one of several functions to windows and their contents, about ``images`` at a time.

    Where there are several, ``choose`` tells by the origins of a group which one it is.
    """
    windows, samples = jax.tree.leaves(contents)[0].shape[:2]
    # Where all contents of a window are too many, the window is taken several times with some.
    together = max(d for d in range(1, min(samples, images) + 1) if samples % d == 0)
    origins = jnp.repeat(origins, samples // together, axis=0)
    contents = jax.tree.map(lambda a: a.reshape(-1, together, *a.shape[2:]), contents)
    rows = (origins, contents)
    each, groups = shared_evenly(len(origins), max(1, images // together))
    if groups > 1:
        some = jax.tree.map(lambda a: jax.ShapeDtypeStruct((each, *a.shape[1:]), a.dtype), rows)
        branches = [hoisted(branch, *some) for branch in branches]

    def chosen(rows: tuple[jax.Array, Any]) -> Any:
        if len(branches) == 1:
            return branches[0](*rows)
        return jax.lax.switch(choose(rows[0]), branches, *rows)

    outputs = map_in_groups(chosen, rows, each)
    return jax.tree.map(lambda a: a.reshape(windows, samples, *a.shape[2:]), outputs)


def map_in_groups(f: Callable[[Any], Any], rows: Any, size: int) -> Any:
    """Apply ``f`` to at most ``size`` rows at a time, evenly shared, so that memory is bounded.

    Parameters
    ----------
    f : callable
        From a PyTree of arrays ``(rows, ...)`` to another one.
    rows : PyTree of arrays (n, ...)
    size : int
        Rows at a time, at most.

    Examples
    --------
    >>> map_in_groups(lambda x: 2 * x, jnp.arange(5), size=2)
    Array([0, 2, 4, 6, 8], dtype=int32)
    """
    total = len(jax.tree.leaves(rows)[0])
    each, groups = shared_evenly(total, size)
    if groups <= 1:
        return f(rows)
    # All groups must have the same size: the last one is filled up with the last row.
    take = jnp.minimum(jnp.arange(groups * each), total - 1).reshape(groups, each)
    outputs = jax.lax.map(lambda i: f(jax.tree.map(lambda a: a[i], rows)), take)
    return jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:])[:total], outputs)


def shared_evenly(total: int, size: int) -> tuple[int, int]:
    """Return how many rows a group has, at most ``size``, and how many groups there are.

    Examples
    --------
    >>> shared_evenly(10, 4)
    (4, 3)
    """
    groups = -(-total // size)
    return max(1, -(-total // max(groups, 1))), groups


def _check_arguments(
    static: Static, params: Params, origins: jax.Array, patches: jax.Array
) -> None:
    if jax.tree.structure(params) != static.params:
        raise ArgumentValueError(
            "params",
            "has another structure than that of the record",
            "pass the parameters with which the function was recorded",
        )
    aval = static.schedule.plan.program.avals[static.schedule.plan.image]
    wanted = (*static.window, aval.shape[-1])
    if patches.shape[2:] != wanted:
        raise ArgumentValueError(
            "patches",
            f"of shape {patches.shape[2:]} each do not fit the recorded window",
            f"each must be {wanted}",
        )
    if origins.shape != (len(patches), len(static.window)):
        raise ArgumentValueError(
            "origins",
            f"of shape {origins.shape} do not fit {len(patches)} windows",
            f"give one corner of {len(static.window)} ints for each",
        )
    if isinstance(origins, jax.core.Tracer):
        return
    last = [side - k for side, k in zip(aval.shape[1:-1], static.window, strict=True)]
    places = np.asarray(origins)
    if places.size and (places.min() < 0 or (places.max(0) > last).any()):
        raise ArgumentValueError(
            "origins",
            f"do not all leave a window of {static.window} within the image",
            f"they may be 0 to {last} on each axis",
        )
