"""Fitting a mixture of stationary textures to patches: expectation-maximisation in JAX, float64.

Patches are described by the differences e of their pixels to their first pixel, so that nothing is
assumed about their colour. Of texture j at contrast m they are Gaussian with covariance
``s_jm K_j``, where ``K_j = T C_j T^T`` takes the differences (T) of a stationary field with the
spectrum ``S_j`` on a torus. With responsibilities r, one step sets

- the weights ``w_jm`` to the mean of ``r_njm`` over the patches n;
- the contrasts ``s_jm`` to ``sum_n r_njm e_n^T K_j^-1 e_n / (D sum_n r_njm)``;
- the spectra uphill in the expected log-likelihood of patches with the scatter
  ``W_j = sum_nm r_njm e_n e_n^T / s_jm / sum_nm r_njm``: with ``A_j`` the Fourier transform of the
  sums along all lags of ``T^T (K^-1 W K^-1 - K^-1) T``, the field outside the patch being missing
  data, the exact step is ``S + S A S`` over the number of frequencies (Miller and Snyder, 1987).
  Longer steps ``(1 + a/2 S A) S (1 + a/2 A S)``, positive definite for every length a, are taken
  where they go uphill.

No step lowers the likelihood.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pdjax._progress import progress_bar
from pdjax._types import Array, Float, Key
from pdjax.statistics.autocovariance import from_torus
from pdjax.statistics.differences import difference_covariance, differences, log_densities
from pdjax.statistics.images import ImageSource

__all__ = ["Textures", "ascend", "climb", "initial_textures", "noisy_differences", "tables"]

RATIO = 1000 ** (1 / 5)
"""Ratio of one contrast (variance) to the next lower to start from: six span three decades."""


class Textures(NamedTuple):
    """Parameters of the mixture while they are fitted.

    Attributes
    ----------
    weights, scales : float64 arrays (j, m)
        Probability and variance factor of each texture at each contrast.
    spectra : complex128 array (j, *torus, c, c)
        Fourier transforms of the autocovariances of the textures.
    step : float64 array (j,)
        Lengths of the next steps of the spectra.
    """

    weights: jax.Array
    scales: jax.Array
    spectra: jax.Array
    step: jax.Array


def noisy_differences(
    source: ImageSource, patch: tuple[int, ...], num_patches: int, seed: Sequence[int], width: float
) -> np.ndarray:
    """Pixels of random patches less their first one ``(n, numbers)``, with uniform noise.

    The noise is as wide as one of the levels that values are rounded to. Without it, the density
    of areas of one value would grow without bound.
    """
    noise = np.random.default_rng([*seed, 1])
    parts = []
    with source.bar(description="patches") as bar:
        for pixels in source.random_patches(patch, num_patches, seed, bar):
            parts.append(differences(pixels + width * (noise.random(pixels.shape) - 0.5)))
    return np.concatenate(parts)


def initial_textures(
    rng_key: Key[Array, ""], autocovariance: np.ndarray, textures: int, contrasts: int, floor: float
) -> Textures:
    """Textures of one autocovariance ``(2 m - 1, ..., c, c)`` in random directions.

    The spectrum, nowhere below ``floor``, is multiplied by ``exp(u^T A u)``, u being the direction
    of the frequency and A a random matrix for each texture.
    """
    dimensions = autocovariance.ndim - 2
    torus = tuple(lags + 1 for lags in autocovariance.shape[:-2])
    axes = tuple(range(dimensions))
    table = np.pad(autocovariance, [(1, 0)] * dimensions + [(0, 0)] * 2)
    values, vectors = np.linalg.eigh(np.fft.fftn(np.fft.ifftshift(table, axes), axes=axes))
    values = np.maximum(values, 0) + floor
    spectrum = (vectors * values[..., None, :]) @ vectors.conj().swapaxes(-1, -2)
    grid = np.meshgrid(*(np.sin(np.pi * np.fft.fftfreq(size)) for size in torus), indexing="ij")
    direction = np.stack(grid, -1)
    direction = direction / np.maximum(np.linalg.norm(direction, axis=-1, keepdims=True), 1e-12)
    tilt = np.asarray(jax.random.normal(rng_key, (textures, dimensions, dimensions), jnp.float64))
    gains = np.exp(np.einsum("...a,jab,...b->j...", direction, tilt, direction))
    spectra = gains[..., None, None] * spectrum[None]
    scales = np.broadcast_to(3 * RATIO ** np.arange(1.0 - contrasts, 1), (textures, contrasts))
    return Textures(
        jnp.full((textures, contrasts), 1 / (textures * contrasts), jnp.float64),
        jnp.asarray(scales, jnp.float64),
        jnp.asarray(spectra, jnp.complex128),
        jnp.full(textures, 8 / np.prod(torus), jnp.float64),
    )


def climb(
    state: Textures, rows: jax.Array, patch: tuple[int, ...], steps: int, progress: bool
) -> Textures:
    """Take ``steps`` steps; the bar shows the mean log-likelihood in bits per number."""
    with progress_bar(steps, "steps", progress, "fitting") as bar:
        for _ in range(steps):
            state, likelihood = ascend(state, rows, patch)
            bits = float(likelihood) / np.log(2) / rows.shape[-1]
            bar.set_postfix_str(f"{bits:.4f} bits")
            bar.update(1)
    return state


@functools.partial(jax.jit, static_argnames=("patch", "inner"))
def ascend(
    textures: Textures, rows: Float[Array, "n numbers"], patch: tuple[int, ...], inner: int = 8
) -> tuple[Textures, jax.Array]:
    """One step, and the mean log-likelihood of the patches before it, in nats a patch.

    ``rows`` are the differences of the pixels of a patch to its first, channels fastest.
    """
    channels, size = textures.spectra.shape[-1], rows.shape[-1]
    lags = _lags(patch, textures.spectra.shape[1:-2])

    def distances(spectrum: jax.Array) -> tuple[jax.Array, jax.Array]:
        root = jnp.linalg.cholesky(_covariance(spectrum, lags, channels))
        inverse = jax.scipy.linalg.solve_triangular(
            root, jnp.eye(size, dtype=root.dtype), lower=True
        )
        return jnp.square(rows @ inverse.T).sum(-1), 2 * jnp.log(jnp.diagonal(root)).sum()

    distance, determinant = jax.lax.map(distances, textures.spectra)
    logs = log_densities(distance.T, determinant, textures.scales, size)
    logs = logs + jnp.log(textures.weights)[None]
    evidence = jax.nn.logsumexp(logs, axis=(1, 2))
    shares = jnp.exp(logs - evidence[:, None, None])
    mass = shares.sum(0)
    moments = jnp.einsum("njm,jn->jm", shares, distance)
    used = mass > 1e-6
    scales = jnp.where(used, moments / (size * jnp.where(used, mass, 1)), textures.scales)

    def improve(parts: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array]:
        spectrum, step, share, scale = parts
        weight = (share / scale[None]).sum(1) / jnp.maximum(share.sum(), 1e-6)
        scatter = jnp.einsum("na,nb->ab", rows * weight[:, None], rows)
        return _uphill(spectrum, step, scatter, lags, inner)

    parts = (textures.spectra, textures.step, shares.swapaxes(0, 1), scales)
    spectra, step = jax.lax.map(improve, parts)
    return Textures(mass / len(rows), scales, spectra, step), evidence.mean()


def _uphill(
    spectrum: jax.Array, step: jax.Array, scatter: jax.Array, lags: np.ndarray, inner: int
) -> tuple[jax.Array, jax.Array]:
    """Climb the expected log-likelihood; a step that would go down is undone and shortened.

    The exact step is short where much of the field is missing, as most of the torus is. A longer
    one may overshoot, so its length is found by trying: half as long again after one that went up,
    less than half after one that did not.
    """
    channels = spectrum.shape[-1]

    def look(spectrum: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Height and slope A."""
        covariance = _covariance(spectrum, lags, channels)
        root = jnp.linalg.cholesky(covariance)
        precision = jax.scipy.linalg.cho_solve((root, True), jnp.eye(len(root), dtype=root.dtype))
        product = precision @ scatter
        height = -2 * jnp.log(jnp.diagonal(root)).sum() - jnp.trace(product)
        return height, _along_lags(product @ precision - precision, lags, spectrum.shape)

    def climb(_: jax.Array, state: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        spectrum, step, height, slope = state
        one = jnp.broadcast_to(jnp.eye(channels, dtype=spectrum.dtype), spectrum.shape)
        # F S F^H stays positive definite for every length a, which S + a S A S does not.
        factor = one + (0.5 * step).astype(spectrum.dtype) * (spectrum @ slope)
        proposed = factor @ spectrum @ factor.conj().swapaxes(-1, -2)
        proposed = (proposed + proposed.conj().swapaxes(-1, -2)) / 2
        higher, steeper = look(proposed)
        better = higher >= height  # False where the proposal has no Cholesky factor
        return (
            jnp.where(better, proposed, spectrum),
            jnp.where(better, 1.5 * step, 0.4 * step),
            jnp.where(better, higher, height),
            jnp.where(better, steeper, slope),
        )

    state = jax.lax.fori_loop(0, inner, climb, (spectrum, step, *look(spectrum)))
    return state[0], state[1]


def _covariance(spectrum: jax.Array, lags: np.ndarray, channels: int) -> jax.Array:
    """Covariance of the differences in a patch of a field with this spectrum."""
    axes = tuple(range(spectrum.ndim - 2))
    table = jnp.fft.ifftn(spectrum, axes=axes).real.reshape(-1, channels, channels)
    size = len(lags) * channels
    return difference_covariance(table[lags].transpose(0, 2, 1, 3).reshape(size, size), channels)


def _along_lags(matrix: jax.Array, lags: np.ndarray, shape: tuple[int, ...]) -> jax.Array:
    """Fourier transform of the sums, along each lag, of a matrix of the differences."""
    pixels, channels = len(lags), shape[-1]
    inner = matrix.reshape(pixels - 1, channels, pixels - 1, channels)
    rows = jnp.concatenate([-inner.sum(0, keepdims=True), inner], 0)
    blocks = jnp.concatenate([-rows.sum(2, keepdims=True), rows], 2).transpose(0, 2, 1, 3)
    table = jnp.zeros((int(np.prod(shape[:-2])), channels, channels), matrix.dtype)
    return jnp.fft.fftn(table.at[lags].add(blocks).reshape(shape), axes=range(len(shape) - 2))


@functools.cache
def _lags(patch: tuple[int, ...], torus: tuple[int, ...]) -> np.ndarray:
    """Flat index on the torus of the offset from pixel i to pixel k of a patch, (i, k)."""
    positions = np.stack(np.unravel_index(np.arange(np.prod(patch)), patch))
    return np.ravel_multi_index(tuple(positions[:, None] - positions[:, :, None]), torus, "wrap")


def tables(state: Textures, largest: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights, scales and autocovariances as they are kept: for patches of up to ``largest``.

    Pixels of every texture have a mean variance of one, so that scales are variances.
    """
    axes = tuple(range(1, len(largest) + 1))
    covariance = np.asarray(jnp.fft.ifftn(state.spectra, axes=axes).real)
    covariance = from_torus(covariance, largest, first=1)
    middle = tuple(size - 1 for size in largest)
    power = np.array([np.trace(table[middle]) for table in covariance]) / covariance.shape[-1]
    scales = np.asarray(state.scales) * power[:, None]
    shape = (-1, *[1] * (covariance.ndim - 1))
    return np.asarray(state.weights), scales, covariance / power.reshape(shape)
