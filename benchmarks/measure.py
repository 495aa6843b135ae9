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
    """Wall time of one call: the median over repeats, the shortest and the longest.

    ``processor`` is the median of the time that all cores together spent in this process. It is
    the steadier number where other programs run as well.
    """

    median: float
    least: float
    most: float
    processor: float

    def per(self, count: float) -> Seconds:
        """Return the time of one of ``count`` equal parts."""
        return Seconds(*(value / count for value in self))


def time_alternately(calls: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, Seconds]:
    """Time every call ``repeats`` times, one after the other in every round.

    Alternating spreads a slow spell of the machine over all rivals. The calls should have been
    made once before; their results are waited for.
    """
    wall: dict[str, list[float]] = {name: [] for name in calls}
    processor: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            start, busy = time.perf_counter(), time.process_time()
            jax.block_until_ready(call())
            wall[name].append(time.perf_counter() - start)
            processor[name].append(time.process_time() - busy)
    median = statistics.median
    return {
        name: Seconds(median(spent), min(spent), max(spent), median(processor[name]))
        for name, spent in wall.items()
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
    """Print a Markdown table with aligned columns: words to the left, numbers to the right."""
    columns = list(zip(header, *rows, strict=True))
    widths = [max(3, *map(len, column)) for column in columns]
    right = [any(cell[:1].isdecimal() for cell in column[1:2]) for column in columns]
    rule = ["-" * (w - 1) + (":" if r else "-") for w, r in zip(widths, right, strict=True)]
    for row in (header, rule, *rows):
        cells = zip(row, widths, right, strict=True)
        print("| " + " | ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in cells) + " |")
    print(flush=True)
