"""Samplers that were set up before, kept in the user's cache folder.

Factoring covariances takes seconds to minutes for large windows, and depends on nothing but what a
sampler is made of. The arrays are kept as they are, under a name that stands for all of that.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np

from pdjax._files import atomic_path, read_npz
from pdjax.method.windows import WindowGrid
from pdjax.samplers import ConditionalGaussian, ConditionalMixture
from pdjax.samplers.fields import default_float, to_device
from pdjax.samplers.gaussian import GaussianFactors
from pdjax.samplers.mixture import MixtureFactors
from pdjax.samplers.ring import Ring
from pdjax.weights.download import cache_folder

__all__ = ["kept_sampler"]

FORMAT = 1
"""Raised when the same covariances come to other factors."""

WORTH = 0.5
"""Seconds of set-up that are worth a file."""

MOST = 2**30
"""Bytes of all files together; those that were not used for longest go first."""

KINDS: Mapping[type[Any], type[Any]] = {
    ConditionalGaussian: GaussianFactors,
    ConditionalMixture: MixtureFactors,
}
"""Samplers, and what they make of statistics."""

Kept = TypeVar("Kept", ConditionalGaussian, ConditionalMixture)


def kept_sampler(
    kind: type[Kept],
    fitted: Any,
    window: Sequence[int],
    padding: int,
    places: WindowGrid | None,
    *,
    progress: bool = False,
    **options: Any,
) -> Kept:
    """Return ``kind(fitted, window, padding, places=places, **options)``, set up once only.

    ``fitted`` are `PatchStatistics` or a `PatchMixture`, as the sampler takes them. A folder that
    cannot be written to, and a file in it that cannot be read, cost the time of the set-up and
    nothing else.
    """
    folder = cache_folder() / "samplers"
    ring = Ring.of(window, padding, fitted.dimensions, least=0)
    numbers = ring.places_of(places)
    parts = kind.__name__, ring, numbers, options, default_float().name, FORMAT
    path = folder / f"{_digest(repr(parts), fitted)}.npz"
    factors = _read(path, KINDS[kind], fitted)
    if factors is not None:
        # Given factors, a constructor takes all else as it is.
        return kind(factors, *ring.settings, clip=fitted.bounds, places=numbers, **options)
    started = time.monotonic()
    sampler = kind(fitted, window, padding, places=places, progress=progress, **options)
    if time.monotonic() - started > WORTH:
        with contextlib.suppress(OSError):
            _write(path, getattr(sampler, dataclasses.fields(sampler)[0].name))
    return sampler


def _digest(words: str, fitted: Any) -> str:
    digest = hashlib.sha256(words.encode())
    for leaf in jax.tree.leaves(fitted):
        array = np.asarray(leaf)
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(array.tobytes())
    digest.update(repr(fitted.bounds).encode())
    return digest.hexdigest()


def _arrays(kind: type[Any]) -> list[str]:
    return [each.name for each in dataclasses.fields(kind) if not each.metadata.get("static")]


def _read(path: Path, kind: type[Any], fitted: Any) -> Any:
    """Return the factors in a file, or None where there are none that fit."""
    if not path.exists():
        return None
    try:
        arrays = read_npz(path, max_bytes=MOST)
        path.touch()
    except (OSError, ValueError):
        return None
    if arrays.keys() != set(_arrays(kind)):
        return None
    rest = [each.name for each in dataclasses.fields(kind) if each.name not in arrays]
    fixed = {name: getattr(fitted, name) for name in rest}
    return kind(**{name: _device(value) for name, value in arrays.items()}, **fixed)


def _device(array: np.ndarray) -> jax.Array:
    return jax.numpy.asarray(array) if array.dtype.kind == "i" else to_device(array)


def _write(path: Path, factors: Any) -> None:
    arrays = {name: np.asarray(getattr(factors, name)) for name in _arrays(type(factors))}
    room = MOST - sum(array.nbytes for array in arrays.values())
    if room < 0:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    for old in sorted(path.parent.glob("*.npz"), key=lambda each: -each.stat().st_mtime):
        room -= old.stat().st_size
        if room < 0:
            old.unlink(missing_ok=True)
    # Numbers of a factor do not get smaller by compression, which would take as long as the set-up.
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)
