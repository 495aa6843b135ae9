"""Where an operation of a random network goes: what is drawn, and the axes it finds there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import strategies as st

T = TypeVar("T")
Weights = tuple[Any, ...]


class Step(NamedTuple):
    """One operation: a text for reports, the function, its weights and the axes it leaves."""

    text: str
    apply: Callable[[Weights, jax.Array], jax.Array]
    weights: Weights
    axes: str


class Site:
    """The activations before an operation.

    ``axes`` has one letter an axis in their order: b for the batch, c for channels, and others
    for space. There is always at least one axis of space.
    """

    def __init__(
        self, draw: Callable, rng: np.random.Generator, axes: str, shape: Sequence[int]
    ) -> None:
        self.draw, self.rng, self.axes, self.shape = draw, rng, axes, tuple(shape)

    @property
    def space(self) -> str:
        """Letters of the spatial axes, in their order."""
        return "".join(letter for letter in self.axes if letter not in "bc")

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self.size("c")

    def size(self, letter: str) -> int:
        """Length of the axis of this letter."""
        return self.shape[self.axes.index(letter)]

    def index(self, letters: str) -> tuple[int, ...]:
        """Numbers of the axes of these letters."""
        return tuple(self.axes.index(letter) for letter in letters)

    def integer(self, low: int, high: int) -> int:
        """Draw an int from low to high, both included; the simplest is nearest to zero."""
        return self.draw(st.integers(low, high))

    def pick(self, choices: Sequence[T]) -> T:
        """Draw one of the choices; the simplest is the first."""
        return self.draw(st.sampled_from(choices))

    def some(self, letters: str) -> str:
        """Draw some of the letters, at least one, in their order."""
        chosen = self.draw(st.sets(st.sampled_from(letters), min_size=1))
        return "".join(letter for letter in letters if letter in chosen)

    def permuted(self, letters: str) -> str:
        """Draw an order of the letters."""
        return "".join(self.draw(st.permutations(list(letters))))

    def normal(self, *shape: int, scale: float = 1.0) -> np.ndarray:
        """Weights, which are not drawn but come from the network's seed."""
        return scale * self.rng.standard_normal(shape)

    def full(self, letters: str) -> tuple[int, ...]:
        """A shape with these axes at their size and ones elsewhere."""
        return tuple(self.size(letter) if letter in letters else 1 for letter in self.axes)

    def after(self, step: Step) -> Site:
        """The site behind a step."""
        out = jax.eval_shape(
            step.apply, step.weights, jax.ShapeDtypeStruct(self.shape, jnp.float32)
        )
        if len(out.shape) != len(step.axes) or 0 in out.shape:
            raise ValueError(f"{step.text} makes {out.shape} of {self.shape}, axes {step.axes}")
        return Site(self.draw, self.rng, step.axes, out.shape)


def plain(text: str, apply: Callable[[jax.Array], jax.Array], axes: str) -> Step:
    """A step without weights."""
    return Step(text, lambda _, x: apply(x), (), axes)


def like(x: jax.Array, weights: np.ndarray) -> jax.Array:
    """The weights in the precision of the activations."""
    return jnp.asarray(weights, x.dtype)
