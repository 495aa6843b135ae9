"""The types that the rest of the package is written in: arrays, parameters and protocols."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import jax
from jaxtyping import Array, Bool, Float, Int, Key, UInt

__all__ = [
    "Activations",
    "Array",
    "Bool",
    "Float",
    "Function",
    "GridSampler",
    "Int",
    "Key",
    "NormalSampler",
    "Params",
    "Predict",
    "Sampler",
    "UInt",
    "is_random",
    "static",
]

Params = Any
"""A PyTree of arrays: the parameters of a network."""

Function = Callable[[Params, jax.Array], Any]
"""A function of parameters and images ``(n, *spatial, c)``: a PyTree of arrays ``(n, ...)``."""

Activations = Mapping[str, jax.Array]
"""Arrays ``(n, ...)`` by the published name of their layer."""


@runtime_checkable
class Predict(Protocol):
    """A network as a pure function of its parameters."""

    def __call__(
        self, params: Params, images: Float[Array, "n *spatial c"], capture: tuple[str, ...]
    ) -> dict[str, jax.Array]:
        """Return the activations named in ``capture`` for a batch of images in pixel space."""


@runtime_checkable
class Sampler(Protocol):
    """What could have been in a window, given the rest of the image.

    A sampler is a PyTree (so that it can be an argument of a jit-compiled function) with one pure
    method and a few static facts. Callers vmap `sample` over windows.

    Attributes
    ----------
    constant : bool
        Whether every sample of a window is the same, so that one is enough.
    random : bool, optional
        Whether another key gives other samples, so that more can be drawn later; True where a
        sampler does not say (see `is_random`).
    bounds : (float, float) or None, optional
        Range of the images that it was made for, None being any; images of all ranges where a
        sampler does not say.
    """

    constant: bool

    @property
    def window(self) -> tuple[int, ...]:
        """Pixels of the window on each spatial axis."""

    def check(self, image_shape: tuple[int, ...], num_samples: int) -> None:
        """Raise ValueError, before anything is traced, where images or counts do not fit."""

    def sample(
        self,
        rng_key: Key[Array, ""],
        image: Float[Array, "*spatial c"],
        origin: Int[Array, " d"],
        num_samples: int,
    ) -> Float[Array, "num_samples *window c"]:
        """Draw contents of the window whose first corner is at ``origin`` of ``image``."""


@runtime_checkable
class NormalSampler(Sampler, Protocol):
    """A sampler that makes contents of standard normal numbers, for all schemes of sampling.

    `sample` is `transform` of independent numbers; see `pdjax.sampling` for others.
    """

    @property
    def axes(self) -> int:
        """Numbers that one content is made of, those that move it most first."""

    def transform(
        self,
        noise: Float[Array, "num_samples axes"],
        image: Float[Array, "*spatial c"],
        origin: Int[Array, " d"],
    ) -> Float[Array, "num_samples *window c"]:
        """Return the contents of a window that rows of standard normal numbers stand for."""


@runtime_checkable
class GridSampler(Sampler, Protocol):
    """A sampler that may have been set up for some windows only."""

    def check_grid(self, grid: Any) -> None:
        """Raise ValueError where windows of a `WindowGrid` are not among them."""


def is_random(sampler: Any) -> bool:
    """Whether another key gives other samples, asked of a sampler or of its class."""
    return bool(getattr(sampler, "random", not sampler.constant))


def has_shared_samples(sampler: Any) -> bool:
    """Whether sample s of every window is taken from one thing, such as image s of a few.

    It is where nothing is random and samples differ: then chance is in what they are taken from,
    and errors of windows go together.
    """
    return not (sampler.constant or is_random(sampler))


def static(**options: Any) -> Any:
    """Declare a field of a PyTree dataclass that is no array, but a setting: hashable."""
    return dataclasses.field(metadata={"static": True}, **options)
