"""ONNX models of few operations, against onnxruntime; and files that are damaged or hostile."""

from __future__ import annotations

import contextlib

import jax
import numpy as np
import pytest
from helpers.onnx_graphs import onnx, onnxruntime
from helpers.refusals import refused

import pdjax
from pdjax._checks import ArgumentError
from pdjax.adapters.onnx.model import as_function

TOLERANCE = 1e-5
OPSET = 18
helper, TensorProto = onnx.helper, onnx.TensorProto
rng = np.random.default_rng(0)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def floats(*shape: int) -> np.ndarray:
    return rng.standard_normal(shape, np.float32)


# Operation, inputs after the image (2, 6, 8, 8), attributes, and the version where it is not 18.
OPERATIONS = {
    "convolution": ("Conv", [floats(4, 3, 3, 3), floats(4)], {"group": 2, "pads": [1, 0, 1, 2]}),
    "dilated": ("Conv", [floats(4, 6, 3, 3)], {"dilations": [2, 1], "strides": [1, 2]}),
    "same, upper": ("Conv", [floats(4, 6, 3, 2)], {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    "same, lower": ("Conv", [floats(4, 6, 2, 2)], {"auto_pad": "SAME_LOWER"}),
    "transposed": (
        "ConvTranspose",
        [floats(6, 2, 3, 3), floats(4)],
        {"group": 2, "strides": [2, 2], "pads": [1, 1, 0, 1], "output_padding": [1, 0]},
    ),
    "max, rounded up": ("MaxPool", [], {"kernel_shape": [3, 3], "strides": [2, 3], "ceil_mode": 1}),
    "mean, padded": (
        "AveragePool",
        [],
        {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1},
    ),
    "mean, zeros counted": (
        "AveragePool",
        [],
        {"kernel_shape": [3, 2], "pads": [1, 1, 0, 1], "count_include_pad": 1},
    ),
    "global max": ("GlobalMaxPool", [], {}),
    "group norm": ("GroupNormalization", [floats(2), floats(2)], {"num_groups": 2}),
    "instance norm": ("InstanceNormalization", [floats(6), floats(6)], {}),
    "layer norm": ("LayerNormalization", [floats(8), floats(8)], {"axis": -1}),
    "lrn": ("LRN", [], {"size": 3, "alpha": 0.5, "beta": 0.6, "bias": 2.0}),
    "softmax of old": ("Softmax", [], {"axis": 1}, 11),
    "softmax": ("Softmax", [], {"axis": 1}),
    "clip": ("Clip", [np.float32(-0.5), np.float32(0.5)], {}),
    "clip of old": ("Clip", [], {"min": -0.2, "max": 0.3}, 10),
    "gelu": ("Gelu", [], {}, 20),
    "hard swish": ("HardSwish", [], {}),
    "hard sigmoid": ("HardSigmoid", [], {"alpha": 0.3}),
    "leaky": ("LeakyRelu", [], {"alpha": 0.2}),
    "prelu": ("PRelu", [floats(6, 1, 1)], {}),
    "selu": ("Selu", [], {}),
    "power": ("Pow", [np.float32(2)], {}),
    "pad": ("Pad", [ints(0, 0, 1, 2, 0, 0, 0, -1), np.float32(3)], {}),
    "reflect": ("Pad", [ints(0, 0, 1, 2, 0, 0, 0, 1)], {"mode": "reflect"}),
    "slice": ("Slice", [ints(7, 1), ints(-100, 6), ints(2, 3), ints(-2, 1)], {}),
    "gather": ("Gather", [ints(1, -1)], {"axis": 1}),
    "reshape": ("Reshape", [ints(0, 3, 2, -1)], {}),
    "transpose": ("Transpose", [], {"perm": [0, 2, 3, 1]}),
    "tile": ("Tile", [ints(1, 2, 1, 1)], {}),
    "mean over axes": ("ReduceMean", [ints(2, 3)], {"keepdims": 0}),
    "norm over axes": ("ReduceL2", [ints(-1)], {}),
    "depth to space": ("DepthToSpace", [], {"blocksize": 1, "mode": "CRD"}),
    "space to depth": ("SpaceToDepth", [], {"blocksize": 2}),
    "nearest": ("Resize", [None, np.array([1, 1, 2, 1.5], np.float32)], {"mode": "nearest"}),
    "linear": ("Resize", [None, None, ints(2, 6, 11, 5)], {"mode": "linear"}),
    "linear, corners": (
        "Resize",
        [None, np.array([1, 1, 2, 2], np.float32)],
        {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
    ),
    "matrix": ("MatMul", [floats(8, 5)], {}),
    "sums": ("Einsum", [floats(6, 8)], {"equation": "nchw,cw->nh"}),
}


@pytest.mark.parametrize("case", OPERATIONS)
def test_operations_are_those_of_onnxruntime(case):
    operation, others, attributes, *version = OPERATIONS[case]
    names = ["x", *("" if value is None else f"c{i}" for i, value in enumerate(others))]
    node = helper.make_node(operation, names, ["y"], **attributes)
    constants = {f"c{i}": np.asarray(of) for i, of in enumerate(others) if of is not None}
    model = model_of([node], constants, (2, 6, 8, 8), *version)
    image = floats(2, 6, 8, 8)
    (want,) = session(model).run(["y"], {"x": image})
    f, params = as_function(model.SerializeToString())
    got = np.asarray(jax.jit(f)(params, image)[1]["y"])
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=0, atol=TOLERANCE * np.abs(want).max())


def classifier_model(batch: int | str = "n"):
    """Make a small classifier that computes the shape of its reshape, as exporters do."""
    constants = {
        "kernel": floats(6, 3, 3, 3), "bias": floats(6), "head": floats(6, 4), "zero": ints(0),
        "one": ints(1), "rest": ints(-1),
    }  # fmt: skip
    if batch == 1:
        nodes = [helper.make_node("Reshape", ["m", "target"], ["flat"])]
        constants["target"] = ints(1, 6)
    else:
        nodes = [
            helper.make_node("Shape", ["m"], ["shape"]),
            helper.make_node("Gather", ["shape", "zero"], ["images"]),
            helper.make_node("Concat", ["images", "rest"], ["target"], axis=0),
            helper.make_node("Reshape", ["m", "target"], ["flat"]),
        ]
    nodes = [
        helper.make_node("Conv", ["x", "kernel", "bias"], ["conv"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["conv"], ["relu"]),
        helper.make_node("GlobalAveragePool", ["relu"], ["m"]),
        *nodes,
        helper.make_node("MatMul", ["flat", "head"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["y"], axis=-1),
    ]
    return model_of(nodes, constants, (batch, 3, 12, 12))


@pytest.mark.parametrize("batch", ["n", 1])
def test_a_classifier(tmp_path, batch):
    model = classifier_model(batch)
    path = tmp_path / "small.onnx"
    onnx.save(model, path)
    net = pdjax.wrap(path, labels=list("abcd"), mean=0.5, std=(0.1, 0.2, 0.3))
    assert (net.name, net.labels, net.outputs) == ("small", tuple("abcd"), {"y": "softmax"})
    assert net.layers == ("conv", "relu", "m", "flat", "scores", "y")
    images = rng.random((3, 12, 12, 3), np.float32)
    given = np.moveaxis((images - 0.5) / np.float32([0.1, 0.2, 0.3]), -1, 1).astype(np.float32)
    runs = [session(model).run(None, {"x": image[None]})[0] for image in given]
    np.testing.assert_allclose(net(images)["y"], np.concatenate(runs), rtol=0, atol=1e-6)
    assert net(images, ("conv",))["conv"].shape == (3, 12, 12, 6)
    sampler = pdjax.Constant(0.0, window=3)
    maps = [
        pdjax.explain(net, images[0], sampler, rng_key=jax.random.key(0), stride=3, engine=engine)
        for engine in ("local", "dense")
    ]
    local, dense = (one.relevance["y"] for one in maps)
    np.testing.assert_allclose(local, dense, rtol=0, atol=1e-4 * np.abs(dense).max())


def test_weights_are_parameters():
    net = pdjax.wrap(classifier_model())
    assert set(net.params) == {"kernel", "bias", "head"}


def test_unknown_operations_are_named():
    node = helper.make_node("NonMaxSuppression", ["x", "x"], ["y"])
    with refused("model") as caught:
        pdjax.wrap(model_of([node], {}, (1, 3, 8, 8)), outputs="values")
    assert "NonMaxSuppression" in caught.value.problem
    assert "engine='callable'" in caught.value.remedy


def test_foreign_operations_are_named():
    node = helper.make_node("FusedConv", ["x"], ["y"], domain="com.microsoft")
    with refused("model") as caught:
        pdjax.wrap(model_of([node], {}, (1, 3, 8, 8)), outputs="values")
    assert "com.microsoft.FusedConv" in caught.value.problem


def test_what_is_not_known_is_asked():
    model = classifier_model()
    model.graph.output[0].name = "scores"
    with refused("outputs"):
        pdjax.wrap(model)


HUGE = {
    "filled": ([helper.make_node("ConstantOfShape", ["big"], ["c"])], {"big": ints(2**20, 2**20)}),
    "spread": (
        [helper.make_node("Add", ["row", "column"], ["c"])],
        {"row": floats(1, 2**15), "column": floats(2**15, 1)},
    ),
    "product": (
        [helper.make_node("MatMul", ["column", "row"], ["c"])],
        {"row": floats(1, 2**15), "column": floats(2**15, 1)},
    ),
    "repeated": (
        [helper.make_node("Tile", ["row", "times"], ["c"])],
        {"row": floats(1, 8), "times": ints(2**20, 2**10)},
    ),
    "negative": ([helper.make_node("ConstantOfShape", ["big"], ["c"])], {"big": ints(-1, -4)}),
}


@pytest.mark.parametrize("case", HUGE)
def test_values_without_bound_are_refused_before_they_are_made(case):
    nodes, constants = HUGE[case]
    nodes = [*nodes, helper.make_node("Add", ["x", "c"], ["y"])]
    with refused("model"):
        pdjax.wrap(model_of(nodes, constants, (1, 3, 8, 8)), outputs="values")


@pytest.mark.parametrize("seed", range(30))
def test_damaged_files_are_refused_in_one_sentence(tmp_path, seed):
    octets = bytearray(classifier_model().SerializeToString())
    damage = np.random.default_rng(seed)
    for position in damage.integers(0, len(octets), 4):
        octets[position] = damage.integers(0, 256)
    path = tmp_path / "x.onnx"
    path.write_bytes(octets[: damage.integers(1, len(octets) + 1)])
    with contextlib.suppress(ArgumentError):
        # Some bytes may be changed without harm; whatever else is raised fails the test.
        pdjax.wrap(path, outputs="values")


def test_weights_elsewhere_are_refused(tmp_path):
    path = tmp_path / "x.onnx"
    onnx.save(classifier_model(), path, save_as_external_data=True, size_threshold=0)
    with refused("model"):
        pdjax.wrap(path)


def model_of(nodes, constants, shape, opset: int = OPSET):
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    graph = helper.make_graph(
        nodes,
        "small",
        [value],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def session(model):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
