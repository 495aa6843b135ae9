"""What ``--model`` and ``--labels`` stand for."""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers.refusals import refused

import pdjax
from pdjax.cli.models import ModelOptions, load_classifier, read_labels

SOURCE = """
import functools, jax, jax.numpy as jnp, pdjax

def f(params, images):
    return jax.nn.softmax(images.mean((1, 2)) @ params)

NET = pdjax.Classifier.from_function(f, jnp.eye(3), image_size=8)
NUMBER = 3
GREY = pdjax.Classifier.from_function(
    lambda params, images: images.mean((1, 2)), None, image_size=8, channels=1, outputs="values"
)
LEVELS = pdjax.Classifier.from_function(f, jnp.eye(3), image_size=8, bounds=(0, 255))

def make():
    return NET

class Module:
    def __call__(self, images):
        return images

MODULE = Module()
BOUND = functools.partial(lambda net: net, NET)

def make_of(size):
    return NET

def fails():
    return {}["weights"]

def fails_otherwise():
    return len(3)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "my_own_networks.py").write_text(SOURCE, "utf-8")
    (tmp_path / "of_no_python.py").write_text("NET = (", "utf-8")
    (tmp_path / "that_fails.py").write_text("raise RuntimeError('no weights')", "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    "model",
    [f"my_own_networks{name}" for name in (":NET", ":make", ":BOUND", ".py:NET")],
)
def test_a_classifier_of_ones_own(folder, model):
    net = load_classifier(ModelOptions(model), progress=False)
    assert isinstance(net, pdjax.Classifier)
    assert net.image_shape == (8, 8, 3)


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("no_such_module_here:NET", ValueError),
        ("my_own_networks:OTHER", ValueError),
        ("my_own_networks:NUMBER", TypeError),
        ("my_own_networks:make_of", TypeError),
        ("my_own_networks:GREY", ValueError),
        ("my_own_networks:LEVELS", ValueError),
        ("my_own_networks:fails", ValueError),
        ("my_own_networks:fails_otherwise", ValueError),
        ("of_no_python:NET", ValueError),
        ("that_fails.py:NET", ValueError),
        ("no_such_file.py:NET", FileNotFoundError),
        ("no_such_file.onnx", FileNotFoundError),
    ],
)
def test_what_stands_for_no_classifier(folder, model, kind):
    with refused("model", kind):
        load_classifier(ModelOptions(model), progress=False)


def test_a_model_of_a_framework_is_to_be_wrapped(folder):
    with pytest.raises(TypeError, match=r"stands for a Module.*pdjax\.wrap"):
        load_classifier(ModelOptions("my_own_networks:MODULE"), progress=False)


@pytest.mark.parametrize("model", ["my_own_networks:NET", "efficientnet_lite0", "x.onnx"])
def test_options_that_do_not_go_with_a_kind(folder, model):
    options = ModelOptions(model, mean="0.5", weights=folder / "w.npz")
    argument = "mean" if model == "efficientnet_lite0" else "weights"
    with refused(argument):
        load_classifier(options, progress=False)


FILES = {
    "lines": ("labels.txt", "cat\ndog, hound\nfox\n\n"),
    "with an index": ("labels.csv", "2,fox\n0,cat\n1,dog, hound\n"),
    "with an index and a blank": ("labels.txt", "0 cat\n1 dog, hound\n2: fox"),
    "list": ("labels.json", json.dumps(["cat", "dog, hound", "fox"])),
    "id2label": ("id.json", json.dumps({"2": "fox", "0": "cat", "1": "dog, hound"})),
    "config": (
        "config.json",
        json.dumps({"id2label": {"0": "cat", "1": "dog, hound", "2": "fox"}}),
    ),
    "ids and names": (
        "class_index.json",
        json.dumps({"1": ["n2", "dog, hound"], "0": ["n1", "cat"], "2": ["n3", "fox"]}),
    ),
    "class_indices": ("indices.json", json.dumps({"fox": 2, "cat": 0, "dog, hound": 1})),
}


@pytest.mark.parametrize(("name", "text"), FILES.values(), ids=FILES)
def test_labels_in_any_form(folder, name, text):
    (folder / name).write_text(text, "utf-8")

    def f(params, images):
        return images.mean((1, 2))

    net = pdjax.Classifier.from_function(
        f, None, image_size=8, outputs="logits", labels=read_labels(folder / name)
    )
    assert net.labels == ("cat", "dog, hound", "fox")


@pytest.mark.parametrize("octets", [b"\xff\xfe\x00", b"[1, 2", b"[" * 100_000])
def test_labels_that_cannot_be_read(folder, octets):
    (folder / "labels.json").write_bytes(octets)
    with refused("labels"):
        read_labels(folder / "labels.json")


def test_names_may_begin_with_a_number(folder):
    names = ["3 wheels", "4 wheels", "0 wheels"]
    (folder / "labels.txt").write_text("\n".join(names), "utf-8")
    assert read_labels(folder / "labels.txt") == names


def test_an_onnx_file(folder):
    onnx = pytest.importorskip("onnx", reason="onnx, which writes the file, is not installed")
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    head = np.eye(3, dtype=np.float32)
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["m"]),
        helper.make_node("Flatten", ["m"], ["flat"]),
        helper.make_node("MatMul", ["flat", "head"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", 1, (1, 3, 8, 8))],
        [helper.make_tensor_value_info("y", 1, None)],
        [numpy_helper.from_array(head, "head")],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8),
        folder / "mine.onnx",
    )
    (folder / "labels.txt").write_text("red\ngreen\nblue", "utf-8")
    options = ModelOptions(
        "mine.onnx", labels=folder / "labels.txt", outputs="logits", mean="0.5,0.4,0.3", std="0.2"
    )
    net = load_classifier(options, progress=False)
    assert net.labels == ("red", "green", "blue")
    images = np.full((1, 8, 8, 3), 0.6, np.float32)
    np.testing.assert_allclose(net(images)["y"], [[0.5, 1.0, 1.5]], rtol=1e-5)
