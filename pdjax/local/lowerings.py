"""Each operation in the form that the device runs fastest: the same numbers, other operations.

XLA's CPU backend has kernels of very different speed for the same arithmetic. The table below
says, by platform, which operations are put in another form; `benchmarks/lowerings.py` is what it
rests on. Everything else, and everything on other platforms, stays as it was traced.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from pdjax.local.program import Step, bind, flatten

__all__ = ["performer", "platform", "tuned"]

Form = Callable[..., jax.Array | None]


def performer(lowerings: bool) -> Callable[..., list[Any]]:
    """Return ``perform(step, *operands, **changed parameters)`` for the default device.

    Parameters
    ----------
    lowerings : bool
        False performs every step as it was traced.
    """
    table = FORMS.get(platform(), {}) if lowerings else {}

    def perform(step: Step, *operands: Any, **changed: Any) -> list[Any]:
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
        Any JAX function of PyTrees of arrays.

    Examples
    --------
    >>> import jax.numpy as jnp
    >>> tuned(lambda x: {"twice": 2 * x})(jnp.ones(2))
    {'twice': Array([2., 2.], dtype=float32)}
    """

    @functools.wraps(f)
    def wrapped(*arguments: Any) -> Any:
        closed, shapes = jax.make_jaxpr(f, return_shape=True)(*arguments)
        program = flatten(closed)
        inputs = (*program.constants, *program.arguments)
        known = (*closed.consts, *jax.tree.leaves(arguments))
        values: dict[Any, Any] = dict(zip(inputs, known, strict=True))
        program.run(performer(True), values)
        results = [values[v] if isinstance(v, int) else jnp.asarray(v) for v in program.results]
        return jax.tree.unflatten(jax.tree.structure(shapes), results)

    return wrapped


def platform() -> str:
    """Name the platform of the device on which things run by default."""
    config: Any = jax.config
    device = config.jax_default_device or jax.local_devices()[0]
    return device if isinstance(device, str) else str(device.platform)


def _convolution(
    x: jax.Array,
    kernel: jax.Array,
    *,
    window_strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int],
    rhs_dilation: Sequence[int],
    dimension_numbers: Any,
    feature_group_count: int,
    batch_group_count: int,
    **others: Any,
) -> jax.Array | None:
    """Convolve as one matrix product, group by group, or entry by entry of the kernel."""
    last = len(window_strides) + 1
    layout = (0, last, *range(1, last))
    numbers = dimension_numbers
    if (numbers.lhs_spec, numbers.out_spec) != (layout, layout) or batch_group_count != 1:
        return None
    if any(dilation != 1 for dilation in lhs_dilation):
        return None
    spec = numbers.rhs_spec
    kernel = lax.transpose(kernel, (*spec[2:], spec[1], spec[0]))
    how = tuple(window_strides), tuple(rhs_dilation)
    padded = lax.pad(
        x,
        jnp.zeros((), x.dtype),
        [(0, 0, 0), *((low, high, 0) for low, high in padding), (0, 0, 0)],
    )
    groups, precision = feature_group_count, others["precision"]
    if groups == x.shape[-1] == kernel.shape[-1]:
        return _by_entry(padded, kernel, *how)
    if math.prod(kernel.shape[:-2]) == 1 and groups == 1:
        taken = _shifted(padded, kernel.shape[:-2], *how)[0]
        return _product(taken, kernel.reshape(kernel.shape[-2:]), precision)
    return None


def _product(x: jax.Array, matrix: jax.Array, precision: Any) -> jax.Array:
    """Multiply the last axis by a matrix."""
    rows = lax.reshape(x, (math.prod(x.shape[:-1]), x.shape[-1]))
    product = lax.dot(rows, matrix, precision=precision)
    return lax.reshape(product, (*x.shape[:-1], matrix.shape[-1]))


def _by_entry(
    x: jax.Array, kernel: jax.Array, strides: tuple[int, ...], dilation: tuple[int, ...]
) -> jax.Array:
    """Sum the shifted input times the weights of that shift: each channel by itself."""
    weights = lax.reshape(kernel, (math.prod(kernel.shape[:-2]), 1, kernel.shape[-1]))
    shifted = _shifted(x, kernel.shape[:-2], strides, dilation)
    terms = (
        part * lax.expand_dims(weight[0], range(part.ndim - 1))
        for part, weight in zip(shifted, weights, strict=True)
    )
    return functools.reduce(lax.add, terms)


def _shifted(
    x: jax.Array, taps: Sequence[int], strides: Sequence[int], dilation: Sequence[int]
) -> list[jax.Array]:
    """Return what each entry of a kernel sees of a padded array ``(n, *spatial, c)``."""
    spans = [
        (side - (k - 1) * d - 1) // s * s + 1
        for side, k, s, d in zip(x.shape[1:-1], taps, strides, dilation, strict=True)
    ]
    parts = []
    for entry in np.ndindex(*taps):
        starts = [i * d for i, d in zip(entry, dilation, strict=True)]
        limits = [start + span for start, span in zip(starts, spans, strict=True)]
        parts.append(
            lax.slice(x, (0, *starts, 0), (x.shape[0], *limits, x.shape[-1]), (1, *strides, 1))
        )
    return parts


def _window_reduction(
    x: jax.Array,
    *,
    combine: Callable[[jax.Array, jax.Array], jax.Array],
    start: Callable[[Any], Any],
    window_dimensions: Sequence[int],
    window_strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    base_dilation: Sequence[int],
    window_dilation: Sequence[int],
    **others: Any,
) -> jax.Array | None:
    """Combine strided slices, along one axis after the other."""
    if any(dilation != 1 for dilation in base_dilation) or max(window_dimensions) > 16:
        return None
    config = [(low, high, 0) for low, high in padding]
    x = lax.pad(x, jnp.asarray(start(x.dtype), x.dtype), config)
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


def _lowest(dtype: Any) -> Any:
    return -np.inf if jnp.issubdtype(dtype, np.floating) else np.iinfo(dtype).min


FORMS: dict[str, dict[str, Form]] = {
    "cpu": {
        "conv_general_dilated": _convolution,
        "reduce_window_max": functools.partial(_window_reduction, combine=lax.max, start=_lowest),
        "reduce_window_sum": functools.partial(
            _window_reduction, combine=lax.add, start=lambda dtype: 0
        ),
    }
}
"""By platform and primitive: another form, or None where there is no better one."""
