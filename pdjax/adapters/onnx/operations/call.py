"""One call of an operation: its inputs, its attributes, and the version that it is meant in."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

__all__ = ["Call", "Operation", "Value", "bounded"]

Value = jax.Array | np.ndarray
"""An array that depends on the image or on weights, or a NumPy array that is known."""

MAX_NUMBERS = 2**28
"""Numbers in one value for one image: more than any network has."""


def bounded(shape: Sequence[int], images: int = 1) -> tuple[int, ...]:
    """Return a shape as ints, or raise ValueError where no network has so large a value."""
    sides = tuple(int(side) for side in shape)
    if any(side < 0 for side in sides) or math.prod(sides) > MAX_NUMBERS * images:
        raise ValueError(f"a value in it has the shape {sides[:8]}")
    return sides


@dataclasses.dataclass(frozen=True)
class Call:
    """What an operation gets.

    Attributes
    ----------
    inputs : tuple
        Its inputs; None for those that are left out.
    attributes : mapping
        Its attributes as they are in the file.
    opset : int
        The version of the operations that the model was written for.
    batch : tuple of int
        Images in the batch, and the number of images that the file says, 0 where that is open. A
        file made for one image says so in the shapes it reshapes to.
    """

    inputs: tuple[Value | None, ...]
    attributes: Mapping[str, Any]
    opset: int
    batch: tuple[int, int]

    @property
    def x(self) -> Value:
        """The first input."""
        return self.required(0)

    def optional(self, index: int) -> Value | None:
        """Return an input, or None where it is left out."""
        return self.inputs[index] if index < len(self.inputs) else None

    def required(self, index: int) -> Value:
        """Return an input that there must be."""
        value = self.optional(index)
        if value is None:
            raise ValueError(f"input {index} is missing")
        return value

    def known(self, index: int) -> np.ndarray | None:
        """Return an input that must not depend on the image, or None where it is left out."""
        value = self.optional(index)
        if value is None or isinstance(value, np.ndarray):
            return value
        raise ValueError(f"input {index} depends on the image")

    def ints(self, name: str, index: int | None = None) -> list[int] | None:
        """Return integers that are an attribute, or in later versions an input."""
        if name in self.attributes:
            return [int(number) for number in self.attributes[name]]
        value = None if index is None else self.known(index)
        return None if value is None else [int(number) for number in value.reshape(-1)]

    def int(self, name: str, default: int) -> int:
        """Return an attribute that is an integer."""
        return int(self.attributes.get(name, default))

    def float(self, name: str, default: float) -> float:
        """Return an attribute that is a number."""
        return float(self.attributes.get(name, default))

    def text(self, name: str, default: str) -> str:
        """Return an attribute that is a word."""
        value = self.attributes.get(name)
        return default if value is None else str(value, "utf-8")

    @property
    def numpy(self) -> bool:
        """Whether every input is known."""
        return not any(isinstance(value, jax.Array) for value in self.inputs)

    @property
    def xp(self) -> ModuleType:
        """NumPy where every input is known, so that shapes stay numbers, else JAX."""
        return np if self.numpy else jnp


Operation = Callable[[Call], Value | tuple[Value, ...]]
