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
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

__all__ = ["convolution"]

SMALL_MAP = 128
"""Entries of a map, at most, whose neighbourhoods are copied out: the copy is as many times larger
than the map as the kernel has entries."""

PRODUCT_CHANNELS = 32
"""Channels from which that was measured to pay."""

WINOGRAD_MAPS = (36, 900)
"""Entries of a map, least and most, for which Winograd's transform was measured to pay."""

WINOGRAD_CHANNELS = 64
"""Channels in and out from which it pays: the additions of its transforms grow with their sum, the
multiplications that it saves with their product."""


class _Settings(NamedTuple):
    strides: tuple[int, ...]
    dilation: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]
    precision: lax.PrecisionLike


def convolution(
    x: jax.Array,
    kernel: jax.Array,
    *,
    window_strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int],
    rhs_dilation: Sequence[int],
    dimension_numbers: lax.ConvDimensionNumbers,
    feature_group_count: int,
    batch_group_count: int,
    precision: lax.PrecisionLike = None,
    preferred_element_type: np.dtype | None = None,
    **others: object,
) -> jax.Array | None:
    """Perform ``conv_general_dilated`` in another form; None where there is no better one."""
    rank = len(window_strides)
    last = _channels_last(rank)
    numbers, spec = dimension_numbers, dimension_numbers.rhs_spec
    if (numbers.lhs_spec, numbers.out_spec) != (last, last) or batch_group_count != 1:
        return None
    if any(d != 1 for d in lhs_dilation) or preferred_element_type not in (None, x.dtype):
        return None
    # From here on kernels are (*sides, channels in, channels out), in whatever order they came.
    kernel = lax.transpose(kernel, (*spec[2:], spec[1], spec[0]))
    settings = _Settings(tuple(window_strides), tuple(rhs_dilation), tuple(padding), precision)
    groups = feature_group_count
    if groups == 1:
        return _ungrouped(x, kernel, settings)
    # With a group for every channel there is nothing to sum over: no product of matrices.
    if groups == x.shape[-1] == kernel.shape[-1]:
        return _by_entry(x, kernel, settings)
    width, features = kernel.shape[-2], kernel.shape[-1] // groups
    parts = []
    for group in range(groups):
        own = lax.slice_in_dim(x, group * width, (group + 1) * width, axis=rank + 1)
        weights = lax.slice_in_dim(kernel, group * features, (group + 1) * features, axis=rank + 1)
        result = _ungrouped(own, weights, settings)
        parts.append(_plain(own, weights, settings) if result is None else result)
    return lax.concatenate(parts, rank + 1)


def _ungrouped(x: jax.Array, kernel: jax.Array, settings: _Settings) -> jax.Array | None:
    strides, dilation, pads, precision = settings
    sides, channels = kernel.shape[:-2], kernel.shape[-2:]
    entries = [
        (dim + sum(pad) - (k - 1) * d - 1) // s + 1
        for dim, pad, k, d, s in zip(x.shape[1:-1], pads, sides, dilation, strides, strict=True)
    ]
    size = math.prod(entries)
    # One entry sees one entry: with strides and padding done, what is left is a product.
    if math.prod(sides) == 1:
        taken = _shifted(x, sides, settings)[0]
        return _product(taken, kernel.reshape(channels), precision)
    simple = sides == (3, 3) and strides == dilation == (1, 1) and x.dtype == np.float32
    medium = WINOGRAD_MAPS[0] <= size <= WINOGRAD_MAPS[1]
    if simple and medium and min(channels) >= WINOGRAD_CHANNELS:
        return _winograd(_padded(x, pads), kernel, precision)
    if size <= SMALL_MAP and channels[0] >= PRODUCT_CHANNELS:
        # Side by side on the channel axis, what the kernel sees of a place is one row.
        seen = lax.concatenate(_shifted(x, sides, settings), x.ndim - 1)
        return _product(seen, kernel.reshape(-1, channels[1]), precision)
    if any(sum(pad) for pad in pads):
        return None
    # On CPUs XLA performs a convolution that is padded anywhere several times faster than one that
    # is not. One stride of padding at one end of one axis does it: the row that it adds to the
    # result is cut off again.
    wider = _plain(x, kernel, settings._replace(pads=((0, strides[0]), *pads[1:])))
    return lax.slice_in_dim(wider, 0, entries[0], axis=1)


def _channels_last(rank: int) -> tuple[int, ...]:
    """Name the axes of an array ``(n, *spatial, c)`` as convolutions do."""
    return 0, rank + 1, *range(1, rank + 1)


def _plain(x: jax.Array, kernel: jax.Array, settings: _Settings) -> jax.Array:
    rank = len(settings.strides)
    last = _channels_last(rank)
    return lax.conv_general_dilated(
        x,
        kernel,
        settings.strides,
        settings.pads,
        rhs_dilation=settings.dilation,
        dimension_numbers=lax.ConvDimensionNumbers(last, (rank + 1, rank, *range(rank)), last),
        precision=settings.precision,
    )


def _padded(x: jax.Array, pads: tuple[tuple[int, int], ...]) -> jax.Array:
    if not any(map(any, pads)):
        return x
    sides = [(0, 0, 0), *((low, high, 0) for low, high in pads), (0, 0, 0)]
    return lax.pad(x, jnp.zeros((), x.dtype), sides)


def _product(x: jax.Array, matrix: jax.Array, precision: lax.PrecisionLike) -> jax.Array:
    """Multiply the last axis by a matrix."""
    rows = lax.reshape(x, (math.prod(x.shape[:-1]), x.shape[-1]))
    product = lax.dot(rows, matrix, precision=precision)
    return lax.reshape(product, (*x.shape[:-1], matrix.shape[-1]))


def _by_entry(x: jax.Array, kernel: jax.Array, settings: _Settings) -> jax.Array:
    """Sum the shifted input times the weights of that shift: each channel by itself."""
    weights = lax.reshape(kernel, (math.prod(kernel.shape[:-2]), kernel.shape[-1]))
    shifted = _shifted(x, kernel.shape[:-2], settings)
    terms = (
        part * lax.expand_dims(weights[index], range(part.ndim - 1))
        for index, part in enumerate(shifted)
    )
    return functools.reduce(lax.add, terms)


def _shifted(x: jax.Array, sides: Sequence[int], settings: _Settings) -> list[jax.Array]:
    """Return what each entry of a kernel sees of an array ``(n, *spatial, c)``."""
    strides, dilation = settings.strides, settings.dilation
    x = _padded(x, settings.pads)
    # From the first entry that is seen to the last, with the strides between them.
    spans = [
        (dim - (k - 1) * d - 1) // s * s + 1
        for dim, k, s, d in zip(x.shape[1:-1], sides, strides, dilation, strict=True)
    ]
    parts = []
    for entry in np.ndindex(*sides):
        starts = [i * d for i, d in zip(entry, dilation, strict=True)]
        limits = [start + span for start, span in zip(starts, spans, strict=True)]
        parts.append(
            lax.slice(x, (0, *starts, 0), (x.shape[0], *limits, x.shape[-1]), (1, *strides, 1))
        )
    return parts


def _winograd(x: jax.Array, kernel: jax.Array, precision: lax.PrecisionLike) -> jax.Array:
    """Convolve a padded array with a 3 by 3 kernel, in tiles of 2 by 2 results.

    Along one axis, four inputs ``a b c d`` and a kernel ``p q r`` give two results,

        a p + b q + c r = m1 + m2 + m3      m1 = (a - c) p      m2 = (b + c) (p + q + r) / 2
        b p + c q + d r = m2 - m3 - m4      m4 = (b - d) r      m3 = (c - b) (p - q + r) / 2

    with four products instead of six, and applied to both axes with 16 instead of 36. So there
    are three transforms, each made of additions along one axis and then the other: of the inputs,
    of the kernel, and of the products to the results. Between them, as results are summed over
    channels, each of the 16 products is a matrix product of all tiles with one kernel.
    """
    n, height, width, channels = x.shape
    # Tiles of four inputs start every two entries; half a tile may be missing at the end.
    rows, columns, features = (height - 1) // 2, (width - 1) // 2, kernel.shape[-1]
    x = _padded(x, ((0, 2 * rows + 2 - height), (0, 2 * columns + 2 - width)))
    weights = _transformed_kernel(_transformed_kernel(kernel, 0), 1)

    products = []
    for i, part in enumerate(_transformed_input(x, 1)):
        line = [
            lax.dot(
                lax.reshape(tile, (n * rows * columns, channels)),
                weights[i, j],
                precision=precision,
            )
            for j, tile in enumerate(_transformed_input(part, 2))
        ]
        products.append(_transformed_output(line))
    left = _transformed_output([line[0] for line in products])
    right = _transformed_output([line[1] for line in products])
    tiles = [
        [lax.reshape(part, (n, rows, columns, features)) for part in pair]
        for pair in zip(left, right, strict=True)
    ]
    # The two results of a tile on each axis belong between those of its neighbours.
    whole = jnp.stack([jnp.stack(pair, axis=3) for pair in tiles], axis=2)
    whole = lax.reshape(whole, (n, 2 * rows, 2 * columns, features))
    return whole[:, : height - 2, : width - 2]


def _transformed_input(x: jax.Array, axis: int) -> list[jax.Array]:
    """Return the four sums of inputs, each for all tiles along an axis."""
    a, b, c, d = (lax.slice_in_dim(x, i, x.shape[axis] - 3 + i, 2, axis) for i in range(4))
    return [a - c, b + c, c - b, b - d]


def _transformed_kernel(kernel: jax.Array, axis: int) -> jax.Array:
    """Put the four sums of weights in place of the three weights along an axis."""
    p, q, r = (lax.index_in_dim(kernel, i, axis, keepdims=False) for i in range(3))
    half = jnp.asarray(0.5, kernel.dtype)
    return jnp.stack([p, half * (p + q + r), half * (p - q + r), r], axis)


def _transformed_output(products: list[jax.Array]) -> tuple[jax.Array, jax.Array]:
    """Return the two results of all tiles along an axis, of their four products."""
    m1, m2, m3, m4 = products
    return m1 + m2 + m3, m2 - m3 - m4
