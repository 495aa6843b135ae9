"""Smooth random images, statistics of them, and the conditional Gaussian by the textbook."""

from __future__ import annotations

import functools

import numpy as np
import scipy.ndimage

from pdjax import ConditionalGaussian, PatchStatistics

JITTERED = functools.partial(ConditionalGaussian, jitter=1e-6)
"""Makes a sampler of smooth images, whose covariances are all but singular."""


def smooth(*shape: int, seed: int = 0) -> np.ndarray:
    """A random smooth image around mid-grey."""
    noise = np.random.default_rng(seed).standard_normal(shape)
    image = scipy.ndimage.gaussian_filter(noise, [1.5] * (len(shape) - 1) + [0.5])
    return np.clip(0.5 + 0.12 * image / image.std(), 0, 1)


@functools.cache
def statistics(dimensions: int) -> PatchStatistics:
    """Statistics of smooth images with three channels that vary together."""
    size = {1: 200, 2: 40, 3: 16}[dimensions]
    images = [smooth(*(size,) * dimensions, 3, seed=seed) for seed in range(6)]
    return PatchStatistics.fit(images, max_patch=9)


def conditional(mean, covariance, pixels, inside):
    """Mean and covariance of the entries where ``inside``, given the others: the textbook."""
    a, b = np.flatnonzero(inside), np.flatnonzero(~inside)
    regression = np.linalg.solve(covariance[np.ix_(b, b)], covariance[np.ix_(b, a)])
    return (
        mean[a] + (pixels[b] - mean[b]) @ regression,
        covariance[np.ix_(a, a)] - covariance[np.ix_(a, b)] @ regression,
    )


def closed_form(stats, image, origin, window, padding, color, jitter=0.0):
    """The conditional Gaussian of a window ``(window pixels * c)`` in double precision."""
    patch = np.array(window) + 2 * padding
    corner = np.clip(np.array(origin) - padding, 0, np.array(image.shape[:-1]) - patch)
    cut = image[tuple(slice(c, c + p) for c, p in zip(corner, patch, strict=True))]
    mask = np.zeros(cut.shape, bool)
    place = np.array(origin) - corner
    mask[tuple(slice(p, p + k) for p, k in zip(place, window, strict=True))] = True
    mean, covariance = stats.gaussian(tuple(int(p) for p in patch))
    covariance = covariance + jitter * np.diag(covariance).mean() * np.eye(len(covariance))
    if color == "independent":
        same = np.arange(cut.size) % 3
        covariance = covariance * (same[:, None] == same)
    return conditional(mean.ravel(), covariance, cut.ravel(), mask.ravel())
