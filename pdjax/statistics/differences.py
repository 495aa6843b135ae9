"""Pixels of a patch as differences to one of them, which no change of its colour can alter."""

from __future__ import annotations

from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg

from pdjax._types import Array, Float, Int

__all__ = ["difference_covariance", "difference_root", "differences", "inverse_root", "spread"]

Covariance = TypeVar("Covariance", np.ndarray, jax.Array)


def differences(
    pixels: Float[Array, "n pixels c"], which: Int[Array, " chosen"]
) -> Float[Array, "n numbers"]:
    """Pixels ``which``, less the first of them, which is left out."""
    chosen = pixels[:, which]
    return (chosen[:, 1:] - chosen[:, :1]).reshape(len(pixels), -1)


def spread(
    weights: Float[Array, "n numbers"], which: Int[Array, " chosen"], patch: int
) -> Float[Array, "n patch c"]:
    """Weights of the differences of pixels ``which``, as weights of all pixels of a patch."""
    weights = weights.reshape(len(weights), len(which) - 1, -1)
    weights = jnp.concatenate([-weights.sum(1, keepdims=True), weights], 1)
    zeros = jnp.zeros((len(weights), patch, weights.shape[-1]), weights.dtype)
    return zeros.at[:, which].set(weights)


def difference_covariance(covariance: Covariance, channels: int) -> Covariance:
    """Covariance of the differences of all pixels to the first, from that of all pixels."""
    size = covariance.shape[-1]
    blocks = covariance.reshape(size // channels, channels, size // channels, channels)
    rows = blocks[1:] - blocks[:1]
    differences = rows[:, :, 1:] - rows[:, :, :1]
    return differences.reshape(size - channels, size - channels)


def difference_root(covariance: np.ndarray, channels: int) -> np.ndarray:
    """Cholesky factor of the covariance of the differences of pixels to the first of them."""
    try:
        return np.linalg.cholesky(difference_covariance(covariance, channels))
    except np.linalg.LinAlgError:
        raise ValueError(
            "mixture: the covariance of a texture is not positive definite; fit it on more images, "
            "or use a larger jitter"
        ) from None


def inverse_root(root: np.ndarray) -> np.ndarray:
    """Inverse of a lower triangular matrix."""
    return scipy.linalg.solve_triangular(root, np.eye(len(root)), lower=True)
