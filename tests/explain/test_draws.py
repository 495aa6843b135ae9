"""Draws: chunk by chunk, pooled by window, and decided once where a run decides as it goes."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.interruption import interrupt, watching
from helpers.refusals import refused

import pdjax
from pdjax import Classifier, Explanation
from pdjax._explain.draws import pool
from pdjax.method.marginalize import Moments

SIDE = 12
WINDOWS = 100
IMAGE = np.full((SIDE, SIDE, 1), 0.5, np.float32)
ONCE = 2 * WINDOWS + 1


def test_pooled_moments_are_those_of_all_replicates() -> None:
    rng = np.random.default_rng(0)
    values = 1 + 0.1 * rng.standard_normal((5, 3, 2))  # draws, replicates, units
    windows = np.array([0, 2, 2, 0, 2])
    draws = Moments(
        {"z": values.mean(1).astype(np.float32)},
        {"z": values.var(1, ddof=1).astype(np.float32)},
        {"z": np.full((5, 2), 0.3, np.float32)},
    )
    pooled = pool(draws, windows, 4, 3)
    for window in (0, 2):
        own = values[windows == window].reshape(-1, 2)
        np.testing.assert_allclose(pooled.mean["z"][window], own.mean(0), rtol=1e-6)
        np.testing.assert_allclose(pooled.variance["z"][window], own.var(0, ddof=1), rtol=1e-4)
        np.testing.assert_allclose(pooled.bias["z"][window], 0.3 / (len(own) / 3), rtol=1e-6)
    assert not np.asarray(pooled.mean["z"][1]).any()


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True)
class Greys:
    """Fill every window with the same greys: all of them are known equally well."""

    window, constant = (3, 3), False

    def check(self, image_shape, num_samples) -> None:
        pass

    def sample(self, rng_key, image, origin, num_samples):
        levels = jnp.linspace(0.1, 0.7, num_samples, dtype=image.dtype)
        return jnp.broadcast_to(levels[:, None, None, None], (num_samples, 3, 3, 1))


def network(params, images):
    scores = jnp.einsum("nhwc,k->nk", images, params)
    return {"scores": scores, "prob": jax.nn.softmax(scores)}


OUTPUTS = {"scores": "values", "prob": "softmax"}
NET = Classifier.from_function(
    network, jnp.array([1.0, 2.0]), image_size=SIDE, channels=1, outputs=OUTPUTS
)
COMMON = {
    "rng_key": jax.random.key(0),
    "layers": ("scores",),
    "classes": [0, 1],
    "engine": "dense",
    "batch_size": 64,
}


def explain(path: Path | None = None, **options) -> Explanation:
    return pdjax.explain(NET, IMAGE, Greys(), checkpoint=path, **COMMON | options)


def stages(path: Path | None = None):
    options = {"strides": (3, 1), "num_samples": 2, "checkpoint": path}
    return pdjax.preview(NET, IMAGE, Greys(), **COMMON | options)


def contents(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as arrays:
        return dict(arrays)


def shaken(file: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What another device could have given, which adds numbers up in another order."""
    rng = np.random.default_rng(0)
    return {
        name: (a * (1 + 1e-6 * rng.standard_normal(a.shape))).astype(a.dtype)
        for name, a in file.items()
        if name.startswith("moments")
    }


def first(file: dict[str, np.ndarray], count: int) -> dict[str, np.ndarray]:
    """The file of a run that had got no further."""
    rows = {name: a[:count] for name, a in file.items() if name.startswith(("moments", "draws"))}
    return file | rows


@pytest.mark.parametrize("after", [1, 4, 5, 7, 9])
def test_a_run_of_several_rounds_ends_at_the_same_bits(tmp_path, after) -> None:
    path, options = tmp_path / "run.npz", {"max_passes": 651}
    whole = explain(**options)
    assert whole.settings["passes"] == 651
    interrupt(after, explain, path, **options)
    file = contents(path)
    assert len(file["moments_0"]) <= len(file["draws"])
    resumed = explain(path, **options)
    np.testing.assert_array_equal(resumed.relevance["scores"], whole.relevance["scores"])
    np.testing.assert_array_equal(resumed.standard_error["scores"], whole.standard_error["scores"])
    assert resumed.settings == whole.settings
    np.testing.assert_array_equal(contents(path)["draws"][: len(file["draws"])], file["draws"])


def test_what_was_decided_stays_decided_where_moments_are_rounded_otherwise(tmp_path) -> None:
    path, other = tmp_path / "run.npz", tmp_path / "other.npz"
    options = {"max_passes": ONCE + 2 * 50}
    whole = explain(**options)
    interrupt(5, explain, path, **options)
    file = contents(path)
    assert WINDOWS < len(file["moments_0"]) < len(file["draws"]) == WINDOWS + 50
    file |= shaken(file)
    # Deciding from these moments would choose other windows ...
    np.savez(other, **first(file, WINDOWS))
    explain(other, **options)
    assert len(contents(other)["draws"]) == WINDOWS + 50
    assert not np.array_equal(contents(other)["draws"], file["draws"])
    # ... but they have been chosen.
    np.savez(path, **file)
    resumed = explain(path, **options)
    np.testing.assert_array_equal(contents(path)["draws"], file["draws"])
    assert resumed.settings["passes"] == whole.settings["passes"]
    for kind in ("relevance", "standard_error"):
        one, two = (getattr(result, kind)["scores"] for result in (whole, resumed))
        np.testing.assert_allclose(one, two, rtol=1e-3)


def test_a_preview_goes_on_from_any_stage_without_waiting_for_it(tmp_path) -> None:
    path = tmp_path / "run.npz"
    whole = list(stages())
    interrupt(3, lambda: list(stages(path)))
    assert 16 < len(contents(path)["moments_0"]) < len(contents(path)["draws"]) == WINDOWS
    again = stages(path)
    with watching() as seen:
        resumed = [next(again)]
        assert seen.chunks == 0
        resumed += again
        assert seen.chunks > 0
    for one, two in zip(whole, resumed, strict=True):
        np.testing.assert_array_equal(one.relevance["scores"], two.relevance["scores"])
        assert one.settings == two.settings


def row(number: int, values: tuple[int, int]):
    def damage(draws):
        draws[number] = values
        return draws

    return damage


DAMAGE = {
    "shape": lambda draws: draws[:, :1],
    "flat": lambda draws: draws.ravel(),
    "scalar": lambda draws: draws[0, 0],
    "dtype": lambda draws: draws.astype(np.int32),
    "floats": lambda draws: draws.astype(np.float64),
    "words": lambda draws: draws.astype(str),
    "short": lambda draws: draws[:110],
    "none": lambda draws: draws[:0],
    "window below": row(-1, (-1, 1)),
    "window above": row(-1, (WINDOWS, 0)),
    "window far above": row(-1, (2**62, 0)),
    "drawn less": row(-1, (3, 0)),
    "drawn more": row(-1, (3, 7)),
    "order": lambda draws: np.concatenate([draws[1::-1], draws[2:]]),
    "further draws first": lambda draws: np.concatenate([draws[:1], draws[WINDOWS:], draws[1:]]),
}


@pytest.fixture(scope="module")
def halfway(tmp_path_factory) -> Path:
    """The checkpoint of a run that was interrupted in its second round."""
    path = tmp_path_factory.mktemp("halfway") / "run.npz"
    interrupt(5, explain, path, max_passes=ONCE + 100)
    return path


@pytest.mark.parametrize("name", [*DAMAGE, "missing"])
def test_lists_that_cannot_be_are_refused_and_left_alone(halfway, tmp_path, name) -> None:
    file, path = contents(halfway), tmp_path / "run.npz"
    draws = file.pop("draws")
    np.savez(path, **file, **({"draws": DAMAGE[name](draws)} if name in DAMAGE else {}))
    before = path.read_bytes()
    with refused("checkpoint"):
        explain(path, max_passes=ONCE + 100)
    assert path.read_bytes() == before


def test_the_list_that_is_damaged_above_is_a_good_one(halfway, tmp_path) -> None:
    path = Path(shutil.copy(halfway, tmp_path))
    assert explain(path, max_passes=ONCE + 100).settings["passes"] == ONCE + 100


@pytest.mark.parametrize("engine", ["dense", "callable"])
def test_a_network_that_fails_on_a_hidden_window_is_stopped_and_named(engine) -> None:
    def fragile(params, images):
        outputs = network(params, images)
        gone = (images[:, 5, 5] < 0.2).astype(images.dtype)
        return outputs | {"scores": outputs["scores"] / (1 - gone)}

    net = Classifier.from_function(
        fragile,
        jnp.array([1.0, 2.0]),
        image_size=SIDE,
        channels=1,
        outputs=OUTPUTS,
        name="fragile",
    )
    options = COMMON | {"engine": engine, "num_samples": 2}
    with watching() as seen, refused("net") as caught:
        pdjax.explain(net, IMAGE, Greys(), **options | {"layers": ("prob", "scores")})
    assert "'scores'" in str(caught.value)
    assert "'prob'" not in str(caught.value)
    # Windows are checked as they come, not when all are done.
    assert seen.chunks < WINDOWS // 32
    assert pdjax.explain(net, IMAGE, Greys(), **options | {"layers": ("prob",)}).layers == ("prob",)
