"""The conditional Gaussian: a window drawn given the ring of pixels around it.

A Gaussian over patches of ``window + 2 * padding`` pixels a side is conditioned on the pixels
around the window (Zintgraf et al., 2017, section 3.1). The gain and the root of the covariance
depend only on where the window lies in the patch, so they are computed once, in float64, and used
at every position of every image. At the border of an image the patch is shifted inwards and the
window lies off-centre: ``(2 * padding + 1) ** d`` places in all.

The root is that of the principal axes, ``V sqrt(w)`` for the eigenvectors V and the eigenvalues w
of the covariance: of the normal numbers that make up a sample, the first then move it most, which
is what quasi-random points need (Acworth, Broadie and Glasserman, 1998).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg

from pdjax._checks import per_axis
from pdjax._progress import progress_bar
from pdjax._types import Array, Float, Int, Key
from pdjax.method.windows import crop
from pdjax.samplers.ring import (
    check_fit,
    check_settings,
    default_float,
    locate,
    patch_of,
    pixel_tables,
)
from pdjax.statistics.patches import PatchStatistics

__all__ = ["ConditionalGaussian"]


@jax.tree_util.register_pytree_node_class
class ConditionalGaussian:
    """Samples of a window from a Gaussian conditioned on the pixels around it.

    With patch mean ``m`` and covariance ``C``, window pixels 1 and ring pixels 2, samples are
    drawn from ``N(m1 + G (x2 - m2), C11 - G C21)`` with ``G = C12 C22^-1``, and clipped. They are
    made of standard normal numbers, one to each principal axis of that covariance, so that all
    schemes of `pdjax.sampling` can be used.

    Parameters
    ----------
    statistics : PatchStatistics
        Mean and covariance of patches.
    window : int or tuple of int
        Pixels of the window on each axis.
    padding : int
        Pixels of the ring around it; 0 gives the unconditional patch Gaussian.
    color : {"joint", "independent"}
        All channels in one Gaussian, or one Gaussian per channel.
    clip : (float, float) or None
        Range that samples are clipped to.
    jitter : float
        Variance added to every pixel, as a share of the mean variance of a pixel, so that an
        ill-conditioned covariance can be factored.
    progress : bool
        Whether to show a progress bar where the set-up takes over two seconds (large windows).

    Raises
    ------
    ValueError
        If the statistics do not reach to patches of that size, or the covariance is not positive
        definite after the jitter.

    Examples
    --------
    >>> import jax, jax.numpy as jnp, pdjax
    >>> statistics = pdjax.PatchStatistics.natural_images()
    >>> sampler = pdjax.ConditionalGaussian(statistics, window=10)
    >>> image = jnp.full((64, 64, 3), 0.5)
    >>> sampler.sample(jax.random.key(0), image, jnp.array([0, 20]), 4).shape
    (4, 10, 10, 3)
    """

    constant = False

    def __init__(
        self,
        statistics: PatchStatistics,
        window: int | Sequence[int] = 10,
        padding: int = 2,
        color: str = "joint",
        *,
        clip: tuple[float, float] | None = (0.0, 1.0),
        jitter: float = 1e-9,
        progress: bool = False,
    ) -> None:
        if color not in ("joint", "independent"):
            raise ValueError(f"color={color!r} is unknown; choose 'joint' or 'independent'")
        check_settings(padding, 0, jitter, clip)
        self.window = per_axis(window, statistics.dimensions, "window")
        self.padding, self.color, self.clip = int(padding), color, clip
        patch = self.patch
        mean, covariance = statistics.gaussian(patch)
        groups = _color_groups(math.prod(patch), statistics.channels, color)
        tables = pixel_tables(self.window, self.padding)
        gains, roots, orders = [], [], []
        bar = progress_bar(len(tables[0]), "factors", progress, "sampler", delay=2.0)
        for inside, ring in zip(*tables, strict=True):
            pair = [
                _condition(covariance, group[inside].ravel(), group[ring].ravel(), jitter)
                for group in groups
            ]
            root = np.stack([root for _, root in pair])
            gains.append(np.stack([gain for gain, _ in pair]).astype(default_float()))
            roots.append(root.astype(default_float()))
            orders.append(_ranks(np.square(root).sum(1)))
            bar.update(1)
        bar.close()
        self.mean = jnp.asarray(mean.reshape(-1, statistics.channels), default_float())
        self.gain, self.root = jnp.asarray(np.stack(gains)), jnp.asarray(np.stack(roots))
        self.order = jnp.asarray(np.stack(orders))

    @property
    def patch(self) -> tuple[int, ...]:
        """Pixels of the patch, window and ring, on each axis."""
        return patch_of(self.window, self.padding)

    @property
    def axes(self) -> int:
        """Normal numbers that a sample is made of: one for each pixel and channel."""
        return math.prod(self.window) * self.mean.shape[-1]

    def __str__(self) -> str:
        if self.padding == 0:
            return f"unconditional Gaussian samples ({self.color} colour)"
        return f"conditional Gaussian samples ({self.color} colour, ring of {self.padding} pixels)"

    def check(self, image_shape: tuple[int, ...], num_samples: int) -> None:
        """Raise ValueError where an image has other axes or is smaller than the patch."""
        channels = self.mean.shape[-1]
        check_fit(image_shape, self.patch, channels, "statistics are", "fit statistics")

    def sample(
        self,
        rng_key: Key[Array, ""],
        image: Float[Array, "*spatial c"],
        origin: Int[Array, " d"],
        num_samples: int,
    ) -> Float[Array, "num_samples *window c"]:
        """Draw contents of the window at ``origin``, in the image's dtype and pixel space."""
        noise = jax.random.normal(rng_key, (num_samples, self.axes), image.dtype)
        return self.transform(noise, image, origin)

    def transform(
        self,
        noise: Float[Array, "num_samples axes"],
        image: Float[Array, "*spatial c"],
        origin: Int[Array, " d"],
    ) -> Float[Array, "num_samples *window c"]:
        """Return the contents of the window at ``origin`` that standard normal numbers stand for.

        Number i of a row moves the content along the principal axis of i-th largest variance; with
        ``color="independent"`` the axes of all channels are in one order.
        """
        place, corner, inside, ring = locate(image.shape[:-1], origin, self.window, self.padding)
        gain, root = (array[place].astype(image.dtype) for array in (self.gain, self.root))
        mean = self.mean.astype(image.dtype)
        pixels = crop(image, corner, self.patch).reshape(mean.shape)
        deviation = self._to_groups((pixels - mean)[ring])
        shift = jnp.einsum("gkm,gm->gk", gain, deviation, precision="highest")
        numbers = noise.astype(image.dtype)[:, self.order[place]]
        spread = jnp.einsum("gkj,sgj->sgk", root, numbers, precision="highest")
        samples = self._from_groups(shift[None] + spread) + mean[inside][None]
        samples = samples.reshape(len(noise), *self.window, image.shape[-1])
        return samples if self.clip is None else jnp.clip(samples, *self.clip)

    def _to_groups(self, values: jax.Array) -> jax.Array:
        """Pixels by channels -> groups of numbers that vary together."""
        return values.reshape(1, -1) if self.color == "joint" else values.T

    def _from_groups(self, values: jax.Array) -> jax.Array:
        if self.color == "joint":
            return values.reshape(len(values), -1, self.mean.shape[-1])
        return values.swapaxes(-1, -2)

    def tree_flatten(self) -> tuple[tuple[jax.Array, ...], tuple[Any, ...]]:
        """Arrays, and the static settings that a compiled function depends on."""
        settings = (self.window, self.padding, self.color, self.clip)
        return (self.mean, self.gain, self.root, self.order), settings

    @classmethod
    def tree_unflatten(
        cls, settings: tuple[Any, ...], arrays: Sequence[Any]
    ) -> ConditionalGaussian:
        """Make a sampler of its parts, without any computation."""
        sampler = object.__new__(cls)
        sampler.mean, sampler.gain, sampler.root, sampler.order = arrays
        sampler.window, sampler.padding, sampler.color, sampler.clip = settings
        return sampler


def _color_groups(pixels: int, channels: int, color: str) -> list[np.ndarray]:
    """Rows of the covariance ``(pixels, channels of the group)`` that form one Gaussian each."""
    rows = np.arange(pixels * channels).reshape(pixels, channels)
    return [rows] if color == "joint" else [rows[:, [channel]] for channel in range(channels)]


def _condition(
    covariance: np.ndarray, inside: np.ndarray, ring: np.ndarray, jitter: float
) -> tuple[np.ndarray, np.ndarray]:
    """Gain of the inside given the ring, and root of its covariance, largest variance first."""
    variance = jitter * np.diag(covariance).mean()
    inner = covariance[np.ix_(inside, inside)] + variance * np.eye(len(inside))
    cross = covariance[np.ix_(inside, ring)]
    outer = covariance[np.ix_(ring, ring)] + variance * np.eye(len(ring))
    try:
        gain = scipy.linalg.cho_solve(scipy.linalg.cho_factor(outer), cross.T).T
        conditional = inner - gain @ cross.T
        variances, axes = np.linalg.eigh((conditional + conditional.T) / 2)
        if not variances[0] > 0:
            raise np.linalg.LinAlgError
    except np.linalg.LinAlgError:
        raise ValueError(
            f"statistics: the covariance of the patch is not positive definite with "
            f"jitter={jitter:g} added; fit it on more images, or use a larger jitter"
        ) from None
    root = (axes * np.sqrt(variances))[:, ::-1]
    # The sign of an eigenvector is a matter of the linear algebra library; samples should not be.
    peaks = np.take_along_axis(root, np.abs(root).argmax(0)[None], 0)
    return gain, root * np.sign(peaks)


def _ranks(variances: np.ndarray) -> np.ndarray:
    """Rank of each entry among all of an array, the largest being 0."""
    ranks = np.empty(variances.size, np.int32)
    ranks[np.argsort(-variances, axis=None, kind="stable")] = np.arange(variances.size)
    return ranks.reshape(variances.shape)
