"""How a sampler keeps its arrays: checked once, and left alone whenever JAX rebuilds the sampler.

A sampler is a frozen dataclass whose fields are the arguments of its constructor, because JAX
rebuilds it that way: it calls the constructor with the fields as keywords. It does so wherever a
sampler goes through a transformation, and then tracers, arrays with another batch axis or mere
placeholders stand where the arrays were. A person passes arrays that must be checked and converted,
which those would not survive. So that a constructor can tell the two apart, an array is kept in a
type that no person passes: `Checked`, or a dataclass of several arrays in its place.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

__all__ = ["Checked", "default_float", "set_fields", "to_device"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Checked:
    """An array that a sampler has checked and converted.

    Attributes
    ----------
    array : float array
    """

    array: jax.Array


def set_fields(instance: object, **fields: object) -> None:
    """Give a frozen dataclass its fields, in a constructor that makes them of its arguments."""
    for name, value in fields.items():
        object.__setattr__(instance, name, value)


def default_float() -> np.dtype:
    """The floating-point type that set-ups in float64 are kept in."""
    return jax.dtypes.canonicalize_dtype(np.float64)


def to_device(array: np.ndarray | jax.Array) -> jax.Array:
    """Return an array in the default floating-point type, where JAX computes."""
    return jnp.asarray(array, default_float())
