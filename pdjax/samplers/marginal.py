"""The marginal sampler: what stands in the same window of other images."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from pdjax._checks import (
    UNIT,
    ArgumentValueError,
    Bounds,
    check_floats,
    check_pair,
    check_values,
    per_axis,
)
from pdjax._types import Array, Float, Int, Key, static
from pdjax.samplers.fields import Checked, set_fields, to_device

__all__ = ["Marginal"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Marginal:
    """Samples of a window from the empirical distribution: sample s comes from image s.

    Nothing is random: the images are taken in the order given (Zintgraf et al., 2017, section 4).
    Standard errors are for such images drawn at random: as image s fills all windows, they are
    made of the averages that a pixel has over its windows, image by image.
    One image alone, such as a black, a blurred or a healthy one, hides every window by what it has
    there; one sample is then all there is to know. `Constant` takes such an image as well.

    Parameters
    ----------
    images : float array, shape (n, *spatial, c)
        Other images, in [0, 1], of the size of the images to be explained.
    window : int or tuple of int
        Pixels of the window on each axis.
    bounds : (float, float) or None
        Range that values of all images lie in; None allows any finite ones, as activations have.

    Attributes
    ----------
    constant : bool
        Whether there is one image alone, so that every sample is the same.

    Raises
    ------
    ValueError
        If there is no image, or values are not finite or outside the bounds.

    Examples
    --------
    >>> import jax, jax.numpy as jnp, pdjax
    >>> sampler = pdjax.Marginal(jnp.zeros((5, 16, 16, 3)), window=4)
    >>> image = jnp.ones((16, 16, 3))
    >>> sampler.sample(jax.random.key(0), image, jnp.array([2, 3]), 5).shape
    (5, 4, 4, 3)
    """

    constant = False
    random = False

    images: Checked = dataclasses.field(repr=False)
    window: tuple[int, ...] = static()
    bounds: Bounds = static()

    def __init__(
        self,
        images: Float[Array, "n *spatial c"] | np.ndarray | Checked,
        window: int | Sequence[int] = 10,
        *,
        bounds: Bounds = UNIT,
    ) -> None:
        if not isinstance(images, Checked):
            if np.ndim(images) < 3 or np.size(images) == 0:
                raise ArgumentValueError(
                    "images",
                    f"of shape {np.shape(images)} must be a batch (n, *spatial, channels) of at "
                    "least one image",
                )
            bounds = check_pair("bounds", bounds)
            check_floats(np.asarray(images), "images", bounds)
            images = check_values(np.asarray(images), bounds, "images")
            window = per_axis(window, np.ndim(images) - 2, "window")
            images = Checked(to_device(images))
        set_fields(self, images=images, window=window, bounds=bounds)
        # What stands for the array while JAX rebuilds the sampler may have no shape.
        if len(getattr(images.array, "shape", ())) > 2 and images.array.shape[0] == 1:
            set_fields(self, constant=True)

    def __str__(self) -> str:
        count = len(self.images.array)
        return "one other image" if count == 1 else f"samples from {count} other images"

    def check(self, image_shape: tuple[int, ...], num_samples: int) -> None:
        """Raise ValueError where images differ in shape or are fewer than the samples."""
        count, *shape = self.images.array.shape
        if tuple(shape) != image_shape:
            raise ArgumentValueError(
                "images",
                f"of shape {tuple(shape)} in the marginal sampler differ from the image's "
                f"{image_shape}",
                "load all at one size",
            )
        if num_samples > count > 1:
            raise ArgumentValueError(
                "num_samples",
                f"is more than the {count} images of the marginal sampler",
                "give it more images or take fewer samples",
                value=num_samples,
            )

    def sample(
        self,
        rng_key: Key[Array, ""],
        image: Float[Array, "*spatial c"],
        origin: Int[Array, " d"],
        num_samples: int,
    ) -> Float[Array, "num_samples *window c"]:
        """Return the window at ``origin`` of the first ``num_samples`` images."""
        del rng_key  # nothing is random here
        self.check(image.shape, num_samples)
        start = (jnp.zeros((), origin.dtype), *origin, jnp.zeros((), origin.dtype))
        sizes = (num_samples, *self.window, image.shape[-1])
        if self.constant:
            sizes = (1, *sizes[1:])
        contents = jax.lax.dynamic_slice(self.images.array, start, sizes).astype(image.dtype)
        return jnp.broadcast_to(contents, (num_samples, *contents.shape[1:]))
