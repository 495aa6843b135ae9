"""How finely a device multiplies float32 numbers in the products of a network.

TPUs multiply in bfloat16 and recent GPUs of NVIDIA in TF32 unless they are told otherwise, which
relevance, a difference of nearly equal numbers, is the first to show.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax

from pdjax._checks import check_choice

__all__ = ["PRECISIONS", "AtPrecision", "cancels"]

PRECISIONS = ("highest", "high", "default")
"""As JAX calls them; the first is the default. Float32; on TPUs the products of three bfloat16
parts, and on GPUs TF32; what the device does fastest: bfloat16 on TPUs, and TF32 on GPUs."""


def cancels(precision: str) -> bool:
    """Whether rounding is so coarse that it is to cancel, window by window.

    Engines add up in different order, and where they then round to eight bits, what they give for
    the same image differs by more than many windows do. So every window is compared with what the
    same program gives for its own contents: one more pass, which float32 is not worth.
    """
    return check_choice("precision", precision, PRECISIONS) != PRECISIONS[0]


@dataclasses.dataclass(frozen=True)
class AtPrecision:
    """A function whose products have a precision, wherever it does not ask for one itself.

    Of several around each other the innermost counts. JAX reads the setting while a function is
    traced, and keeps what it has traced apart by it: so it holds for calls that were compiled
    before, and the products of a program that is recorded carry it with them, wherever they are
    performed. Hashable if the function is.

    Attributes
    ----------
    f : callable
        Any JAX function.
    precision : str
        One of `PRECISIONS`.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> f = AtPrecision(jnp.dot, "highest")
    >>> jax.make_jaxpr(f)(jnp.ones(2), jnp.ones(2)).eqns[0].params["precision"][0].name
    'HIGHEST'
    """

    f: Callable[..., Any]
    precision: str = PRECISIONS[0]

    def __post_init__(self) -> None:
        check_choice("precision", self.precision, PRECISIONS)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Call the function."""
        with jax.default_matmul_precision(self.precision):
            return self.f(*arguments, **named)
