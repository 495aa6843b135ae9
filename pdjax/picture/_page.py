"""The page: a figure that shows itself, with panels of a given size and room for all words."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from pdjax.picture._notebook import other_format, show_after_cell, shown
from pdjax.picture._text import fitted

__all__ = ["FAINT", "GAP", "INK", "Bare", "Picture", "RowsOfPanels", "image_size"]

INK = "#1a1a1a"
FAINT = "#5c5c5c"

DOTS = 100
GAP = 0.16
ROW_GAP = 0.07
# The layout is computed when a figure is made and then stays: where an image does not fill its
# cell, it would lend the rest to words, and the cell would grow from one drawing to the next.
LAYOUT = ConstrainedLayoutEngine(w_pad=GAP / 2, h_pad=ROW_GAP, wspace=0.0, hspace=0.0)
PLENTY = 30.0

SIDE, LEAST_SIDE = 2.9, 1.0
CAPTION_SIZE = 7.5
HEADING_SIZE = 8.5
PAGE_TITLE_SIZE = 13.0
TITLE_SIZE = 11.0
TITLE_LINE = 1.2 * TITLE_SIZE / 72


class Picture(Figure):
    """A figure of its own, known to no window or global state, that notebooks can display.

    Its panels are added to `cells`, the first before anything else.

    Parameters
    ----------
    panel : pair of float
        Inches of a panel across and down, without the words and bars around it.
    columns : int
        How many panels there are side by side.
    heights : sequence of float
        Inches of each row of cells: of panels, or of something else between them.
    """

    equal = True
    """Whether pixels are drawn as squares."""

    def __init__(self, panel: tuple[float, float], columns: int, heights: Sequence[float]) -> None:
        super().__init__(dpi=DOTS, facecolor="white")
        self.set_layout_engine("none")
        FigureCanvasAgg(self)
        self.panel_size = panel
        self.cells = self.add_gridspec(len(heights), columns)
        self.set_heights(heights)

    def set_heights(self, heights: Sequence[float]) -> None:
        """Give each row of cells a height in inches."""
        self.inside = self.cells.ncols * self.panel_size[0], sum(heights)
        self.cells.set_height_ratios(heights)

    def fit(self) -> float:
        """Make the paper just so large that cells have their size; return its width in inches.

        Constrained layout gives words and bars the inches that they need and shares the rest out.
        So on a paper with plenty of room it shows what they need, and how much less would do.
        """
        across, down = (2 * inches + PLENTY for inches in self.inside)
        self.set_size_inches(across, down)
        LAYOUT.execute(self)
        first, (width, height) = self.axes[0].get_position(), self.panel_size
        across -= self.inside[0] * (first.width * across / width - 1)
        down -= self.inside[1] * (first.height * down / height - 1)
        self.set_size_inches(across, down)
        return across

    def finish(self, caption: str, width: float) -> None:
        """Write a caption under everything, wrapped to ``width`` inches, and lay the page out."""
        lines = caption.splitlines()
        words = [fitted(each, width=width, size=CAPTION_SIZE, max_lines=20) for each in lines]
        if words:
            self.supxlabel(
                "\n".join(words),
                x=GAP / 2 / (width + GAP),
                ha="left",
                fontsize=CAPTION_SIZE,
                color=FAINT,
                parse_math=False,
            )
        self.fit()
        LAYOUT.execute(self)
        for axes in self.axes:
            if axes.images and self.equal:
                axes.set_aspect("equal")
        self.ready()

    def ready(self) -> None:
        """Have a notebook show the figure at the end of the cell, as those of pyplot are."""
        show_after_cell(self)

    def draw(self, renderer: Any) -> None:
        """Draw, which shows the figure or writes it, so that it need not be shown again."""
        # Renderers of several backends share no class.
        shown(self)
        super().draw(renderer)

    def _repr_png_(self) -> bytes | None:
        """Return the figure as PNG, in which IPython shows an object; None for another format."""
        if other_format():
            return None
        buffer = io.BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()


class RowsOfPanels(Picture):
    """A page of rows of panels for images of one size, each row under a title of its own.

    Parameters
    ----------
    shape : pair of int
        Pixels of the images, down and across.
    rows : int
        How many rows there are.
    headings : sequence of str
        What is in each column, written under its last panel.
    first_once : bool
        Whether the first column has a panel in the first row only.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        rows: int,
        headings: Sequence[str],
        *,
        first_once: bool = False,
    ) -> None:
        self.first_title = int(first_once and rows > 1)
        width, self.image_height = image_size(*shape, side=SIDE)
        # Narrow images have words under them all the same, and flat ones beside them.
        panel = max(width, LEAST_SIDE), max(self.image_height, LEAST_SIDE)
        super().__init__(panel, len(headings), [ROW_GAP, panel[1]] * rows)
        self.panels = [
            [
                self.add_subplot(self.cells[2 * row + 1, column])
                for column in range(1 if first_once and row else 0, len(headings))
            ]
            for row in range(rows)
        ]
        lowest = [self.panels[0 if first_once else -1][0], *self.panels[-1][-len(headings) + 1 :]]
        for axes, heading in zip(lowest[: len(headings)], headings, strict=True):
            words = fitted(heading, width=panel[0], size=HEADING_SIZE, max_lines=2)
            axes.set_xlabel(words, fontsize=HEADING_SIZE, color=FAINT, labelpad=4, parse_math=False)

    def finish_rows(self, titles: Sequence[str], caption: str, title: str | None = None) -> None:
        """Write a title over each row and a caption under all, and lay the page out.

        A ``title`` stands over all rows, or in place of the only one's.
        """
        width = self.fit() - GAP
        # A photo that is drawn once belongs to all rows, so their titles stand beside it.
        room = width - self.first_title * (self.panel_size[0] + GAP)
        if title is not None and len(titles) == 1:
            titles = [title]
        elif title:
            words = fitted(title, width=width, size=PAGE_TITLE_SIZE, max_lines=2, weight="bold")
            self.suptitle(
                words,
                x=GAP / 2 / (width + GAP),
                ha="left",
                fontsize=PAGE_TITLE_SIZE,
                fontweight="bold",
                color=INK,
                parse_math=False,
            )
        heights: list[float] = []
        for row, words in enumerate(titles):
            words = fitted(words, width=room, size=TITLE_SIZE, max_lines=2, weight="bold")
            heights += [ROW_GAP + (words.count("\n") + 1) * TITLE_LINE, self.panel_size[1]]
            # A title goes across all columns. The layout would make the first one as wide, or all
            # gaps alike if the cell went across too, so it sees only how high the cell is.
            above = self.add_subplot(self.cells[2 * row, self.first_title])
            above.set_axis_off()
            above.text(
                0,
                0,
                words,
                fontsize=TITLE_SIZE,
                fontweight="bold",
                color=INK,
                parse_math=False,
                in_layout=False,
            )
        self.set_heights(heights)
        self.finish(caption, width)


class Bare(Picture):
    """A figure of nothing but one panel, a dot for every pixel of its image.

    Parameters
    ----------
    shape : pair of int
        Pixels of the image, down and across.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        super().__init__((shape[1] / DOTS, shape[0] / DOTS), 1, [shape[0] / DOTS])
        self.exact_dpi = DOTS
        self.set_size_inches(*self.panel_size)
        self.panel = self.add_axes((0, 0, 1, 1))
        self.panel.set_axis_off()


def image_size(height: int, width: int, *, side: float) -> tuple[float, float]:
    """Return inches across and down for an image, about ``side`` each whatever its proportions."""
    aspect = width / height
    across = min(side * aspect**0.5, 1.5 * side, 1.5 * side * aspect)
    return across, across / aspect
