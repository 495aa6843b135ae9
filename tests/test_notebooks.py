"""Notebooks hold the outputs of one whole run, share a form, and run from the top at small size."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

nbformat = pytest.importorskip("nbformat", reason="notebooks need nbformat")
nbclient = pytest.importorskip("nbclient", reason="notebooks need nbclient")

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"

TINY = """
import pdjax, jax, jax.numpy as jnp


def _predict(params, images):
    squares = images.reshape(-1, 8, 28, 8, 28, 3).mean((2, 4)).reshape(-1, 192)
    apart = squares - squares.mean(-1, keepdims=True)
    logits = 99 * apart @ params["logits"]["kernel"]
    return {"logits": logits, "prob": jax.nn.softmax(logits)}


_labels = pdjax.load_model("efficientnet_lite0", "random").labels
_kernel = jax.random.normal(jax.random.key(0), (192, len(_labels))) / 192
_outputs = {"logits": "values", "prob": "softmax"}
_tiny = pdjax.Classifier.from_function(
    _predict,
    {"logits": {"kernel": _kernel}},
    image_size=224,
    labels=_labels,
    outputs=_outputs,
)
pdjax.load_model = lambda *_, **__: _tiny
"""
"""A network in place of the real one, for notebooks that compile many programs."""

SMALL = {
    # Laid over the notebook's own parameters, and the figures that it draws.
    "01_first_picture": ("WINDOW, STRIDE, NUM_SAMPLES = 12, 12, 2", 3),
    "02_removing": ("WINDOW, STRIDE, NUM_SAMPLES, SHOWN = 12, 12, 2, ['grey', 'Gaussian']", 2),
    "03_windows_and_budgets": (
        TINY + "WINDOWS, STRIDES = (8, 16), (16, 8)\n"
        "BUDGETS, TRUTH, TARGET_ERROR = (1500,), 2000, 0.2",
        3,
    ),
    "04_hidden_layers": (
        "NETWORK, WINDOW, STRIDE, NUM_SAMPLES = 'efficientnet_lite0', 12, 12, 2",
        4,
    ),
    "05_your_own_network": ("STEPS, NUM_SAMPLES, EIGHTS = 10, 2, 1", 6),
    "06_many_images": ("IMAGES, BATCH, STEPS, NUM_SAMPLES = 48, 16, 10, 2", 3),
    "07_is_it_true": (
        TINY + "STRIDE, SAMPLER, STEPS, RANDOMISED = 16, 'gaussian', 7, ('logits',)",
        7,
    ),
}

LARGEST = 700_000
"""Bytes of a notebook, its figures included."""

PICTURES = ("image/png", "image/jpeg")
METADATA = {"accelerator", "colab", "kernelspec", "language_info"}
OF_A_MACHINE = re.compile(r"(?<![\w.:/])/(home|root|tmp|work|Users|usr|opt)/|[A-Z]:\\")
REPOSITORY = re.compile(r"github(?:\.com)?/(\w[\w.-]*/pdjax)\b")


def read(name: str):
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def code_cells(notebook) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook) -> list:
    return [output for cell in code_cells(notebook) for output in cell.outputs]


def streams(notebook) -> list[str]:
    return [output.text for output in outputs(notebook) if output.output_type == "stream"]


def figures(notebook) -> list[np.ndarray]:
    data = [each.get("data", {}) for each in outputs(notebook)]
    found = [each[kind] for each in data for kind in PICTURES if kind in each]
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(text)))) for text in found]


def check_figures(notebook, count: int) -> None:
    drawn = figures(notebook)
    assert len(drawn) == count
    for picture in drawn:
        assert min(picture.shape[:2]) > 100
        assert len(np.unique(picture.reshape(-1, picture.shape[-1]), axis=0)) > 100


def test_every_notebook_is_listed():
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == set(SMALL)


@pytest.mark.parametrize("name", SMALL)
def test_holds_the_outputs_of_one_run(name):
    notebook = read(name)
    nbformat.validate(notebook)
    assert (FOLDER / f"{name}.ipynb").stat().st_size < LARGEST
    counts = [cell.execution_count for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1)), "run it from the top: see CONTRIBUTING.md"
    check_figures(notebook, SMALL[name][1])
    for output in outputs(notebook):
        assert output.output_type != "error"
        assert "application/vnd.jupyter.widget-view+json" not in output.get("data", {})
    for text in streams(notebook):
        assert "\r" not in text
        assert text.count("\n") <= 40
    shown = [
        text
        for each in outputs(notebook)
        for kind, text in each.get("data", {}).items()
        if kind not in PICTURES
    ]
    for text in [*(cell.source for cell in notebook.cells), *streams(notebook), *shown]:
        assert not OF_A_MACHINE.search(text), text


def test_notebooks_share_their_form():
    notebooks = {name: read(name) for name in SMALL}
    setups, texts, addresses = set(), set(), set()
    for name, notebook in notebooks.items():
        assert set(notebook.metadata) == METADATA
        assert notebook.metadata.kernelspec.name == "python3"
        wished = notebook.metadata.accelerator.lower()
        assert all(set(cell.metadata) <= {"tags"} for cell in notebook.cells)
        cells = {cell.id: cell.source for cell in notebook.cells}
        first = [each for each in cells if each != "packages"][:6]
        assert first == ["badge", "title", "setup-text", "setup", "parameters-text", "parameters"]
        assert f'WISHED = "{wished}"' in cells["setup"]
        assert f"/blob/main/notebooks/{name}.ipynb)" in cells["badge"]
        setups.add(cells["setup"].replace(f'WISHED = "{wished}"', ""))
        texts.add(cells["setup-text"])
        addresses |= {*REPOSITORY.findall(cells["badge"]), *REPOSITORY.findall(cells["setup"])}
    assert len(setups) == len(texts) == 1
    assert len(addresses) == 1


@pytest.fixture(scope="module")
def quick_kernels(tmp_path_factory):
    """Kernels compile as little as the tests do, and keep it for each other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
        patch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path_factory.mktemp("compiled")))
        yield


@pytest.mark.usefixtures("quick_kernels")
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
    check_figures(notebook, num_figures)
    assert max(map(len, streams(notebook)), default=0) < 10_000
