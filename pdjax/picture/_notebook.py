"""Figures that nobody looked at in a notebook's cell are shown when it ends, as pyplot's are."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["other_format", "show_after_cell", "shown"]

OTHERS = ("image/jpeg", "image/svg+xml", "application/pdf")

_waiting: list[Figure] = []
_listening: list[Any] = []


def show_after_cell(figure: Figure) -> None:
    """Show a figure at the end of the cell, unless it is drawn before: displayed or saved.

    Without a notebook nothing happens.
    """
    shell = _notebook()
    if shell is None:
        return
    if shell not in _listening:
        _listening.append(shell)
        shell.events.register("post_execute", _show)
    _waiting.append(figure)


def shown(figure: Figure) -> None:
    """Note that a figure has been drawn."""
    _waiting[:] = [other for other in _waiting if other is not figure]


def other_format() -> bool:
    """Whether the notebook shows figures in another format than PNG, as its user can choose."""
    from matplotlib.figure import Figure

    shell = _notebook()
    if shell is None:
        return False
    formatters = shell.display_formatter.formatters
    return any(Figure in formatters[kind].type_printers for kind in OTHERS)


def _show() -> None:
    from IPython.display import display

    while _waiting:
        display(_waiting.pop(0))


def _notebook() -> Any:
    """Return the shell of a kernel, or None: a terminal has nothing to show figures in."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell if getattr(shell, "kernel", None) is not None else None
