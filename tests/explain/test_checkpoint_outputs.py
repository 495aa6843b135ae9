"""Functions of one name and the same parameters: checkpoints know them by what they give."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pdjax
from pdjax import Classifier, Explanation, Marginal

IMAGE = np.random.default_rng(0).random((8, 8, 3), np.float32)
OTHERS = np.random.default_rng(1).random((3, 8, 8, 3), np.float32)
WEIGHTS = np.random.default_rng(2).standard_normal((3, 4)).astype(np.float32)
LAYERS = ("conv", "scores", "prob")


def function(*, conv=0.0, scores=0.0, sharper=1.0):
    """A network whose layers give more or less of the same."""

    def network(params, images):
        hidden = images @ params
        logits = 4 * sharper * hidden.mean((1, 2))
        return {"conv": hidden + conv, "scores": logits + scores, "prob": jax.nn.softmax(logits)}

    return network


PLAIN = function()


def explain(path: Path | None = None, f=PLAIN, **options) -> Explanation:
    net = Classifier.from_function(f, jnp.asarray(WEIGHTS), image_size=8, name="mine")
    defaults = {"layers": LAYERS, "classes": [0, 2], "num_samples": 2, "batch_size": 32}
    return pdjax.explain(
        net, IMAGE, Marginal(OTHERS, 3), rng_key=jax.random.key(0), checkpoint=path,
        **defaults | options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("finished") / "run.npz"
    explain(path)
    return path


@pytest.fixture
def rewritten(finished, tmp_path):
    """Give a function that writes the checkpoint with one array changed, or left out."""

    def rewrite(name: str, change) -> Path:
        path = tmp_path / "run.npz"
        with np.load(finished) as arrays:
            file = dict(arrays)
        file[name] = change(file[name])
        np.savez(path, **{name: array for name, array in file.items() if array is not None})
        return path

    return rewrite


@pytest.mark.parametrize(
    ("other", "layers"),
    [
        ({"conv": 0.01}, "'conv'"),
        ({"scores": 0.1}, "'scores'"),
        ({"sharper": 1.1}, "'scores', 'prob'"),
    ],
)
def test_another_function_of_the_same_name_is_refused(finished, other, layers) -> None:
    before = finished.read_bytes()
    message = (
        rf"^checkpoint: '.*run.npz' belongs to another run, differing in what the network gives "
        rf"for the image in {layers}; give another file name, or delete it to start anew$"
    )
    with pytest.raises(ValueError, match=message):
        explain(finished, function(**other))
    assert finished.read_bytes() == before
    explain(finished, function())


def test_plain_callables_of_the_same_name_are_told_apart(tmp_path) -> None:
    def callable_of(sharper: float):
        def predict(images: np.ndarray) -> np.ndarray:
            odds = np.exp(4 * sharper * (images @ WEIGHTS).mean((1, 2)))
            return odds / odds.sum(1, keepdims=True)

        return predict

    def run(f) -> Explanation:
        return pdjax.explain(
            f, IMAGE, Marginal(OTHERS, 3), rng_key=jax.random.key(0), num_samples=2,
            classes=[0], engine="callable", checkpoint=tmp_path / "run.npz",
        )  # fmt: skip

    whole = run(callable_of(1.0))
    np.testing.assert_array_equal(run(callable_of(1.0)).relevance["prob"], whole.relevance["prob"])
    with pytest.raises(ValueError, match="differing in what the network gives for the image in"):
        run(callable_of(1.1))


def test_improbable_classes_tell_functions_apart_too(tmp_path) -> None:
    least = int(np.argmin(IMAGE.mean((0, 1)) @ WEIGHTS))
    options = {"classes": [least], "layers": ("prob",)}
    path = tmp_path / "run.npz"
    assert explain(path, function(sharper=6), **options).prediction["prob"] < 1e-4
    with pytest.raises(ValueError, match="differing in what the network gives"):
        explain(path, function(sharper=6.1), **options)


@pytest.mark.parametrize("number", range(5))
def test_another_rounding_is_no_other_network(rewritten, number) -> None:
    name = f"reference_{number}"
    whole = explain()
    resumed = explain(rewritten(name, lambda a: a * np.float32(1 + 1e-4)))
    for layer in LAYERS:
        np.testing.assert_array_equal(resumed.relevance[layer], whole.relevance[layer])
    for change in (
        lambda a: a * np.float32(1.01),
        lambda a: a * np.float32(np.nan),
        lambda a: a + np.float32(np.inf),
    ):
        with pytest.raises(ValueError, match="differing in what the network gives"):
            explain(rewritten(name, change))


DAMAGE = {
    "missing": lambda a: None,
    "scalar": lambda a: a[0, 0],
    "flat": lambda a: a[0],
    "empty": lambda a: a[:0],
    "rows": lambda a: np.concatenate([a, a]),
    "units": lambda a: a[:, :1],
    "dtype": lambda a: a.astype(np.float64),
    "words": lambda a: a.astype(str),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_outputs_of_another_shape_are_refused(rewritten, name) -> None:
    path = rewritten("reference_0", DAMAGE[name])
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"^checkpoint: '.*run.npz' belongs to no run; give ano"):
        explain(path)
    assert path.read_bytes() == before
