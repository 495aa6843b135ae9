"""The conditional Gaussian: a window drawn given the ring of pixels around it.

A Gaussian over patches of ``window + 2 * padding`` pixels a side is conditioned on the pixels
around the window (Zintgraf et al., 2017, section 3.1). With mean ``m`` and covariance ``C`` of a
patch, 1 for the pixels of the window and 2 for those of the ring, a window given the ring ``x2``
has the mean ``m1 + G (x2 - m2)`` with the gain ``G = C12 C22^-1``, and as covariance the Schur
complement ``C11 - G C21``. Neither depends on the image, only on where the window lies in the
patch: gains and roots are computed once for each place, in float64, and used for every window.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from pdjax._checks import UNIT, ArgumentValueError, Bounds, check_choice
from pdjax._progress import progress_bar
from pdjax._types import Array, Float, Int, Key, static
from pdjax.method.windows import WindowGrid, crop
from pdjax.samplers.fields import default_float, set_fields, to_device
from pdjax.samplers.ring import (
    Clip,
    Places,
    Ring,
    RingSampler,
    check_clip,
    check_jitter,
    check_kind,
)
from pdjax.statistics import PatchStatistics

__all__ = ["ConditionalGaussian", "GaussianFactors"]

COLORS = ("joint", "independent")


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class GaussianFactors:
    """What conditioning takes: the mean of a patch, and the rest for every place of the window.

    A group is what varies together: all channels, or one of them.

    Attributes
    ----------
    mean : float array (pixels of the patch, c)
    gain : float array (places, groups, numbers of the window, numbers of the ring)
    root : float array (places, groups, numbers of the window, axes)
        Principal axes of the covariance of the window, each as long as its standard deviation.
    order : int32 array (places, groups, axes)
        Rank of the variance along an axis among those of all groups, the largest being 0.
    bounds : (float, float) or None
        Range of the images that the statistics are of.
    """

    mean: jax.Array
    gain: jax.Array
    root: jax.Array
    order: jax.Array
    bounds: Bounds = static(default=UNIT)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class ConditionalGaussian(RingSampler):
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
    clip : (float, float), None or "bounds"
        Range that samples are clipped to; by default the bounds of the statistics.
    jitter : float
        Variance added to every pixel, as a share of the mean variance of a pixel, so that an
        ill-conditioned covariance can be factored.
    places : WindowGrid, tuple of int, or None
        The windows that it is for, or numbers of places of a window in its patch: only these are
        set up, which is faster and smaller, and samples of other windows are NaN. None for all.
    progress : bool
        Whether to show a progress bar where the set-up takes over two seconds (large windows).

    Attributes
    ----------
    statistics : GaussianFactors
        What has been made of the statistics.

    Raises
    ------
    ValueError
        If the statistics do not reach to patches of that size, or the covariance is not positive
        definite after the jitter.

    Examples
    --------
    >>> import jax, jax.numpy as jnp, pdjax
    >>> statistics = pdjax.PatchStatistics.natural_images()
    >>> sampler = pdjax.ConditionalGaussian(statistics, window=4)
    >>> image = jnp.full((64, 64, 3), 0.5)
    >>> sampler.sample(jax.random.key(0), image, jnp.array([0, 20]), 5).shape
    (5, 4, 4, 3)
    """

    statistics: GaussianFactors = dataclasses.field(repr=False)
    window: tuple[int, ...] = static()
    padding: int = static()
    color: str = static()
    clip: Clip = static()
    places: Places = static()
    # What it was made of, for those who hide other parts than windows; None once JAX rebuilt it.
    source: ClassVar[tuple[PatchStatistics, float] | None] = None

    def __init__(
        self,
        statistics: PatchStatistics | GaussianFactors,
        window: int | Sequence[int] = 10,
        padding: int = 2,
        color: str = "joint",
        *,
        clip: Clip = "bounds",
        jitter: float = 1e-9,
        places: WindowGrid | Places = None,
        progress: bool = False,
    ) -> None:
        source = None
        if not isinstance(statistics, GaussianFactors):
            check_kind("statistics", statistics, PatchStatistics)
            ring = Ring.of(window, padding, statistics.dimensions, least=0)
            window, padding, clip = *ring.settings, check_clip(clip, statistics.bounds)
            check_choice("color", color, COLORS)
            source = statistics, check_jitter(jitter)
            places = ring.places_of(places)
            statistics = _factor(statistics, ring, places, color, float(jitter), progress)
        set_fields(self, statistics=statistics, window=window, padding=padding, color=color)
        set_fields(self, clip=clip, places=places, source=source)

    @property
    def channels(self) -> int:
        """Channels of the images that the statistics are of."""
        return self.statistics.mean.shape[-1]

    @property
    def bounds(self) -> Bounds:
        """Range of the images that it was made for."""
        return self.statistics.bounds

    @property
    def axes(self) -> int:
        """Normal numbers that a sample is made of: one for each pixel and channel."""
        return math.prod(self.window) * self.channels

    def __str__(self) -> str:
        if self.padding == 0:
            return f"unconditional Gaussian samples ({self.color} colour)"
        return f"conditional Gaussian samples ({self.color} colour, ring of {self.padding} pixels)"

    def sample(
        self,
        rng_key: Key[Array, ""],
        image: Float[Array, "*spatial c"],
        origin: Int[Array, " d"],
        num_samples: int,
    ) -> Float[Array, "num_samples *window c"]:
        """Draw contents of the window at ``origin``, in the image's dtype and pixel space."""
        # In float32 whatever the image: a key stands for the same contents in every precision.
        noise = jax.random.normal(rng_key, (num_samples, self.axes), jnp.float32)
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
        place = self.ring.locate(image.shape[:-1], origin)
        factors, dtype = self.statistics, image.dtype
        row = self._row(place.number)
        gain, root = (
            array.at[row].get(mode="fill", fill_value=jnp.nan).astype(dtype)
            for array in (factors.gain, factors.root)
        )
        mean = factors.mean.astype(dtype)
        pixels = crop(image, place.corner, self.patch).reshape(mean.shape)
        deviation = self._to_groups((pixels - mean)[place.ring])
        shift = jnp.einsum("gkm,gm->gk", gain, deviation, precision="highest")
        numbers = noise.astype(dtype)[:, factors.order[row]]
        spread = jnp.einsum("gkj,sgj->sgk", root, numbers, precision="highest")
        samples = self._from_groups(shift[None] + spread) + mean[place.inside][None]
        return self._clipped(samples.reshape(len(noise), *self.window, image.shape[-1]))

    def _to_groups(self, values: jax.Array) -> jax.Array:
        """Pixels by channels -> groups by numbers that vary together."""
        return values.reshape(1, -1) if self.color == "joint" else values.T

    def _from_groups(self, values: jax.Array) -> jax.Array:
        """Samples by groups by numbers -> samples by pixels by channels."""
        if self.color == "joint":
            return values.reshape(len(values), -1, self.channels)
        return values.swapaxes(-1, -2)


def _factor(
    statistics: PatchStatistics,
    ring: Ring,
    places: Places,
    color: str,
    jitter: float,
    progress: bool,
) -> GaussianFactors:
    """Condition the Gaussian of a patch at every one of these places, in float64."""
    mean, covariance = statistics.gaussian(ring.patch)
    rows = np.arange(mean.size).reshape(-1, statistics.channels)
    groups = [rows] if color == "joint" else np.split(rows, statistics.channels, axis=1)
    tables = ring.pixels_at(places)
    gains, roots, orders = [], [], []
    with progress_bar(len(tables[0]), "factors", progress, "sampler", delay=2.0) as bar:
        for inside, around in zip(*tables, strict=True):
            pair = [
                _condition(covariance, group[inside].ravel(), group[around].ravel(), jitter)
                for group in groups
            ]
            root = np.stack([root for _, root in pair])
            gains.append(np.stack([gain for gain, _ in pair]).astype(default_float()))
            roots.append(root.astype(default_float()))
            orders.append(_ranks(np.square(root).sum(1)))
            bar.update(1)
    return GaussianFactors(
        mean=to_device(mean.reshape(-1, statistics.channels)),
        gain=to_device(np.stack(gains)),
        root=to_device(np.stack(roots)),
        order=jnp.asarray(np.stack(orders)),
        bounds=statistics.bounds,
    )


def _condition(
    covariance: np.ndarray, inside: np.ndarray, ring: np.ndarray, jitter: float
) -> tuple[np.ndarray, np.ndarray]:
    """Gain of the inside given the ring, and root of its covariance, largest variance first.

    Of all roots it is that of the principal axes, ``V sqrt(w)`` for the eigenvectors V and the
    eigenvalues w: of the normal numbers that make up a sample the first then move it most, and
    quasi-random points are most even in their first numbers (Acworth, Broadie and Glasserman,
    1998). A Cholesky factor would spread the variance over all of them.
    """
    import scipy.linalg

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
        raise ArgumentValueError(
            "statistics",
            f"have a covariance of the patch that is not positive definite with jitter={jitter:g} "
            "added",
            "fit them on more images, or use a larger jitter",
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
