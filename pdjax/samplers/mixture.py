"""The conditional mixture: a window drawn given the ring around it, texture and contrast included.

Of a mixture of textures, the ring of pixels around a window tells how probable each texture is at
each contrast: responsibilities. One is drawn by them, and the window from its Gaussian given the
ring. With ``y`` the differences of the ring's pixels to one of them, a texture of covariance
``s K`` is in the ring of size D with

    log r = log w - (D log(2 pi s) + log det K_yy + y^T K_yy^-1 y / s) / 2,

up to a constant. A window given the ring is drawn by conditioning a draw ``t`` from the texture
over the whole patch: ``t + K_.y K_yy^-1 (y - t_y)`` (Matheron's rule), added to the ring's pixel.
What is kept is K and its root for every texture, and a root of ``K_yy^-1`` for every place of the
window in the patch; at the border of an image the patch is shifted inwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pdjax._checks import per_axis
from pdjax._progress import progress_bar
from pdjax._types import Array, Float, Int, Key
from pdjax.method.windows import crop, paste
from pdjax.samplers.ring import (
    check_fit,
    check_settings,
    default_float,
    locate,
    patch_of,
    pixel_tables,
)
from pdjax.statistics.differences import difference_root, differences, inverse_root, spread
from pdjax.statistics.texture_steps import log_densities
from pdjax.statistics.textures import PatchMixture

__all__ = ["ConditionalMixture"]


@jax.tree_util.register_pytree_node_class
class ConditionalMixture:
    """Samples of a window from a mixture of textures conditioned on the pixels around it.

    Parameters
    ----------
    mixture : PatchMixture
        The textures.
    window : int or tuple of int
        Pixels of the window on each axis.
    padding : int
        Pixels of the ring around it, at least 1.
    clip : (float, float) or None
        Range that samples are clipped to.
    jitter : float
        Variance added to every pixel, as a share of the variance of a pixel of each texture, so
        that an ill-conditioned covariance can be factored.
    progress : bool
        Whether to show a progress bar where the set-up takes over two seconds (large windows).

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

    constant = False

    def __init__(
        self,
        mixture: PatchMixture,
        window: int | Sequence[int] = 10,
        padding: int = 2,
        *,
        clip: tuple[float, float] | None = (0.0, 1.0),
        jitter: float = 1e-9,
        progress: bool = False,
    ) -> None:
        if not isinstance(mixture, PatchMixture):
            raise TypeError(
                f"mixture: is of type {type(mixture).__name__}; give a PatchMixture, such as "
                "PatchMixture.natural_images()"
            )
        check_settings(padding, 1, jitter, clip)
        self.window = per_axis(window, mixture.dimensions, "window")
        self.padding, self.clip, self.channels = int(padding), clip, mixture.channels
        covariances = mixture.covariances(self.patch)
        noise = jitter * np.trace(covariances, axis1=1, axis2=2) / covariances.shape[-1]
        covariances = covariances + noise[:, None, None] * np.eye(covariances.shape[-1])
        rows = np.arange(covariances.shape[-1]).reshape(-1, self.channels)
        _, rings = pixel_tables(self.window, self.padding)
        whiteners = []
        bar = progress_bar(len(rings), "factors", progress, "sampler", delay=2.0)
        for ring in rings:
            at = rows[ring].ravel()
            roots = [difference_root(each[np.ix_(at, at)], self.channels) for each in covariances]
            inverses = np.stack([inverse_root(root) for root in roots])
            whiteners.append(inverses.astype(default_float()))
            bar.update(1)
        bar.close()
        roots = [difference_root(each, self.channels) for each in covariances]
        self.weights = jnp.asarray(mixture.weights, default_float())
        self.scales = jnp.asarray(mixture.scales, default_float())
        self.root = jnp.asarray(np.stack(roots), default_float())
        self.covariance = jnp.asarray(np.stack([root @ root.T for root in roots]), default_float())
        self.whitener = jnp.asarray(np.stack(whiteners))

    @property
    def patch(self) -> tuple[int, ...]:
        """Pixels of the patch, window and ring, on each axis."""
        return patch_of(self.window, self.padding)

    def __str__(self) -> str:
        textures, contrasts = self.weights.shape
        return (
            f"conditional mixture samples ({textures} textures at {contrasts} contrasts, ring of "
            f"{self.padding} pixels)"
        )

    def check(self, image_shape: tuple[int, ...], num_samples: int) -> None:
        """Raise ValueError where an image has other axes or is smaller than the patch."""
        check_fit(image_shape, self.patch, self.channels, "mixture is", "fit a mixture")

    def sample(
        self,
        rng_key: Key[Array, ""],
        image: Float[Array, "*spatial c"],
        origin: Int[Array, " d"],
        num_samples: int,
    ) -> Float[Array, "num_samples *window c"]:
        """Draw contents of the window at ``origin``, in the image's dtype and pixel space."""
        place, corner, inside, ring = self._place(image, origin)
        pixels = crop(image, corner, self.patch).reshape(1, -1, self.channels)
        known = differences(pixels, ring)
        which, draw = jax.random.split(rng_key)
        noise = jax.random.normal(draw, (num_samples, self.root.shape[-1]), image.dtype)

        def condition(texture: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
            root, covariance, whitener = self._factors(texture, place, image.dtype)
            free = self._field(_product(noise, root.T))
            rows = jnp.concatenate([known, -differences(free, ring)])
            white = _product(rows, whitener.T)
            weights = spread(_product(white, whitener), ring, pixels.shape[1])[:, 1:]
            field = self._field(_product(weights.reshape(len(rows), -1), covariance))
            field = field + jnp.concatenate([jnp.zeros_like(free[:1]), free])
            content = (field - field[:, ring[:1]])[:, inside]
            return jnp.square(white[:1]).sum(-1), -_log_determinants(whitener), content

        textures, contrasts = self.weights.shape
        distances, determinants, contents = jax.lax.map(condition, jnp.arange(textures))
        logs = self._logs(distances.T, determinants, known.shape[-1])
        chosen = jax.random.categorical(which, logs.ravel(), shape=(num_samples,))
        texture, scale = chosen // contrasts, self.scales.astype(image.dtype).ravel()[chosen]
        deviation = contents[texture, 1 + jnp.arange(num_samples)]
        samples = contents[texture, 0] + jnp.sqrt(scale)[:, None, None] * deviation
        samples = (samples + pixels[:, ring[0]][:, None]).reshape(-1, *self.window, self.channels)
        return samples if self.clip is None else jnp.clip(samples, *self.clip)

    def responsibilities(
        self, image: Float[Array, "*spatial c"], origin: Int[Array, " d"]
    ) -> Float[Array, "textures contrasts"]:
        """Probability of each texture at each contrast, given the ring of a window."""
        place, corner, _, ring = self._place(image, origin)
        pixels = crop(image, corner, self.patch).reshape(1, -1, self.channels)
        logs = self._ring_logs(differences(pixels, ring), place)[0]
        return jnp.exp(logs - jax.nn.logsumexp(logs))

    def log_density(
        self,
        windows: Float[Array, "n *window c"],
        image: Float[Array, "*spatial c"],
        origin: Int[Array, " d"],
    ) -> Float[Array, " n"]:
        """Logarithm of the density of contents of a window given its ring, without clipping.

        In nats, for the whole window: ``log sum w N(patch) - log sum w N(ring)``, the sums over
        the textures at all contrasts.
        """
        place, corner, _, ring = self._place(image, origin)
        patches = jax.vmap(lambda each: crop(paste(image, each, origin), corner, self.patch))
        pixels = patches(windows).reshape(len(windows), -1, self.channels)
        whole = differences(pixels, jnp.arange(pixels.shape[1]))

        def distance(root: jax.Array) -> jax.Array:
            solved = jax.scipy.linalg.solve_triangular(root, whole.T, lower=True)
            return jnp.square(solved).sum(0)

        distances = jax.lax.map(distance, self.root.astype(image.dtype))
        patch_logs = self._logs(distances.T, _log_determinants(self.root), whole.shape[-1])
        ring_logs = self._ring_logs(differences(pixels[:1], ring), place)
        return _total(patch_logs) - _total(ring_logs)

    def _place(self, image: jax.Array, origin: jax.Array) -> tuple[jax.Array, ...]:
        return locate(image.shape[:-1], origin, self.window, self.padding)

    def _factors(self, texture: jax.Array, place: jax.Array, dtype: Any) -> tuple[jax.Array, ...]:
        parts = self.root[texture], self.covariance[texture], self.whitener[place, texture]
        return tuple(part.astype(dtype) for part in parts)

    def _field(self, values: jax.Array) -> jax.Array:
        """Differences to the first pixel of a patch as ``(n, pixels, c)``, with that pixel."""
        pixels = values.reshape(len(values), -1, self.channels)
        return jnp.pad(pixels, ((0, 0), (1, 0), (0, 0)))

    def _ring_logs(self, known: jax.Array, place: jax.Array) -> jax.Array:
        """Logarithms of the weights times the densities of the ring ``(n, j, m)``."""

        def distance(texture: jax.Array) -> tuple[jax.Array, jax.Array]:
            whitener = self._factors(texture, place, known.dtype)[-1]
            white = _product(known, whitener.T)
            return jnp.square(white).sum(-1), -_log_determinants(whitener)

        distances, determinants = jax.lax.map(distance, jnp.arange(len(self.weights)))
        return self._logs(distances.T, determinants, known.shape[-1])

    def _logs(self, distances: jax.Array, determinants: jax.Array, size: int) -> jax.Array:
        weights, scales = (a.astype(distances.dtype) for a in (self.weights, self.scales))
        determinants = determinants.astype(distances.dtype)
        return jnp.log(weights)[None] + log_densities(distances, determinants, scales, size)

    def tree_flatten(self) -> tuple[tuple[jax.Array, ...], tuple[Any, ...]]:
        """Arrays, and the static settings that a compiled function depends on."""
        settings = (self.window, self.padding, self.channels, self.clip)
        arrays = (self.weights, self.scales, self.root, self.covariance, self.whitener)
        return arrays, settings

    @classmethod
    def tree_unflatten(cls, settings: tuple[Any, ...], arrays: Sequence[Any]) -> ConditionalMixture:
        """Make a sampler of its parts, without any computation."""
        sampler = object.__new__(cls)
        sampler.weights, sampler.scales, sampler.root = arrays[:3]
        sampler.covariance, sampler.whitener = arrays[3:]
        sampler.window, sampler.padding, sampler.channels, sampler.clip = settings
        return sampler


def _product(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.matmul(a, b, precision="highest")


def _log_determinants(roots: jax.Array) -> jax.Array:
    """Logarithms of the determinants of covariances, of their triangular roots."""
    return 2 * jnp.log(jnp.diagonal(roots, axis1=-2, axis2=-1)).sum(-1)


def _total(logs: jax.Array) -> jax.Array:
    return jax.nn.logsumexp(logs, axis=(1, 2))
