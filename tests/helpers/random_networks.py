"""Random small networks of random operations, drawn with hypothesis so that failures shrink."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import strategies as st
from jax import lax

from helpers import random_layouts as layouts
from helpers import random_moves as moves
from helpers import random_operations as operations
from helpers.random_site import Site, Step, Weights, like

KEEPING = (
    operations.pointwise,
    operations.scaled,
    lambda site: operations.convolution(site, keep=True),
    lambda site: operations.pool(site, keep=True),
)
CHANGING = (
    operations.convolution,
    operations.pool,
    operations.product,
    operations.across_space,
    layouts.across_channels,
    layouts.transpose,
    layouts.pad,
    layouts.cut,
    layouts.rearrange,
    layouts.reshape,
)
MOVING = (
    moves.pad_with_values,
    moves.resize,
    moves.patches,
    moves.index,
    moves.branch,
    moves.upsample,
)


def run(steps: Sequence[Step], weights: Sequence[Weights], x: jax.Array) -> jax.Array:
    """Apply steps one after the other."""
    for step, params in zip(steps, weights, strict=True):
        x = step.apply(params, x)
    return x


def chain(site: Site) -> tuple[list[Step], tuple[Weights, ...]]:
    """One or two steps that keep the shape, with their weights."""
    steps = [site.pick(KEEPING)(site) for _ in range(site.integer(1, 2))]
    return steps, tuple(step.weights for step in steps)


def branches(site: Site) -> Step:
    """Two chains from the same values, joined value by value or along an axis."""
    (one, first), (other, second) = chain(site), chain(site)
    one, first = (one, first) if site.pick([True, False]) else ([], ())
    letter = site.pick("c" + "".join(x for x in site.space if site.size(x) <= 8))
    axis = site.axes.index(letter)
    joins: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {
        "add": jnp.add,
        "maximum": jnp.maximum,
        "multiply": lambda x, y: x * jnp.tanh(y),
        "select": lambda x, y: jnp.where(x > 0, x * y, x * x),
        "concatenate": lambda x, y: jnp.concatenate([y, x], axis),
    }
    kind = site.pick([*joins, "concatenate"] if site.size(letter) <= 8 else [*joins][:-1])

    def apply(params: Any, x: jax.Array) -> jax.Array:
        return joins[kind](run(one, params[0], x), run(other, params[1], x))

    texts = ["; ".join(step.text for step in steps) for steps in (one, other)]
    return Step(f"{kind} {axis} of [{texts[0]}] [{texts[1]}]", apply, (first, second), site.axes)


def call(site: Site) -> Step:
    """A chain inside another function of JAX."""
    steps, weights = chain(site)
    kind = site.pick(["jit", "checkpoint", "scan", "cond", "fori_loop"])

    def body(params: Any, x: jax.Array) -> jax.Array:
        return run(steps, params, x)

    def apply(params: Any, x: jax.Array) -> jax.Array:
        if kind == "scan":
            return lax.scan(lambda y, _: (body(params, y), None), x, None, length=2)[0]
        if kind == "cond":
            return lax.cond(jnp.sum(x) > 1e6, jnp.negative, lambda y: body(params, y), x)
        if kind == "fori_loop":
            return lax.fori_loop(0, 2, lambda _, y: jnp.tanh(body(params, y)), x)
        return {"jit": jax.jit, "checkpoint": jax.checkpoint}[kind](body)(params, x)

    text = f"{kind} [{'; '.join(step.text for step in steps)}]"
    return Step(text, apply, weights, site.axes)


def head(site: Site) -> Step:
    """What ends a network, where no axis of space need be left."""
    kind = site.pick(["mean and softmax", "flatten", "batch first", "scalar"])
    order = site.index("b" + site.space + "c")
    places = int(np.prod([site.size(letter) for letter in site.space]))
    inputs = site.channels * (places if kind == "flatten" else 1)
    weights = site.normal(inputs, 3, scale=inputs**-0.5)
    space = tuple(range(1, 1 + len(site.space)))

    def apply(params: Any, x: jax.Array) -> jax.Array:
        x = x.transpose(order)
        if kind == "mean and softmax":
            return jax.nn.softmax(x.mean(space) @ like(x, params[0]), -1)
        if kind == "flatten":
            return x.reshape(len(x), -1) @ like(x, params[0])
        return x if kind == "batch first" else x.sum((*space, len(space) + 1)) / 32

    axes = {"batch first": "b" + site.space + "c", "scalar": "b"}.get(kind, "bc")
    return Step(kind, apply, (weights,), axes)


class RandomNetwork:
    """A function f(params, images) with a text of what it does.

    It returns the values after the last step and, for some of the steps before it, those too.
    """

    def __init__(self, spatial: tuple[int, ...], channels: int, steps: list[Step], shown: list):
        self.spatial, self.channels, self.steps, self.shown = spatial, channels, steps, shown
        self.params = [step.weights for step in steps]

    def __call__(self, params: Any, images: jax.Array) -> dict[str, jax.Array]:
        x, outputs = images, {}
        for number, (step, weights) in enumerate(zip(self.steps, params, strict=True)):
            x = step.apply(weights, x)
            if self.shown[number] and step.axes[0] == "b":
                outputs[f"step {number}"] = x
        outputs["last"] = x
        if self.shown[0]:
            outputs["input"] = images
            outputs["constant"] = jnp.full((len(images), 2), 0.5, x.dtype)
        return outputs

    def __repr__(self) -> str:
        lines = [f"{number}: {step.text} -> {step.axes}" for number, step in enumerate(self.steps)]
        return "\n".join([f"image {self.spatial}, {self.channels} channels", *lines])


@st.composite
def networks(draw: Callable, longest: int = 6) -> RandomNetwork:
    """Draw a network on 1 to 3 axes of space, of 5 to 14 pixels, and 1 to 4 channels."""
    spatial = tuple(draw(st.lists(st.integers(5, 14), min_size=1, max_size=3)))
    channels = draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    site = Site(draw, rng, "b" + "xyz"[: len(spatial)] + "c", (1, *spatial, channels))
    steps: list[Step] = []
    common = (operations.convolution,) * 3 + (operations.pool,) * 2 + KEEPING[:2] + (branches,) * 2
    makers = st.sampled_from((*common, *CHANGING, *MOVING, *MOVING, call, layouts.attention))
    for _ in range(draw(st.integers(2, longest))):
        steps.append(draw(makers)(site))
        site = site.after(steps[-1])
    steps.append(head(site))
    site.after(steps[-1])
    shown = draw(st.lists(st.booleans(), min_size=len(steps), max_size=len(steps)))
    return RandomNetwork(spatial, channels, steps, shown)
