"""Fitting a mixture of textures to images: patches, a start, steps, and tables of the result."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from pdjax._checks import per_axis
from pdjax._progress import progress_bar
from pdjax._types import Array, Key
from pdjax.statistics.fitting import (
    Bounds,
    Images,
    axes_and_channels,
    fit_stationary,
    random_patches,
)
from pdjax.statistics.texture_steps import Textures, ascend, initial_textures

__all__ = ["fit_mixture"]

FLOOR = 1e-6
"""Share of the variance of a pixel that is white, at least, in the textures to start from."""


def fit_mixture(
    images: Images,
    rng_key: Key[Array, ""],
    textures: int,
    contrasts: int,
    patch: int | Sequence[int],
    max_patch: int | Sequence[int],
    num_patches: int,
    steps: int,
    levels: int | None,
    bounds: Bounds,
    progress: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights and scales ``(j, m)``, and autocovariances ``(j, 2 max_patch - 1, ..., c, c)``."""
    counts = {"textures": textures, "contrasts": contrasts, "steps": steps}
    for argument, count in counts.items():
        if not isinstance(count, int | np.integer) or isinstance(count, bool) or count < 1:
            raise ValueError(f"{argument}={count!r} must be an int of at least 1")
    if levels is not None and (not isinstance(levels, int | np.integer) or levels < 2):
        raise ValueError(f"levels={levels!r} must be an int of at least 2, or None for no noise")
    dimensions, channels = axes_and_channels(images)
    patch = per_axis(patch, dimensions, "patch")
    largest = per_axis(max_patch, dimensions, "max_patch")
    if any(most < size for size, most in zip(patch, largest, strict=True)):
        raise ValueError(f"max_patch={max_patch!r} must be at least patch={patch!r} on every axis")
    numbers = int(np.prod(patch)) * channels
    if numbers == channels or num_patches < 2 * numbers:
        raise ValueError(
            f"num_patches={num_patches} is too few for patches of {numbers} numbers; take at "
            f"least {2 * numbers}, of two pixels or more"
        )
    start, chosen = jax.random.split(rng_key)
    width = 0.0 if levels is None else 1 / (levels - 1)
    _, autocovariance = fit_stationary(images, largest, bounds, progress)
    seed = int(jax.random.bits(chosen))
    differences = _differences(images, patch, channels, num_patches, seed, width, bounds, progress)
    middle = tuple(size - 1 for size in largest)
    floor = width**2 / 12 + FLOOR * float(np.trace(autocovariance[middle])) / channels
    with jax.enable_x64(True):
        state = initial_textures(start, autocovariance, textures, contrasts, floor)
        state = climb(state, jnp.asarray(differences), patch, steps, progress)
        return _tables(state, largest)


def climb(
    state: Textures, differences: jax.Array, patch: tuple[int, ...], steps: int, progress: bool
) -> Textures:
    """Take ``steps`` steps; the bar shows the mean log-likelihood in bits per number."""
    with progress_bar(steps, "steps", progress, "fitting") as bar:
        for _ in range(steps):
            state, likelihood = ascend(state, differences, patch)
            bits = float(likelihood) / np.log(2) / differences.shape[-1]
            bar.set_postfix_str(f"{bits:.4f} bits")
            bar.update(1)
    return state


def _differences(
    images: Images,
    patch: tuple[int, ...],
    channels: int,
    num_patches: int,
    seed: int,
    width: float,
    bounds: Bounds,
    progress: bool,
) -> np.ndarray:
    """Pixels of random patches less their first one ``(n, numbers)``, with uniform noise."""
    each = -(-num_patches // len(images))
    noise = np.random.default_rng([seed, 1])
    parts = []
    with progress_bar(len(images), "images", progress, "patches") as bar:
        for rows in random_patches(images, patch, channels, each, seed, bounds, bar):
            rows = rows + width * (noise.random(rows.shape) - 0.5)
            parts.append((rows[:, 1:] - rows[:, :1]).reshape(each, -1))
    return np.concatenate(parts)


def _tables(state: Textures, largest: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Parameters as they are kept, with textures whose pixels have a mean variance of one."""
    axes = tuple(range(1, len(largest) + 1))
    tables = np.asarray(jnp.fft.ifftn(state.spectra, axes=axes).real)
    for axis, size in zip(axes, largest, strict=True):
        tables = np.take(tables, np.arange(1 - size, size), axis, mode="wrap")
    middle = tuple(size - 1 for size in largest)
    power = np.array([np.trace(table[middle]) for table in tables]) / tables.shape[-1]
    scales = np.asarray(state.scales) * power[:, None]
    shape = (-1, *[1] * (tables.ndim - 1))
    return np.asarray(state.weights), scales, tables / power.reshape(shape)
