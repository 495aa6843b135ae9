"""Patches by the differences of their pixels to the first of them, and textures as seen by these.

No change of the colour of a patch alters the differences, so that a texture says nothing about it.
"""

from __future__ import annotations

from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from pdjax._types import Array, Float, Int

__all__ = ["difference_covariance", "differences", "log_densities"]

Numbers = TypeVar("Numbers", np.ndarray, jax.Array)


def differences(pixels: Numbers, which: Int[Array, " chosen"] | None = None) -> Numbers:
    """Pixels ``which`` less the first of them, which is left out; None stands for all.

    ``(n, pixels, c)`` -> ``(n, numbers)``, channels fastest.
    """
    chosen = pixels if which is None else pixels[:, which]
    return (chosen[:, 1:] - chosen[:, :1]).reshape(len(pixels), -1)


def difference_covariance(covariance: Numbers, channels: int) -> Numbers:
    """Covariance of the differences of all pixels to the first, from that of all pixels."""
    size = covariance.shape[-1]
    blocks = covariance.reshape(size // channels, channels, size // channels, channels)
    rows = blocks[1:] - blocks[:1]
    differences = rows[:, :, 1:] - rows[:, :, :1]
    return differences.reshape(size - channels, size - channels)


def log_densities(
    distance: Float[Array, "n j"],
    determinant: Float[Array, " j"],
    scales: Float[Array, "j m"],
    size: int,
) -> Float[Array, "n j m"]:
    """Logarithms of Gaussian densities of ``size`` numbers for each texture at each contrast.

    Parameters
    ----------
    distance : float array (n, j)
        ``y^T K^-1 y`` for the numbers y of each patch and the covariance K of each texture.
    determinant : float array (j,)
        Logarithms of the determinants of K.
    scales : float array (j, m)
        Factors of K, one to each contrast.
    size : int
        How many numbers there are in y.
    """
    constant = determinant[:, None] + size * jnp.log(2 * jnp.pi * scales)
    return -0.5 * (constant[None] + distance[..., None] / scales[None])
