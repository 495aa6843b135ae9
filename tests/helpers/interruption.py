"""Runs that somebody interrupts, and what their progress bars were told.

A run counts every chunk of its work on a bar of tqdm, one that is not shown as well, so that a run
can be watched and ended there without knowing how it is made.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import tqdm.std

__all__ = ["Watch", "interrupt", "passing_time", "watching"]


class Watch:
    """What has been seen of bars.

    Attributes
    ----------
    chunks : int
        Updates of all of them.
    """

    def __init__(self) -> None:
        self.chunks = 0
        self._bars: list[tuple[Any, float]] = []

    def made(self, bar: Any) -> None:
        self._bars.append((bar, bar.n))

    @property
    def initial(self) -> float:
        """Where the last bar began."""
        return self._bars[-1][1]

    @property
    def total(self) -> float:
        """What the last bar counted to."""
        return self._bars[-1][0].total


@contextlib.contextmanager
def watching(
    patience: int | None = None, each: Callable[[], object] = lambda: None
) -> Iterator[Watch]:
    """Watch all bars, call ``each`` at every chunk, and lose patience at so many."""
    seen, make, update = Watch(), tqdm.std.tqdm.__init__, tqdm.std.tqdm.update

    def made(bar: Any, *arguments: Any, **options: Any) -> None:
        make(bar, *arguments, **options)
        seen.made(bar)

    def counted(bar: Any, n: float = 1) -> bool | None:
        seen.chunks += 1
        each()
        if seen.chunks == patience:
            raise KeyboardInterrupt
        return update(bar, n)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tqdm.std.tqdm, "__init__", made)
        patch.setattr(tqdm.std.tqdm, "update", counted)
        yield seen


def interrupt(after: int, call: Callable[..., object], *arguments: Any, **options: Any) -> None:
    """Call something that is interrupted after so many chunks."""
    with watching(after), pytest.raises(KeyboardInterrupt):
        call(*arguments, **options)


@contextlib.contextmanager
def passing_time(seconds: float = 0.0) -> Iterator[Callable[[float], None]]:
    """Let that many seconds pass between two looks at the clock, and give a way to wait more."""
    now = 0.0

    def monotonic() -> float:
        wait(seconds)
        return now

    def wait(longer: float) -> None:
        nonlocal now
        now += longer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "monotonic", monotonic)
        yield wait
