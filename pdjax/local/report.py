"""What a plan does, in words and numbers: step by step, box against full size."""

from __future__ import annotations

import dataclasses
import itertools

from pdjax.local.boxes import box_sizes, whole
from pdjax.local.cost import Schedule
from pdjax.local.plan import Decision, Plan
from pdjax.local.regions import region_shares

__all__ = ["Report", "Row", "make_report"]


SMALL = 1e-3
"""Share of all arithmetic below which a scope is not printed."""


@dataclasses.dataclass(frozen=True)
class Row:
    """One scope of the function, such as a layer.

    Attributes
    ----------
    where : str
        The scope, and the operations in it.
    box, full : tuple of int
        Shapes of the last result: of its box, and of the whole array.
    arithmetic, full_arithmetic : int
        Operations in boxes, and of a full evaluation.
    why : str
        Why it is evaluated as a whole; empty where it is not.
    """

    where: str
    box: tuple[int, ...]
    full: tuple[int, ...]
    arithmetic: int
    full_arithmetic: int
    why: str


@dataclasses.dataclass(frozen=True)
class Report:
    """All scopes in order; printing it gives a table.

    Attributes
    ----------
    rows : tuple of Row
        What holds for all windows.
    head, tail : int
        Images evaluated at once before and after the cut.
    shares : tuple of float
        By region, share of the arithmetic of a full evaluation that is left; the last region is
        that of all windows.
    share : float
        The same, averaged over all places of a window.
    """

    rows: tuple[Row, ...]
    head: int
    tail: int
    shares: tuple[float, ...]
    share: float

    def __str__(self) -> str:
        total = max(sum(row.full_arithmetic for row in self.rows), 1)
        width = max((len(row.where) for row in self.rows), default=0)
        lines = [f"{'where':{width}}  {'box':>16}  {'of':>16}  {'share':>7}  {'of all':>7}"]
        for row in self.rows:
            if row.full_arithmetic < SMALL * total and not row.why:
                continue
            own = row.arithmetic / max(row.full_arithmetic, 1)
            box, full = ("x".join(map(str, shape[1:])) for shape in (row.box, row.full))
            lines.append(
                f"{row.where:{width}}  {box:>16}  {full:>16}  {own:7.1%}  "
                f"{row.full_arithmetic / total:7.1%}  {row.why}".rstrip()
            )
        lines.append(
            f"{self.share:.1%} of the arithmetic is left, averaged over all places (the rows "
            f"hold for any); {self.head} images at once at first, {self.tail} in the last steps"
        )
        return "\n".join(lines)


def make_report(best: Schedule) -> Report:
    """Summarise a plan by scope."""
    changed = [d for d in best.plan.decisions if d.box is not None]
    # Where boxes end within a layer, it gets a row for either part.
    groups = itertools.groupby(changed, key=lambda d: (d.step.where, whole(d.box or ())))
    rows = tuple(_row(where, list(decisions)) for (where, _), decisions in groups)
    full = max(sum(row.full_arithmetic for row in rows), 1)
    shares = tuple(_arithmetic(best, plan) / full for plan in best.plans)
    average = float(region_shares(best.plans) @ shares)
    return Report(rows, best.head, best.tail, shares, average)


def _arithmetic(best: Schedule, head: Plan) -> int:
    decisions = (*head.decisions[: best.cut], *best.plan.decisions[best.cut :])
    return sum(d.arithmetic() for d in decisions if d.box is not None)


def _row(where: str, decisions: list[Decision]) -> Row:
    last = decisions[-1]
    full = tuple(last.step.out_avals[0].shape)
    heavy = max(decisions, key=lambda d: d.arithmetic(full=True))
    return Row(
        where=f"{where or 'function'} ({heavy.step.name})",
        box=box_sizes(last.box, full) if last.box is not None else full,
        full=full,
        arithmetic=sum(d.arithmetic() for d in decisions),
        full_arithmetic=sum(d.arithmetic(full=True) for d in decisions),
        why=next((d.why for d in decisions if d.why), ""),
    )
