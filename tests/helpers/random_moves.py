"""Random operations that move values nearby: padding, resizing, patches, indices, shifts."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from helpers.random_site import Site, Step, like, plain


def pad_with_values(site: Site) -> Step:
    """Padding with what is in the image."""
    mode = site.pick(["reflect", "edge", "symmetric", "wrap", "zeros", "written"])
    settings = [(0, 0)] * len(site.axes)
    for axis in site.index(site.some(site.space)):
        most = min(3, site.shape[axis] - 1)
        settings[axis] = (site.integer(0, most), site.integer(0, most))

    def apply(x: jax.Array) -> jax.Array:
        if mode == "zeros":
            return jnp.pad(x, settings)
        if mode == "written":
            shape = [
                dim + before + after for dim, (before, after) in zip(x.shape, settings, strict=True)
            ]
            starts = [before for before, _ in settings]
            return lax.dynamic_update_slice(jnp.full(shape, 0.3, x.dtype), x, starts)
        return jnp.pad(x, settings, mode=mode)

    return plain(f"pad {settings} {mode}", apply, site.axes)


def resize(site: Site) -> Step:
    """Another number of places, by interpolation or repetition."""
    method = site.pick(["nearest", "linear", "cubic", "repeat"])
    letter = site.pick(site.space)
    axis, size = site.axes.index(letter), site.integer(3, 16)

    def apply(x: jax.Array) -> jax.Array:
        if method == "repeat":
            return jnp.repeat(x, 2 if x.shape[axis] <= 8 else 1, axis)
        return jax.image.resize(x, (*x.shape[:axis], size, *x.shape[axis + 1 :]), method)

    return plain(f"resize {letter} to {size} {method}", apply, site.axes)


def patches(site: Site) -> Step:
    """Space in patches, on which something is done, and back or not."""
    letter, axis = site.pick(site.space), site.axes.index("c")
    place, size = site.axes.index(letter), site.size(letter)
    side = site.pick([n for n in (2, 3, 4, 5, 7) if size % n == 0] or [1])
    kind = site.pick(["mean", "largest", "sorted", "shuffled", "to channels", "stacked"])

    def apply(x: jax.Array) -> jax.Array:
        shape = x.shape
        split = x.reshape(*shape[:place], size // side, side, *shape[place + 1 :])
        if kind == "mean":
            return split.mean(place + 1)
        if kind == "largest":
            return split.max(place + 1)
        if kind == "sorted":
            return jnp.sort(split, place + 1).reshape(shape)
        if kind == "shuffled":
            return jnp.swapaxes(split, place, place + 1).reshape(shape)
        if kind == "stacked":
            return jnp.stack(jnp.split(x, size // side, place), place).reshape(shape)
        joined = jnp.moveaxis(split, place + 1, -1)
        joined = jnp.moveaxis(joined, axis, -2)
        return jnp.moveaxis(joined.reshape(*joined.shape[:-2], -1), -1, axis)

    if kind == "to channels" and site.channels * side > 8:
        kind = "mean"
    return plain(f"patches of {side} of {letter}, {kind}", apply, site.axes)


def index(site: Site) -> Step:
    """Entries taken at places that are known, along one axis or two, or by what else there is."""
    kind = site.pick(["take", "two", "flip", "shift", "top", "along", "tile", "channels"])
    letter = site.pick(site.space)
    axis, last = site.axes.index(letter), site.axes.index("c")
    size, count = site.size(letter), site.integer(1, 8)
    rows = np.sort(site.rng.integers(0, size, count)).astype(np.int32)
    rows = rows if site.pick([True, False]) else site.rng.permutation(rows)

    def apply(x: jax.Array) -> jax.Array:
        if kind == "two":
            other = np.arange(site.channels, dtype=np.int32)[::-1]
            return jnp.take(jnp.take(x, rows, axis), other, last)
        if kind == "flip":
            return x[(slice(None),) * axis + (slice(None, None, -2),)]
        if kind == "shift":
            return jnp.roll(x, count, (axis,))
        if kind == "top":
            return lax.top_k(jnp.moveaxis(x, last, -1), 1)[0] + x.mean(last)[..., None]
        if kind == "along":
            return jnp.take_along_axis(x, jnp.argsort(x, last), last)
        if kind == "tile":
            return jnp.tile(x, [2 if i == last else 1 for i in range(x.ndim)])
        if kind == "channels":
            return x[(slice(None),) * last + (jnp.arange(site.channels) // 2,)]
        return jnp.take(x, rows, axis)

    axes = site.axes.replace("c", "") + "c" if kind == "top" else site.axes
    return plain(f"index {kind} {rows} of {letter}", apply, axes)


def branch(site: Site) -> Step:
    """One of two functions, by a parameter."""
    weights, axis = site.normal(1), site.axes.index("c")

    def apply(params: Any, x: jax.Array) -> jax.Array:
        return lax.cond(like(x, params[0])[0] > 0, jnp.tanh, lambda y: y - jnp.roll(y, 1, axis), x)

    return Step("branch on a parameter", apply, (weights,), site.axes)


def upsample(site: Site) -> Step:
    """A transposed convolution of one axis."""
    letter = site.pick(site.space)
    axis = site.axes.index(letter)
    stride, kernel = site.integer(1, 3), site.integer(1, 4)
    padding = site.pick(["SAME", "VALID"])
    weights = site.normal(kernel, site.channels, site.channels, scale=0.5)

    def apply(params: Any, x: jax.Array) -> jax.Array:
        last = jnp.moveaxis(jnp.moveaxis(x, site.axes.index("c"), -1), _before(axis, site), -2)
        flat = last.reshape(-1, *last.shape[-2:])
        out = lax.conv_transpose(
            flat, like(x, params[0]), (stride,), padding, dimension_numbers=("NHC", "HIO", "NHC")
        )
        out = out.reshape(*last.shape[:-2], *out.shape[1:])
        return jnp.moveaxis(jnp.moveaxis(out, -2, _before(axis, site)), -1, site.axes.index("c"))

    if site.size(letter) * stride > 24:
        return plain("same", lambda x: x, site.axes)
    return Step(
        f"transposed {kernel} stride {stride} {padding} of {letter}", apply, (weights,), site.axes
    )


def _before(axis: int, site: Site) -> int:
    """Number of an axis once that of the channels has been moved to the end."""
    return axis - (site.axes.index("c") < axis)
