"""One kind of progress bar: rate, time left, silent where nobody waits."""

from __future__ import annotations

import warnings
from types import TracebackType
from typing import Protocol, runtime_checkable

__all__ = ["Bar", "progress_bar"]


@runtime_checkable
class Bar(Protocol):
    """What is used of a bar of tqdm, which is imported when the first one is made."""

    n: float
    total: float | None
    leave: bool

    def update(self, n: float = 1) -> bool | None:
        """Count on."""

    def refresh(self) -> object:
        """Draw it anew."""

    def set_postfix_str(self, s: str) -> None:
        """Show a few words behind it."""

    def close(self) -> None:
        """End it."""

    def __enter__(self) -> Bar: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


def progress_bar(
    total: int | None,
    unit: str,
    enabled: bool,
    description: str = "",
    initial: int = 0,
    delay: float = 0.0,
) -> Bar:
    """Return a bar that counts to ``total`` and shows the rate in ``unit``/s and the time left.

    Where the total is not known, neither is the time. It appears after ``delay`` seconds, if the
    work is not done by then. Bytes, ``"B"``, are shown in thousands and millions.
    """
    with warnings.catch_warnings():
        # Without notebook widgets the bar is drawn as text, which is as good.
        warnings.simplefilter("ignore")
        from tqdm.auto import tqdm
    bar: Bar = tqdm(
        total=total,
        initial=initial,
        delay=delay,
        unit=f" {unit}",
        unit_scale=unit == "B",
        desc=description or None,
        disable=not enabled,
        mininterval=0.2,
        dynamic_ncols=True,
        smoothing=0.1,
    )
    return bar
