"""Runs that decide as they go where to draw again: what was decided is kept, not decided anew."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pdjax
import pdjax._explain.draws
from pdjax import Classifier, Explanation

SIDE = 12
WINDOWS = 100
IMAGE = np.full((SIDE, SIDE, 1), 0.5, np.float32)
ONCE = 2 * WINDOWS + 1


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


NET = Classifier.from_function(network, jnp.array([1.0, 2.0]), image_size=SIDE, channels=1)
COMMON = {
    "rng_key": jax.random.key(0), "layers": ("scores",), "batch_size": 64, "classes": [0, 1],
}  # fmt: skip


def explain(path: Path | None = None, **options) -> Explanation:
    return pdjax.explain(NET, IMAGE, Greys(), checkpoint=path, **COMMON | options)


def preview(path: Path | None = None) -> list[Explanation]:
    stages = pdjax.preview(
        NET, IMAGE, Greys(), strides=(3, 1), num_samples=2, checkpoint=path, **COMMON
    )
    return list(stages)


def contents(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as arrays:
        return dict(arrays)


def interrupt(monkeypatch, after: int, call, *arguments, **options) -> None:
    """Call something that loses patience after so many chunks of 32 draws."""
    updates = 0

    def update(self, count):
        nonlocal updates
        updates += 1
        if updates == after:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("tqdm.auto.tqdm.update", update)
        with pytest.raises(KeyboardInterrupt):
            call(*arguments, **options)


def shaken(moments: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What another device could have given, which adds numbers up in another order."""
    rng = np.random.default_rng(0)
    return {
        name: (a * (1 + 1e-6 * rng.standard_normal(a.shape))).astype(a.dtype)
        for name, a in moments.items() if name.startswith("moments")
    }  # fmt: skip


def first(file: dict[str, np.ndarray], count: int) -> dict[str, np.ndarray]:
    """The file of a run that had got no further."""
    rows = {name: a[:count] for name, a in file.items() if name.startswith(("moments", "draws"))}
    return file | rows


@pytest.mark.parametrize("after", [1, 4, 5, 7, 9])
def test_a_run_of_several_rounds_ends_at_the_same_bits(tmp_path, monkeypatch, after) -> None:
    path = tmp_path / "run.npz"
    options = {"max_passes": 651}
    whole = explain(**options)
    assert whole.settings["passes"] == 651
    interrupt(monkeypatch, after, explain, path, **options)
    file = contents(path)
    assert len(file["moments_0"]) <= len(file["draws"])
    resumed = explain(path, **options)
    np.testing.assert_array_equal(resumed.relevance["scores"], whole.relevance["scores"])
    np.testing.assert_array_equal(resumed.standard_error["scores"], whole.standard_error["scores"])
    assert resumed.settings == whole.settings
    np.testing.assert_array_equal(contents(path)["draws"][: len(file["draws"])], file["draws"])


def test_what_was_decided_stays_decided_where_moments_are_rounded_otherwise(
    tmp_path, monkeypatch
) -> None:
    path, other = tmp_path / "run.npz", tmp_path / "other.npz"
    options = {"max_passes": ONCE + 2 * 50}
    whole = explain(**options)
    interrupt(monkeypatch, 5, explain, path, **options)
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


def test_a_preview_goes_on_from_any_stage_without_waiting_for_it(tmp_path, monkeypatch) -> None:
    path = tmp_path / "run.npz"
    whole = preview()
    interrupt(monkeypatch, 3, preview, path)
    assert 16 < len(contents(path)["moments_0"]) < len(contents(path)["draws"]) == WINDOWS
    with monkeypatch.context() as patch:
        # Whatever is evaluated is checked: nothing is.
        patch.setattr(pdjax._explain.draws, "check_finite", None)
        stages = pdjax.preview(
            NET, IMAGE, Greys(), strides=(3, 1), num_samples=2, checkpoint=path, **COMMON
        )
        resumed = [next(stages)]
    resumed += list(stages)
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
    with pytest.MonkeyPatch.context() as monkeypatch:
        interrupt(monkeypatch, 5, explain, path, max_passes=ONCE + 100)
    return path


@pytest.mark.parametrize("name", [*DAMAGE, "missing"])
def test_lists_that_cannot_be_are_refused_and_left_alone(halfway, tmp_path, name) -> None:
    file, path = contents(halfway), tmp_path / "run.npz"
    draws = file.pop("draws")
    np.savez(path, **file, **({"draws": DAMAGE[name](draws)} if name in DAMAGE else {}))
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"^checkpoint: '.*run.npz' belongs to no run; give ano"):
        explain(path, max_passes=ONCE + 100)
    assert path.read_bytes() == before
