"""Classifiers made of functions: what they are told about themselves is checked."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pdjax import Classifier


def network(params, images):
    return jax.nn.softmax(images.mean((1, 2)) @ params)


def make(**options) -> Classifier:
    return Classifier.from_function(network, jnp.eye(3), image_size=8, **options)


@pytest.mark.parametrize("count", [None, 0, 1, 1_281_167])
def test_the_number_of_training_images_is_kept(count):
    assert make(num_training_images=count).num_training_images == count


@pytest.mark.parametrize("count", [-1, 2.0, 2.5, True, "1000", np.nan, np.float32(3)], ids=repr)
@pytest.mark.parametrize("route", ["function", "fields", "replaced"])
def test_another_number_of_training_images_is_refused(untyped, route, count):
    fields = {
        "name": "small", "predict": network, "params": None, "image_size": 8, "layers": ("prob",),
        "labels": ("a", "b", "c"), "num_training_images": count,
    }  # fmt: skip
    routes = {
        "function": lambda: make(num_training_images=count),
        "fields": lambda: Classifier(**fields),
        "replaced": lambda: dataclasses.replace(make(), num_training_images=count),
    }
    words = r"^num_training_images=.* must be an int of at least 0, or None to leave"
    with pytest.raises(ValueError, match=words) as caught:
        routes[route]()
    assert repr(count) in str(caught.value)
    assert "\n" not in str(caught.value)


BAD = {
    "too few labels": ({"labels": ("a", "b")}, "labels: 2 names do not fit the 3 classes"),
    "no such layer": ({"probabilities": ("p", "q")}, "names 'p', which f does not return"),
}


@pytest.mark.parametrize(("options", "words"), BAD.values(), ids=BAD.keys())
def test_what_does_not_fit_the_function_is_named(options, words):
    with pytest.raises(ValueError, match=words):
        make(**options)
