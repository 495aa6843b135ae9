"""Schemes of sampling: how the samples of one window go together.

A sampler that makes contents of standard normal numbers (`pdjax._types.NormalSampler`) leaves
open where these come from. Chosen together instead of independently, they cover what is possible
more evenly, and the mean over samples is known better for the same number of forward passes.
Samples that were chosen together form a replicate; replicates are independent, and their spread
gives the standard error.

A window's error then has as many degrees of freedom as it has replicates, less one, and a pixel's
those of all windows that contain it. Where they are few, intervals are those of Student's t: at
two replicates 1.96 standard errors cover 75 % in a window and, with nine windows, 92 % in a pixel.
"""

from __future__ import annotations

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from pdjax._checks import ArgumentValueError, check_choice, check_count
from pdjax._types import Array, Float, Int, Key, NormalSampler, Sampler

__all__ = ["SCHEMES", "Scheme", "hypercube_leaves", "nested_uniform", "sobol_leaves"]

SCHEMES = ("independent", "sobol", "antithetic")
"""Names of the schemes; the first is the default."""

NETS = 2


@dataclasses.dataclass(frozen=True)
class Scheme:
    """How many samples a window has and how they go together: static, hashable.

    ``"independent"``: every sample is a replicate; any sampler.

    ``"antithetic"``: the numbers of every second sample are those of the one before with the
    opposite sign, so that whatever is linear in them cancels. A pair is a replicate. Where little
    but squares is left, pairs are distributed askew, and intervals from a few of them too short.

    ``"sobol"``: two replicates of half the samples, each even on every axis: ``n`` points are a
    Sobol net along the ``n / 2`` axes of largest variance, more than which so few points cannot
    fill evenly together, and a Latin hypercube (McKay, Beckman and Conover, 1979) along the rest.
    Both have a nested uniform scrambling (Owen, 1995). What is a sum of functions of one axis each
    is known far better, and the rest no better, than from independent samples. Points are most even
    where half the samples are a power of two.

    Parameters
    ----------
    name : str
        One of `SCHEMES`.
    num_samples : int
        Samples per window; for the latter two even, and at least 4.

    Raises
    ------
    ValueError
        If the scheme is unknown or does not fit the number of samples.

    Examples
    --------
    >>> Scheme("independent", 8).replicates, Scheme("antithetic", 8).replicates
    (8, 4)
    """

    name: str
    num_samples: int

    def __post_init__(self) -> None:
        check_choice("sampling", self.name, SCHEMES)
        count = check_count("num_samples", self.num_samples)
        if self.name != "independent" and (count < 4 or count % 2):
            raise ArgumentValueError(
                "num_samples",
                f"does not fit {self.name} sampling, which takes an even number of at least 4",
                f"take {max(4, count + count % 2)} samples, or independent ones",
                value=count,
            )
        object.__setattr__(self, "num_samples", count)

    @property
    def replicates(self) -> int:
        """Groups of samples that are independent of each other."""
        return {
            "independent": self.num_samples,
            "sobol": NETS,
            "antithetic": self.num_samples // 2,
        }[self.name]

    def check(self, sampler: Sampler) -> None:
        """Raise ValueError where the scheme does not go with a sampler."""
        if self.name != "independent" and not isinstance(sampler, NormalSampler):
            raise ArgumentValueError(
                "sampling",
                "needs a sampler that makes contents of normal numbers",
                "use the conditional Gaussian, or independent samples",
                value=self.name,
            )

    def check_error(self, sampler: Sampler) -> None:
        """Raise ValueError where samples are too few to know the standard error."""
        if self.num_samples == 1 and not sampler.constant:
            raise ArgumentValueError(
                "num_samples",
                "leaves the standard error unknown",
                "take 2 samples or more",
                value=1,
            )

    def sample(
        self,
        sampler: Sampler,
        rng_key: Key[Array, ""],
        image: Float[Array, "*spatial c"],
        origin: Int[Array, " d"],
    ) -> Float[Array, "num_samples *window c"]:
        """Draw contents of one window, replicate after replicate."""
        if self.name == "independent" or not isinstance(sampler, NormalSampler):
            return sampler.sample(rng_key, image, origin, self.num_samples)
        noise = self.numbers(rng_key, sampler.axes, image.dtype)
        return sampler.transform(noise, image, origin)

    def numbers(
        self, rng_key: Key[Array, ""], axes: int, dtype: jax.typing.DTypeLike
    ) -> Float[Array, "num_samples axes"]:
        """Draw the standard normal numbers of all samples, replicate after replicate."""
        if self.name == "independent":
            return jax.random.normal(rng_key, (self.num_samples, axes), dtype)
        make = {"sobol": _nets, "antithetic": _pairs}[self.name]
        return make(rng_key, self.num_samples, axes, dtype)


def nested_uniform(
    rng_key: Key[Array, ""], leaves: Int[Array, "points axes"], dtype: jax.typing.DTypeLike
) -> Float[Array, "points axes"]:
    """Points in (-1, 1), uniform and as even on every axis as their leaves are different.

    The nested uniform scrambling of Owen (1995), exactly: on each axis every interval of the
    binary tree swaps its halves or not, at random and by itself. A tree has the smallest power of
    two of leaves that suffices for all points; within its leaf a point is uniform.
    """
    columns, depth = jnp.arange(leaves.shape[1], dtype=jnp.int32)[None], _depth(len(leaves))
    words = jax.random.bits(rng_key, (2**depth, leaves.shape[1]), jnp.uint32)
    # A word serves twice: its first bit for the interval and the others for the leaf of that index.
    number = jnp.zeros(leaves.shape, jnp.uint32)
    for level in range(depth):
        intervals = 2**level + (leaves >> (depth - level))
        digit = ((leaves >> (depth - level - 1)) & 1).astype(jnp.uint32)
        number = (number << 1) | (digit ^ (words[intervals, columns] >> 31))
    within = words[leaves, columns] & np.uint32(2 ** (32 - depth) - 1)
    return _centred(number << (32 - depth) | within, dtype)


@functools.lru_cache(maxsize=8)
def sobol_leaves(points: int, axes: int) -> np.ndarray:
    """Leaf of each point of the Sobol sequence on each axis, int32 ``(points, axes)``."""
    from scipy.stats.qmc import Sobol

    depth = _depth(points)
    net = Sobol(axes, scramble=False).random_base2(depth)[:points]
    return (net * 2**depth).astype(np.int32)


def hypercube_leaves(rng_key: Key[Array, ""], points: int, axes: int) -> Int[Array, "points axes"]:
    """A leaf of its own for each point on every axis, in random order."""
    words = jax.random.bits(rng_key, (2 ** _depth(points), axes), jnp.uint32)
    return jnp.argsort(words, axis=0)[:points].astype(jnp.int32)


def _nets(
    rng_key: jax.Array, num_samples: int, axes: int, dtype: jax.typing.DTypeLike
) -> jax.Array:
    """Normal numbers ``(num_samples, axes)``, net after net."""
    net = functools.partial(_net, points=num_samples // NETS, axes=axes, dtype=dtype)
    return jax.vmap(net)(jax.random.split(rng_key, NETS)).reshape(num_samples, axes)


def _net(rng_key: jax.Array, points: int, axes: int, dtype: jax.typing.DTypeLike) -> jax.Array:
    """Normal numbers ``(points, axes)``."""
    order_key, scramble_key = jax.random.split(rng_key)
    first = min(points // 2, axes)
    rest = hypercube_leaves(order_key, points, axes - first)
    leaves = jnp.concatenate([jnp.asarray(sobol_leaves(points, first)), rest], axis=1)
    # The inverse of the normal distribution function, for points in (-1, 1).
    return math.sqrt(2) * jax.lax.erf_inv(nested_uniform(scramble_key, leaves, dtype))


def _pairs(
    rng_key: jax.Array, num_samples: int, axes: int, dtype: jax.typing.DTypeLike
) -> jax.Array:
    """Normal numbers ``(num_samples, axes)``, each followed by its opposite."""
    noise = jax.random.normal(rng_key, (num_samples // 2, axes), jnp.float32).astype(dtype)
    return jnp.stack([noise, -noise], axis=1).reshape(num_samples, axes)


def _centred(numbers: jax.Array, dtype: jax.typing.DTypeLike) -> jax.Array:
    """Unsigned 32-bit numbers to the centres of equal cells of (-1, 1), never its ends."""
    bits = min(jnp.finfo(dtype).nmant, 32)
    return ((numbers >> (32 - bits)).astype(dtype) + 0.5) * 2.0 ** (1 - bits) - 1


def _depth(size: int) -> int:
    """Levels of the binary tree with a leaf for each of ``size`` points."""
    return (size - 1).bit_length()
