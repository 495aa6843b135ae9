"""The graphs of image classifiers that the package ``onnx`` ships, against onnxruntime."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from helpers.onnx_graphs import onnxruntime

import pdjax

TOLERANCE = 1e-5
ZOO = Path(__file__).resolve().parents[2] / "benchmarks/onnx_zoo.py"

spec = importlib.util.spec_from_file_location("onnx_zoo", ZOO)
zoo = importlib.util.module_from_spec(spec)
spec.loader.exec_module(zoo)


@pytest.mark.parametrize("name", zoo.GRAPHS)
def test_outputs_are_those_of_onnxruntime(name):
    model, scores = zoo.filled(name)
    kind = zoo.GRAPHS[name]
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


def run(model, image: np.ndarray, names: list[str]) -> list[np.ndarray]:
    """Run a model on one image and return values of it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session, given = zoo.session_of(model, names, options)
    return session.run(names, {given: np.moveaxis(image, -1, 0)[None]})
