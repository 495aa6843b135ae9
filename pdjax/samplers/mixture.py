"""The conditional mixture: a window drawn given the ring around it, texture and contrast included.

Of a mixture of textures, the ring of pixels around a window tells how probable each texture is at
each contrast: responsibilities. One is drawn by them, and the window from its Gaussian given the
ring. With ``y`` the differences of the ring's pixels to one of them, a texture of covariance
``s K`` is in the ring of size D with

    log r = log w - (D log(2 pi s) + log det K_yy + y^T K_yy^-1 y / s) / 2,

up to a constant. A window given the ring has, beside the mean that follows from it, a deviation at
the variance ``q s``, q being drawn from what `pdjax.statistics.contrasts` says of such rings. Mean
and deviation come from conditioning a draw ``t`` from the texture over the whole patch:
``t + K_.y K_yy^-1 (y - t_y)`` (Matheron's rule), added to the ring's pixel.
What is left to do for a texture is then a root of K, which is the same at every place of the
window in the patch, and a root of ``K_yy^-1`` for each place. The Schur complement of `gaussian`
would take a root of the window's covariance for each texture at each place besides.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from pdjax._checks import UNIT, ArgumentValueError, Bounds
from pdjax._progress import progress_bar
from pdjax._types import Array, Float, Int, Key, static
from pdjax.method.windows import WindowGrid, crop, paste
from pdjax.samplers.fields import default_float, set_fields, to_device
from pdjax.samplers.ring import (
    Clip,
    Place,
    Places,
    Ring,
    RingSampler,
    check_clip,
    check_jitter,
    check_kind,
)
from pdjax.statistics import PatchMixture
from pdjax.statistics.contrasts import ContrastChange, expected_variance
from pdjax.statistics.differences import difference_covariance, differences, log_densities

__all__ = ["ConditionalMixture", "MixtureFactors"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class MixtureFactors:
    """What conditioning takes: all for every texture, the whitener for every place of the window.

    Attributes
    ----------
    weights, scales : float arrays (textures, contrasts)
        Probability and variance factor of each texture at each contrast.
    root : float array (textures, numbers, numbers)
        Cholesky factor of the covariance K of the differences of all pixels of a patch to its
        first.
    covariance : float array (textures, numbers, numbers)
        K itself.
    whitener : float array (places, textures, ring numbers, ring numbers)
        Inverse of the Cholesky factor of the covariance of the ring's differences.
    expected : float array (places, textures)
        Variance of the ring's pixels about their mean that K lets expect.
    edges : float array (classes - 1,)
        Limits between classes of relief: `pdjax.statistics.contrasts`.
    ratios : float array (ratios,)
        What the variance of a window may be over that of its ring's texture.
    change : float array (textures, classes, ratios)
        Probabilities of these ratios.
    channels : int
        Channels of an image.
    bounds : (float, float) or None
        Range of the images that the mixture is of.
    """

    weights: jax.Array
    scales: jax.Array
    root: jax.Array
    covariance: jax.Array
    whitener: jax.Array
    expected: jax.Array
    edges: jax.Array
    ratios: jax.Array
    change: jax.Array
    channels: int = static()
    bounds: Bounds = static(default=UNIT)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class ConditionalMixture(RingSampler):
    """Samples of a window from a mixture of textures conditioned on the pixels around it.

    Parameters
    ----------
    mixture : PatchMixture
        The textures.
    window : int or tuple of int
        Pixels of the window on each axis.
    padding : int
        Pixels of the ring around it, at least 1.
    clip : (float, float), None or "bounds"
        Range that samples are clipped to; by default the bounds of the mixture.
    jitter : float
        Variance added to every pixel, as a share of the variance of a pixel of each texture, so
        that an ill-conditioned covariance can be factored.
    places : WindowGrid, tuple of int, or None
        The windows that it is for, or numbers of places of a window in its patch: only these are
        set up, which is faster and smaller, and samples of other windows are NaN. None for all.
    progress : bool
        Whether to show a progress bar where the set-up takes over two seconds (large windows).

    Attributes
    ----------
    mixture : MixtureFactors
        What has been made of the mixture.

    Raises
    ------
    ValueError
        If the mixture does not reach to patches of that size, or a covariance is not positive
        definite after the jitter.

    Examples
    --------
    >>> import jax, jax.numpy as jnp, pdjax
    >>> mixture = pdjax.PatchMixture.natural_images()
    >>> sampler = pdjax.ConditionalMixture(mixture, window=4)
    >>> image = jnp.full((64, 64, 3), 0.5)
    >>> sampler.sample(jax.random.key(0), image, jnp.array([0, 20]), 5).shape
    (5, 4, 4, 3)
    """

    mixture: MixtureFactors = dataclasses.field(repr=False)
    window: tuple[int, ...] = static()
    padding: int = static()
    clip: Clip = static()
    places: Places = static()

    def __init__(
        self,
        mixture: PatchMixture | MixtureFactors,
        window: int | Sequence[int] = 10,
        padding: int = 2,
        *,
        clip: Clip = "bounds",
        jitter: float = 1e-9,
        places: WindowGrid | Places = None,
        progress: bool = False,
    ) -> None:
        if not isinstance(mixture, MixtureFactors):
            check_kind("mixture", mixture, PatchMixture)
            ring = Ring.of(window, padding, mixture.dimensions, least=1)
            window, padding, clip = *ring.settings, check_clip(clip, mixture.bounds)
            places = ring.places_of(places)
            mixture = _factor(mixture, ring, places, check_jitter(jitter), progress)
        set_fields(self, mixture=mixture, window=window, padding=padding, clip=clip, places=places)

    @property
    def channels(self) -> int:
        """Channels of the images that the mixture is of."""
        return self.mixture.channels

    @property
    def bounds(self) -> Bounds:
        """Range of the images that it was made for."""
        return self.mixture.bounds

    def __str__(self) -> str:
        textures, contrasts = self.mixture.weights.shape
        return (
            f"conditional mixture samples ({textures} textures at {contrasts} contrasts, ring of "
            f"{self.padding} pixels)"
        )

    def sample(
        self,
        rng_key: Key[Array, ""],
        image: Float[Array, "*spatial c"],
        origin: Int[Array, " d"],
        num_samples: int,
    ) -> Float[Array, "num_samples *window c"]:
        """Draw contents of the window at ``origin``, in the image's dtype and pixel space."""
        place, pixels = self._patch_at(image, origin)
        inside, ring = place.inside, place.ring
        known = differences(pixels, ring)
        which, draw = jax.random.split(rng_key)
        numbers = self.mixture.root.shape[-1]
        # In float32 whatever the image: a key stands for the same contents in every precision.
        noise = jax.random.normal(draw, (num_samples, numbers), jnp.float32)
        noise = noise.astype(image.dtype)

        def condition(texture: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
            """Draw from one texture at the contrast one: first its mean, then deviations from it.

            Both follow from Matheron's rule, with ``t = 0`` for the mean and ``y = 0`` for the
            deviations, of which those at another contrast are multiples.
            """
            root, covariance, whitener = self._factors(texture, place.number, image.dtype)
            free = self._field(_product(noise, root.T))
            rows = jnp.concatenate([known, -differences(free, ring)])
            white = _product(rows, whitener.T)
            weights = _spread(_product(white, whitener), ring, pixels.shape[1])[:, 1:]
            field = self._field(_product(weights.reshape(len(rows), -1), covariance))
            field = field + jnp.concatenate([jnp.zeros_like(free[:1]), free])
            content = (field - field[:, ring[:1]])[:, inside]
            return jnp.square(white[:1]).sum(-1), -_log_determinants(whitener), content

        textures, contrasts = self.mixture.weights.shape
        distances, determinants, contents = jax.lax.map(condition, jnp.arange(textures))
        logs = self._logs(distances.T, determinants, known.shape[-1])[0]
        logs = logs[..., None] + self._change_logs(pixels, place)
        chosen = jax.random.categorical(which, logs.ravel(), shape=(num_samples,))
        texture = chosen // (contrasts * len(self.mixture.ratios))
        scale = self._window_scales.astype(image.dtype).ravel()[chosen]
        deviation = contents[texture, 1 + jnp.arange(num_samples)]
        samples = contents[texture, 0] + jnp.sqrt(scale)[:, None, None] * deviation
        samples = samples + pixels[:, ring[0]][:, None]
        return self._clipped(samples.reshape(-1, *self.window, self.channels))

    def responsibilities(
        self, image: Float[Array, "*spatial c"], origin: Int[Array, " d"]
    ) -> Float[Array, "textures contrasts"]:
        """Probability of each texture at each contrast, given the ring of a window."""
        place, pixels = self._patch_at(image, origin)
        known = differences(pixels, place.ring)
        logs = self._logs(*self._ring_distances(known, place.number), known.shape[-1])[0]
        return jnp.exp(logs - jax.nn.logsumexp(logs))

    def log_density(
        self,
        windows: Float[Array, "n *window c"],
        image: Float[Array, "*spatial c"],
        origin: Int[Array, " d"],
    ) -> Float[Array, " n"]:
        """Logarithm of the density of contents of a window given its ring, without clipping.

        In nats, for the whole window: ``log sum r p N(window)``, the sum over the textures at all
        contrasts, of responsibilities r, and over all ratios, of probabilities p.
        """
        patches = jax.vmap(lambda each: self._patch_at(paste(image, each, origin), origin)[1][0])
        pixels = patches(windows)
        whole = differences(pixels)

        def distance(root: jax.Array) -> jax.Array:
            solved = jax.scipy.linalg.solve_triangular(root, whole.T, lower=True)
            return jnp.square(solved).sum(0)

        roots = self.mixture.root
        distances = jax.lax.map(distance, roots.astype(image.dtype))
        place = self.ring.locate(image.shape[:-1], origin)
        known = differences(pixels[:1], place.ring)
        ring_distances, determinants = self._ring_distances(known, place.number)
        shares = self._logs(ring_distances, determinants, known.shape[-1])[0]
        shares = shares - jax.nn.logsumexp(shares)
        # Of a Gaussian, the exponent of a whole is that of a part plus that of the rest given it.
        scales = self._window_scales.astype(image.dtype)
        logs = log_densities(
            distances.T - ring_distances,
            (_log_determinants(roots) - determinants).astype(image.dtype),
            scales.reshape(len(scales), -1),
            whole.shape[-1] - known.shape[-1],
        ).reshape(-1, *scales.shape)
        logs = logs + (shares[..., None] + self._change_logs(pixels[:1], place))[None]
        return jax.nn.logsumexp(logs, axis=(1, 2, 3))

    @property
    def _window_scales(self) -> jax.Array:
        """Variance factors of a window ``(textures, contrasts, ratios)``."""
        return self.mixture.scales[..., None] * self.mixture.ratios[None, None]

    def _change_logs(self, pixels: jax.Array, place: Place) -> jax.Array:
        """Logarithms of the probabilities of the ratios ``(textures, contrasts, ratios)``."""
        own, dtype = self.mixture, pixels.dtype
        variance = pixels[0, place.ring].var(0).mean()
        expected = own.expected[self._row(place.number)].astype(dtype)
        relief = jnp.log2(variance / (expected[:, None] * own.scales.astype(dtype)))
        classes = jnp.searchsorted(own.edges.astype(dtype), relief, side="right")
        textures = jnp.arange(len(own.change))[:, None]
        return jnp.log(own.change.astype(dtype)[textures, classes])

    def _patch_at(self, image: jax.Array, origin: jax.Array) -> tuple[Place, jax.Array]:
        """Place of the window at ``origin``, and its patch as ``(1, pixels, c)``."""
        place = self.ring.locate(image.shape[:-1], origin)
        return place, crop(image, place.corner, self.patch).reshape(1, -1, self.channels)

    def _factors(
        self, texture: jax.Array, place: jax.Array, dtype: jax.typing.DTypeLike
    ) -> tuple[jax.Array, ...]:
        own = self.mixture
        at = self._row(place), texture
        whitener = own.whitener.at[at].get(mode="fill", fill_value=jnp.nan)
        parts = own.root[texture], own.covariance[texture], whitener
        return tuple(part.astype(dtype) for part in parts)

    def _field(self, values: jax.Array) -> jax.Array:
        """Differences to the first pixel of a patch as ``(n, pixels, c)``, with that pixel."""
        pixels = values.reshape(len(values), -1, self.channels)
        return jnp.pad(pixels, ((0, 0), (1, 0), (0, 0)))

    def _ring_distances(self, known: jax.Array, place: jax.Array) -> tuple[jax.Array, jax.Array]:
        """``y^T K_yy^-1 y`` of rings ``(n, j)``, and logarithms of determinants ``(j,)``."""

        def distance(texture: jax.Array) -> tuple[jax.Array, jax.Array]:
            whitener = self._factors(texture, place, known.dtype)[-1]
            white = _product(known, whitener.T)
            return jnp.square(white).sum(-1), -_log_determinants(whitener)

        textures = jnp.arange(len(self.mixture.weights))
        distances, determinants = jax.lax.map(distance, textures)
        return distances.T, determinants

    def _logs(self, distances: jax.Array, determinants: jax.Array, size: int) -> jax.Array:
        dtype = distances.dtype
        weights, scales = (a.astype(dtype) for a in (self.mixture.weights, self.mixture.scales))
        densities = log_densities(distances, determinants.astype(dtype), scales, size)
        return jnp.log(weights)[None] + densities


def _factor(
    mixture: PatchMixture, ring: Ring, places: Places, jitter: float, progress: bool
) -> MixtureFactors:
    """Factor the covariances of all textures, and of the ring at these places, in float64."""
    channels = mixture.channels
    change = mixture.change or ContrastChange.none(len(mixture.weights))
    covariances = mixture.covariances(ring.patch)
    noise = jitter * np.trace(covariances, axis1=1, axis2=2) / covariances.shape[-1]
    covariances = covariances + noise[:, None, None] * np.eye(covariances.shape[-1])
    rows = np.arange(covariances.shape[-1]).reshape(-1, channels)
    _, rings = ring.pixels_at(places)
    whiteners, expected = [], []
    with progress_bar(len(rings), "factors", progress, "sampler", delay=2.0) as bar:
        for around in rings:
            at = rows[around].ravel()
            roots = [_difference_root(each[np.ix_(at, at)], channels) for each in covariances]
            inverses = np.stack([_inverse_root(root) for root in roots])
            whiteners.append(inverses.astype(default_float()))
            expected.append([expected_variance(c[np.ix_(at, at)], channels) for c in covariances])
            bar.update(1)
    roots = [_difference_root(each, channels) for each in covariances]
    return MixtureFactors(
        weights=to_device(mixture.weights),
        scales=to_device(mixture.scales),
        root=to_device(np.stack(roots)),
        covariance=to_device(np.stack([root @ root.T for root in roots])),
        whitener=to_device(np.stack(whiteners)),
        expected=to_device(np.array(expected)),
        edges=to_device(change.edges),
        ratios=to_device(change.ratios),
        change=to_device(change.of(ring.window)),
        channels=channels,
        bounds=mixture.bounds,
    )


def _difference_root(covariance: np.ndarray, channels: int) -> np.ndarray:
    """Cholesky factor of the covariance of the differences of pixels to the first of them."""
    try:
        return np.linalg.cholesky(difference_covariance(covariance, channels))
    except np.linalg.LinAlgError:
        raise ArgumentValueError(
            "mixture",
            "has a texture whose covariance is not positive definite",
            "fit it on more images, or use a larger jitter",
        ) from None


def _inverse_root(root: np.ndarray) -> np.ndarray:
    """Inverse of a lower triangular matrix."""
    import scipy.linalg

    return scipy.linalg.solve_triangular(root, np.eye(len(root)), lower=True)


def _spread(
    weights: Float[Array, "n numbers"], which: Int[Array, " chosen"], patch: int
) -> Float[Array, "n patch c"]:
    """Weights of the differences of pixels ``which``, as weights of all pixels of a patch."""
    weights = weights.reshape(len(weights), len(which) - 1, -1)
    weights = jnp.concatenate([-weights.sum(1, keepdims=True), weights], 1)
    zeros = jnp.zeros((len(weights), patch, weights.shape[-1]), weights.dtype)
    return zeros.at[:, which].set(weights)


def _product(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.matmul(a, b, precision="highest")


def _log_determinants(roots: jax.Array) -> jax.Array:
    """Logarithms of the determinants of covariances, of their triangular roots."""
    return 2 * jnp.log(jnp.diagonal(roots, axis1=-2, axis2=-1)).sum(-1)
