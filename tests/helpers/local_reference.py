"""What local evaluation is held against: the function on images with the patches pasted in."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import pdjax.local

evaluate = jax.jit(pdjax.local.evaluate)


def dense(
    f: Callable[..., Any], params: Any, image: jax.Array, origins: jax.Array, patches: jax.Array
) -> Any:
    """Evaluate the whole function at the image with each patch in its place."""
    # With NumPy, so that one program does for all windows.
    images = np.repeat(np.asarray(image)[None], len(origins), axis=0)
    for one, origin, patch in zip(images, np.asarray(origins), np.asarray(patches), strict=True):
        one[tuple(slice(i, i + k) for i, k in zip(origin, patch.shape, strict=False))] = patch
    return _evaluate_whole(f, params, jnp.asarray(images))


_evaluate_whole = jax.jit(lambda f, params, images: f(params, images), static_argnums=0)


def perturbations(
    shape: tuple[int, ...], window: tuple[int, ...], seed: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """An image, origins at every corner, edge and middle and some between, and patches.

    The last patch is what is there anyway, so that it gives the outputs for the image as it is.
    """
    rng = np.random.default_rng(seed)
    last = [size - k for size, k in zip(shape[:-1], window, strict=True)]
    border = [*itertools.product(*((0, end // 2, end) for end in last))]
    origins = np.concatenate([border, rng.integers(0, np.asarray(last) + 1, (6, len(last)))])
    image = rng.random(shape)
    # Patches beyond the range of the image, so that even one pixel of them is felt everywhere.
    patches = 3 * rng.standard_normal((len(origins), *window, shape[-1]))
    place = tuple(slice(i, i + k) for i, k in zip(origins[-1], window, strict=True))
    patches[-1] = image[place]
    return jnp.asarray(image, float), jnp.asarray(origins, jnp.int32), jnp.asarray(patches, float)


def assert_close(local: Any, dense: Any, origins: Any, tolerance: float) -> None:
    """Same tree, shapes and dtypes; values within a share of each output's largest."""
    assert jax.tree.structure(local) == jax.tree.structure(dense)
    named = jax.tree_util.tree_leaves_with_path(dense)
    for (path, want), got in zip(named, jax.tree.leaves(local), strict=True):
        name = jax.tree_util.keystr(path)
        assert (got.shape, got.dtype) == (want.shape, want.dtype), name
        want, got = np.asarray(want, np.float64), np.asarray(got, np.float64)
        assert np.isfinite(want).all(), f"{name} tests nothing: it is not finite"
        errors = np.abs(got - want).max(tuple(range(1, want.ndim)))
        wrong = ~(errors <= tolerance * np.abs(want).max())
        places = np.asarray(origins)[wrong].tolist()
        assert not wrong.any(), f"{name} of {np.abs(want).max()} by {errors[wrong]} at {places}"
