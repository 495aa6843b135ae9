"""Programs brought into channels-last form, whatever the axes that a person wrote them with.

Convolutions are fast where the channels of an image come last, and on CPUs they are so only there:
XLA brings others into that form at the top level of a program, but not inside a loop or a branch.
So a program is rewritten. Each of its values has logical axes, those it was traced with, and an
order in which they are stored. A convolution stores its result with channels last; what follows
works on the stored axes, with its own parameters renumbered; a transposition moves nothing any
more, it only changes the order; and where an operation must see the logical axes, or a value comes
out of the program, the value is transposed back. Steps on parameters alone, such as the
transposition of a kernel, are left to be run once by whoever runs the rest many times.

A program whose convolutions have channels last anyway keeps its very steps.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from jax import lax

from pdjax.jaxprs.program import Program, Step, needed
from pdjax.jaxprs.writer import Writer, straight

__all__ = ["ELEMENTWISE", "channels_last", "reshape_groups"]

ELEMENTWISE_NAMES = """
    abs acos acosh add add_any and asin asinh atan atan2 atanh bessel_i0e bessel_i1e cbrt ceil
    clamp clz complex conj convert_element_type copy cos cosh digamma div eq erf erf_inv erfc exp
    exp2 expm1 floor ge gt igamma igammac imag integer_pow is_finite le lgamma log log1p logistic lt
    max min mul mulhi ne neg nextafter not or polygamma population_count pow real reduce_precision
    regularized_incomplete_beta rem round rsqrt select_n shift_left shift_right_arithmetic
    shift_right_logical sign sin sinh sqrt square stop_gradient sub tan tanh xor zeta
"""

ELEMENTWISE = frozenset(ELEMENTWISE_NAMES.split())
"""Primitives that treat every entry alone: operands are scalars, or alike but for axes of one."""


def channels_last(program: Program) -> Program:
    """Rewrite a program so that its convolutions work with channels last.

    The last argument is taken for the images. Arguments and results keep their axes.
    """
    if not any(step.name == "conv_general_dilated" for step in program.steps):
        return program
    writer = Writer(program)
    for step in program.steps:
        rule = RULES.get("elementwise" if step.name in ELEMENTWISE else step.name)
        if rule is None or not rule(writer, step):
            writer.emit(step, [writer.stored(value) for value in step.inputs], straight(step))
    results = tuple(writer.stored(value) for value in program.results)
    # What was repeated in another order from the start is not wanted in the old one any more.
    steps = needed(writer.steps, results)
    return dataclasses.replace(program, steps=steps, results=results, avals=writer.avals)


def reshape_groups(
    before: Sequence[int], after: Sequence[int]
) -> Iterator[tuple[list[int], list[int]]]:
    """Pair the axes that a reshape turns into each other: groups of equal size, as small as can be.

    Examples
    --------
    >>> list(reshape_groups((1, 6, 4), (1, 2, 3, 4)))
    [([0], [0]), ([1], [1, 2]), ([2], [3])]
    >>> list(reshape_groups((2, 3, 1), (6,)))
    [([0, 1], [0]), ([2], [])]
    """
    if 0 in before:
        # Of nothing no group is smaller than another.
        yield list(range(len(before))), list(range(len(after)))
        return
    i = j = 0
    while i < len(before) or j < len(after):
        first, second = i, j
        # An axis of one entry on one side only makes a group of its own.
        i += i < len(before) and (j == len(after) or before[i] == 1 or after[j] != 1)
        j += j < len(after) and (first == len(before) or after[j] == 1 or before[first] != 1)
        while math.prod(before[first:i]) != math.prod(after[second:j]):
            if math.prod(before[first:i]) < math.prod(after[second:j]):
                i += 1
            else:
                j += 1
        yield list(range(first, i)), list(range(second, j))


Rule = Callable[[Writer, Step], bool]
"""Writes a step on stored axes, or says False, and it is written on the logical ones."""


def _elementwise(writer: Writer, step: Step) -> bool:
    order = writer.common_order(step.inputs)
    inputs = writer.whole_or_scalar(step.inputs, order)
    return writer.emit(step, inputs, [order] * len(step.outputs))


def _transpose(writer: Writer, step: Step) -> bool:
    named = {axis: new for new, axis in enumerate(step.params["permutation"])}
    return writer.alias(step, tuple(named[axis] for axis in writer.order(step.inputs[0])))


def _reshape(writer: Writer, step: Step) -> bool:
    """Reshape groups of axes where they stand, each brought together in its logical order."""
    value, shape = step.inputs[0], step.out_avals[0].shape
    groups = list(reshape_groups(writer.shape(value), shape))
    group_of = {axis: group for group in groups for axis in group[0]}
    order: list[int] = []
    orders: list[int] = []
    for axis in writer.order(value):
        before, after = group_of[axis]
        # The group stands where its first axis does.
        if axis == before[0]:
            order += before
            orders += after
    # Axes of one entry that come out of nothing may stand anywhere: where they stand logically.
    for axis in (axis for before, after in groups if not before for axis in after):
        orders.insert(axis, axis)
    changed: dict[str, Any] = {"new_sizes": tuple(shape[axis] for axis in orders)}
    if step.name == "squeeze":
        axes = step.params["dimensions"]
        changed = {"dimensions": tuple(sorted(order.index(axis) for axis in axes))}
    elif step.params.get("dimensions") is not None:
        return False
    return writer.emit(step, [writer.stored(value, tuple(order))], [tuple(orders)], **changed)


def _broadcast(writer: Writer, step: Step) -> bool:
    """Keep the order of the operand's axes; new ones go where they stand logically."""
    value, axes = step.inputs[0], step.params["broadcast_dimensions"]
    order = writer.order(value)
    if len(step.inputs) > 1:
        return False
    result = list(range(len(step.out_avals[0].shape)))
    for place, axis in zip(axes, order, strict=True):
        result[place] = axes[axis]
    sizes = tuple(step.out_avals[0].shape[axis] for axis in result)
    return writer.emit(step, [writer.stored(value, order)], [tuple(result)], shape=sizes)


def _along(*names: str) -> Rule:
    """Make the rule of a primitive that works along axes named by these parameters."""

    def rule(writer: Writer, step: Step) -> bool:
        order = writer.common_order(step.inputs)
        changed: dict[str, Any] = {}
        for name in names:
            axes = step.params.get(name)
            if axes is None:
                return False
            one = isinstance(axes, int | np.integer)
            changed[name] = order.index(axes) if one else tuple(order.index(a) for a in axes)
        inputs = writer.whole_or_scalar(step.inputs, order)
        return writer.emit(step, inputs, [order] * len(step.outputs), **changed)

    return rule


def _reduction(name: str) -> Rule:
    """Make the rule of a reduction over the axes in this parameter."""

    def rule(writer: Writer, step: Step) -> bool:
        order, axes = writer.common_order(step.inputs), step.params[name]
        left = [axis for axis in range(len(order)) if axis not in axes]
        result = tuple(left.index(axis) for axis in order if axis in left)
        changed = {name: tuple(sorted(order.index(axis) for axis in axes))}
        inputs = writer.whole_or_scalar(step.inputs, order)
        return writer.emit(step, inputs, [result] * len(step.outputs), **changed)

    return rule


def _per_axis(*names: str) -> Rule:
    """Make the rule of a primitive whose parameters of these names have an entry for each axis."""

    def rule(writer: Writer, step: Step) -> bool:
        order = writer.common_order(step.inputs)
        changed = {
            name: tuple(step.params[name][axis] for axis in order)
            for name in names
            if step.params[name] is not None
        }
        inputs = writer.whole_or_scalar(step.inputs, order)
        return writer.emit(step, inputs, [order] * len(step.outputs), **changed)

    return rule


def _starts(arrays: int) -> Rule:
    """Make the rule of a slice whose starts, one for each axis, follow so many arrays."""

    def rule(writer: Writer, step: Step) -> bool:
        order = writer.common_order(step.inputs[:arrays])
        inputs = writer.whole_or_scalar(step.inputs[:arrays], order)
        starts = step.inputs[arrays:]
        inputs += [writer.stored(starts[axis]) for axis in order]
        sizes = step.params.get("slice_sizes")
        changed = {} if sizes is None else {"slice_sizes": tuple(sizes[axis] for axis in order)}
        return writer.emit(step, inputs, [order], **changed)

    return rule


def _gather(writer: Writer, step: Step) -> bool:
    """Take along axes of the operand: what is taken stands where the first of them stood."""
    numbers, order = step.params["dimension_numbers"], writer.order(step.inputs[0])
    collapsed, offsets = numbers.collapsed_slice_dims, numbers.offset_dims
    turned = order != tuple(sorted(order))
    if not turned or not collapsed or numbers.operand_batching_dims:
        return False
    # The axes that are left of the operand are those of the result in `offsets`, in order.
    left = [axis for axis in range(len(order)) if axis not in collapsed]
    taken = [axis for axis in range(len(step.out_avals[0].shape)) if axis not in offsets]
    result = []
    for axis in order:
        if axis in left:
            result.append(offsets[left.index(axis)])
        else:
            result += taken
            taken = []
    changed = numbers._replace(
        offset_dims=tuple(place for place, axis in enumerate(result) if axis in offsets),
        collapsed_slice_dims=tuple(sorted(order.index(axis) for axis in collapsed)),
        start_index_map=tuple(order.index(axis) for axis in numbers.start_index_map),
    )
    return writer.emit(
        step,
        [writer.stored(step.inputs[0], order), writer.stored(step.inputs[1])],
        [tuple(result)],
        dimension_numbers=changed,
        slice_sizes=tuple(step.params["slice_sizes"][axis] for axis in order),
    )


def _product(writer: Writer, step: Step) -> bool:
    """Multiply what depends on the images, as it is stored, by the rest."""
    contracted, batch = step.params["dimension_numbers"]
    orders = [writer.order(value) for value in step.inputs]
    moving = [writer.moving(value) for value in step.inputs]
    sides = (1, 0) if moving == [False, True] else (0, 1)
    first, second = sides
    # Where several axes are summed over, a matrix is best stored in the order of the activation's.
    pairs = sorted(zip(*contracted, strict=True), key=lambda pair: orders[first].index(pair[first]))
    if not moving[second]:
        summed = iter(pair[second] for pair in pairs)
        orders[second] = tuple(
            next(summed) if axis in contracted[second] else axis for axis in orders[second]
        )
    # A result has the shared axes first, then what is left of each operand, in the order in which
    # that stands there: logically and as it is stored.
    used = [(*contracted[side], *batch[side]) for side in (0, 1)]
    straight = [(i, axis) for i in (0, 1) for axis in sorted(orders[i]) if axis not in used[i]]
    turned = [(i, axis) for i in sides for axis in orders[i] if axis not in used[i]]
    shared = len(batch[0])
    result = (*range(shared), *(shared + straight.index(axis) for axis in turned))
    numbers = tuple(
        tuple(tuple(orders[side].index(axis) for axis in axes[side]) for side in sides)
        for axes in ([*zip(*pairs, strict=True)] or contracted, batch)
    )
    precision = step.params["precision"]
    if isinstance(precision, tuple) and len(precision) == 2:
        precision = tuple(precision[side] for side in sides)
    inputs = [writer.stored(step.inputs[side], orders[side]) for side in sides]
    return writer.emit(step, inputs, [result], dimension_numbers=numbers, precision=precision)


def _convolution(writer: Writer, step: Step) -> bool:
    numbers = step.params["dimension_numbers"]
    image, kernel, result = numbers.lhs_spec, numbers.rhs_spec, numbers.out_spec
    rank = len(image)
    last = (0, rank - 1, *range(1, rank - 1))
    inputs = [
        writer.stored(step.inputs[0], (image[0], *image[2:], image[1])),
        writer.stored(step.inputs[1], (*kernel[2:], kernel[1], kernel[0])),
    ]
    changed = lax.ConvDimensionNumbers(last, (rank - 1, rank - 2, *range(rank - 2)), last)
    order = (result[0], *result[2:], result[1])
    return writer.emit(step, inputs, [order], dimension_numbers=changed)


REDUCTIONS = """
    reduce_sum reduce_max reduce_min reduce_prod reduce_and reduce_or reduce_xor argmax argmin
"""

WINDOWS = ("window_dimensions", "window_strides", "padding", "base_dilation", "window_dilation")

RULES: dict[str, Rule] = {
    "elementwise": _elementwise,
    "transpose": _transpose,
    "reshape": _reshape,
    "squeeze": _reshape,
    "broadcast_in_dim": _broadcast,
    "conv_general_dilated": _convolution,
    "dot_general": _product,
    "gather": _gather,
    "dynamic_slice": _starts(1),
    "dynamic_update_slice": _starts(2),
    "concatenate": _along("dimension"),
    "rev": _along("dimensions"),
    "sort": _along("dimension"),
    **dict.fromkeys(
        ("split", "top_k", "cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp"), _along("axis")
    ),
    **dict.fromkeys(REDUCTIONS.split(), _reduction("axes")),
    "reduce": _reduction("dimensions"),
    "pad": _per_axis("padding_config"),
    "slice": _per_axis("start_indices", "limit_indices", "strides"),
    **dict.fromkeys(
        ("reduce_window", "reduce_window_max", "reduce_window_min", "reduce_window_sum"),
        _per_axis(*WINDOWS),
    ),
}
"""How primitives are written on stored axes; all others are on logical ones."""
