"""Classifiers made of functions: what they are told about themselves is checked."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.refusals import refused

from pdjax import Classifier
from pdjax.classifier import NamedOutputs, check_layers, wrap_callable


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


def test_outputs_are_named_and_compared_by_their_function() -> None:
    assert NamedOutputs.of(network, ("p",)) == NamedOutputs(network, "p")
    assert NamedOutputs.of(network, ("p", "q")).bare_name == "output"
    assert list(NamedOutputs.of(layered, ())(jnp.eye(3), jnp.zeros((1, 4, 4, 3)), ("scores",))) == [
        "scores"
    ]


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


def one_number(params, images):
    return images.mean((1, 2, 3))


def one_row(params, images):
    return network(params, images)[0]


BAD = {
    "too few labels": ("labels", {"labels": ("a", "b")}),
    "no such layer": ("probabilities", {"probabilities": ("p", "q")}),
    "no units": ("net", {"f": one_number}),
    "no batch": ("net", {"f": one_row}),
}


@pytest.mark.parametrize(("argument", "options"), BAD.values(), ids=BAD)
def test_what_does_not_fit_the_function_is_named(argument, options) -> None:
    with refused(argument):
        make(**options)


def test_a_plain_callable_is_asked_what_it_returns() -> None:
    image, asked = np.zeros((4, 5, 2), np.float32), []

    def plain(images):
        asked.append(images.shape)
        return {"scores": images.mean((1, 2)), "prob": images.mean((1, 2))}

    net = wrap_callable(plain, image)
    assert asked == [(1, 4, 5, 2)]
    assert (net.name, net.layers, net.probabilities) == ("plain", ("scores", "prob"), ("prob",))
    assert (net.image_shape, net.labels) == ((4, 5, 2), ("0", "1"))
    with refused("net") as caught:
        wrap_callable(lambda images: {"scores": images.mean(1), "prob": 0.5}, image)
    assert "'prob'" in str(caught.value)
