"""Checkpoints: a run goes on where it was; a file of anything else is refused and left alone."""

from __future__ import annotations

import functools
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.interruption import interrupt, passing_time, watching
from helpers.refusals import refused

import pdjax
from pdjax import Blur, Classifier, ConditionalGaussian, Explanation, ImageMean, Marginal

KINDS = ("relevance", "standard_error", "window_relevance", "window_standard_error", "prediction")
IMAGE = np.random.default_rng(0).random((10, 8, 3), np.float32)
OTHERS = np.random.default_rng(2).random((6, 10, 8, 3), np.float32)
PARAMS = np.random.default_rng(1).standard_normal((3, 4)).astype(np.float32)
LAYERS = ("conv", "scores", "prob")


def function(*, conv=0.0, scores=0.0, sharper=1.0):
    """A network whose layers give more or less of the same."""

    def network(params, images):
        hidden = images @ params + conv
        logits = 4 * sharper * (hidden.mean((1, 2)) - conv)
        return {"conv": hidden, "scores": logits + scores, "prob": jax.nn.softmax(logits)}

    return network


PLAIN = function()


@functools.cache
def gaussian() -> ConditionalGaussian:
    return ConditionalGaussian(pdjax.PatchStatistics.natural_images(), 3, 1)


def run(path: Path | None = None, f=PLAIN, *, params=PARAMS, name="mine", **options) -> Explanation:
    outputs = {"scores": "values", "prob": "softmax"}
    net = Classifier.from_function(
        f, jnp.asarray(params), image_size=(10, 8), outputs=outputs, name=name
    )
    defaults = {
        "image": IMAGE,
        "sampler": Marginal(OTHERS, 3),
        "rng_key": jax.random.key(0),
        "num_samples": 4,
        "classes": [3, 0],
        "layers": LAYERS,
        "engine": "dense",
        "batch_size": 16,
    }
    return pdjax.explain(net, checkpoint=path, **defaults | options)


def same_bits(one: Explanation, two: Explanation) -> None:
    assert one.layers == two.layers
    for kind in KINDS:
        for layer in one.layers:
            np.testing.assert_array_equal(getattr(one, kind)[layer], getattr(two, kind)[layer])


WINDOWS = 48
RUNS = {
    "dense": {},
    "local": {"engine": "local"},
    "sobol": {"sampler": gaussian, "sampling": "sobol"},
    "no correction": {"bias_correction": False},
}


@pytest.mark.parametrize("name", RUNS)
def test_an_interrupted_run_goes_on_and_ends_at_the_same_bits(tmp_path, name) -> None:
    path, options = tmp_path / "run.npz", dict(RUNS[name])
    if "sampler" in options:
        options["sampler"] = options["sampler"]()
    interrupt(1, run, path, **options)
    with watching() as seen:
        resumed = run(path, **options)
    assert 0 < seen.initial < seen.total == WINDOWS * 4
    same_bits(resumed, run(**options))
    assert resumed.settings["passes"] == WINDOWS * 4 + 1
    finished = path.read_bytes()
    with watching() as seen:
        again = run(path, **options)
    assert seen.initial == seen.total
    assert seen.chunks == 0
    same_bits(again, resumed)
    assert path.read_bytes() == finished
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("seconds", "often"), [(0, False), (31, True)])
def test_results_are_kept_every_half_minute(tmp_path, seconds, often) -> None:
    path, there = tmp_path / "run.npz", []
    with passing_time(seconds), watching(each=lambda: there.append(path.exists())) as seen:
        run(path)
    assert seen.chunks == len(there) == 3
    assert there == [False, often, often]
    assert path.exists()


@pytest.fixture(scope="module")
def first_third(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("interrupted") / "run.npz"
    interrupt(1, run, path)
    return path


@pytest.fixture
def interrupted(first_third, tmp_path) -> Path:
    """The checkpoint of a run that was interrupted after a third."""
    return Path(shutil.copy(first_third, tmp_path))


OTHER_RUNS = {
    "image": {"image": IMAGE[::-1]},
    "model": {"name": "other"},
    "model (its parameters)": {"params": PARAMS + 1},
    "sampler": {"sampler": Marginal(OTHERS[::-1], 3)},
    "sampler, window": {"sampler": Marginal(OTHERS, (3, 2))},
    "rng_key": {"rng_key": jax.random.key(1)},
    "num_samples": {"num_samples": 5},
    "stride": {"stride": 2},
    "sampling": {"sampler": gaussian, "sampling": "sobol"},
    "bias_correction": {"bias_correction": False},
    "measure": {"measure": "information_difference"},
    "classes": {"classes": [0, 3]},
    "layers": {"layers": LAYERS[::-1]},
    "units": {"units": {"conv": [1]}},
    "start": {"start": "conv", "layers": ("scores",), "sampler": lambda: hidden_sampler()},
    "num_samples, layers": {"layers": ("prob",), "num_samples": 2},
}


def hidden_sampler() -> Marginal:
    return Marginal(OTHERS @ PARAMS, 3, bounds=None)


@pytest.mark.parametrize("names", OTHER_RUNS)
def test_another_run_is_refused(interrupted, names) -> None:
    before, options = interrupted.read_bytes(), dict(OTHER_RUNS[names])
    if callable(options.get("sampler")):
        options["sampler"] = options["sampler"]()
    with refused("checkpoint") as caught:
        run(interrupted, **options)
    for name in names.partition(" (")[0].split(", "):
        assert name in caught.value.problem
    assert str(interrupted) in str(caught.value)
    assert interrupted.read_bytes() == before


@pytest.mark.parametrize("kind", [ImageMean, functools.partial(Blur, sigma=1.0)])
def test_static_samplers_of_other_windows_are_other_runs(tmp_path, kind) -> None:
    path = tmp_path / "run.npz"
    run(path, sampler=kind(3))
    with refused("checkpoint") as caught:
        run(path, sampler=kind(4))
    assert "window" in caught.value.problem


@pytest.mark.parametrize(
    ("other", "layers"),
    [
        ({"conv": 0.01}, ["conv"]),
        ({"scores": 0.1}, ["scores"]),
        ({"sharper": 1.1}, ["scores", "prob"]),
    ],
)
def test_another_function_of_the_same_name_is_refused(interrupted, other, layers) -> None:
    before = interrupted.read_bytes()
    with refused("checkpoint") as caught:
        run(interrupted, function(**other))
    assert [layer for layer in LAYERS if repr(layer) in caught.value.problem] == layers
    assert interrupted.read_bytes() == before
    run(interrupted, function())


def test_plain_callables_of_the_same_name_are_told_apart(tmp_path) -> None:
    def callable_of(sharper: float):
        def predict(images: np.ndarray) -> np.ndarray:
            odds = np.exp(4 * sharper * (images @ PARAMS).mean((1, 2)))
            return odds / odds.sum(1, keepdims=True)

        return predict

    def explain(f) -> Explanation:
        options = {"rng_key": jax.random.key(0), "num_samples": 2, "classes": [0]}
        return pdjax.explain(
            f,
            IMAGE,
            Marginal(OTHERS, 3),
            engine="callable",
            checkpoint=tmp_path / "run.npz",
            **options,
        )

    same_bits(explain(callable_of(1.0)), explain(callable_of(1.0)))
    with refused("checkpoint"):
        explain(callable_of(1.1))


def test_improbable_classes_tell_functions_apart_too(tmp_path) -> None:
    least = int(np.argmin(IMAGE.mean((0, 1)) @ PARAMS))
    path, options = tmp_path / "run.npz", {"classes": [least], "layers": ("prob",)}
    assert run(path, function(sharper=6), **options).prediction["prob"] < 1e-4
    with refused("checkpoint"):
        run(path, function(sharper=6.1), **options)


def contents(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as arrays:
        return dict(arrays)


def rewrite(path: Path, name: str, change) -> Path:
    """Change one array of a checkpoint, or leave it out where that gives None."""
    file = contents(path)
    file[name] = change(file[name])
    np.savez(path, **{name: array for name, array in file.items() if array is not None})
    return path


@pytest.mark.parametrize("number", range(5))
def test_another_rounding_is_no_other_network(interrupted, number) -> None:
    name = f"reference_{number}"
    before = interrupted.read_bytes()
    for change in (
        lambda a: a * np.float32(1.01),
        lambda a: a * np.float32(np.nan),
        lambda a: a + np.float32(np.inf),
    ):
        with refused("checkpoint"):
            run(rewrite(interrupted, name, change))
        interrupted.write_bytes(before)
    resumed = run(rewrite(interrupted, name, lambda a: a * np.float32(1 + 1e-4)))
    same_bits(resumed, run())


OF_OUTPUTS = {
    "missing": lambda a: None,
    "scalar": lambda a: a[0, 0],
    "flat": lambda a: a[0],
    "empty": lambda a: a[:0],
    "rows": lambda a: np.concatenate([a, a]),
    "units": lambda a: a[:, :1],
    "dtype": lambda a: a.astype(np.float64),
    "words": lambda a: a.astype(str),
}
DAMAGE = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "text": lambda path: path.write_text("windows"),
    "empty": lambda path: path.write_text(""),
    "other": lambda path: np.savez(path, a=np.zeros(3)),
    "no moments": lambda path: rewrite(path, "moments_0", lambda a: None),
    "moments of another shape": lambda path: rewrite(path, "moments_1", lambda a: a[:, :0]),
    "moments of one number": lambda path: rewrite(path, "moments_0", lambda a: a[0, 0]),
    "moments of words": lambda path: rewrite(path, "moments_0", lambda a: a.astype(str)),
    "a list for a run": lambda path: rewrite(path, "run", lambda a: np.array("[]")),
    "a run too deep": lambda path: rewrite(path, "run", lambda a: np.array("[" * 100_000)),
    "a pickle": lambda path: rewrite(path, "run", lambda a: np.array(print, object)),
    **{
        f"outputs: {name}": lambda path, change=change: rewrite(path, "reference_0", change)
        for name, change in OF_OUTPUTS.items()
    },
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_checkpoint_is_refused(interrupted, name) -> None:
    DAMAGE[name](interrupted)
    before = interrupted.read_bytes()
    with refused("checkpoint"):
        run(interrupted)
    assert interrupted.read_bytes() == before


def test_a_checkpoint_that_cannot_be_written_is_named_before_anything_runs(tmp_path) -> None:
    with refused("checkpoint", FileNotFoundError) as caught:
        run(tmp_path / "none" / "run.npz")
    assert "none" in str(caught.value)
