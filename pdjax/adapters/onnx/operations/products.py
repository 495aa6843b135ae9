"""Products of matrices, and the softmax behind them."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from pdjax.adapters.onnx.operations.call import Call, Operation, Value, bounded

__all__ = ["OPERATIONS"]


def _gemm(call: Call) -> Value:
    a, b, c = jnp.asarray(call.x), jnp.asarray(call.required(1)), call.optional(2)
    left, right = int(not call.int("transA", 0)), call.int("transB", 0)
    y = jax.lax.dot_general(a, b, (((left,), (right,)), ((), ())))
    bounded(y.shape, call.batch[0])
    alpha, beta = call.float("alpha", 1.0), call.float("beta", 1.0)
    y = y if alpha == 1 else alpha * y
    if c is None:
        return y
    c = jnp.asarray(c).reshape((1,) * (2 - c.ndim) + c.shape)
    return y + (c if beta == 1 else beta * c)


def _matmul(call: Call) -> Value:
    y = jnp.matmul(jnp.asarray(call.x), jnp.asarray(call.required(1)))
    bounded(y.shape, call.batch[0])
    return y


def _einsum(call: Call) -> Value:
    values = [jnp.asarray(call.required(index)) for index in range(len(call.inputs))]
    y = jnp.einsum(call.text("equation", ""), *values)
    bounded(y.shape, call.batch[0])
    return y


def _softmax(call: Call) -> Value:
    return jax.nn.softmax(jnp.asarray(call.x), softmax_axes(call))


def _log_softmax(call: Call) -> Value:
    return jax.nn.log_softmax(jnp.asarray(call.x), softmax_axes(call))


def softmax_axes(call: Call) -> tuple[int, ...]:
    """Axes over which probabilities sum to one: before version 13 all from one on."""
    ndim = call.x.ndim
    if call.opset >= 13:
        return (call.int("axis", -1) % ndim,)
    return tuple(range(call.int("axis", 1) % ndim, ndim))


OPERATIONS: dict[str, Operation] = {
    "Einsum": _einsum,
    "Gemm": _gemm,
    "LogSoftmax": _log_softmax,
    "MatMul": _matmul,
    "Softmax": _softmax,
}
