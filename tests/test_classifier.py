"""Classifiers made of functions: what they are told about themselves is checked."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.refusals import refused

import pdjax
from pdjax import Classifier
from pdjax.classifier import check_layers, wrap_callable


def network(params, images):
    return jax.nn.softmax(images.mean((1, 2)) @ params)


def layered(params, images):
    scores = images.mean((1, 2)) @ params
    return {"pixels": images, "scores": scores, "prob": jax.nn.softmax(scores)}


def make(f=network, **options) -> Classifier:
    return Classifier.from_function(f, jnp.eye(3), **{"image_size": 8} | options)


def test_a_function_of_one_output_has_one_layer() -> None:
    net = make(labels=("a", "b", "c"), name="small")
    assert (net.layers, net.probabilities) == (("prob",), ("prob",))
    assert net.image_shape == (8, 8, 3)
    assert repr(net) == "Classifier('small', image_shape=(8, 8, 3), 3 classes, 1 layers)"
    images = np.random.default_rng(0).random((2, 8, 8, 3), np.float32)
    np.testing.assert_allclose(net(images)["prob"], network(jnp.eye(3), images), rtol=1e-6)
    assert make(probabilities=()).layers == ("output",)


def test_layers_are_in_forward_order_and_given_as_they_are_asked_for() -> None:
    net = make(layered, image_size=(8, 6))
    assert net.layers == ("pixels", "scores", "prob")
    assert net.labels == ("0", "1", "2")
    assert net.activation_shape("pixels") == net.image_shape == (8, 6, 3)
    assert net.activation_shape("scores") == (3,)
    images = np.zeros((2, 8, 6, 3), np.float32)
    assert list(net(images, ("scores", "pixels"))) == ["scores", "pixels"]
    assert list(net(images)) == ["prob"]


@pytest.mark.parametrize("axis", [1, -3])
def test_channels_of_a_function_may_be_on_another_axis(axis) -> None:
    def first(params, images):
        assert images.shape[1:] == (3, 8, 6)
        mixed = jnp.einsum("nchw,cd->ndhw", images, params)
        return {"mixed": mixed, "prob": jax.nn.softmax(mixed.mean((2, 3)))}

    matrix = jnp.arange(15.0).reshape(3, 5) / 15
    net = Classifier.from_function(first, matrix, image_size=(8, 6), channel_axis=axis)
    assert (net.image_shape, net.activation_shape("mixed")) == ((8, 6, 3), (8, 6, 5))
    images = np.random.default_rng(0).random((2, 8, 6, 3), np.float32)
    mixed = net(images, ("mixed",))["mixed"]
    np.testing.assert_allclose(mixed, images @ np.asarray(matrix), rtol=1e-5)
    image = jnp.asarray(np.moveaxis(images[0], -1, 0))
    with refused("image") as caught:
        pdjax.explain(net, image, pdjax.Constant(0.5, window=2), rng_key=jax.random.key(0))
    assert "moveaxis" in caught.value.remedy


@pytest.mark.parametrize("names", ["score", ("scores", "conv")])
def test_layers_that_there_are_not_are_named_with_those_there_are(names) -> None:
    assert check_layers("scores", ("scores", "prob")) == ("scores",)
    with refused("layers") as caught:
        check_layers(names, ("scores", "prob"))
    assert "scores, prob" in caught.value.remedy
    assert ("did you mean 'scores'" in caught.value.remedy) == (names == "score")


@pytest.mark.parametrize("count", [None, 0, 1, 1_281_167])
def test_the_number_of_training_images_is_kept(count) -> None:
    assert make(num_training_images=count).num_training_images == count


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize("count", [-1, 2.0, True, "1000", np.nan, np.float32(3)], ids=repr)
def test_another_number_of_training_images_is_refused(count) -> None:
    with refused("num_training_images"):
        make(num_training_images=count)
    with refused("num_training_images"):
        dataclasses.replace(make(), num_training_images=count)


class Outputs(NamedTuple):
    """What some models return."""

    logits: jax.Array
    features: jax.Array


def one_number(params, images):
    return images.mean((1, 2, 3))


def one_row(params, images):
    return network(params, images)[0]


BAD = {
    "too few labels": ("labels", {"labels": ("a", "b")}),
    "no such layer": ("probabilities", {"probabilities": ("p", "q")}),
    "no such output": ("outputs", {"outputs": {"p": "softmax", "q": "logits"}}),
    "no such kind": ("outputs", {"outputs": "softmx"}),
    "one kind for several": ("outputs", {"f": layered, "outputs": "softmax"}),
    "one column of a softmax": ("outputs", {"f": one_number}),
    "one column of logits": ("outputs", {"f": one_number, "outputs": "logits"}),
    "spatial axes": ("outputs", {"f": lambda params, images: images, "outputs": "sigmoid"}),
    "no batch": ("f", {"f": one_row}),
    "one image at a time": ("f", {"f": lambda p, images: network(p, images.reshape(1, 8, 8, 3))}),
    "labels of no output": ("labels", {"labels": {"scores": ("a", "b", "c")}}),
    "too few labels of one": ("labels", {"labels": {"prob": ("a", "b")}}),
    "no such axis": ("channel_axis", {"channel_axis": 4}),
    "the batch as channels": ("channel_axis", {"channel_axis": 0}),
    "no layer of labels": ("labels", {"labels": {0: ["a"], 1: ["b"], 2: ["c"]}}),
    "parts of an index": ("labels", {"labels": {0: "a", 1.5: "b", 2: "c"}}),
    "other channels": ("f", {"channels": 4}),
    "a function that fails": ("f", {"f": lambda params, images: params["head"]}),
    "no pixels": ("image_size", {"image_size": (8, 0)}),
    "no channels": ("channels", {"channels": 0}),
    "gaps between indices": ("labels", {"labels": {0: "a", 2: "b", 3: "c"}}),
}


@pytest.mark.parametrize(("argument", "options"), BAD.values(), ids=BAD)
def test_what_does_not_fit_the_function_is_named(argument, options) -> None:
    with refused(argument):
        make(**options)


def as_tuple(params, images):
    return network(params, images), images


def as_record(params, images):
    return Outputs(network(params, images), images)


def in_numpy(params, images):
    return np.asarray(images).mean((1, 2))


WRONG = {
    "tuple": ("f", {"f": as_tuple}),
    "record": ("f", {"f": as_record}),
    "nothing": ("f", {"f": lambda params, images: None}),
    "text": ("f", {"f": lambda params, images: {"prob": "cat"}}),
    "empty": ("f", {"f": lambda params, images: {}}),
    "no function": ("f", {"f": 3}),
    "a function of images alone": ("f", {"f": lambda images: images}),
    "a function of more": ("f", {"f": lambda params, images, train: images}),
    "a branch on values": ("f", {"f": lambda p, images: images if images.mean() > 0 else p}),
    "a number of values": ("f", {"f": lambda params, images: images * float(images.mean())}),
    "values that are chosen": ("f", {"f": lambda params, images: images[images > 0.5]}),
    "a size in words": ("image_size", {"image_size": "8"}),
    "half a size": ("image_size", {"image_size": 8.0}),
    "NumPy": ("f", {"f": in_numpy}),
    "labels in no order": ("labels", {"labels": {"a", "b", "c"}}),
    "one label": ("labels", {"labels": "abc"}),
    "labels that are no names": ("labels", {"labels": [1.5, 2.5, 3.5]}),
}


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(("argument", "options"), WRONG.values(), ids=WRONG)
def test_what_is_of_another_kind_is_named(argument, options) -> None:
    with refused(argument, TypeError):
        make(**options)


@pytest.mark.parametrize(
    "labels",
    [
        ("cat", "dog", "fox"),
        np.array(["cat", "dog", "fox"]),
        {2: "fox", 0: "cat", 1: "dog"},
        {"0": "cat", "1": "dog", "2": "fox"},
        {"dog": 1, "cat": 0, "fox": 2},
        {"prob": {1: "dog", 0: "cat", 2: "fox"}},
    ],
    ids=["tuple", "array", "by index", "by index as text", "with index", "by layer"],
)
def test_labels_are_put_in_order(labels) -> None:
    assert make(labels=labels).labels == ("cat", "dog", "fox")


def test_heads_have_their_own_classes() -> None:
    def two(params, images):
        pooled = images.mean((1, 2))
        return {"wide": pooled, "age": pooled[:, :2], "kind": pooled @ params}

    net = make(
        two,
        outputs={"kind": "logits", "age": "sigmoid"},
        labels={"age": ("young", "old"), "kind": ("cat", "dog", "fox")},
    )
    assert list(net.heads) == ["age", "kind"]
    assert (net.deciding, net.labels) == ("kind", ("cat", "dog", "fox"))
    assert (net.heads["age"].labels, net.heads["age"].num_classes) == (("young", "old"), 2)
    assert (net.heads["kind"].kind, net.heads["kind"].num_classes) == ("logits", 3)
    assert dataclasses.replace(net, labels=("a", "b", "c")).heads["kind"].labels[1] == "b"


def test_without_probabilities_the_last_layer_has_values_unless_it_has_axes() -> None:
    assert make(probabilities=()).heads["output"].kind == "values"
    assert make(lambda params, images: images, probabilities=()).heads == {}
    assert make(outputs={}).heads == {}
    assert make(outputs="values").layers == ("output",)


def test_nested_outputs_are_named_by_their_path() -> None:
    def nested(params, images):
        return {"encoder": {"stem": images, "head": {"pooled": images.mean((1, 2))}}, "none": None}

    net = make(nested, outputs={})
    assert net.layers == ("encoder/stem", "encoder/head/pooled")
    assert net(np.zeros((2, 8, 8, 3), np.float32), ("encoder/stem",))["encoder/stem"].ndim == 4


def test_one_number_is_one_column() -> None:
    net = make(one_number, outputs="sigmoid")
    assert net(np.ones((2, 8, 8, 3), np.float32))["prob"].shape == (2, 1)


@pytest.mark.parametrize("leaf", [jax.nn.relu, "relu", None, object(), 3, np.float64(2)])
def test_parameters_may_hold_what_is_no_array(leaf) -> None:
    def f(params, images):
        assert params["leaf"] is leaf or leaf == 3 or leaf == 2
        return jax.nn.softmax(images.mean((1, 2)) @ params["weights"])

    net = Classifier.from_function(f, {"weights": jnp.eye(3), "leaf": leaf}, image_size=8)
    assert net(np.ones((2, 8, 8, 3), np.float32))["prob"].shape == (2, 3)


def test_parameters_may_hold_settings_and_random_keys() -> None:
    def f(params, images):
        noise = jax.random.normal(params["key"], (1, 3))
        pooled = images.mean((1, 2)) if params["pooled"] else images.reshape(len(images), -1)
        return jnp.repeat(pooled + noise, params["times"], axis=1)

    params = {"key": jax.random.key(0), "pooled": True, "times": 2}
    net = Classifier.from_function(f, params, image_size=8, outputs="logits")
    image = np.random.default_rng(0).random((8, 8, 3), np.float32)
    options = {"rng_key": jax.random.key(0), "stride": 4, "classes": [0]}
    explanation = pdjax.explain(net, image, pdjax.Constant(0.0, 4), **options)
    assert np.abs(explanation.relevance["prob"]).max() > 0


@dataclasses.dataclass
class Model:
    """Not hashable, as it has an equality of its own."""

    scale: float

    def __call__(self, params, images):
        return jax.nn.softmax(images.mean((1, 2)) * self.scale)

    def apply(self, params, images):
        return self(params, images)


@pytest.mark.parametrize("f", [Model(2.0), Model(2.0).apply], ids=["object", "method"])
def test_functions_need_no_hash(f) -> None:
    images = np.random.default_rng(0).random((2, 8, 8, 3), np.float32)
    np.testing.assert_allclose(make(f)(images)["prob"], f(None, images), rtol=1e-6)


@pytest.mark.usefixtures("untyped")
def test_a_plain_callable_is_asked_what_it_returns() -> None:
    image, asked = np.zeros((4, 5, 2), np.float32), []

    def plain(images):
        asked.append(images.shape)
        return {"scores": images.mean((1, 2)), "prob": images.mean((1, 2))}

    net = wrap_callable(plain, image)
    assert asked == [(1, 4, 5, 2)]
    assert (net.name, net.layers, net.probabilities) == ("plain", ("scores", "prob"), ("prob",))
    assert (net.image_shape, net.labels) == ((4, 5, 2), ("0", "1"))
    for other in (3, lambda params, images: images.mean((1, 2))):
        with refused("net", TypeError):
            wrap_callable(other, image)
    with refused("net"):
        wrap_callable(lambda images: images.mean((1, 2))[:1], image).predict(
            None, np.zeros((2, 4, 5, 2)), ("prob",)
        )
    with refused("net") as caught:
        wrap_callable(lambda images: {"scores": images.mean(1), "prob": 0.5}, image)
    assert "'prob'" in str(caught.value)


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize("shape", [(8, 8, 3), (2, 3, 8, 8), (1, 1, 8, 8, 3), (8, 8)], ids=str)
def test_a_network_is_called_with_a_batch(shape) -> None:
    with refused("images"):
        make()(np.zeros(shape, np.float32))


def test_a_network_may_be_called_with_images_of_another_size() -> None:
    assert make()(np.zeros((2, 9, 7, 3), np.float32))["prob"].shape == (2, 3)


def test_a_callable_may_take_one_image_at_a_time() -> None:
    def alone(images):
        (image,) = images
        return image.mean((0, 1))[None]

    image = np.random.default_rng(0).random((8, 8, 3), np.float32)
    options = {"rng_key": jax.random.key(0), "stride": 4, "engine": "callable", "outputs": "values"}
    found = pdjax.explain(alone, image, pdjax.Constant(0.0, 4), batch_size=1, **options)
    want = pdjax.explain(lambda x: x.mean((1, 2)), image, pdjax.Constant(0.0, 4), **options)
    np.testing.assert_allclose(found.relevance["output"], want.relevance["output"], rtol=1e-5)
