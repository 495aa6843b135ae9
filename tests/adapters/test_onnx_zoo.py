"""The graphs of image classifiers that the package ``onnx`` ships, against onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.onnx_graphs import LIGHT, onnx, onnxruntime

import pdjax

TOLERANCE = 1e-5
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


@pytest.mark.parametrize("name", GRAPHS)
def test_outputs_are_those_of_onnxruntime(name):
    model, scores = filled(name)
    kind = GRAPHS[name]
    net = pdjax.wrap(model, outputs=kind if kind == "logits" else None)
    (last,) = net.outputs
    assert net.outputs == {last: kind}
    assert net.image_shape == (224, 224, 3)
    image = np.random.default_rng(1).random((224, 224, 3), np.float32)
    pool = next(node.output[0] for node in model.graph.node if node.op_type == "MaxPool")
    layers = tuple(dict.fromkeys((pool, scores, last)))
    got = net(np.stack([image, image[::-1]]), layers)
    for layer, want in zip(layers, run(model, image, list(layers)), strict=True):
        want = np.moveaxis(want, 1, -1)
        # A batch is one image in the files, and any number here.
        values = np.asarray(got[layer])[0].reshape(want.shape[1:])
        close(values, want[0])
        # The comparison says something only about values that differ.
        assert np.ptp(want) > 0.01 * np.abs(want).max()


def close(got, want) -> None:
    np.testing.assert_allclose(got, want, rtol=0, atol=TOLERANCE * np.abs(want).max())


def filled(name: str):
    """Give a graph random weights that keep the size of activations, and return its scores."""
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


def run(model, image: np.ndarray, names: list[str]) -> list[np.ndarray]:
    """Run a model on one image and return values of it."""
    exposed = onnx.ModelProto()
    exposed.CopyFrom(model)
    del exposed.graph.output[:]
    exposed.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        exposed.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    weights = {tensor.name for tensor in model.graph.initializer}
    (given,) = (value.name for value in session.get_inputs() if value.name not in weights)
    return session.run(names, {given: np.moveaxis(image, -1, 0)[None]})
