"""Mapping over rows, so many at a time, that memory stays bounded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

__all__ = ["check_batch_size", "map_in_groups"]


def check_batch_size(batch_size: int | None) -> None:
    """Raise ValueError where a batch would hold no image."""
    if batch_size is not None and (not isinstance(batch_size, int) or batch_size < 1):
        raise ValueError(f"batch_size={batch_size!r} must be an int of at least 1")


def map_in_groups(f: Callable[[Any], Any], rows: Any, size: int) -> Any:
    """Apply ``f`` to at most ``size`` rows at a time, evenly shared.

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
    groups = -(-total // size)
    if groups <= 1:
        return f(rows)
    each = -(-total // groups)
    take = jnp.minimum(jnp.arange(groups * each), total - 1).reshape(groups, each)
    outputs = jax.lax.map(lambda i: f(jax.tree.map(lambda a: a[i], rows)), take)
    return jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:])[:total], outputs)
