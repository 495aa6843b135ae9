"""An ONNX model as a classifier: its constants become parameters, its operations a JAX program."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pdjax._checks import ArgumentValueError
from pdjax._files import existing_file
from pdjax._types import Params
from pdjax.adapters.onnx.graph import Graph, Node, Value, read_graph
from pdjax.adapters.onnx.operations import OPERATIONS, products, windows
from pdjax.adapters.onnx.operations.call import MAX_NUMBERS, Call, bounded
from pdjax.adapters.told import Outputs, Told
from pdjax.classifier import Classifier
from pdjax.weights.readers.binary import printable, read_whole

__all__ = ["as_function", "classifier"]

ModelFunction = Callable[[Params, jax.Array], tuple[Outputs, Outputs]]

REMEDY = "export the model again with its weights inside the file, or fetch it again"
CALLABLE = (
    "run it with onnxruntime: pdjax.explain(function, image, sampler, engine='callable', ...)"
)

KNOWN = {"Clip": (1, 2), "Dropout": (1,), "Pad": (2,), "Pow": (1,), "Range": (0, 1, 2),
         "Resize": (1, 2), "Upsample": (1,)}  # fmt: skip
"""Inputs that are numbers of the program rather than weights, by position."""

PASSED_ON = ("Identity", "Reshape", "Flatten", "Squeeze", "Cast")
KINDS = {"Softmax": "softmax", "LogSoftmax": "logits", "Sigmoid": "sigmoid"}
"""What an output holds that one of these operations makes."""

DEPTHS = (1, 3, 4)
"""Channels that images usually have."""


@dataclasses.dataclass(frozen=True, eq=False)
class _Program:
    """What is run: the operations that the image goes through, and known constants."""

    nodes: tuple[Node, ...]
    known: Mapping[str, np.ndarray]
    image: Value
    outputs: tuple[str, ...]
    opset: int

    @property
    def declared(self) -> int:
        """Images in the batch that the file was made for; 0 where that is open."""
        return (self.image.shape or (None,))[0] or 0


def classifier(model: Any, variables: tuple[Any, ...], told: Told) -> Classifier:
    """Make a classifier of an ONNX model, or of the file of one."""
    if variables:
        raise ArgumentValueError(
            "variables", "are given with an ONNX model, which holds its own", "pass it alone"
        )
    source, program, params = _loaded(model)
    axis, size, channels = _image(program.image)
    facts: dict[str, Any] = {
        "name": Path(source).stem if isinstance(source, Path) else "onnx",
        "image_size": size,
        "channels": channels,
        "channel_axis": axis,
        "kinds": _kinds(program),
    }
    try:
        return told.classifier(functools.partial(_run, program), params, **facts)
    except ArgumentValueError as error:
        if error.__cause__ is None or program.declared != 1:
            raise
        # What a file says that was made for one image may fit nothing else.
        try:
            return told.classifier(functools.partial(_run_each, program), params, **facts)
        except ArgumentValueError:
            raise error from None


def as_function(model: bytes) -> tuple[ModelFunction, Params]:
    """Return a model in memory as a function ``f(params, images)``, and its parameters.

    The function gets images as the model takes them, and returns hidden values and outputs.
    """
    _, program, params = _loaded(model)
    return functools.partial(_run, program), params


def _loaded(model: Any) -> tuple[Path | str, _Program, Params]:
    graph, source = _read(model)
    program, constants = _program(graph, source)
    unknown = sorted({node.operation for node in program.nodes} - set(OPERATIONS))
    if unknown:
        raise ArgumentValueError(
            "model",
            f"uses operations that are not known: {', '.join(map(printable, unknown))}",
            CALLABLE,
            value=source,
        )
    weights = _weights(program.nodes, constants)
    return source, program, {name: jnp.asarray(constants[name]) for name in weights}


def _read(model: Any) -> tuple[Graph, Path | str]:
    source: Path | str = "ONNX model"
    if isinstance(model, (str, os.PathLike)):
        source = existing_file(Path(model), "model")
    try:
        if isinstance(source, Path):
            contents = read_whole(source)
        else:
            octets = model if isinstance(model, bytes) else model.SerializeToString()
            contents = memoryview(octets)
        graph = read_graph(contents)
    except Exception as error:
        # A damaged file can fail anywhere in a reader.
        raise _unreadable(source, error) from error
    return graph, source


def _unreadable(source: Path | str, error: Exception) -> ArgumentValueError:
    damaged = f"it is damaged: {type(error).__name__}"
    reason = str(error) if isinstance(error, ValueError) else damaged
    return ArgumentValueError(
        "model",
        f"is not a readable ONNX model ({printable(reason, 400)})",
        REMEDY,
        value=source,
    )


def _program(graph: Graph, source: Path | str) -> tuple[_Program, dict[str, np.ndarray]]:
    """Leave out what no output needs, and compute once what does not depend on the image."""
    if len(graph.inputs) != 1:
        raise ArgumentValueError(
            "model",
            f"takes {len(graph.inputs)} inputs: "
            f"{', '.join(printable(value.name) for value in graph.inputs[:8])}",
            "give a model of images alone",
            value=source,
        )
    (image,) = graph.inputs
    outputs = tuple(
        value.name
        for value in graph.outputs
        if value.dtype is None or np.issubdtype(value.dtype, np.floating)
    )
    needed, nodes = set(outputs), []
    for node in reversed(graph.nodes):
        if needed & set(node.outputs):
            nodes.append(node)
            needed |= set(node.inputs)
    constants = dict(graph.constants)
    rest: list[Node] = []
    left = MAX_NUMBERS
    try:
        for node in reversed(nodes):
            if node.operation not in OPERATIONS or not all(
                name in constants for name in node.inputs if name
            ):
                rest.append(node)
                continue
            for name, value in zip(node.outputs, _folded(node, constants, graph), strict=False):
                constants[name] = value
                left -= value.size
                if left < 0:
                    raise ValueError("its constants are larger than those of any network")
    except Exception as error:
        raise _unreadable(source, error) from error
    names = {name for node in rest for name in node.inputs}
    known = {name: value for name, value in constants.items() if name in names}
    return _Program(tuple(rest), known, image, outputs, graph.opset), known


def _folded(
    node: Node, constants: Mapping[str, np.ndarray], graph: Graph
) -> tuple[np.ndarray, ...]:
    inputs = tuple(constants[name] if name else None for name in node.inputs)
    call = Call(inputs, node.attributes, graph.opset, (1, 0))
    operation = OPERATIONS[node.operation]
    if node.operation in (*products.OPERATIONS, *windows.OPERATIONS):
        # How large the result is comes before it is made.
        jax.eval_shape(lambda: operation(call))
    made = operation(call)
    return tuple(np.asarray(value) for value in (made if isinstance(made, tuple) else (made,)))


def _weights(nodes: tuple[Node, ...], constants: Mapping[str, np.ndarray]) -> list[str]:
    """Names of constants that are parameters: numbers other than those of the program itself."""
    used = {
        name: None
        for node in nodes
        for position, name in enumerate(node.inputs)
        if position not in KNOWN.get(node.operation, ())
    }
    return [
        name
        for name in used
        if name in constants
        and np.issubdtype(constants[name].dtype, np.floating)
        and constants[name].size > 1
    ]


def _run(program: _Program, params: Params, images: jax.Array) -> tuple[Outputs, Outputs]:
    dtype = program.image.dtype
    if dtype is not None and not np.issubdtype(dtype, np.floating):
        raise ValueError(f"it takes images of {dtype.name}")
    values: dict[str, Any] = {program.image.name: images if dtype is None else images.astype(dtype)}
    for node in program.nodes:
        where = f"{node.operation} that makes {printable(node.outputs[0])!r}"
        inputs = []
        for position, name in enumerate(node.inputs):
            fixed = position in KNOWN.get(node.operation, ())
            sources = (program.known,) if fixed and name in program.known else (
                values, params, program.known,
            )  # fmt: skip
            if name and not any(name in source for source in sources):
                raise ValueError(f"{where}: {printable(name)!r} is used before it is made")
            inputs.append(next((source[name] for source in sources if name in source), None))
        call = Call(
            tuple(inputs), node.attributes, program.opset, (images.shape[0], program.declared)
        )
        try:
            # Reports name the place by it.
            with jax.named_scope(printable(node.outputs[0])):
                made = OPERATIONS[node.operation](call)
            for name, value in zip(
                node.outputs, made if isinstance(made, tuple) else (made,), strict=False
            ):
                bounded(value.shape, images.shape[0])
                values[name] = value
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            raise ValueError(f"{where}: {reason}") from error
    made_here = {name: values[name] for node in program.nodes for name in node.outputs
                 if name in values}  # fmt: skip
    outputs = {name: values[name] for name in program.outputs}
    seen = {id(value) for value in outputs.values()}
    hidden: Outputs = {}
    for name, value in made_here.items():
        # Some operations hand on what they get, and shapes are no activations.
        if isinstance(value, jax.Array) and id(value) not in seen:
            seen.add(id(value))
            hidden[printable(name)] = value
    return hidden, {printable(name): value for name, value in outputs.items()}


def _run_each(program: _Program, params: Params, images: jax.Array) -> tuple[Outputs, Outputs]:
    orders: list[tuple[list[str], list[str]]] = []

    def one(image: jax.Array) -> tuple[Outputs, Outputs]:
        found = _run(program, params, image[None])
        orders.append((list(found[0]), list(found[1])))
        return jax.tree.map(
            lambda value: value[0] if value.ndim and value.shape[0] == 1 else value, found
        )

    made = jax.vmap(one)(images)
    hidden, outputs = (
        {name: values[name] for name in order}
        for values, order in zip(made, orders[0], strict=True)
    )
    return hidden, outputs


def _image(image: Value) -> tuple[int, tuple[int, ...] | None, int | None]:
    """Find the axis of the channels, the size and the channels that a file says."""
    shape = image.shape
    if shape is None or len(shape) < 3:
        return 1, None, None
    last = shape[1] not in DEPTHS and shape[-1] in DEPTHS
    sides = shape[1:-1] if last else shape[2:]
    size = None if None in sides else tuple(side for side in sides if side is not None)
    return -1 if last else 1, size, shape[-1] if last else shape[1]


def _kinds(program: _Program) -> dict[str, str]:
    """Say what outputs hold, of those whose last operation tells."""
    makers = {name: node for node in program.nodes for name in node.outputs}
    kinds = {}
    for output in program.outputs:
        node = makers.get(output)
        while node is not None and node.operation in PASSED_ON:
            node = makers.get(node.inputs[0])
        if node is not None and node.operation in KINDS:
            kinds[printable(output)] = KINDS[node.operation]
    return kinds
