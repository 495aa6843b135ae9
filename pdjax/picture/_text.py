"""Words set to a width: wrapped, and shortened where they would take too many lines."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from functools import partial
from itertools import islice

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

__all__ = ["fitted", "height_of", "signed", "width_of"]

LINE_SPACING = 1.25
ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"


def width_of(text: str, size: float, weight: str = "normal") -> float:
    """Return the width of one line in inches, at a font size in points."""
    return _inches(text, FontProperties(size=size, weight=weight))


def height_of(text: str, size: float) -> float:
    """Return the height of all lines of a text in inches, 0 for none."""
    return (text.count("\n") + 1) * size * LINE_SPACING / 72 if text else 0.0


def signed(value: float) -> str:
    """Return a number with its sign and three digits, zero without a sign."""
    return "0" if value == 0 else f"{value:+.3g}".replace("-", "\N{MINUS SIGN}")


def fitted(text: str, *, width: float, size: float, max_lines: int, weight: str = "normal") -> str:
    """Break text into lines of at most ``width`` inches at a font size in points.

    Where ``max_lines`` are not enough, words are left out before the last comma, so that what
    stands after it (the probability of a class) remains, and an ellipsis marks the gap.
    """
    font = FontProperties(size=size, weight=weight)
    whole = " ".join(text.split())
    lines = _lines(whole, width, font, max_lines + 1)
    if len(lines) <= max_lines:
        return "\n".join(lines)
    head, _, tail = whole.rpartition(",")
    if not head or _inches(tail, font) > width / 2:
        head, tail = whole, ""
    fits, too_long = 0, len(head)
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        if len(_lines(_cut(head, middle) + tail, width, font, max_lines + 1)) <= max_lines:
            fits = middle
        else:
            too_long = middle
    return "\n".join(_lines(_cut(head, fits) + tail, width, font, max_lines))


def _cut(text: str, length: int) -> str:
    """Return the whole words of the first ``length`` characters, or those where there is none."""
    start = text[:length]
    if not text[length : length + 1].isspace() and " " in start:
        start = start.rpartition(" ")[0]
    return start.rstrip(" ,") + ELLIPSIS


def _lines(text: str, width: float, font: FontProperties, most: int) -> list[str]:
    """Return the first ``most`` lines of a text."""
    return list(islice(_all_lines(text, width, font), most))


def _all_lines(text: str, width: float, font: FontProperties) -> Iterator[str]:
    line = ""
    for word in text.split():
        longer = f"{line} {word}" if line else word
        if _inches(longer, font) <= width:
            line = longer
            continue
        if line:
            yield line
        line = word
        while len(line) > 1 and _inches(line, font) > width:
            lengths = range(1, len(line))
            end = max(1, bisect_right(lengths, width, key=partial(_start_width, line, font)))
            yield line[:end]
            line = line[end:]
    if line:
        yield line


def _inches(text: str, font: FontProperties) -> float:
    return float(text_to_path.get_text_width_height_descent(text, font, ismath=False)[0]) / 72


def _start_width(text: str, font: FontProperties, length: int) -> float:
    return _inches(text[:length], font)
