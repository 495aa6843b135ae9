"""A notebook shows every figure of a cell once, whether it is displayed or only made."""

from __future__ import annotations

import nbclient
import nbformat

MAKE = """
import numpy as np
from pdjax.picture import relevance_figure, save_figure
def make():
    image, maps = np.full((4, 4, 1), 0.5), np.ones((1, 4, 4))
    return relevance_figure(image, maps, titles=["a"], unit="u", caption="")
"""
CELLS = {
    MAKE: 0,
    "make()": 1,
    "for _ in range(2):\n    make()": 2,
    "for _ in range(2):\n    display(make())": 2,
    "figure = make()\nsave_figure(figure, 'figure.png')": 0,
    "1": 0,
    "%matplotlib inline\n%config InlineBackend.figure_formats = ['jpeg']\nmake()": 1,
}


def test_figures_are_shown_once(tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    nbclient.NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    ).execute()
    shown = [
        sum(kind.startswith("image/") for output in cell.outputs for kind in output.get("data", {}))
        for cell in notebook.cells
    ]
    assert shown == list(CELLS.values())
