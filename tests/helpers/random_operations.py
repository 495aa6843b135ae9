"""Random operations that compute: convolutions, pools, products, point by point, reductions."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from helpers.random_site import Site, Step, like, plain

POINTWISE = {
    "relu": jax.nn.relu,
    "gelu": jax.nn.gelu,
    "tanh": jnp.tanh,
    "swish": jax.nn.swish,
    "affine": lambda x: 2 * x - 0.5,
    "clip": lambda x: jnp.clip(x, -1, 1),
    "power": lambda x: (1 + x**2) ** -0.75,
    "where": lambda x: jnp.where(x > 0.1, x - 0.1, jnp.zeros_like(x)),
    "leaky": lambda x: lax.select(x < 0, 0.1 * x, x),
    "once more": lambda x: x + x,
    "shape only": lambda x: jnp.ones_like(x) + x,
}
REDUCTIONS: dict[str, Any] = {
    "mean": jnp.mean,
    "sum": lambda x, *axes, **options: jnp.sum(x, *axes, **options) / 8,
    "max": jnp.max,
    "min": jnp.min,
    "logsumexp": jax.nn.logsumexp,
    "deviation": lambda x, *axes, **options: jnp.sqrt(jnp.var(x, *axes, **options) + 0.1),
}


def pointwise(site: Site) -> Step:
    """A function of each value."""
    name = site.pick(list(POINTWISE))
    return plain(name, POINTWISE[name], site.axes)


def convolution(site: Site, keep: bool = False) -> Step:
    """A convolution in any layout; ``keep`` leaves the shape as it is."""
    groups = site.pick([n for n in range(1, site.channels + 1) if site.channels % n == 0])
    features = site.channels if keep else groups * site.integer(1, 2)
    kernel, strides, padding, holes, gaps = [], [], [], [], []
    order = site.permuted("OI" + site.space)
    space = [letter for letter in order if letter not in "OI"]  # settings are in this order
    for letter in space:
        size = site.size(letter)
        kernel.append(site.integer(1, 3))
        holes.append(site.pick([1, 1, 2]))
        gaps.append(1 if keep else site.pick([1, 1, 1, 2]))
        reach = (kernel[-1] - 1) * holes[-1] + 1
        low = site.integer(0 if keep or size <= reach else -1, reach - 1 if keep else reach)
        least = reach - low - (size - 1) * gaps[-1] - 1
        # XLA on the CPU reads beyond an axis that is padded at one end and cropped at the other
        high = site.integer(-1 if low <= 0 else 0, 2 if low >= 0 else 0)
        high = reach - 1 - low if keep else max(least, high)
        padding.append((low, high))
        strides.append(1 if keep else site.integer(1, 3 if size > 6 else 2))
    sizes = dict(zip(space, kernel, strict=True), O=features, I=site.channels // groups)
    axes = site.axes if keep else site.permuted(site.axes)
    letters = (site.axes, order, axes)
    options: dict[str, Any] = {
        "window_strides": strides,
        "padding": padding,
        "lhs_dilation": gaps,
        "rhs_dilation": holes,
        "dimension_numbers": tuple(s.replace("b", "N").replace("c", "C") for s in letters),
        "feature_group_count": groups,
    }
    fan_in = math.prod(kernel) * site.channels // groups
    weights = site.normal(*(sizes[letter] for letter in order), scale=fan_in**-0.5)

    def apply(params: Any, x: jax.Array) -> jax.Array:
        return lax.conv_general_dilated(x, like(x, params[0]), **options)

    return Step(f"convolution {kernel} {options}", apply, (weights,), axes)


def pool(site: Site, keep: bool = False) -> Step:
    """A window reduction over space, sometimes over channels too."""
    kind = site.pick(["max", "add", "average", "min", "above", "logaddexp"])
    loose = kind in ("add", "above")  # whose windows may lie in padding alone
    letters = site.some(site.space) + site.pick(["", "", "c"])
    window, strides, padding, gaps, holes = ([1] * len(site.axes) for _ in range(5))
    padding = [(0, 0)] * len(site.axes)
    for letter, axis in zip(letters, site.index(letters), strict=True):
        size, window[axis] = site.size(letter), site.integer(1, 3)
        if loose and not keep:
            gaps[axis], holes[axis] = site.pick([1, 1, 2]), site.pick([1, 1, 2])
        reach = (window[axis] - 1) * holes[axis] + 1
        low = site.integer(0, reach if loose and not keep else reach - 1)
        least = reach - low - (size - 1) * gaps[axis] - 1
        high = reach - 1 - low if keep else site.integer(0, reach - 1)
        padding[axis] = (low, max(high, least))
        strides[axis] = 1 if keep else site.integer(1, 2)
    settings = (window, strides, padding, gaps, holes)

    def sums(x: jax.Array) -> jax.Array:
        return lax.reduce_window(x, 0.0, lax.add, *settings)

    def apply(x: jax.Array) -> jax.Array:
        if kind == "max":
            return lax.reduce_window(x, -jnp.inf, lax.max, *settings)
        if kind == "min":
            return lax.reduce_window(x, jnp.inf, lax.min, *settings)
        if kind == "above":
            return lax.reduce_window(x, jnp.asarray(0.2, x.dtype), lax.max, *settings)
        if kind == "logaddexp":
            return lax.reduce_window(x, jnp.asarray(-jnp.inf, x.dtype), jnp.logaddexp, *settings)
        return sums(x) / (sums(jnp.ones_like(x)) if kind == "average" else math.prod(window))

    return plain(f"pool {kind} {settings}", apply, site.axes)


def product(site: Site) -> Step:
    """A matrix on the channels or one axis of space, or one matrix for each of its places."""
    kind = site.pick(["channels", "rows", "places", "space"])
    letter, features = site.pick(site.space), site.integer(1, 4)
    if kind == "rows":  # every axis but the channels in one, as linear layers are often applied
        weights = site.normal(site.channels, features, scale=site.channels**-0.5)
        axis = site.axes.index("c")
        axes = site.axes.replace("c", "") + "c"

        def rows(params: Any, x: jax.Array) -> jax.Array:
            x = jnp.moveaxis(x, axis, -1)
            return (x.reshape(-1, x.shape[-1]) @ like(x, params[0])).reshape(*x.shape[:-1], -1)

        return Step(f"rows @ {weights.shape}", rows, (weights,), axes)
    old, new = (letter, letter.upper()) if kind == "space" else ("c", "C")
    matrix = site.permuted(old + new + (letter if kind == "places" else ""))
    size = features if kind != "space" else site.integer(2, 8)
    scale = site.size(old) ** -0.5
    weights = site.normal(*(size if x == new else site.size(x) for x in matrix), scale=scale)
    out = site.permuted(site.axes.replace(old, new))
    recipe = f"{site.axes},{matrix}->{out}"

    def apply(params: Any, x: jax.Array) -> jax.Array:
        return jnp.einsum(recipe, x, like(x, params[0]))

    return Step(f"einsum {recipe} {weights.shape}", apply, (weights,), out.lower())


def scaled(site: Site) -> Step:
    """Weights that differ along some axes, times, plus or against the values."""
    letters = site.pick(["", "c", site.some(site.space), site.some(site.space + "c")])
    name = site.pick(["multiply", "add", "maximum", "subtract from"])
    weights = site.normal(*site.full(letters))
    function = {"multiply": jnp.multiply, "add": jnp.add, "maximum": jnp.maximum}.get(
        name, lambda x, y: y - x
    )
    if site.pick([True, False]):

        def apply(params: Any, x: jax.Array) -> jax.Array:
            return function(x, like(x, params[0]))

        return Step(f"{name} {weights.shape}", apply, (weights,), site.axes)
    return plain(f"{name} constant", lambda x: function(x, like(x, weights)), site.axes)


def across_space(site: Site) -> Step:
    """A reduction over space, which gates or shifts the values or takes the axes' place."""
    letters, kind = site.some(site.space), site.pick(list(REDUCTIONS))
    uses = ["gate", "shift"] + ["drop"] * (len(letters) < len(site.space))
    use, axes, reduce = site.pick(uses), site.index(letters), REDUCTIONS[kind]

    def apply(x: jax.Array) -> jax.Array:
        reduced = reduce(x, axes, keepdims=use != "drop")
        return {
            "gate": lambda: x * jax.nn.sigmoid(reduced),
            "shift": lambda: x - reduced,
            "drop": lambda: reduced,
        }[use]()

    left = "".join(x for x in site.axes if use != "drop" or x not in letters)
    return plain(f"{use} by {kind} over {letters} of {site.axes}", apply, left)
