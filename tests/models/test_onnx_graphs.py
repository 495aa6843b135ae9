"""AlexNet, GoogLeNet and VGG16, activation by activation, against graphs of the ONNX model zoo.

Weights are random and go the same way as published ones: through the mapping of names and layouts.
Three things are edited in the graphs. The number of pooling windows is rounded up, as in Caffe
(`onnx_graphs`). AlexNet gets images of 227 pixels, as Caffe's definition has it, not 224. VGG16 is
the graph of VGG19 without the last convolution of each of its last three stages.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.onnx_graphs import (
    BIAS,
    IMAGE,
    KERNEL,
    Model,
    initializers,
    run,
    save,
    weight_shapes,
    zoo_model,
)

from pdjax.models import NETWORKS
from pdjax.weights.published import published_params
from pdjax.weights.readers.any_kind import read_weights
from pdjax.weights.readers.onnx import read_onnx

TOLERANCE = 1e-4

Weights = dict[str, np.ndarray]


class Zoo(NamedTuple):
    """A graph of the zoo; scale is the size of its input's numbers, and of its activations."""

    graph: str
    scale: float
    without: tuple[str, ...] = ()


ZOO = {
    "bvlc_alexnet": Zoo("bvlc_alexnet", 64.0),
    "bvlc_googlenet": Zoo("inception_v1", 64.0),
    "vgg16": Zoo("vgg19", 1.0, without=("conv3_4", "conv4_4", "conv5_4")),
}


@pytest.mark.parametrize("name", ZOO)
def test_every_activation(name):
    network, model = NETWORKS[name], model_of(name)
    weights = random_weights(name, model)
    image = np.random.default_rng(1).random((1, *network.with_params({}).image_shape), np.float32)
    unweighted = [layer for layer in network.layers if layer not in network.param_shapes]
    expected = run(model, {IMAGE: preprocessed(name, image), **weights}, unweighted)
    assert tuple(expected) == network.layers

    published = torch_state(model, weights) if network.form == "pth" else caffe_layers(weights)
    params = published_params(network, published, "graph")
    with jax.default_matmul_precision("highest"):
        outputs = jax.jit(network.module.apply)({"params": params}, jnp.asarray(image))
    for layer, want in expected.items():
        got = np.asarray(outputs[layer]).reshape(want.shape)
        atol = TOLERANCE * np.abs(want).max()
        np.testing.assert_allclose(got, want, rtol=0, atol=atol, err_msg=layer)
    # The comparison says something only about values that differ from one to the next.
    assert np.ptp(expected["prob"]) > 1e-3
    assert expected["prob"].max() < 0.5


def test_initializers(tmp_path):
    model = model_of("bvlc_googlenet")
    weights = random_weights("bvlc_googlenet", model)
    path = tmp_path / "googlenet.onnx"
    save(model, weights, path)
    arrays = read_onnx(path)
    # Besides the weights there are the shapes to which two tensors are brought.
    expected = {**initializers(model), **weights}
    assert list(arrays) == list(expected)
    for name, array in arrays.items():
        assert array.dtype == (np.float32 if name in weights else np.int64)
        np.testing.assert_array_equal(array, expected[name], err_msg=name)
    assert read_weights(path).kind == "onnx"


def model_of(name: str) -> Model:
    zoo = ZOO[name]
    return zoo_model(zoo.graph, NETWORKS[name].image_size, zoo.without)


def random_weights(name: str, model: Model) -> Weights:
    """Draw weights that keep the size of activations, and scores of about one.

    In the Caffe networks activations are as large as colours, as with the published weights;
    otherwise the response normalisation would change next to nothing.
    """
    rng = np.random.default_rng(0)
    weights: Weights = {}
    shapes = weight_shapes(model)
    last = NETWORKS[name].layers[-2]
    for weight, shape in shapes.items():
        layer, final = weight[: -len(KERNEL)], weight.startswith(last)
        if weight.endswith(BIAS):
            size = 0.5 if final else 0.2 * ZOO[name].scale
        else:
            inputs = np.prod(shape) / shapes[layer + BIAS][0]
            size = (1 / ZOO[name].scale if final else np.sqrt(2)) / np.sqrt(inputs)
        weights[weight] = np.float32(size) * rng.standard_normal(shape, np.float32)
    return weights


def preprocessed(name: str, image: np.ndarray) -> np.ndarray:
    """Do before the graph what a network of ours does itself, to RGB in [0, 1], channels last."""
    if name == "vgg16":
        standard = (image - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
        return standard.transpose(0, 3, 1, 2).astype(np.float32)
    blue_first = 255.0 * image[:, :, :, [2, 1, 0]] - (104, 117, 123)
    return blue_first.transpose(0, 3, 1, 2).astype(np.float32)


def caffe_layers(weights: Weights) -> Weights:
    """Give the weights the names and layouts in which a Caffe model is read."""
    layers: Weights = {}
    for name, array in weights.items():
        if name.endswith(BIAS):
            layers[name.removesuffix(BIAS) + ".bias"] = array
            continue
        matrix = array.ndim == 2 or array.shape[:2] == (1, 1)
        kernel = array.reshape(array.shape[-2:]).T if matrix else array.transpose(2, 3, 1, 0)
        layers[name.removesuffix(KERNEL) + ".kernel"] = kernel
    return layers


def torch_state(model: Model, weights: Weights) -> Weights:
    """Give the weights the names of a PyTorch state: positions in two sequences of operators."""
    state: Weights = {}
    part, index = "features", 0
    for node in model.graph.node:
        if node.op_type == "Reshape":
            part, index = "classifier", 0
            continue
        for name, kind in zip(node.input[1:], ("weight", "bias"), strict=False):
            state[f"{part}.{index}.{kind}"] = weights[name]
        index += 1
    return state
