"""Words set to a width: wrapped, and shortened where they would take too many lines."""

from __future__ import annotations

import functools
import re
import textwrap

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

__all__ = ["fitted", "signed"]

ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"
# Widths of letters as they are drawn differ from their outlines' by a few parts in a hundred.
USED_WIDTH = 0.97


def signed(value: float, position: int | None = None) -> str:
    """Return a number with its sign and three digits, zero without a sign, as a tick is called."""
    return "0" if value == 0 else f"{value:+.3g}".replace("-", "\N{MINUS SIGN}")


def fitted(text: str, *, width: float, size: float, max_lines: int, weight: str = "normal") -> str:
    """Break text into lines of at most ``width`` inches at a font size in points.

    Where ``max_lines`` are not enough, words are left out before the last comma, so that what
    stands after it (the probability of a class) remains, and an ellipsis marks the gap.
    """
    text = " ".join(text.split())
    allowed, whole = USED_WIDTH * width, _width_of(text, size, weight)
    if whole <= allowed:
        return text
    # Lines are counted in letters, so the widest line decides: begin with more letters than fit
    # at this text's own average and take away until every line does.
    lines = []
    for count in range(min(len(text), int(1.3 * len(text) * allowed / whole) + 3), 0, -1):
        lines = _lines(text, count, max_lines)
        if max(_width_of(line, size, weight) for line in lines) <= allowed:
            break
    return "\n".join(lines)


def _lines(text: str, count: int, max_lines: int) -> list[str]:
    """Break text into lines of at most ``count`` letters."""
    tail = text.rpartition(",")[2]
    kept = ELLIPSIS + (tail if len(tail) < count / 2 else "")
    # A word that is longer than a line goes on in the next; `textwrap` would leave it out whole.
    pieces = re.sub(rf"\S{{{max(count - 1, 1)}}}(?=\S\S)", r"\g<0> ", text)
    lines = textwrap.wrap(pieces, count, max_lines=max_lines, placeholder=kept)
    return [line.replace("," + ELLIPSIS, ELLIPSIS) for line in lines]


def _width_of(text: str, size: float, weight: str = "normal") -> float:
    """Return the width of one line in inches, at a font size in points."""
    return size / 72 * sum(_width_of_letter(letter, weight) for letter in text)


@functools.cache
def _width_of_letter(letter: str, weight: str) -> float:
    """Return the width of a letter as a share of the font's size."""
    font = FontProperties(size=1.0, weight=weight)
    return float(text_to_path.get_text_width_height_descent(letter, font, ismath=False)[0])
