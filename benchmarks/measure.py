"""What all benchmarks share: timing that alternates between rivals, and tables to paste."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax

__all__ = ["Seconds", "environment", "print_table", "time_alternately"]


class Seconds(NamedTuple):
    """Wall time of one call: the median over repeats, the shortest and the longest."""

    median: float
    least: float
    most: float

    def per(self, count: float) -> Seconds:
        """Return the time of one of ``count`` equal parts."""
        return Seconds(*(value / count for value in self))


def time_alternately(calls: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, Seconds]:
    """Time every call ``repeats`` times, one after the other in every round.

    Alternating spreads a slow spell of the machine over all rivals. The calls should have been
    made once before; their results are waited for.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            start = time.perf_counter()
            jax.block_until_ready(call())
            seconds[name].append(time.perf_counter() - start)
    return {
        name: Seconds(statistics.median(values), min(values), max(values))
        for name, values in seconds.items()
    }


def environment() -> list[tuple[str, str]]:
    """Versions, device and load: what a number means nothing without."""
    device = jax.devices()[0]
    usable = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))(0)
    rows = [
        *((name, importlib.metadata.version(name)) for name in ("pdjax", "jax", "numpy")),
        ("python", platform.python_version()),
        ("platform", platform.platform()),
        ("device", f"{jax.local_device_count()} x {device.device_kind} ({device.platform})"),
        ("cores", str(len(usable))),
    ]
    if hasattr(os, "getloadavg"):
        rows.append(("load before the run", f"{os.getloadavg()[0]:.1f}"))
    return rows


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a Markdown table with aligned columns, all but the first to the right."""
    columns = list(zip(header, *rows, strict=True))
    widths = [max(3, *map(len, column)) for column in columns]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    for first, *rest in (header, rule, *rows):
        aligned = [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
        print("| " + " | ".join([first.ljust(widths[0]), *aligned]) + " |")
    print(flush=True)
