"""Samplers that were set up before: the same numbers, and no harm where there is no cache."""

from __future__ import annotations

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pdjax
from pdjax.cli import kept
from pdjax.cli.kept import kept_sampler

GRID = pdjax.WindowGrid((40, 40), 4, 4)
KINDS = {
    pdjax.ConditionalGaussian: pdjax.PatchStatistics.natural_images(),
    pdjax.ConditionalMixture: pdjax.PatchMixture.natural_images(),
}


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    """Where everything is kept, however soon it was made."""
    monkeypatch.setenv("PDJAX_CACHE", str(tmp_path))
    monkeypatch.setattr(kept, "WORTH", 0.0)
    return tmp_path / "samplers"


def count_set_ups(monkeypatch, kind) -> list:
    made = []
    factors = kept.KINDS[kind]
    original = kind.__init__

    def init(self, first, *arguments, **options):
        if not isinstance(first, factors):
            made.append(first)
        original(self, first, *arguments, **options)

    monkeypatch.setattr(kind, "__init__", init)
    return made


def get(kind, window=4, padding=2, grid=GRID, **options):
    return kept_sampler(kind, KINDS[kind], (window, window), padding, grid, **options)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_set_up_once_to_the_same_samples(kind, monkeypatch, folder):
    made = count_set_ups(monkeypatch, kind)
    first, second = get(kind), get(kind)
    assert len(made) == 1
    assert len(list(folder.iterdir())) == 1
    plain = kind(KINDS[kind], 4, places=GRID)
    image = jax.random.uniform(jax.random.key(1), (40, 40, 3))
    for sampler in (first, second):
        assert jax.tree.structure(sampler) == jax.tree.structure(plain)
        for ours, theirs in zip(jax.tree.leaves(sampler), jax.tree.leaves(plain), strict=True):
            assert ours.dtype == theirs.dtype
            np.testing.assert_array_equal(ours, theirs)
        contents = (
            each.sample(jax.random.key(0), image, jnp.array([4, 8]), 2) for each in (sampler, plain)
        )
        np.testing.assert_array_equal(*contents)


def test_what_a_sampler_is_made_of_tells_files_apart(folder):
    gaussian = pdjax.ConditionalGaussian
    get(gaussian)
    for different in (
        {"window": 3, "grid": None},
        {"padding": 1},
        {"grid": None},
        {"color": "independent"},
        {"kind": pdjax.ConditionalMixture},
    ):
        before = len(list(folder.iterdir()))
        get(**{"kind": gaussian} | different)
        assert len(list(folder.iterdir())) == before + 1


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", None])
def test_a_file_that_is_none_is_made_again(content, monkeypatch, folder):
    kind = pdjax.ConditionalGaussian
    made = count_set_ups(monkeypatch, kind)
    get(kind)
    (path,) = folder.iterdir()
    if content is None:
        np.savez(path, mean=np.zeros(3))
    else:
        path.write_bytes(content)
    get(kind)
    get(kind)
    assert len(made) == 2


def test_without_a_folder_nothing_is_kept(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("PDJAX_CACHE", str(tmp_path / "file"))
    assert get(pdjax.ConditionalGaussian).places is not None


def test_what_was_not_used_for_longest_goes_first(monkeypatch, folder):
    first, second, third = ({"window": 3, "grid": None, "jitter": 10.0**-i} for i in (9, 8, 7))
    get(pdjax.ConditionalGaussian, **first)
    (old,) = folder.iterdir()
    os.utime(old, (0, 0))
    get(pdjax.ConditionalGaussian, **second)
    assert old.exists()
    monkeypatch.setattr(kept, "MOST", 5 * old.stat().st_size // 2)
    get(pdjax.ConditionalGaussian, **third)
    assert not old.exists()
    assert len(list(folder.iterdir())) == 2
