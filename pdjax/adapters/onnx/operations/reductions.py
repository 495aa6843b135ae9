"""Sums, means and the like over axes."""

from __future__ import annotations

from typing import Any

import jax

from pdjax.adapters.onnx.operations.call import Call, Operation, Value

__all__ = ["OPERATIONS"]


def _reduction(name: str, before: Any = None, after: Any = None) -> Operation:
    def operation(call: Call) -> Value:
        x = call.x
        axes = call.ints("axes", 1)
        if not axes:
            if call.int("noop_with_empty_axes", 0):
                return x
            axes = list(range(x.ndim))
        x = x if before is None else before(call.xp, x)
        keep = bool(call.int("keepdims", 1))
        y = getattr(call.xp, name)(x, axis=tuple(axis % x.ndim for axis in axes), keepdims=keep)
        return y if after is None else after(call.xp, y)

    return operation


def _square(_: Any, x: Any) -> Any:
    return x * x


OPERATIONS: dict[str, Operation] = {
    "ReduceL1": _reduction("sum", lambda xp, x: xp.abs(x)),
    "ReduceL2": _reduction("sum", _square, lambda xp, x: xp.sqrt(x)),
    "ReduceLogSumExp": lambda call: (
        _reduction("sum", lambda xp, x: xp.exp(x), lambda xp, x: xp.log(x))(call)
        if call.numpy
        else _log_sum_exp(call)
    ),
    "ReduceMax": _reduction("max"),
    "ReduceMean": _reduction("mean"),
    "ReduceMin": _reduction("min"),
    "ReduceProd": _reduction("prod"),
    "ReduceSum": _reduction("sum"),
    "ReduceSumSquare": _reduction("sum", _square),
}


def _log_sum_exp(call: Call) -> Value:
    x: Any = call.x
    axes = call.ints("axes", 1) or list(range(x.ndim))
    keep = bool(call.int("keepdims", 1))
    return jax.nn.logsumexp(x, axis=tuple(axis % x.ndim for axis in axes), keepdims=keep)
