"""Many maps, many photographs, many metrics: one table, with intervals over photographs."""

from __future__ import annotations

import csv
import dataclasses
import io
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pdjax._checks import ArgumentValueError
from pdjax._files import atomic_path

__all__ = ["Interval", "Table", "evaluate"]


@dataclasses.dataclass(frozen=True)
class Interval:
    """A mean over photographs, with the ends of its bootstrap interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3g} [{self.low:.3g}, {self.high:.3g}]"


@dataclasses.dataclass(frozen=True)
class Table:
    """Metrics of methods over photographs.

    Attributes
    ----------
    values : dict of dict of float array (photographs,)
        By method, then by metric; NaN where a metric could not be computed for a photograph.
    confidence : float
        Of the intervals.
    """

    values: dict[str, dict[str, np.ndarray]]
    confidence: float = 0.95

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics."""
        return tuple(next(iter(self.values.values())))

    def interval(self, method: str, metric: str) -> Interval:
        """Return the mean over photographs with its interval (percentile bootstrap)."""
        from scipy.stats import bootstrap

        values = self.values[method][metric]
        values = values[np.isfinite(values)]
        if len(values) < 2 or np.ptp(values) == 0:
            mean = float(values.mean()) if len(values) else float("nan")
            return Interval(mean, mean, mean)
        found = bootstrap(
            (values,),
            np.mean,
            confidence_level=self.confidence,
            n_resamples=2000,
            method="percentile",
            rng=np.random.default_rng(0),
        ).confidence_interval
        return Interval(float(values.mean()), float(found.low), float(found.high))

    def rows(self) -> list[dict[str, Any]]:
        """One row for each method and metric: mean, ends of the interval, photographs."""
        return [
            {
                "method": method,
                "metric": metric,
                **dataclasses.asdict(self.interval(method, metric)),
                "photographs": int(np.isfinite(self.values[method][metric]).sum()),
            }
            for method in self.values
            for metric in self.metrics
        ]

    def __str__(self) -> str:
        lines = ["| method | " + " | ".join(self.metrics) + " |"]
        lines.append("|---" * (len(self.metrics) + 1) + "|")
        for method in self.values:
            cells = (str(self.interval(method, metric)) for metric in self.metrics)
            lines.append(f"| {method} | " + " | ".join(cells) + " |")
        return "\n".join(lines)

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write `rows` as a table of comma-separated values."""
        text, rows = io.StringIO(), self.rows()
        writer = csv.DictWriter(text, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
        with atomic_path(path) as temporary:
            temporary.write_text(text.getvalue(), encoding="utf-8")


def evaluate(
    maps: Mapping[str, Sequence[np.ndarray]],
    metrics: Mapping[str, Callable[[int, np.ndarray], float]],
) -> Table:
    """Evaluate maps of several methods on the same photographs.

    Parameters
    ----------
    maps : mapping of str to sequence of float array (*spatial)
        By method, a map for each photograph, in one order.
    metrics : mapping of str to callable
        ``metric(photograph, relevance) -> float``, given the index of the photograph. One that
        raises ValueError, as most do for a map without relevance, counts as NaN.

    Returns
    -------
    Table
        With bootstrap intervals over photographs; ``str`` of it is a table, `Table.to_csv` a file.

    Raises
    ------
    ValueError
        If methods have different numbers of maps, or there is nothing to evaluate.

    Examples
    --------
    >>> maps = {"a": [np.eye(4), np.ones((4, 4))], "b": [np.eye(4)] * 2}
    >>> table = evaluate(maps, {"share": lambda photograph, relevance: float(relevance.mean())})
    >>> table.values["a"]["share"].tolist(), table.interval("b", "share").mean
    ([0.25, 1.0], 0.25)
    """
    counts = {len(some) for some in maps.values()}
    if len(counts) != 1 or not metrics:
        raise ArgumentValueError(
            "maps", "must have the same number of maps by method, and metrics to evaluate them by"
        )
    values = {
        method: {
            name: np.array([_value(metric, index, each) for index, each in enumerate(some)])
            for name, metric in metrics.items()
        }
        for method, some in maps.items()
    }
    return Table(values)


def _value(metric: Callable[[int, np.ndarray], float], index: int, relevance: np.ndarray) -> float:
    try:
        return float(metric(index, np.asarray(relevance)))
    except ValueError:
        return float("nan")
