"""A window in its patch, with the ring of pixels around it: where both lie, and what fits them.

At the border of an image the patch is shifted inwards and the window lies off-centre:
``(2 * padding + 1) ** d`` places in all, in row-major order of the window's corner in the patch.
"""

from __future__ import annotations

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np

from pdjax._types import Array, Int

__all__ = ["check_fit", "check_settings", "default_float", "locate", "patch_of", "pixel_tables"]


def check_settings(
    padding: int, least: int, jitter: float | int, clip: tuple[float, float] | None
) -> None:
    """Raise ValueError where settings of a conditional sampler are out of range."""
    if not isinstance(padding, int | np.integer) or padding < least:
        pixels = "pixel" if least == 1 else "pixels"
        raise ValueError(f"padding={padding!r} must be an int of at least {least} {pixels}")
    if not jitter >= 0:
        raise ValueError(f"jitter={jitter!r} must be at least 0")
    if clip is not None and not (len(clip) == 2 and clip[0] < clip[1]):
        raise ValueError(f"clip={clip!r} must be a pair (low, high) with low below high")


def check_fit(
    image_shape: tuple[int, ...], patch: tuple[int, ...], channels: int, known: str, remedy: str
) -> None:
    """Raise ValueError where an image has other axes or is smaller than the patch.

    ``known`` and ``remedy`` say what the sampler has learnt from, and what to do instead.
    """
    spatial = image_shape[:-1]
    if len(spatial) != len(patch) or image_shape[-1] != channels:
        raise ValueError(
            f"image of shape {image_shape} does not fit the sampler, whose {known} of "
            f"{len(patch)} spatial axes and {channels} channels; {remedy} on images of this kind"
        )
    if any(size < most for size, most in zip(spatial, patch, strict=True)):
        raise ValueError(
            f"image of {spatial} pixels is smaller than the sampler's patch {patch} "
            "(window plus twice the padding); choose a smaller window or padding"
        )


def patch_of(window: tuple[int, ...], padding: int) -> tuple[int, ...]:
    """Pixels of the patch, window and ring, on each axis."""
    return tuple(k + 2 * padding for k in window)


def locate(
    spatial: tuple[int, ...], origin: Int[Array, " d"], window: tuple[int, ...], padding: int
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Place of a window in its patch, the patch's corner, and the pixels of window and ring."""
    highest = jnp.array(spatial, origin.dtype) - jnp.array(patch_of(window, padding), origin.dtype)
    corner = jnp.clip(origin - padding, 0, highest)
    place = jnp.ravel_multi_index(
        tuple(origin - corner), (2 * padding + 1,) * len(window), mode="clip"
    )
    inside, ring = (jnp.asarray(table)[place] for table in pixel_tables(window, padding))
    return place, corner, inside, ring


@functools.cache
def pixel_tables(window: tuple[int, ...], padding: int) -> tuple[np.ndarray, np.ndarray]:
    """For each place of the window in the patch: flat indices of its pixels, and of the ring's."""
    patch = patch_of(window, padding)
    indices = np.arange(np.prod(patch)).reshape(patch)
    inside, ring = [], []
    for corner in itertools.product(range(2 * padding + 1), repeat=len(window)):
        box = indices[tuple(slice(c, c + k) for c, k in zip(corner, window, strict=True))]
        inside.append(box.ravel())
        ring.append(np.setdiff1d(indices, box))
    return np.stack(inside).astype(np.int32), np.stack(ring).astype(np.int32)


def default_float() -> np.dtype:
    """The floating-point type that set-ups in float64 are kept in."""
    return jax.dtypes.canonicalize_dtype(np.float64)
