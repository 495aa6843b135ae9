"""Networks of the ONNX model zoo, run by onnxruntime.

The package ``onnx`` ships their graphs without the weights, which are operators that fill tensors
with one constant. Here weights become inputs of the graph, and every tensor becomes an output.
The converter that made the graphs lost Caffe's rule that the number of pooling windows is rounded
up; where the last map came out too small, it padded the last pooling at the end. `zoo_model` undoes
both with the operators' own ``ceil_mode``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="onnx, which ships the graphs, is not installed")
onnxruntime = pytest.importorskip(
    "onnxruntime", reason="onnxruntime, which runs the graphs, is not installed"
)
TensorProto, helper, numpy_helper = onnx.TensorProto, onnx.helper, onnx.numpy_helper
Model, Node = onnx.ModelProto, onnx.NodeProto

LIGHT = Path(onnx.__file__).parent / "backend/test/data/light"
IMAGE = "data_0"
KERNEL, BIAS = "_w_0", "_b_0"
POOLING = ("MaxPool", "AveragePool")
UNWEIGHTED = (*POOLING, "LRN", "Concat", "Softmax")


def zoo_model(name: str, image_size: int, without: tuple[str, ...] = ()) -> Model:
    """Load ``light_<name>.onnx`` for images of another size, without some convolutions."""
    model = onnx.load(LIGHT / f"light_{name}.onnx")
    graph = model.graph
    constants = initializers(model)
    weights = {name: array.shape for name, array in constants.items() if _is_weight(name)}
    nodes: list[Node] = []
    for node in graph.node:
        if node.op_type == "ConstantOfShape":
            weights[node.output[0]] = tuple(constants[node.input[0]].tolist())
        else:
            nodes.append(node)
    for layer in without:
        nodes = _without(nodes, layer)
    for node in nodes:
        if node.op_type in POOLING:
            _round_up(node)
    used = {name for node in nodes for name in node.input}
    kept = [
        entry
        for entry in graph.initializer
        if entry.name in used and entry.data_type == TensorProto.INT64
    ]
    inputs = {IMAGE: (1, 3, image_size, image_size)}
    inputs |= {name: shape for name, shape in weights.items() if name in used}
    model = helper.make_model(
        helper.make_graph(
            nodes,
            name,
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
                for name, shape in inputs.items()
            ],
            list(graph.output),
            kept,
        ),
        # The first version whose poolings have a ceil_mode; nothing else differs from the zoo's.
        opset_imports=[helper.make_opsetid("", 10)],
        ir_version=8,
    )
    onnx.checker.check_model(model)
    return model


def initializers(model: Model) -> dict[str, np.ndarray]:
    """Return the tensors that are in the model: without weights, the shapes to be brought to."""
    return {entry.name: numpy_helper.to_array(entry) for entry in model.graph.initializer}


def weight_shapes(model: Model) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all weights by the zoo's names, ``<layer>_w_0`` and ``<layer>_b_0``."""
    return {
        entry.name: tuple(side.dim_value for side in entry.type.tensor_type.shape.dim)
        for entry in model.graph.input
        if _is_weight(entry.name)
    }


def save(model: Model, weights: Mapping[str, np.ndarray], path: Path) -> None:
    """Write the model with its weights inside: kernels as raw bytes, biases as numbers."""
    filled = Model()
    filled.CopyFrom(model)
    inputs = [entry for entry in model.graph.input if entry.name not in weights]
    del filled.graph.input[:]
    filled.graph.input.extend(inputs)
    for name, array in weights.items():
        if name.endswith(KERNEL):
            tensor = numpy_helper.from_array(array, name)
        else:
            tensor = helper.make_tensor(name, TensorProto.FLOAT, array.shape, array.tolist())
        filled.graph.initializer.append(tensor)
    onnx.checker.check_model(filled)
    onnx.save(filled, path)


def run(
    model: Model, inputs: Mapping[str, np.ndarray], unweighted: list[str]
) -> dict[str, np.ndarray]:
    """Run a model and return its activations, channels last, in the order of the graph.

    The zoo names only layers with weights; the others are called ``unweighted``, in order. As in
    Caffe, an activation is taken after its ReLU.
    """
    tensors = _activations(model, unweighted)
    outputs = [helper.make_empty_tensor_value_info(name) for name in tensors.values()]
    exposed = Model()
    exposed.CopyFrom(model)
    del exposed.graph.output[:]
    exposed.graph.output.extend(outputs)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        exposed.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    arrays = session.run(list(tensors.values()), dict(inputs))
    return {layer: np.moveaxis(array, 1, -1) for layer, array in zip(tensors, arrays, strict=True)}


def _activations(model: Model, unweighted: list[str]) -> dict[str, str]:
    """Find the tensor that holds each layer's activation."""
    nodes = model.graph.node
    rectified = {node.input[0]: node.output[0] for node in nodes if node.op_type == "Relu"}
    others = [node.output[0] for node in nodes if node.op_type in UNWEIGHTED]
    names = dict(zip(others, unweighted, strict=True))
    for node in nodes:
        if node.op_type in ("Conv", "Gemm"):
            output = node.output[0]
            names[rectified.get(output, output)] = node.input[2].removesuffix(BIAS)
    in_order = [output for node in nodes for output in node.output if output in names]
    return {names[output]: output for output in in_order}


def _without(nodes: list[Node], layer: str) -> list[Node]:
    """Remove a convolution and its ReLU and join what was before to what was after."""
    (index,) = (i for i, node in enumerate(nodes) if layer + KERNEL in node.input)
    convolution, relu = nodes[index : index + 2]
    assert (convolution.op_type, relu.op_type) == ("Conv", "Relu")
    kept = nodes[:index] + nodes[index + 2 :]
    for node in kept:
        for position, name in enumerate(node.input):
            if name == relu.output[0]:
                node.input[position] = convolution.input[0]
    return kept


def _round_up(node: Node) -> None:
    for attribute in node.attribute:
        if attribute.name == "pads":
            attribute.ints[2:] = attribute.ints[:2]
    node.attribute.append(helper.make_attribute("ceil_mode", 1))


def _is_weight(name: str) -> bool:
    return name.endswith((KERNEL, BIAS))
