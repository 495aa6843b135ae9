"""Rules of operations that treat every entry alone, and of joining arrays along an axis."""

from __future__ import annotations

from typing import Any

from pdjax.local.boxes import Box, hull, ranges
from pdjax.local.rules.rule import Boxes, Operands, Rule

__all__ = ["CONCATENATE", "ELEMENTWISE", "ELEMENTWISE_NAMES"]

ELEMENTWISE_NAMES = (
    "abs", "acos", "acosh", "add", "add_any", "and", "asin", "asinh", "atan", "atan2", "atanh",
    "bessel_i0e", "bessel_i1e", "cbrt", "ceil", "clamp", "clz", "convert_element_type", "copy",
    "cos", "cosh", "digamma", "div", "eq", "erf", "erf_inv", "erfc", "exp", "exp2", "expm1",
    "floor", "ge", "gt", "imag", "integer_pow", "is_finite", "le", "lgamma", "log", "log1p",
    "logistic", "lt", "max", "min", "mul", "ne", "neg", "nextafter", "not", "or", "polygamma",
    "population_count", "pow", "real", "reduce_precision", "rem", "round", "rsqrt", "select_n",
    "shift_left", "shift_right_arithmetic", "shift_right_logical", "sign", "sin", "sinh", "sqrt",
    "square", "stop_gradient", "sub", "tan", "tanh", "xor", "zeta",
)  # fmt: skip


def _elementwise_box(step: Any, boxes: Boxes) -> Box | None:
    shape = step.out_avals[0].shape
    changed = []
    for box, aval in zip(boxes, step.in_avals, strict=True):
        if box is None:
            continue
        if aval.shape != shape:  # one entry changes a whole axis
            return None
        changed.append(box)
    return tuple(hull(spans) for spans in zip(*changed, strict=True))


def _elementwise_apply(step: Any, box: Box, operands: Operands) -> list[Any]:
    wanted = ranges(box)
    values = []
    for index, aval in enumerate(step.in_avals):
        if not aval.shape:
            values.append(operands.read(index, ()))
            continue
        own = tuple(None if dim == 1 else one for dim, one in zip(aval.shape, wanted, strict=True))
        values.append(operands.read(index, own))
    return operands.bind(*values)


def _concatenate_box(step: Any, boxes: Boxes) -> Box | None:
    changed = [box for box in boxes if box is not None]
    axis = step.params["dimension"]
    if any(box[axis] is not None for box in changed):
        return None
    return tuple(hull(spans) for spans in zip(*changed, strict=True))


def _concatenate_apply(step: Any, box: Box, operands: Operands) -> list[Any]:
    return operands.bind(*(operands.read(i, ranges(box)) for i in range(len(step.inputs))))


ELEMENTWISE = Rule(_elementwise_box, _elementwise_apply)
CONCATENATE = Rule(_concatenate_box, _concatenate_apply)
