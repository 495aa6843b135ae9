"""Each operation in the form that the device runs fastest: the same numbers, other operations.

XLA's CPU backend has kernels of very different speed for the same arithmetic. Programs are brought
into channels-last form, in which they are fastest there; the table below says, by platform, which
operations are put in another form after that, and `benchmarks/lowerings.py` is what it rests on.
Everything else, and everything on other platforms, stays as it was traced.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from pdjax._devices import platform
from pdjax.jaxprs.convolutions import convolution
from pdjax.jaxprs.layout import channels_last
from pdjax.jaxprs.program import Perform, Step, bind, trace

__all__ = ["performer", "tuned"]

Form = Callable[..., jax.Array | None]
"""Performs a primitive in another way; None where there is no better one for these sizes."""

LARGEST_WINDOW = 16
"""Entries of a window on an axis up to which it is combined of slices."""


def performer(lowerings: bool) -> Perform:
    """Return ``perform(step, *operands, **changed parameters)`` for the default device.

    Parameters
    ----------
    lowerings : bool
        False performs every step as it was traced.
    """
    table = FORMS.get(platform(), {}) if lowerings else {}

    def perform(step: Step, *operands: Any, **changed: Any) -> list[jax.Array]:
        # A form may decline, as most pay for some sizes only.
        form = table.get(step.name)
        if form is not None:
            result = form(*operands, **{**step.params, **changed})
            if result is not None:
                return [result]
        return bind(step, *operands, **changed)

    return perform


def tuned(f: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that computes what ``f`` does, each operation in the device's best form.

    Parameters
    ----------
    f : callable
        Any JAX function of PyTrees of arrays, of which the last one is taken for the images.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> tuned(lambda x: {"twice": 2 * x})(jnp.ones(2))
    {'twice': Array([2., 2.], dtype=float32)}
    """

    @functools.wraps(f)
    def wrapped(*arguments: Any) -> Any:
        # Called while something else is traced, this performs the steps of ``f`` one by one in
        # their new form: the function that is compiled has these in place of the old ones.
        program, constants, outputs = trace(f, *arguments)
        program = channels_last(program)
        values = program.bound(constants, jax.tree.leaves(arguments))
        program.run(performer(True), values)
        return jax.tree.unflatten(jax.tree.structure(outputs), program.outputs(values))

    return wrapped


def _window_reduction(
    x: jax.Array,
    *,
    combine: Callable[[jax.Array, jax.Array], jax.Array],
    start: Callable[[np.dtype], float],
    window_dimensions: Sequence[int],
    window_strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    base_dilation: Sequence[int],
    window_dilation: Sequence[int],
    **others: object,
) -> jax.Array | None:
    """Combine strided slices, along one axis after the other."""
    if any(dilation != 1 for dilation in base_dilation) or max(window_dimensions) > LARGEST_WINDOW:
        return None
    config = [(low, high, 0) for low, high in padding]
    x = lax.pad(x, jnp.asarray(start(x.dtype), x.dtype), config)
    # A window of k by k entries takes 2 k slices that way, and not k k of them.
    for axis, (size, stride, dilation) in enumerate(
        zip(window_dimensions, window_strides, window_dilation, strict=True)
    ):
        span = (x.shape[axis] - (size - 1) * dilation - 1) // stride * stride + 1
        parts = (
            lax.slice_in_dim(x, i * dilation, i * dilation + span, stride, axis)
            for i in range(size)
        )
        x = functools.reduce(combine, parts)
    return x


def _lowest(dtype: np.dtype) -> float:
    """Return what no number of a type is below, which leaves a maximum as it is."""
    return -np.inf if jnp.issubdtype(dtype, np.floating) else np.iinfo(dtype).min


FORMS: dict[str, dict[str, Form]] = {
    "cpu": {
        "conv_general_dilated": convolution,
        "reduce_window_max": functools.partial(_window_reduction, combine=lax.max, start=_lowest),
        "reduce_window_sum": functools.partial(
            _window_reduction, combine=lax.add, start=lambda dtype: 0
        ),
    }
}
"""The other forms, by platform and primitive."""
