"""Figures as files and as pictures in a notebook."""

from __future__ import annotations

import base64
import html
import io
import os
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from pdjax._checks import ArgumentValueError
from pdjax._files import atomic_path

__all__ = ["img_of", "png_of", "save_figure"]

DOTS = 150


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure in the format that the suffix of ``path`` names, whole or not at all.

    Words in ``.svg`` and ``.pdf`` stay text, which drawing programs can edit.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        Any figure.
    path : path
        Ends in ``.png`` (150 dots an inch; one a pixel for a figure drawn with ``only=``),
        ``.pdf``, ``.svg`` or what else matplotlib writes.

    Raises
    ------
    ValueError
        If matplotlib does not write files of that suffix.
    FileNotFoundError
        If the folder does not exist.
    """
    path = Path(path)
    kind = path.suffix.removeprefix(".").lower()
    supported = sorted(figure.canvas.get_supported_filetypes())
    if kind not in supported:
        suffixes = ", ".join(f".{name}" for name in supported)
        raise ArgumentValueError("path", "is of no known kind", f"end it in {suffixes}", value=path)
    # Publishers refuse the Type 3 fonts that matplotlib embeds by default.
    with (
        mpl.rc_context({"pdf.fonttype": 42, "svg.fonttype": "none"}),
        atomic_path(path) as temporary,
    ):
        figure.savefig(temporary, format=kind, dpi=getattr(figure, "exact_dpi", DOTS))


def png_of(figure: Figure) -> bytes:
    """Return a figure as PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def img_of(figure: Figure, words: str) -> str:
    """Return a figure as an element of a page, with words for those who cannot see it."""
    data = base64.b64encode(png_of(figure)).decode("ascii")
    return f'<img alt="{html.escape(words)}" src="data:image/png;base64,{data}">'
