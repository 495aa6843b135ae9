"""Random operations that move values: layouts, padding, slices, channels, calls, branches."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from helpers.random_site import Site, Step, like, plain


def across_channels(site: Site) -> Step:
    """A normalisation over channels, or their statistics in their place."""
    axis = site.axes.index("c")
    centred = lambda x: x - x.mean(axis, keepdims=True)  # noqa: E731
    kinds = {
        "softmax": lambda x: jax.nn.softmax(x, axis),
        "log softmax": lambda x: jax.nn.log_softmax(x, axis),
        "norm": lambda x: x * lax.rsqrt(jnp.sum(x * x, axis, keepdims=True) + 1),
        "layer norm": lambda x: centred(x) / jnp.sqrt(x.var(axis, keepdims=True) + 0.1),
        "cumulative": lambda x: jnp.cumsum(x, axis),
        "sort": lambda x: jnp.sort(x, axis),
        "permute": lambda x: jnp.take(x, np.arange(site.channels)[::-1], axis),
    }
    kind = site.pick([*kinds, "statistics"])
    if kind != "statistics":
        return plain(f"{kind} over axis {axis}", kinds[kind], site.axes)
    axes = site.permuted(site.axes)
    rest, place = axes.replace("c", ""), axes.index("c")
    order = [site.axes.replace("c", "").index(letter) for letter in rest]

    def apply(x: jax.Array) -> jax.Array:
        parts = [jnp.mean(x, axis), jnp.max(x, axis)]
        return jnp.stack([part.transpose(order) for part in parts], place)

    return plain(f"mean and max over axis {axis} to {axes}", apply, axes)


def transpose(site: Site) -> Step:
    """Another order of the axes."""
    axes = site.permuted(site.axes)
    order = site.index(axes)
    return plain(f"transpose {order}", lambda x: x.transpose(order), axes)


def pad(site: Site) -> Step:
    """Padding below, above and between, on any axis; less than nothing crops."""
    settings = [(0, 0, 0)] * len(site.axes)
    for axis in site.index(site.some(site.space + "c")):
        low, high, between = site.integer(-1, 2), site.integer(-1, 2), site.pick([0, 0, 1])
        size = site.shape[axis] + between * (site.shape[axis] - 1)
        settings[axis] = (low, max(high, 1 - size - low), between)
    value = site.pick([0.0, 0.25])
    return plain(
        f"pad {settings} {value}",
        lambda x: lax.pad(x, jnp.asarray(value, x.dtype), settings),
        site.axes,
    )


def cut(site: Site) -> Step:
    """A strided slice of any axis, or one at a start that is an array."""
    starts, stops, strides = [0] * len(site.axes), list(site.shape), [1] * len(site.axes)
    for axis in site.index(site.some(site.space + "c")):
        size = site.shape[axis]
        starts[axis] = site.integer(0, min(2, size - 1))
        stops[axis] = max(starts[axis] + 1, size - site.integer(0, 2))
        strides[axis] = site.integer(1, 2 if size > 4 else 1)
    keep = tuple(map(slice, starts, stops, strides))
    batch = site.axes.index("b")
    if site.pick([True, True, False]):
        cutter = (*keep[:batch], slice(None), *keep[batch + 1 :])
        return plain(f"cut {starts} {stops} {strides}", lambda x: x[cutter], site.axes)
    sizes = [stop - start for start, stop in zip(starts, stops, strict=True)]

    def apply(x: jax.Array) -> jax.Array:
        sizes[batch] = x.shape[batch]
        return lax.dynamic_slice(x, [jnp.int32(start) for start in starts], sizes)

    return plain(f"dynamic slice {starts} {sizes}", apply, site.axes)


def rearrange(site: Site) -> Step:
    """Order and number of places: mirrored, rolled, repeated, gathered, written over."""
    kind = site.pick(["reverse", "roll", "repeat", "gather", "write", "cumulative"])
    letters = site.some(site.space + "c")
    axes, axis = site.index(letters), site.index(letters)[0]
    size = site.shape[axis]
    count = site.integer(1, min(3, size))
    functions = {
        "reverse": lambda x: lax.rev(x, axes),
        "roll": lambda x: jnp.roll(x, count, axis),
        "repeat": lambda x: jnp.repeat(x, 1 if size > 8 else 2, axis),
        "gather": lambda x: jnp.take(x, np.arange(0, size, count), axis),
        "write": lambda x: lax.dynamic_update_slice_in_dim(
            x, 0.5 * lax.slice_in_dim(x, 0, count, axis=axis), size - count, axis
        ),
        "cumulative": lambda x: jnp.cumsum(x, axis) / size,
    }
    return plain(f"{kind} axes {axes} by {count} of {size}", functions[kind], site.axes)


def reshape(site: Site) -> Step:
    """Channels split and joined, space folded into channels, axes of space joined."""
    kind = site.pick(["shuffle", "fold", "join", "gate"])
    axis, letter = site.axes.index("c"), site.pick(site.space)
    place, size = site.axes.index(letter), site.size(letter)
    pair = next((p for p in (site.axes[i : i + 2] for i in range(9)) if not set(p) & set("bc")), "")
    if kind == "join" and len(pair) == 2 and len(site.space) > 1:
        first = site.axes.index(pair[0])

        def join(x: jax.Array) -> jax.Array:
            return x.reshape(*x.shape[:first], -1, *x.shape[first + 2 :])

        return plain(f"join {pair} of {site.axes}", join, site.axes.replace(pair, pair[0]))
    if kind == "fold" and size % 2 == 0 and site.channels <= 4:
        axes = site.axes.replace("c", "") + "c"

        def fold(x: jax.Array) -> jax.Array:
            x = jnp.moveaxis(x, axis, -1)
            where = axes.index(letter)
            x = x.reshape(*x.shape[:where], size // 2, 2, *x.shape[where + 1 :])
            x = jnp.moveaxis(x, where + 1, -1)
            return x.reshape(*x.shape[:-2], -1)

        return plain(f"fold {letter} of {site.axes}", fold, axes)
    groups = 2 if site.channels % 2 == 0 else 1

    def shuffle(x: jax.Array) -> jax.Array:
        split = x.reshape(*x.shape[:axis], groups, -1, *x.shape[axis + 1 :])
        return jnp.swapaxes(split, axis, axis + 1).reshape(x.shape)

    def gate(x: jax.Array) -> jax.Array:
        half = x.shape[place] // 2
        one, other, *_ = jnp.split(x, [half, 2 * half], place)
        return one * jax.nn.sigmoid(other)

    if kind == "gate" and size > 1:
        return plain(f"gate halves of {letter}", gate, site.axes)
    return plain(f"shuffle {groups} groups on axis {axis}", shuffle, site.axes)


def attention(site: Site) -> Step:
    """Every place looks at every other, or at itself alone where there are many."""
    if math.prod(site.shape) > 400:
        return plain("norm", lambda x: x / jnp.sqrt(x * x + 1), site.axes)
    order = site.index("b" + site.space + "c")
    back = np.argsort(order)

    def apply(params: Any, x: jax.Array) -> jax.Array:
        moved = x.transpose(order)
        tokens = moved.reshape(len(moved), -1, site.channels)
        query = tokens @ like(x, params[0])
        mixed = jax.nn.softmax(jnp.einsum("nqc,nkc->nqk", query, tokens), -1) @ tokens
        return mixed.reshape(moved.shape).transpose(back)

    weights = site.normal(site.channels, site.channels, scale=0.5)
    return Step("attention", apply, (weights,), site.axes)
