"""Mixtures of smooth textures, and their conditional distribution by the textbook."""

from __future__ import annotations

import functools

import numpy as np
import scipy.special

from helpers.gaussian_reference import conditional, smooth
from pdjax import PatchMixture, PatchStatistics

FREE = 1e4
"""Variance of the colour of a patch, large enough to be no assumption about it."""


@functools.cache
def fields(dimensions: int) -> tuple[np.ndarray, ...]:
    """Autocovariances of a smooth field in two or three channels and of the same with noise."""
    size = {1: 120, 2: 30, 3: 14}[dimensions]
    images = [smooth(*(size,) * dimensions, 3, seed=seed) for seed in range(6)]
    table = PatchStatistics.fit(images, max_patch=8).covariance
    rough = table.copy()
    middle = (7,) * dimensions
    rough[middle] += 0.3 * table[middle] + 1e-3 * np.eye(3)
    table[middle] += 1e-4 * np.eye(3)
    return table, rough


@functools.cache
def mixture(dimensions: int) -> PatchMixture:
    """Two textures at three and at two contrasts: one of them has no probability."""
    weights = np.array([[0.2, 0.1, 0.3], [0.25, 0.15, 0.0]])
    scales = np.array([[0.1, 0.6, 2.0], [0.3, 1.2, 1.0]])
    return PatchMixture(weights, scales, np.stack(fields(dimensions)), 6)


def components(mixed: PatchMixture, image, origin, window, padding):
    """Per component of any weight: its logarithm, mean and covariance of the window given the
    ring, and logarithms of the densities of the ring and of the whole patch.
    """
    patch = np.array(window) + 2 * padding
    corner = np.clip(np.array(origin) - padding, 0, np.array(image.shape[:-1]) - patch)
    cut = image[tuple(slice(c, c + p) for c, p in zip(corner, patch, strict=True))]
    mask = np.zeros(cut.shape, bool)
    place = np.array(origin) - corner
    mask[tuple(slice(p, p + k) for p, k in zip(place, window, strict=True))] = True
    pixels, mask = cut.ravel().astype(np.float64) - 0.5, mask.ravel()
    same = np.arange(cut.size) % cut.shape[-1]
    color = FREE * (same[:, None] == same)
    covariances = mixed.covariances(tuple(int(p) for p in patch))
    for texture, contrast in zip(*np.nonzero(mixed.weights), strict=True):
        covariance = mixed.scales[texture, contrast] * covariances[texture] + color
        mean, spread = conditional(np.zeros(cut.size), covariance, pixels, mask)
        ring = log_normal(pixels[~mask], covariance[np.ix_(~mask, ~mask)])
        yield (
            np.log(mixed.weights[texture, contrast]),
            mean + 0.5,
            spread,
            ring,
            log_normal(pixels, covariance),
        )


def responsibilities(parts) -> np.ndarray:
    """Probability of each component given the ring."""
    return scipy.special.softmax([weight + ring for weight, _, _, ring, _ in parts])


def log_normal(values: np.ndarray, covariance: np.ndarray) -> float:
    """Logarithm of a Gaussian density with mean zero."""
    root = np.linalg.cholesky(covariance)
    white = np.linalg.solve(root, values)
    return -0.5 * white @ white - np.log(np.diag(root)).sum() - 0.5 * len(white) * np.log(2 * np.pi)
