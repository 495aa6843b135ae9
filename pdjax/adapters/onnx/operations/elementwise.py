"""Operations on one number at a time."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pdjax.adapters.onnx.operations.call import Call, Operation, Value, bounded
from pdjax.weights.readers.onnx import DTYPES

__all__ = ["OPERATIONS", "aligned"]


def aligned(call: Call, *values: Value) -> list[Any]:
    """Give values the same rank, as the broadcasting of NumPy does by itself."""
    shape = np.broadcast_shapes(*(value.shape for value in values))
    bounded(shape, call.batch[0])
    return [value.reshape((1,) * (len(shape) - value.ndim) + value.shape) for value in values]


def _unary(name: str) -> Operation:
    def operation(call: Call) -> Value:
        return getattr(call.xp, name)(call.x)

    return operation


def _of_jax(f: Callable[[Any], jax.Array]) -> Operation:
    def operation(call: Call) -> Value:
        return f(jnp.asarray(call.x))

    return operation


def _binary(name: str) -> Operation:
    def operation(call: Call) -> Value:
        return getattr(call.xp, name)(*aligned(call, call.x, call.required(1)))

    return operation


def _variadic(name: str) -> Operation:
    def operation(call: Call) -> Value:
        total, *others = aligned(call, *(call.required(i) for i in range(len(call.inputs))))
        for other in others:
            total = getattr(call.xp, name)(total, other)
        return total

    return operation


def _mean(call: Call) -> Value:
    return _variadic("add")(call) / np.asarray(len(call.inputs), call.x.dtype)


def _divide(call: Call) -> Value:
    x, y = aligned(call, call.x, call.required(1))
    if np.issubdtype(x.dtype, np.floating):
        return x / y
    # Integers are divided towards zero.
    return call.xp.trunc(call.xp.true_divide(x, y)).astype(x.dtype)


def _power(call: Call) -> Value:
    x, y = aligned(call, call.x, call.required(1))
    if isinstance(y, np.ndarray) and y.size == 1 and y.item() in (0.5, 2.0, 3.0):
        exponent = y.item()
        return call.xp.sqrt(x) if exponent == 0.5 else x * x if exponent == 2.0 else x * x * x
    return call.xp.power(x, y.astype(x.dtype))


def _cast(call: Call) -> Value:
    code = call.int("to", 0)
    if code not in DTYPES:
        raise ValueError(f"it casts to the unknown data type {code}")
    return call.x.astype(
        jax.dtypes.canonicalize_dtype(DTYPES[code]) if not call.numpy else np.dtype(DTYPES[code])
    )


def _clip(call: Call) -> Value:
    x = call.x
    for bound, index, limit in (("min", 1, "maximum"), ("max", 2, "minimum")):
        value = call.attributes.get(bound, call.optional(index))
        if value is not None:
            value = value.reshape(()) if hasattr(value, "reshape") else np.asarray(value)
            edge = call.xp.broadcast_to(value.astype(x.dtype), (1,) * x.ndim)
            x = getattr(call.xp, limit)(x, edge)
    return x


def _where(call: Call) -> Value:
    return call.xp.where(*aligned(call, call.x, call.required(1), call.required(2)))


def _prelu(call: Call) -> Value:
    x, slope = aligned(call, call.x, call.required(1))
    return call.xp.where(x >= 0, x, slope * x)


def _leaky(call: Call) -> Value:
    return jax.nn.leaky_relu(jnp.asarray(call.x), call.float("alpha", 0.01))


def _elu(call: Call) -> Value:
    return jax.nn.elu(jnp.asarray(call.x), call.float("alpha", 1.0))


def _celu(call: Call) -> Value:
    return jax.nn.celu(jnp.asarray(call.x), call.float("alpha", 1.0))


def _selu(call: Call) -> Value:
    alpha = call.float("alpha", 1.6732632423543772)
    return call.float("gamma", 1.0507009873554805) * jax.nn.elu(jnp.asarray(call.x), alpha)


def _hard_sigmoid(call: Call) -> Value:
    x = jnp.asarray(call.x)
    return jnp.clip(call.float("alpha", 0.2) * x + call.float("beta", 0.5), 0, 1)


def _hard_swish(call: Call) -> Value:
    x = jnp.asarray(call.x)
    return x * jnp.clip(x / 6 + 0.5, 0, 1)


def _threshold(call: Call) -> Value:
    x = jnp.asarray(call.x)
    return jnp.where(x > call.float("alpha", 1.0), x, 0)


def _gelu(call: Call) -> Value:
    x = jnp.asarray(call.x)
    if call.text("approximate", "none") == "tanh":
        return jax.nn.gelu(x, approximate=True)
    return x * (0.5 * (1 + jax.lax.erf(x * math.sqrt(0.5))))


def _dropout(call: Call) -> Value:
    if call.known(2) is not None and bool(call.known(2)):
        raise ValueError("it has dropout in training mode")
    return call.x


OPERATIONS: dict[str, Operation] = {
    "Abs": _unary("abs"),
    "Add": _binary("add"),
    "And": _binary("logical_and"),
    "Cast": _cast,
    "Ceil": _unary("ceil"),
    "Celu": _celu,
    "Clip": _clip,
    "Cos": _unary("cos"),
    "Div": _divide,
    "Dropout": _dropout,
    "Elu": _elu,
    "Equal": _binary("equal"),
    "Erf": _of_jax(jax.lax.erf),
    "Exp": _unary("exp"),
    "Floor": _unary("floor"),
    "Gelu": _gelu,
    "Greater": _binary("greater"),
    "GreaterOrEqual": _binary("greater_equal"),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _hard_swish,
    "Identity": lambda call: call.x,
    "LeakyRelu": _leaky,
    "Less": _binary("less"),
    "LessOrEqual": _binary("less_equal"),
    "Log": _unary("log"),
    "Max": _variadic("maximum"),
    "Mean": _mean,
    "Min": _variadic("minimum"),
    "Mish": _of_jax(lambda x: x * jnp.tanh(jax.nn.softplus(x))),
    "Mul": _binary("multiply"),
    "Neg": _unary("negative"),
    "Not": _unary("logical_not"),
    "Or": _binary("logical_or"),
    "PRelu": _prelu,
    "Pow": _power,
    "Reciprocal": lambda call: 1 / call.x,
    "Relu": _of_jax(jax.nn.relu),
    "Round": _unary("round"),
    "Selu": _selu,
    "Sigmoid": _of_jax(jax.nn.sigmoid),
    "Sign": _unary("sign"),
    "Sin": _unary("sin"),
    "Softplus": _of_jax(jax.nn.softplus),
    "Softsign": _of_jax(jax.nn.soft_sign),
    "Sqrt": _unary("sqrt"),
    "Sub": _binary("subtract"),
    "Sum": _variadic("add"),
    "Swish": lambda call: call.x * jax.nn.sigmoid(call.float("alpha", 1.0) * jnp.asarray(call.x)),
    "Tanh": _of_jax(jnp.tanh),
    "ThresholdedRelu": _threshold,
    "Where": _where,
}
