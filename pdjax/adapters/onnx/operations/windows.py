"""Operations on windows of a map (n, c, *spatial): convolution, pooling, normalisation."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from pdjax.adapters.onnx.operations.call import Call, Operation, Value, bounded

__all__ = ["OPERATIONS"]

Pads = list[tuple[int, int]]


def _axes(rank: int) -> str:
    return "DHW"[3 - rank :] if rank <= 3 else "ABCDEFG"[:rank]


def _sides(call: Call, name: str, rank: int) -> list[int]:
    values = call.ints(name) or [1] * rank
    if len(values) != rank or min(values) < 1:
        raise ValueError(f"{name} {values[:8]} are not {rank} numbers above zero")
    return values


def _pads(
    call: Call, sizes: tuple[int, ...], window: list[int], stride: list[int], dilation: list[int]
) -> Pads:
    """Zeros before and after each axis, as they are given or follow from the sizes."""
    rank = len(sizes)
    kind = call.text("auto_pad", "NOTSET")
    if kind == "NOTSET":
        pads = call.ints("pads") or [0] * 2 * rank
        if len(pads) != 2 * rank or min(pads) < 0:
            raise ValueError(f"pads {pads[:8]} are not {2 * rank} numbers from zero")
        return list(zip(pads[:rank], pads[rank:], strict=True))
    if kind == "VALID":
        return [(0, 0)] * rank
    found: Pads = []
    for size, side, step, gap in zip(sizes, window, stride, dilation, strict=True):
        total = max((math.ceil(size / step) - 1) * step + (side - 1) * gap + 1 - size, 0)
        less, more = total // 2, total - total // 2
        found.append((less, more) if kind == "SAME_UPPER" else (more, less))
    return found


def _convolution(call: Call) -> Value:
    x, kernel, bias = jnp.asarray(call.x), jnp.asarray(call.required(1)), call.optional(2)
    rank = x.ndim - 2
    stride, dilation = _sides(call, "strides", rank), _sides(call, "dilations", rank)
    pads = _pads(call, x.shape[2:], list(kernel.shape[2:]), stride, dilation)
    spatial = _axes(rank)
    y = lax.conv_general_dilated(
        x,
        kernel,
        stride,
        pads,
        rhs_dilation=dilation,
        feature_group_count=call.int("group", 1),
        dimension_numbers=("NC" + spatial, "OI" + spatial, "NC" + spatial),
    )
    bounded(y.shape, call.batch[0])
    return y if bias is None else y + _by_channel(bias, y.ndim)


def _transposed(call: Call) -> Value:
    x, kernel, bias = jnp.asarray(call.x), jnp.asarray(call.required(1)), call.optional(2)
    rank, groups = x.ndim - 2, call.int("group", 1)
    stride, dilation = _sides(call, "strides", rank), _sides(call, "dilations", rank)
    more = call.ints("output_padding") or [0] * rank
    if "output_shape" in call.attributes or call.text("auto_pad", "NOTSET") != "NOTSET":
        raise ValueError("a transposed convolution gives its output shape")
    given = call.ints("pads") or [0] * 2 * rank
    reach = [gap * (side - 1) for gap, side in zip(dilation, kernel.shape[2:], strict=True)]
    pads = [(reach[i] - given[i], reach[i] - given[rank + i] + more[i]) for i in range(rank)]
    # From (in, out / groups, ...) to (out, in / groups, ...), and each window turned around.
    inputs, outs = kernel.shape[:2]
    kernel = kernel.reshape(groups, inputs // groups, outs, *kernel.shape[2:])
    kernel = jnp.swapaxes(kernel, 1, 2).reshape(groups * outs, inputs // groups, *kernel.shape[3:])
    kernel = jnp.flip(kernel, tuple(range(2, rank + 2)))
    spatial = _axes(rank)
    y = lax.conv_general_dilated(
        x,
        kernel,
        [1] * rank,
        pads,
        lhs_dilation=stride,
        rhs_dilation=dilation,
        feature_group_count=groups,
        dimension_numbers=("NC" + spatial, "OI" + spatial, "NC" + spatial),
    )
    bounded(y.shape, call.batch[0])
    return y if bias is None else y + _by_channel(bias, y.ndim)


def _by_channel(values: Any, ndim: int) -> Any:
    """Values of channels (c,) as they go with a map (n, c, *spatial)."""
    return values.reshape((1, -1) + (1,) * (ndim - 2))


def _pooling(call: Call) -> tuple[list[int], list[int], list[int], Pads, Pads]:
    """Window, stride, dilation, given pads, and pads with what rounding up needs at the end."""
    x = call.x
    rank = x.ndim - 2
    window = _sides(call, "kernel_shape", rank)
    stride, dilation = _sides(call, "strides", rank), _sides(call, "dilations", rank)
    pads = _pads(call, x.shape[2:], window, stride, dilation)
    if not call.int("ceil_mode", 0):
        return window, stride, dilation, pads, pads
    up: Pads = []
    for size, side, step, gap, (before, after) in zip(
        x.shape[2:], window, stride, dilation, pads, strict=True
    ):
        reach = gap * (side - 1) + 1
        count = math.ceil((size + before + after - reach) / step) + 1
        if (count - 1) * step >= size + before:
            count -= 1
        up.append((before, max(after, (count - 1) * step + reach - size - before)))
    return window, stride, dilation, pads, up


def _max_pool(call: Call) -> Value:
    if (
        len(call.attributes.get("storage_order", []))
        if isinstance(call.attributes.get("storage_order"), list)
        else call.int("storage_order", 0)
    ):
        raise ValueError("a pooling counts in another order")
    x = jnp.asarray(call.x)
    window, stride, dilation, _, pads = _pooling(call)
    y = lax.reduce_window(
        x,
        np.asarray(-np.inf, x.dtype),
        lax.max,
        (1, 1, *window),
        (1, 1, *stride),
        ((0, 0), (0, 0), *pads),
        window_dilation=(1, 1, *dilation),
    )
    bounded(y.shape, call.batch[0])
    return y


def _average_pool(call: Call) -> Value:
    x = jnp.asarray(call.x)
    window, stride, dilation, given, pads = _pooling(call)
    total = lax.reduce_window(
        x,
        np.asarray(0, x.dtype),
        lax.add,
        (1, 1, *window),
        (1, 1, *stride),
        ((0, 0), (0, 0), *pads),
        window_dilation=(1, 1, *dilation),
    )
    bounded(total.shape, call.batch[0])
    include = bool(call.int("count_include_pad", 0))
    counts = np.ones((), np.float64)
    for axis, size in enumerate(x.shape[2:]):
        (before, after), last = given[axis], pads[axis][1]
        ones = np.full(size + pads[axis][0] + last, float(include))
        ones[before : before + size] = 1
        # What only rounding up has added is never counted.
        ones[before + size + after :] = 0
        starts = np.arange(total.shape[2 + axis]) * stride[axis]
        inside = starts[:, None] + np.arange(window[axis]) * dilation[axis]
        counts = np.multiply.outer(counts, ones[inside].sum(1))
    if np.all(counts == counts.flat[0]):
        return total / np.asarray(counts.flat[0], x.dtype)
    return total / jnp.asarray(counts[None, None], x.dtype)


def _global(name: str) -> Operation:
    def operation(call: Call) -> Value:
        x = jnp.asarray(call.x)
        return getattr(jnp, name)(x, axis=tuple(range(2, x.ndim)), keepdims=True)

    return operation


def _batch_norm(call: Call) -> Value:
    if call.int("training_mode", 0):
        raise ValueError("it has a batch norm in training mode")
    x = jnp.asarray(call.x)
    scale, shift, mean, variance = (jnp.asarray(call.required(i)) for i in range(1, 5))
    factor = scale / jnp.sqrt(variance + np.asarray(call.float("epsilon", 1e-5), variance.dtype))
    centred = x - _by_channel(mean, x.ndim)
    return centred * _by_channel(factor, x.ndim) + _by_channel(shift, x.ndim)


def _instance_norm(call: Call) -> Value:
    x = jnp.asarray(call.x)
    return _standardized(call, x, tuple(range(2, x.ndim))) * _by_channel(
        call.required(1), x.ndim
    ) + _by_channel(call.required(2), x.ndim)


def _group_norm(call: Call) -> Value:
    x = jnp.asarray(call.x)
    groups = call.int("num_groups", 1)
    apart = x.reshape(x.shape[0], groups, -1)
    y = _standardized(call, apart, (2,)).reshape(x.shape)
    scale, shift = (jnp.asarray(call.required(i)) for i in (1, 2))
    if call.opset < 21:
        scale, shift = (jnp.repeat(of, x.shape[1] // groups) for of in (scale, shift))
    return y * _by_channel(scale, x.ndim) + _by_channel(shift, x.ndim)


def _layer_norm(call: Call) -> Value:
    x, scale, shift = jnp.asarray(call.x), call.required(1), call.optional(2)
    axis = call.int("axis", -1) % x.ndim
    y = _standardized(call, x, tuple(range(axis, x.ndim)))
    y = y * scale.reshape((1,) * (x.ndim - scale.ndim) + scale.shape)
    return y if shift is None else y + shift.reshape((1,) * (x.ndim - shift.ndim) + shift.shape)


def _standardized(call: Call, x: jax.Array, axes: tuple[int, ...]) -> jax.Array:
    centred = x - x.mean(axes, keepdims=True)
    variance = (centred * centred).mean(axes, keepdims=True)
    return centred / jnp.sqrt(variance + np.asarray(call.float("epsilon", 1e-5), x.dtype))


def _local_response_norm(call: Call) -> Value:
    x = jnp.asarray(call.x)
    size = call.int("size", 1)
    before = (size - 1) // 2
    window = (1, size) + (1,) * (x.ndim - 2)
    pads = ((0, 0), (before, size - 1 - before)) + ((0, 0),) * (x.ndim - 2)
    zero = np.asarray(0, x.dtype)
    total = lax.reduce_window(x * x, zero, lax.add, window, (1,) * x.ndim, pads)
    base = call.float("bias", 1.0) + (call.float("alpha", 1e-4) / size) * total
    beta = call.float("beta", 0.75)
    if beta == 0.75:
        # The same as a power, which CPUs compute several times more slowly.
        root = lax.rsqrt(base)
        return x * root * jnp.sqrt(root)
    return x / base**beta


OPERATIONS: dict[str, Operation] = {
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Conv": _convolution,
    "ConvTranspose": _transposed,
    "GlobalAveragePool": _global("mean"),
    "GlobalMaxPool": _global("max"),
    "GroupNormalization": _group_norm,
    "InstanceNormalization": _instance_norm,
    "LRN": _local_response_norm,
    "LayerNormalization": _layer_norm,
    "MaxPool": _max_pool,
}
