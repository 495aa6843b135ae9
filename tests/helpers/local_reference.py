"""What local evaluation is held against: the function on images with the patches pasted in."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from pdjax.method.windows import paste


def pasted(image: jax.Array, origins: jax.Array, patches: jax.Array) -> jax.Array:
    """The perturbed images, shape (n, *spatial, c)."""
    return jax.vmap(functools.partial(paste, image))(patches, origins)


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


@contextlib.contextmanager
def quick_compilation() -> Iterator[None]:
    """Compile in half the time programs that run only once."""
    jax.config.update("jax_disable_most_optimizations", True)
    try:
        yield
    finally:
        jax.config.update("jax_disable_most_optimizations", False)
