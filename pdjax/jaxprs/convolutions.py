"""Convolutions in the forms that CPUs run fastest.

All take channels last. Which form is taken is decided by sizes, on the grounds of
`benchmarks/lowerings.py`:

- kernels of one entry are a matrix product;
- groups are convolved one by one, single channels entry by entry of the kernel;
- 3 by 3 kernels on maps of medium size go through Winograd's transform F(2, 3), which takes 16
  multiplications for 4 results instead of 36 (Lavin and Gray, 2016);
- small maps are copied out, neighbourhood by neighbourhood, for one matrix product;
- a convolution without padding is given a row of it, whose result is thrown away: XLA's kernel
  for the padded case is several times faster.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

__all__ = ["convolution"]

SMALL_MAP = 128
WINOGRAD_MAPS = (36, 900)
WINOGRAD_CHANNELS = 64
PRODUCT_CHANNELS = 32


class _How(NamedTuple):
    strides: tuple[int, ...]
    dilation: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]
    precision: Any


def convolution(
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
    precision: Any = None,
    preferred_element_type: Any = None,
    **others: Any,
) -> jax.Array | None:
    """Perform ``conv_general_dilated`` in another form; None where there is no better one."""
    rank = len(window_strides)
    last = _channels_last(rank)
    numbers, spec = dimension_numbers, dimension_numbers.rhs_spec
    if (numbers.lhs_spec, numbers.out_spec) != (last, last) or batch_group_count != 1:
        return None
    if any(d != 1 for d in lhs_dilation) or preferred_element_type not in (None, x.dtype):
        return None
    kernel = lax.transpose(kernel, (*spec[2:], spec[1], spec[0]))
    how = _How(tuple(window_strides), tuple(rhs_dilation), tuple(padding), precision)
    groups = feature_group_count
    if groups == 1:
        return _ungrouped(x, kernel, how)
    if groups == x.shape[-1] == kernel.shape[-1]:
        return _by_entry(x, kernel, how)
    width, features = kernel.shape[-2], kernel.shape[-1] // groups
    parts = []
    for group in range(groups):
        own = lax.slice_in_dim(x, group * width, (group + 1) * width, axis=rank + 1)
        weights = lax.slice_in_dim(kernel, group * features, (group + 1) * features, axis=rank + 1)
        result = _ungrouped(own, weights, how)
        parts.append(_plain(own, weights, how) if result is None else result)
    return lax.concatenate(parts, rank + 1)


def _ungrouped(x: jax.Array, kernel: jax.Array, how: _How) -> jax.Array | None:
    strides, dilation, pads, precision = how
    taps, channels = kernel.shape[:-2], kernel.shape[-2:]
    entries = [
        (side + sum(pad) - (k - 1) * d - 1) // s + 1
        for side, pad, k, d, s in zip(x.shape[1:-1], pads, taps, dilation, strides, strict=True)
    ]
    size = math.prod(entries)
    if math.prod(taps) == 1:
        taken = _shifted(x, taps, how)[0]
        return _product(taken, kernel.reshape(channels), precision)
    simple = taps == (3, 3) and strides == dilation == (1, 1) and x.dtype == np.float32
    if simple and min(channels) >= WINOGRAD_CHANNELS and _between(size, WINOGRAD_MAPS):
        return _winograd(_padded(x, pads), kernel, precision)
    if size <= SMALL_MAP and channels[0] >= PRODUCT_CHANNELS:
        seen = lax.concatenate(_shifted(x, taps, how), x.ndim - 1)
        return _product(seen, kernel.reshape(-1, channels[1]), precision)
    if any(sum(pad) for pad in pads):
        return None
    wider = _plain(x, kernel, how._replace(pads=((0, strides[0]), *pads[1:])))
    return lax.slice_in_dim(wider, 0, entries[0], axis=1)


def _between(size: int, bounds: tuple[int, int]) -> bool:
    return bounds[0] <= size <= bounds[1]


def _channels_last(rank: int) -> tuple[int, ...]:
    """Name the axes of an array ``(n, *spatial, c)`` as convolutions do."""
    return 0, rank + 1, *range(1, rank + 1)


def _plain(x: jax.Array, kernel: jax.Array, how: _How) -> jax.Array:
    rank = len(how.strides)
    last = _channels_last(rank)
    numbers = lax.ConvDimensionNumbers(last, (rank + 1, rank, *range(rank)), last)
    return lax.conv_general_dilated(
        x, kernel, how.strides, how.pads,
        rhs_dilation=how.dilation, dimension_numbers=numbers, precision=how.precision,
    )  # fmt: skip


def _padded(x: jax.Array, pads: tuple[tuple[int, int], ...]) -> jax.Array:
    if not any(map(any, pads)):
        return x
    sides = [(0, 0, 0), *((low, high, 0) for low, high in pads), (0, 0, 0)]
    return lax.pad(x, jnp.zeros((), x.dtype), sides)


def _product(x: jax.Array, matrix: jax.Array, precision: Any) -> jax.Array:
    """Multiply the last axis by a matrix."""
    rows = lax.reshape(x, (math.prod(x.shape[:-1]), x.shape[-1]))
    product = lax.dot(rows, matrix, precision=precision)
    return lax.reshape(product, (*x.shape[:-1], matrix.shape[-1]))


def _by_entry(x: jax.Array, kernel: jax.Array, how: _How) -> jax.Array:
    """Sum the shifted input times the weights of that shift: each channel by itself."""
    weights = lax.reshape(kernel, (math.prod(kernel.shape[:-2]), kernel.shape[-1]))
    shifted = _shifted(x, kernel.shape[:-2], how)
    terms = (
        part * lax.expand_dims(weights[index], range(part.ndim - 1))
        for index, part in enumerate(shifted)
    )
    return functools.reduce(lax.add, terms)


def _shifted(x: jax.Array, taps: Sequence[int], how: _How) -> list[jax.Array]:
    """Return what each entry of a kernel sees of an array ``(n, *spatial, c)``."""
    x, strides, dilation = _padded(x, how.pads), how.strides, how.dilation
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


def _winograd(x: jax.Array, kernel: jax.Array, precision: Any) -> jax.Array:
    """Convolve a padded array with a 3 by 3 kernel, in tiles of 2 by 2 results."""
    n, height, width, channels = x.shape
    rows, columns, features = (height - 1) // 2, (width - 1) // 2, kernel.shape[-1]
    x = _padded(x, ((0, 2 * rows + 2 - height), (0, 2 * columns + 2 - width)))
    weights = _kernel_combinations(_kernel_combinations(kernel, 0), 1)

    products = []
    for i, part in enumerate(_input_combinations(x, 1)):
        line = [
            lax.dot(
                lax.reshape(tile, (n * rows * columns, channels)),
                weights[i, j],
                precision=precision,
            )
            for j, tile in enumerate(_input_combinations(part, 2))
        ]
        products.append(_output_combinations(line))
    left = _output_combinations([line[0] for line in products])
    right = _output_combinations([line[1] for line in products])
    tiles = [
        [lax.reshape(part, (n, rows, columns, features)) for part in pair]
        for pair in zip(left, right, strict=True)
    ]
    whole = jnp.stack([jnp.stack(pair, axis=3) for pair in tiles], axis=2)
    whole = lax.reshape(whole, (n, 2 * rows, 2 * columns, features))
    return whole[:, : height - 2, : width - 2]


def _input_combinations(x: jax.Array, axis: int) -> list[jax.Array]:
    a, b, c, d = (lax.slice_in_dim(x, i, x.shape[axis] - 3 + i, 2, axis) for i in range(4))
    return [a - c, b + c, c - b, b - d]


def _kernel_combinations(kernel: jax.Array, axis: int) -> jax.Array:
    a, b, c = (lax.index_in_dim(kernel, i, axis, keepdims=False) for i in range(3))
    half = jnp.asarray(0.5, kernel.dtype)
    return jnp.stack([a, half * (a + b + c), half * (a - b + c), c], axis)


def _output_combinations(parts: list[jax.Array]) -> tuple[jax.Array, jax.Array]:
    a, b, c, d = parts
    return a + b + c, b - c - d
