"""Occlusion, for comparison: a window replaced by one fixed content instead of samples."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from pdjax._checks import ArgumentValueError, Bounds, check_values, per_axis
from pdjax._types import Array, Float, Int, Key, static
from pdjax.method.windows import crop
from pdjax.samplers.fields import Checked, set_fields, to_device

__all__ = ["Blur", "Constant", "ImageMean"]


class _Occlusion:
    """What occluders share: nothing is random, so one sample is all there is to know."""

    constant = True
    random = False
    window: tuple[int, ...]

    def check(self, image_shape: tuple[int, ...], num_samples: int) -> None:
        """Raise ValueError where the image has other axes than the window."""
        if len(image_shape) - 1 != len(self.window):
            raise ArgumentValueError(
                "image",
                f"of shape {image_shape} has {len(image_shape) - 1} spatial axes but the "
                f"sampler's window {self.window} has {len(self.window)}",
                "give the window one size per axis",
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


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Constant(_Occlusion):
    """A square of one colour, or of a reference image (occlusion; Zeiler and Fergus, 2014).

    Parameters
    ----------
    value : float, sequence of float, or float array (*spatial, c)
        The grey level or the colour, in the image's unit; or an image of the size of the one to
        be explained (a black, blurred or healthy one), which shows in every window.
    window : int or sequence of int
        Pixels of the window on each axis; an int stands for two axes.

    Raises
    ------
    ValueError
        If the value is no grey level or colour.

    Examples
    --------
    >>> import jax, jax.numpy as jnp, pdjax
    >>> sampler = pdjax.Constant(0.5, window=4)
    >>> sampler.sample(jax.random.key(0), jnp.ones((16, 16, 3)), jnp.array([2, 3]), 1).shape
    (1, 4, 4, 3)
    """

    value: Checked
    window: tuple[int, ...] = static()

    def __init__(
        self,
        value: float | Sequence[float] | np.ndarray | jax.Array | Checked = 0.5,
        window: int | Sequence[int] = 10,
    ) -> None:
        if not isinstance(value, Checked):
            level = np.asarray(value, np.float64)
            window = per_axis(window, level.ndim - 1 if level.ndim > 2 else None, "window")
            if level.ndim not in (0, 1, len(window) + 1) or not np.isfinite(level).all():
                raise ArgumentValueError(
                    "value",
                    "must be a grey level, one colour, or an image (*spatial, channels)",
                    value=value,
                )
            value = Checked(to_device(level))
        set_fields(self, value=value, window=per_axis(window, None, "window"))

    def __str__(self) -> str:
        if self.value.array.ndim > 1:
            return "occlusion by a reference image"
        return f"occlusion by {np.round(np.asarray(self.value.array, np.float64), 3).tolist()}"

    def check_bounds(self, bounds: Bounds) -> None:
        """Raise ValueError where the content is none that the image could have."""
        if not isinstance(self.value.array, jax.core.Tracer):
            check_values(np.asarray(self.value.array), bounds, "value")

    def check(self, image_shape: tuple[int, ...], num_samples: int) -> None:
        """Raise ValueError where the image has other axes or channels than the sampler."""
        super().check(image_shape, num_samples)
        if self.value.array.ndim > 1:
            if self.value.array.shape != image_shape:
                raise ArgumentValueError(
                    "value",
                    f"is an image of shape {self.value.array.shape}, and the one to be explained "
                    f"has {image_shape}",
                    "load both at one size",
                )
            return
        channels = self.value.array.size
        if channels not in (1, image_shape[-1]):
            raise ArgumentValueError(
                "value",
                f"of {channels} channels does not fit an image of {image_shape[-1]}",
                "give one grey level or one number per channel",
            )

    def _content(self, image: jax.Array, origin: jax.Array) -> jax.Array:
        if self.value.array.ndim > 1:
            return crop(self.value.array, origin, self.window)[None]
        colour = jnp.broadcast_to(self.value.array, image.shape[-1:])
        return colour.reshape((1,) * image.ndim + (-1,))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ImageMean(_Occlusion):
    """A square of the image's own mean colour.

    Parameters
    ----------
    window : int or sequence of int
        Pixels of the window on each axis; an int stands for two axes.
    """

    window: tuple[int, ...] = static()

    def __init__(self, window: int | Sequence[int] = 10) -> None:
        set_fields(self, window=per_axis(window, None, "window"))

    def __str__(self) -> str:
        return "occlusion by the mean colour"

    def _content(self, image: jax.Array, origin: jax.Array) -> jax.Array:
        mean = image.mean(tuple(range(image.ndim - 1)), keepdims=True)
        return mean[None]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Blur(_Occlusion):
    """The window's own content, blurred together with its surroundings.

    Parameters
    ----------
    window : int or sequence of int
        Pixels of the window on each axis; an int stands for two axes.
    sigma : float, optional
        Standard deviation of the Gaussian blur in pixels; by default half the largest side of
        the window, which leaves little of what was in it.

    Raises
    ------
    ValueError
        If ``sigma`` is not positive and finite.
    """

    window: tuple[int, ...] = static()
    sigma: float = static()

    def __init__(self, window: int | Sequence[int] = 10, sigma: float | None = None) -> None:
        sides = per_axis(window, None, "window")
        deviation = max(sides) / 2 if sigma is None else float(sigma)
        if not 0 < deviation < np.inf:
            raise ArgumentValueError("sigma", "must be a positive number of pixels", value=sigma)
        set_fields(self, window=sides, sigma=deviation)

    def __str__(self) -> str:
        return f"occlusion by a blur of {self.sigma:g} pixels"

    def _content(self, image: jax.Array, origin: jax.Array) -> jax.Array:
        blurred = image
        for axis, size in enumerate(image.shape[:-1]):
            matrix = jnp.asarray(_blur_matrix(size, self.sigma), image.dtype)
            moved = jnp.tensordot(blurred, matrix, axes=(axis, 1), precision="highest")
            blurred = jnp.moveaxis(moved, -1, axis)
        return crop(blurred, origin, self.window)[None]


def _blur_matrix(size: int, sigma: float) -> np.ndarray:
    """Gaussian weights (size, size), each row summing to one, also at the borders."""
    distance = np.arange(size)[:, None] - np.arange(size)
    weights = np.exp(-0.5 * np.square(distance / sigma))
    return weights / weights.sum(1, keepdims=True)
