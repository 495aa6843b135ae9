"""Operations that move numbers around: reshape, transpose, slice, join, pad, resize."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
import numpy as np

from pdjax.adapters.onnx.operations.call import Call, Operation, Value, bounded

__all__ = ["OPERATIONS"]


def _axis(axis: int, ndim: int) -> int:
    if not -ndim <= axis < ndim:
        raise ValueError(f"there is no axis {axis} of {ndim}")
    return axis % ndim


def _reshape(call: Call) -> Value:
    x, target = call.x, call.ints("shape", 1)
    if target is None:
        raise ValueError("a reshape has no shape")
    zero = bool(call.int("allowzero", 0))
    images, declared = call.batch
    if target and declared and target[0] == declared and x.shape[:1] == (images,):
        # A file made for a fixed number of images.
        target = [images, *target[1:]]
    sides = [
        x.shape[i] if side == 0 and not zero and i < x.ndim else side
        for i, side in enumerate(target)
    ]
    if -1 not in sides:
        bounded(sides, images)
    return x.reshape(sides)


def _flatten(call: Call) -> Value:
    x = call.x
    axis = call.int("axis", 1)
    axis = axis + x.ndim if axis < 0 else axis
    return x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))


def _transpose(call: Call) -> Value:
    return call.xp.transpose(call.x, call.ints("perm"))


def _squeeze(call: Call) -> Value:
    x, axes = call.x, call.ints("axes", 1)
    if axes is None:
        # The batch stays, whatever number of images it has.
        first = 1 if x.shape[:1] == (call.batch[0],) else 0
        axes = [axis for axis in range(first, x.ndim) if x.shape[axis] == 1]
    return call.xp.squeeze(x, tuple(_axis(axis, x.ndim) for axis in axes))


def _unsqueeze(call: Call) -> Value:
    x, axes = call.x, call.ints("axes", 1) or []
    where = {_axis(axis, x.ndim + len(axes)) for axis in axes}
    left = iter(x.shape)
    return x.reshape([1 if axis in where else next(left) for axis in range(x.ndim + len(axes))])


def _concat(call: Call) -> Value:
    values: list[Any] = [call.required(index) for index in range(len(call.inputs))]
    axis = _axis(call.int("axis", 1), values[0].ndim)
    images, declared = call.batch
    if axis and declared and {value.shape[0] for value in values} == {1, images}:
        # A part that does not depend on the image, in a file made for one image.
        values = [call.xp.broadcast_to(value, (images, *value.shape[1:])) for value in values]
    return call.xp.concatenate(values, axis)


def _split(call: Call) -> tuple[Value, ...]:
    x, parts = call.x, call.ints("split", 1)
    axis = _axis(call.int("axis", 0), x.ndim)
    if parts is None:
        count = call.int("num_outputs", 0)
        side = math.ceil(x.shape[axis] / max(count, 1))
        parts = [side] * (count - 1) + [x.shape[axis] - side * (count - 1)]
    ends = np.cumsum(parts)
    if not parts or ends[-1] != x.shape[axis]:
        raise ValueError(f"{x.shape[axis]} entries are split into {parts[:8]}")
    return tuple(call.xp.split(x, ends[:-1].tolist(), axis))


def _slice(call: Call) -> Value:
    x = call.x
    starts, ends = call.ints("starts", 1), call.ints("ends", 2)
    if starts is None or ends is None:
        raise ValueError("a slice has no ends")
    axes = call.ints("axes", 3) or list(range(len(starts)))
    steps = call.ints("steps", 4) or [1] * len(starts)
    index = [slice(None)] * x.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        side = x.shape[_axis(axis, x.ndim)]
        # Far ends stand for "all of it"; backwards that is before the first entry.
        stop: int | None = end if end >= -side else None if step < 0 else 0
        index[_axis(axis, x.ndim)] = slice(start, stop, step)
    return x[tuple(index)]


def _gather(call: Call) -> Value:
    x, index = call.x, call.known(1)
    if index is None:
        raise ValueError("a gather has no indices")
    axis = _axis(call.int("axis", 0), x.ndim)
    side = x.shape[axis]
    if index.size and not -side <= index.min() <= index.max() < side:
        raise ValueError(f"a gather takes entries outside of {side}")
    bounded((*x.shape[:axis], *index.shape, *x.shape[axis + 1 :]), call.batch[0])
    if index.ndim == 0:
        return x[(slice(None),) * axis + (int(index),)]
    return call.xp.take(x, index % side, axis)


def _expand(call: Call) -> Value:
    x, target = call.x, call.ints("shape", 1) or []
    images, declared = call.batch
    if declared and len(target) == x.ndim and x.shape[0] == images and target[0] == declared:
        target = [images, *target[1:]]
    shape = bounded(np.broadcast_shapes(x.shape, tuple(target)), images)
    x = x.reshape((1,) * (len(shape) - x.ndim) + x.shape)
    return call.xp.broadcast_to(x, shape)


def _tile(call: Call) -> Value:
    repeats = call.ints("repeats", 1) or []
    bounded(
        [side * times for side, times in zip(call.x.shape, repeats, strict=True)], call.batch[0]
    )
    return call.xp.tile(call.x, repeats)


def _pad(call: Call) -> Value:
    x, pads = call.x, call.ints("pads", 1)
    mode = call.text("mode", "constant")
    value = call.known(2) if "value" not in call.attributes else call.attributes["value"]
    if pads is None or mode not in ("constant", "reflect", "edge"):
        raise ValueError(f"it pads by the unknown mode {mode!r}")
    axes = call.ints("axes", 3) or list(range(x.ndim))
    widths = [(0, 0)] * x.ndim
    for axis, before, after in zip(axes, pads[: len(axes)], pads[len(axes) :], strict=True):
        widths[_axis(axis, x.ndim)] = (before, after)
    bounded([side + sum(width) for side, width in zip(x.shape, widths, strict=True)], call.batch[0])
    # Less than zero cuts off.
    cut = tuple(
        slice(max(-before, 0), side - max(-after, 0))
        for side, (before, after) in zip(x.shape, widths, strict=True)
    )
    x = x[cut]
    widths = [(max(before, 0), max(after, 0)) for before, after in widths]
    if mode != "constant":
        return call.xp.pad(x, widths, mode=mode)
    fill = np.asarray(0 if value is None else value, x.dtype).reshape(())
    return call.xp.pad(x, widths, constant_values=fill)


def _constant(call: Call) -> Value:
    for name, dtype in (
        ("value", None),
        ("value_float", np.float32),
        ("value_int", np.int64),
        ("value_floats", np.float32),
        ("value_ints", np.int64),
    ):
        if name in call.attributes:
            return np.asarray(call.attributes[name], dtype)
    raise ValueError("a constant has no numbers")


def _constant_of_shape(call: Call) -> Value:
    shape = call.known(0)
    value = np.asarray(call.attributes.get("value", np.zeros(1, np.float32)))
    sides = bounded([] if shape is None else shape.reshape(-1).tolist(), call.batch[0])
    return np.full(sides, value.reshape(-1)[0], value.dtype)


def _range(call: Call) -> Value:
    start, limit, step = (np.asarray(call.known(index)).reshape(()).item() for index in range(3))
    if not step:
        raise ValueError("a range does not end")
    bounded([max(math.ceil((limit - start) / step), 0)])
    return np.arange(start, limit, step, dtype=call.x.dtype)


def _shape(call: Call) -> Value:
    end = call.attributes.get("end")
    return np.asarray(call.x.shape[call.int("start", 0) : end], np.int64)


def _depth_to_space(call: Call) -> Value:
    x, side = call.x, call.int("blocksize", 1)
    n, c, h, w = x.shape
    if call.text("mode", "DCR") == "DCR":
        apart = x.reshape(n, side, side, c // side**2, h, w).transpose(0, 3, 4, 1, 5, 2)
    else:
        apart = x.reshape(n, c // side**2, side, side, h, w).transpose(0, 1, 4, 2, 5, 3)
    return apart.reshape(n, c // side**2, h * side, w * side)


def _space_to_depth(call: Call) -> Value:
    x, side = call.x, call.int("blocksize", 1)
    n, c, h, w = x.shape
    apart = x.reshape(n, c, h // side, side, w // side, side).transpose(0, 3, 5, 1, 2, 4)
    return apart.reshape(n, c * side**2, h // side, w // side)


def _resize(call: Call) -> Value:
    x = jnp.asarray(call.x)
    first = 1 if len(call.inputs) < 3 else 2
    scales, sizes = call.known(first), call.known(3)
    given = call.attributes.get("scales")
    if sizes is not None and sizes.size:
        new = [int(side) for side in sizes]
        images, declared = call.batch
        new[0] = images if declared and new[0] == declared else new[0]
        factors = [size / side for size, side in zip(new, x.shape, strict=True)]
    else:
        factors = [float(scale) for scale in np.asarray(given if scales is None else scales)]
        new = [math.floor(side * f) for side, f in zip(x.shape, factors, strict=True)]
    bounded(new, call.batch[0])
    mode = call.text("mode", "nearest")
    if mode not in ("nearest", "linear"):
        raise ValueError(f"it resizes by {mode!r}")
    for axis, (size, factor) in enumerate(zip(new, factors, strict=True)):
        if size != x.shape[axis] or factor != 1:
            x = _resized(call, x, axis, size, factor, mode)
    return x


def _resized(call: Call, x: Any, axis: int, size: int, factor: float, mode: str) -> Any:
    side = x.shape[axis]
    at = np.arange(size, dtype=np.float64)
    default = "half_pixel" if call.opset >= 11 else "asymmetric"
    kind = call.text("coordinate_transformation_mode", default)
    if kind == "half_pixel" or (kind == "pytorch_half_pixel" and size > 1):
        at = (at + 0.5) / factor - 0.5
    elif kind == "pytorch_half_pixel":
        at = at * 0
    elif kind == "align_corners":
        at = at * ((side - 1) / max(size - 1, 1))
    elif kind == "asymmetric":
        at = at / factor
    else:
        raise ValueError(f"it resizes with coordinates {kind!r}")
    if mode == "nearest":
        rounding = call.text("nearest_mode", "round_prefer_floor" if call.opset >= 11 else "floor")
        rounded = {
            "round_prefer_floor": lambda: np.ceil(at - 0.5),
            "round_prefer_ceil": lambda: np.floor(at + 0.5),
            "floor": lambda: np.floor(at),
            "ceil": lambda: np.ceil(at),
        }[rounding]()
        return jnp.take(x, np.clip(rounded, 0, side - 1).astype(np.int32), axis)
    at = np.clip(at, 0, side - 1)
    low = np.minimum(np.floor(at).astype(np.int32), max(side - 2, 0))
    shape = [1] * x.ndim
    shape[axis] = size
    weight = np.asarray(at - low, x.dtype).reshape(shape)
    high = np.minimum(low + 1, side - 1)
    return jnp.take(x, low, axis) * (1 - weight) + jnp.take(x, high, axis) * weight


OPERATIONS: dict[str, Operation] = {
    "Concat": _concat,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "DepthToSpace": _depth_to_space,
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "Pad": _pad,
    "Range": _range,
    "Reshape": _reshape,
    "Resize": _resize,
    "Shape": _shape,
    "Size": lambda call: np.asarray(call.x.size, np.int64),
    "Slice": _slice,
    "SpaceToDepth": _space_to_depth,
    "Split": _split,
    "Squeeze": _squeeze,
    "Tile": _tile,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    "Upsample": _resize,
}
