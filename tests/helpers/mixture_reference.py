"""Mixtures of smooth textures, and their conditional distribution by the textbook."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import scipy.special

from helpers.gaussian_reference import conditional, smooth
from pdjax import PatchMixture, PatchStatistics
from pdjax.statistics.contrasts import ContrastChange

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


@functools.cache
def changing(dimensions: int) -> PatchMixture:
    """The same, with windows that vary less or more than their rings, by the rings' relief."""
    odds = np.array([[[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]], [[0.8, 0.2], [0.5, 0.5], [0.3, 0.7]]])
    change = ContrastChange(np.array([0.3, 4.0]), np.array([-0.5, 0.5]), np.ones(1), odds[None])
    return dataclasses.replace(mixture(dimensions), change=change)


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


def window_components(mixed: PatchMixture, image, origin, window, padding):
    """Logarithm of the probability, mean and covariance of each Gaussian of a window."""
    parts = list(components(mixed, image, origin, window, padding))
    shares = responsibilities(parts)
    if mixed.change is None:
        return [(np.log(r), part[1], part[2]) for r, part in zip(shares, parts, strict=True)]
    ring, ring_covariances = _ring(mixed, image, origin, window, padding)
    found = []
    used = zip(*np.nonzero(mixed.weights), strict=True)
    for share, part, (texture, contrast) in zip(shares, parts, used, strict=True):
        covariance = mixed.scales[texture, contrast] * ring_covariances[texture]
        # Pixels about their mean, each channel for itself.
        count, channels = ring.shape
        centred = np.kron(np.eye(count) - 1 / count, np.eye(channels))
        expected = np.trace(centred @ covariance @ centred) / (count * channels)
        relief = np.log2(ring.var(0).mean() / expected)
        number = int((relief >= mixed.change.edges).sum())
        odds = mixed.change.probabilities[0, texture, number]
        for ratio, probability in zip(mixed.change.ratios, odds, strict=True):
            found.append((np.log(share * probability), part[1], ratio * part[2]))
    return found


def _ring(mixed: PatchMixture, image, origin, window, padding):
    patch = np.array(window) + 2 * padding
    corner = np.clip(np.array(origin) - padding, 0, np.array(image.shape[:-1]) - patch)
    cut = image[tuple(slice(c, c + p) for c, p in zip(corner, patch, strict=True))]
    around = np.ones(cut.shape[:-1], bool)
    place = np.array(origin) - corner
    around[tuple(slice(p, p + k) for p, k in zip(place, window, strict=True))] = False
    numbers = np.repeat(around.ravel(), cut.shape[-1])
    covariances = mixed.covariances(tuple(int(p) for p in patch))
    return cut[around].astype(np.float64), covariances[:, numbers][:, :, numbers]


def responsibilities(parts) -> np.ndarray:
    """Probability of each component given the ring."""
    return scipy.special.softmax([weight + ring for weight, _, _, ring, _ in parts])


def log_normal(values: np.ndarray, covariance: np.ndarray) -> float:
    """Logarithm of a Gaussian density with mean zero."""
    root = np.linalg.cholesky(covariance)
    white = np.linalg.solve(root, values)
    return -0.5 * white @ white - np.log(np.diag(root)).sum() - 0.5 * len(white) * np.log(2 * np.pi)
