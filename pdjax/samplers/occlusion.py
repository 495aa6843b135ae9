"""Occlusion, for comparison: a window replaced by one fixed content instead of samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pdjax._checks import per_axis
from pdjax._types import Array, Float, Int, Key
from pdjax.method.windows import crop

__all__ = ["Blur", "Constant", "ImageMean"]


class _Occlusion:
    """What occluders share: nothing is random, so one sample is all there is to know."""

    constant = True
    window: tuple[int, ...]

    def check(self, image_shape: tuple[int, ...], num_samples: int) -> None:
        """Raise ValueError where the image has other axes than the window."""
        if len(image_shape) - 1 != len(self.window):
            raise ValueError(
                f"image of shape {image_shape} has {len(image_shape) - 1} spatial axes but the "
                f"sampler's window {self.window} has {len(self.window)}; give one size per axis"
            )

    def sample(
        self,
        rng_key: Key[Array, ""],
        image: Float[Array, "*spatial c"],
        origin: Int[Array, " d"],
        num_samples: int,
    ) -> Float[Array, "num_samples *window c"]:
        """Return the content of the window ``num_samples`` times."""
        del rng_key  # nothing is random here
        content = self._content(image, origin).astype(image.dtype)
        return jnp.broadcast_to(content, (num_samples, *self.window, image.shape[-1]))

    def _content(self, image: jax.Array, origin: jax.Array) -> jax.Array:
        raise NotImplementedError


@jax.tree_util.register_pytree_node_class
class Constant(_Occlusion):
    """A square of one colour (grey-square occlusion; Zeiler and Fergus, 2014).

    Parameters
    ----------
    value : float or sequence of float
        The grey level or the colour, in [0, 1].
    window : int or sequence of int
        Pixels of the window on each axis; an int stands for two axes.

    Examples
    --------
    >>> import jax, jax.numpy as jnp, pdjax
    >>> sampler = pdjax.Constant(0.5, window=4)
    >>> sampler.sample(jax.random.key(0), jnp.ones((16, 16, 3)), jnp.array([2, 3]), 1).shape
    (1, 4, 4, 3)
    """

    def __init__(
        self, value: float | Sequence[float] = 0.5, window: int | Sequence[int] = 10
    ) -> None:
        level = np.asarray(value, np.float64)
        if level.ndim > 1 or not (
            np.isfinite(level).all() and (level >= 0).all() and (level <= 1).all()
        ):
            raise ValueError(f"value={value!r} must be a grey level or one colour, within [0, 1]")
        self.window = _window(window)
        self.value = jnp.asarray(level, jax.dtypes.canonicalize_dtype(np.float64))

    def __str__(self) -> str:
        return f"occlusion by {np.round(np.asarray(self.value), 3).tolist()}"

    def check(self, image_shape: tuple[int, ...], num_samples: int) -> None:
        """Raise ValueError where the image has other axes or channels than the sampler."""
        super().check(image_shape, num_samples)
        if self.value.size not in (1, image_shape[-1]):
            raise ValueError(
                f"value of {self.value.size} channels does not fit an image of {image_shape[-1]}; "
                "give one grey level or one number per channel"
            )

    def _content(self, image: jax.Array, origin: jax.Array) -> jax.Array:
        return jnp.broadcast_to(self.value, image.shape[-1:]).reshape((1,) * image.ndim + (-1,))

    def tree_flatten(self) -> tuple[tuple[jax.Array], tuple[int, ...]]:
        """Arrays, and the static settings that a compiled function depends on."""
        return (self.value,), self.window

    @classmethod
    def tree_unflatten(cls, window: tuple[int, ...], arrays: Sequence[Any]) -> Constant:
        """Make a sampler of its parts, without any checks."""
        sampler = object.__new__(cls)
        (sampler.value,) = arrays
        sampler.window = window
        return sampler


@jax.tree_util.register_static
class ImageMean(_Occlusion):
    """A square of the image's own mean colour.

    Parameters
    ----------
    window : int or sequence of int
        Pixels of the window on each axis; an int stands for two axes.
    """

    def __init__(self, window: int | Sequence[int] = 10) -> None:
        self.window = _window(window)

    def __str__(self) -> str:
        return "occlusion by the mean colour"

    def _content(self, image: jax.Array, origin: jax.Array) -> jax.Array:
        mean = image.mean(tuple(range(image.ndim - 1)), keepdims=True)
        return mean[None]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ImageMean) and other.window == self.window

    def __hash__(self) -> int:
        return hash((ImageMean, self.window))


@jax.tree_util.register_static
class Blur(_Occlusion):
    """The window's own content, blurred together with its surroundings.

    Parameters
    ----------
    window : int or sequence of int
        Pixels of the window on each axis; an int stands for two axes.
    sigma : float, optional
        Standard deviation of the Gaussian blur in pixels; by default half the largest side of
        the window, which leaves little of what was in it.
    """

    def __init__(self, window: int | Sequence[int] = 10, sigma: float | None = None) -> None:
        self.window = _window(window)
        self.sigma = max(self.window) / 2 if sigma is None else float(sigma)
        if not 0 < self.sigma < np.inf:
            raise ValueError(f"sigma={sigma!r} must be a positive number of pixels")

    def __str__(self) -> str:
        return f"occlusion by a blur of {self.sigma:g} pixels"

    def _content(self, image: jax.Array, origin: jax.Array) -> jax.Array:
        blurred = image
        for axis, size in enumerate(image.shape[:-1]):
            matrix = jnp.asarray(_blur_matrix(size, self.sigma), image.dtype)
            moved = jnp.tensordot(blurred, matrix, axes=(axis, 1), precision="highest")
            blurred = jnp.moveaxis(moved, -1, axis)
        return crop(blurred, origin, self.window)[None]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Blur) and (other.window, other.sigma) == (self.window, self.sigma)

    def __hash__(self) -> int:
        return hash((Blur, self.window, self.sigma))


def _window(window: int | Sequence[int]) -> tuple[int, ...]:
    dimensions = 2 if isinstance(window, int | np.integer) else len(window)
    return per_axis(window, dimensions, "window")


def _blur_matrix(size: int, sigma: float) -> np.ndarray:
    """Gaussian weights (size, size), each row summing to one, also at the borders."""
    distance = np.arange(size)[:, None] - np.arange(size)
    weights = np.exp(-0.5 * np.square(distance / sigma))
    return weights / weights.sum(1, keepdims=True)
