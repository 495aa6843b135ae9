"""The notebooks run from the first cell to the last at small size, and are stored clean."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

nbformat = pytest.importorskip("nbformat", reason="notebooks need nbformat")
nbclient = pytest.importorskip("nbclient", reason="notebooks need nbclient")

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"

SMALL = {
    # Laid over the notebook's own parameters, and the figures that it draws.
    "01_first_picture": ("WINDOW, STRIDE, NUM_SAMPLES = 12, 12, 2", 4),
}


def read(name: str):
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def code_cells(notebook) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def figures(notebook) -> list[np.ndarray]:
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    pictures = [
        output.data["image/png"] for output in outputs if "image/png" in output.get("data", {})
    ]
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(text)))) for text in pictures]


def test_every_notebook_is_listed():
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == set(SMALL)


@pytest.mark.parametrize("name", SMALL)
def test_is_stored_without_results(name):
    notebook = read(name)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    for cell in code_cells(notebook):
        assert cell.outputs == []
        assert cell.execution_count is None
        assert set(cell.metadata) <= {"tags"}


@pytest.mark.parametrize("name", SMALL)
def test_runs_at_small_size(name, tmp_path):
    settings, num_figures = SMALL[name]
    notebook = read(name)
    (parameters,) = (
        cell for cell in code_cells(notebook) if "parameters" in cell.metadata.get("tags", ())
    )
    parameters.source += f"\n{settings}"
    client = nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    drawn = figures(notebook)
    assert len(drawn) == num_figures
    for picture in drawn:
        assert min(picture.shape[:2]) > 100
        assert len(np.unique(picture.reshape(-1, picture.shape[-1]), axis=0)) > 100
