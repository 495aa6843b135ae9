"""Runs that are interrupted, results that are kept, and files that hold something else."""

from __future__ import annotations

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pdjax._explain.draws
from pdjax import (
    Blur,
    Classifier,
    ConditionalGaussian,
    Explanation,
    ImageMean,
    Marginal,
    PatchStatistics,
    explain,
)

MAPS = ("relevance", "standard_error", "window_relevance", "window_standard_error", "prediction")
IMAGE = np.random.default_rng(0).random((10, 8, 3), np.float32)
PARAMS = jnp.array(np.random.default_rng(1).standard_normal((240, 5)), jnp.float32)
OTHERS = np.random.default_rng(2).random((6, 10, 8, 3), np.float32)
GAUSSIAN = ConditionalGaussian(PatchStatistics.natural_images(), 3)


def network(params, images):
    scores = images.reshape(len(images), -1) @ params
    return {"scores": scores, "prob": jax.nn.softmax(scores)}


def run(path: Path | None = None, *, params=PARAMS, name: str = "small", **options) -> Explanation:
    net = Classifier.from_function(network, params, image_size=(10, 8), name=name)
    defaults = {
        "image": IMAGE, "sampler": Marginal(OTHERS, 3), "rng_key": jax.random.key(0),
        "num_samples": 4, "batch_size": 16, "layers": ("scores", "prob"),
        "classes": [3, 0],
    }  # fmt: skip
    return explain(net, checkpoint=path, **defaults | options)


class Bar:
    """A progress bar at which somebody loses patience."""

    def __init__(self, patience: float) -> None:
        self.patience, self.updates, self.initial = patience, 0, None

    def __call__(self, total, unit, enabled, description="", initial=0, delay=0.0):
        self.total, self.initial, self.updates = total, initial, 0
        return self

    def update(self, count: int) -> None:
        self.updates += 1
        if self.updates >= self.patience:
            raise KeyboardInterrupt

    def refresh(self) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.fixture
def interrupted(tmp_path: Path, monkeypatch) -> Path:
    """The checkpoint of a run that was interrupted in the first quarter."""
    path = tmp_path / "run.npz"
    with monkeypatch.context() as patch:
        patch.setattr(pdjax._explain.draws, "progress_bar", Bar(patience=1))
        with pytest.raises(KeyboardInterrupt):
            run(path)
    return path


def test_an_interrupted_run_goes_on_and_ends_at_the_same_bits(interrupted, monkeypatch) -> None:
    whole = run()
    bar = Bar(patience=np.inf)
    monkeypatch.setattr(pdjax._explain.draws, "progress_bar", bar)
    resumed = run(interrupted)
    assert 0 < bar.initial < bar.total == 48 * 4
    for kind in MAPS:
        for layer in whole.layers:
            one, two = (getattr(result, kind)[layer] for result in (whole, resumed))
            np.testing.assert_array_equal(one, two)
    finished = interrupted.read_bytes()
    again = run(interrupted)
    assert bar.initial == bar.total
    assert interrupted.read_bytes() == finished
    np.testing.assert_array_equal(again.relevance["prob"], whole.relevance["prob"])
    assert list(interrupted.parent.iterdir()) == [interrupted]


def test_results_are_kept_while_a_run_goes_on(tmp_path: Path, monkeypatch) -> None:
    sizes = []

    class Watch(Bar):
        def update(self, count: int) -> None:
            sizes.append(path.stat().st_size if path.exists() else 0)

    path = tmp_path / "run.npz"
    monkeypatch.setattr(pdjax._explain.draws, "progress_bar", Watch(np.inf))
    monkeypatch.setattr(pdjax._explain.checkpoint, "SECONDS_BETWEEN_SAVES", 0.0)
    run(path)
    assert sizes[0] == 0
    assert all(size > 0 for size in sizes[1:])
    assert len(sizes) > 2


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"image": IMAGE[::-1]}, "image"),
        ({"params": PARAMS + 1}, "model"),
        ({"name": "other"}, "model"),
        ({"sampler": Marginal(OTHERS[::-1], 3)}, "sampler"),
        ({"sampler": Marginal(OTHERS, (3, 2))}, "sampler, window"),
        ({"rng_key": jax.random.key(1)}, "rng_key"),
        ({"num_samples": 5}, "num_samples"),
        ({"stride": 2}, "stride"),
        ({"sampler": GAUSSIAN}, "sampler"),
        ({"sampler": GAUSSIAN, "sampling": "sobol"}, "sampler, sampling"),
        ({"bias_correction": False}, "bias_correction"),
        ({"bias_correction": False, "measure": "probability_difference"}, "bias_correction"),
        ({"measure": "information_difference"}, "measure"),
        ({"classes": [0, 3]}, "classes"),
        ({"layers": ("prob", "scores")}, "layers"),
        ({"layers": ("prob",), "num_samples": 2}, "num_samples, layers"),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_another_run_is_refused_and_its_checkpoint_left_alone(interrupted, options, names) -> None:
    before = interrupted.read_bytes()
    with pytest.raises(ValueError, match=rf"belongs to another run, differing in {names};"):
        run(interrupted, **options)
    assert interrupted.read_bytes() == before


@pytest.mark.parametrize("kind", [ImageMean, Blur])
def test_static_samplers_of_other_windows_are_other_runs(tmp_path: Path, kind) -> None:
    path = tmp_path / "run.npz"
    run(path, sampler=kind(3, **({"sigma": 1.0} if kind is Blur else {})))
    with pytest.raises(ValueError, match=r"another run, differing in .*window"):
        run(path, sampler=kind(4, **({"sigma": 1.0} if kind is Blur else {})))


def contents(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as arrays:
        return dict(arrays)


DEEP = np.array("[" * 100_000)
DAMAGE = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "text": lambda path: path.write_text("windows"),
    "empty": lambda path: path.write_text(""),
    "shape": lambda path: np.savez(path, **contents(path) | {"moments_1": np.zeros((1, 9))}),
    "scalar": lambda path: np.savez(path, **contents(path) | {"moments_0": np.float32(0)}),
    "dtype": lambda path: np.savez(path, **contents(path) | {"moments_0": np.array(["a"])}),
    "missing": lambda path: np.savez(
        path, **{k: v for k, v in contents(path).items() if not k.startswith("moments")}
    ),
    "other": lambda path: np.savez(path, a=np.zeros(3)),
    "run": lambda path: np.savez(path, **contents(path) | {"run": np.array("[]")}),
    "deep": lambda path: np.savez(path, **contents(path) | {"run": DEEP}),
    "pickled": lambda path: np.savez(path, **contents(path) | {"run": np.array(print, object)}),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_checkpoint_is_refused_and_left_alone(interrupted: Path, name: str) -> None:
    DAMAGE[name](interrupted)
    before = interrupted.read_bytes()
    words = r"^checkpoint: '.*run.npz' (is not a readable|is empty|belongs to (no|another) run)"
    with pytest.raises(ValueError, match=words):
        run(interrupted)
    assert interrupted.read_bytes() == before


def test_a_checkpoint_that_cannot_be_written_is_an_error_that_names_the_folder(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no folder '.*none'"):
        run(tmp_path / "none" / "run.npz")


def test_an_explanation_keeps_everything_in_its_file(tmp_path: Path) -> None:
    result = run()
    path = tmp_path / "cat.npz"
    result.save(path)
    again = Explanation.load(path)
    for kind in MAPS:
        assert list(getattr(again, kind)) == list(getattr(result, kind)) == list(result.layers)
        for layer, array in getattr(result, kind).items():
            np.testing.assert_array_equal(getattr(again, kind)[layer], array)
            assert getattr(again, kind)[layer].dtype == array.dtype
    np.testing.assert_array_equal(again.image, IMAGE)
    for name in ("names", "measures", "settings", "caption", "layers"):
        assert getattr(again, name) == getattr(result, name)
    assert again.titles("prob") == result.titles("prob")
    assert result.settings["passes"] == 48 * 4 + 1


def words(change) -> object:
    """Damage that rewrites the words of an explanation."""

    def damage(arrays):
        value = json.loads(str(arrays["words"]))
        change(value)
        return arrays | {"words": np.array(json.dumps(value))}

    return damage


HOSTILE = {
    "pickled": lambda a: a | {"image": np.array(print, object)},
    "foreign": lambda a: {"weights": np.zeros(3)},
    "nothing": lambda a: {},
    "no words": lambda a: {k: v for k, v in a.items() if k != "words"},
    "words": lambda a: a | {"words": np.array("{")},
    "deep words": lambda a: a | {"words": DEEP},
    "listed words": lambda a: a | {"words": np.array("[1, 2]")},
    "map missing": lambda a: {k: v for k, v in a.items() if k != "relevance:prob"},
    "map shape": lambda a: a | {"relevance:prob": np.zeros((2, 4, 4), np.float32)},
    "error shape": lambda a: a | {"standard_error:prob": np.zeros((2, 4, 4), np.float32)},
    "map of words": lambda a: a | {"relevance:prob": np.full((2, 10, 8), "a")},
    "scalar": lambda a: a | {"prediction:prob": np.float32(1)},
    "image of words": lambda a: a | {"image": np.full((10, 8, 3), "a")},
    "image": lambda a: a | {"image": np.zeros(3, np.float32)},
    "no layers": words(lambda w: w.update(names={})),
    "too few names": words(lambda w: w["names"].update(prob=["a"])),
    "no measure": words(lambda w: w["measures"].clear()),
    "no settings": words(lambda w: w["settings"].clear()),
    "settings": words(lambda w: w["settings"].update(passes="many")),
    "setting of a list": words(lambda w: w["settings"].update(window=7)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_files_that_are_no_explanation_are_refused_in_a_sentence(tmp_path, name) -> None:
    path = tmp_path / "cat.npz"
    run(stride=3).save(path)
    np.savez(path, **HOSTILE[name](contents(path)))
    with pytest.raises(ValueError, match=r"^explanation: '.*cat.npz' is not a") as caught:
        Explanation.load(path)
    assert len(str(caught.value)) < 500


def test_missing_and_truncated_explanations_are_named(tmp_path: Path) -> None:
    path = tmp_path / "cat.npz"
    with pytest.raises(FileNotFoundError, match="explanation: there is no file"):
        Explanation.load(path)
    run(stride=3).save(path)
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(ValueError, match=r"cat.npz' is not a readable \.npz file"):
        Explanation.load(path)


@pytest.mark.parametrize("bias_correction", [True, False])
def test_a_run_of_sobol_nets_goes_on_and_its_settings_are_kept(
    tmp_path, monkeypatch, bias_correction
) -> None:
    path = tmp_path / "run.npz"
    options = {"sampler": GAUSSIAN, "sampling": "sobol", "bias_correction": bias_correction}
    whole = run(**options)
    with monkeypatch.context() as patch:
        patch.setattr(pdjax._explain.draws, "progress_bar", Bar(patience=1))
        with pytest.raises(KeyboardInterrupt):
            run(path, **options)
    resumed = run(path, **options)
    for kind in MAPS:
        for layer in whole.layers:
            one, two = (getattr(result, kind)[layer] for result in (whole, resumed))
            np.testing.assert_array_equal(one, two)
    assert resumed.settings["sampling"] == "sobol"
    assert resumed.settings["bias_correction"] is bias_correction
    assert "4 samples a window (sobol)" in resumed.caption
    with pytest.raises(ValueError, match=r"another run, differing in sampling;"):
        run(path, **options | {"sampling": "antithetic"})


def test_a_file_from_before_there_were_schemes_is_still_read(tmp_path) -> None:
    path = tmp_path / "cat.npz"
    run(stride=3).save(path)
    old = words(lambda w: [w["settings"].pop(name) for name in ("sampling", "bias_correction")])
    np.savez(path, **old(contents(path)))
    assert "4 samples a window, " in Explanation.load(path).caption
