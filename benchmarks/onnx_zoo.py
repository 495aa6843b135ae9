"""The graphs of image classifiers that the package ``onnx`` ships, with random weights.

The graphs come without weights: operators fill them with one constant each. Here they get random
ones that keep the size of activations, so that differences between programs mean something.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

__all__ = ["GRAPHS", "filled", "session_of"]

LIGHT = Path(onnx.__file__).parent / "backend/test/data/light"
GRAPHS = {
    "bvlc_alexnet": "softmax",
    "densenet121": "logits",
    "inception_v1": "softmax",
    "inception_v2": "softmax",
    "resnet50": "softmax",
    "shufflenet": "softmax",
    "squeezenet": "softmax",
    "vgg19": "softmax",
    "zfnet512": "softmax",
}
"""What they return: DenseNet's last operation is a convolution, which says nothing."""


def filled(name: str) -> tuple[onnx.ModelProto, str]:
    """Give a graph random weights, and return it with the name of its scores."""
    model = onnx.load(LIGHT / f"light_{name}.onnx")
    rng = np.random.default_rng(0)
    shapes = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    norms = [node for node in model.graph.node if node.op_type == "BatchNormalization"]
    positive = {node.input[index] for node in norms for index in (1, 4)}
    last = [node for node in model.graph.node if node.op_type in ("Gemm", "Conv")][-1]
    nodes = []
    for node in model.graph.node:
        if node.op_type != "ConstantOfShape":
            nodes.append(node)
            continue
        (weight,) = node.output
        shape = tuple(shapes[node.input[0]].tolist())
        if len(shape) > 1:
            gain = 0.3 if weight in last.input else 2
            array = rng.standard_normal(shape, np.float32) * np.sqrt(gain / np.prod(shape[1:]))
        elif weight in positive:
            array = rng.uniform(0.8, 1.2, shape)
        else:
            array = rng.standard_normal(shape) * 0.1
        model.graph.initializer.append(
            onnx.numpy_helper.from_array(array.astype(np.float32), weight)
        )
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(kept)
    inputs = [value for value in model.graph.input if value.name in used]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    return model, last.output[0]


def session_of(
    model: onnx.ModelProto, names: Sequence[str], options: onnxruntime.SessionOptions
) -> tuple[onnxruntime.InferenceSession, str]:
    """Make onnxruntime's session for values of a graph, and name the input for an image."""
    exposed = onnx.ModelProto()
    exposed.CopyFrom(model)
    del exposed.graph.output[:]
    exposed.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        exposed.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    weights = {tensor.name for tensor in model.graph.initializer}
    (given,) = (value.name for value in session.get_inputs() if value.name not in weights)
    return session, given
