"""Models of other frameworks as classifiers: one contract for all of them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.framework_networks import CASES, CLASSES, SIZE, Case

import pdjax

TOLERANCE = 1e-5


@pytest.fixture(scope="module", params=CASES)
def case(request) -> Case:
    return CASES[request.param]()


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).random((3, SIZE, SIZE, 3), np.float32)


def wrapped(case: Case, **facts):
    facts = {"image_size": SIZE, "outputs": "logits", **facts}
    return pdjax.wrap(case.model, *case.variables, **facts)


def close(got, want):
    want = np.asarray(want)
    np.testing.assert_allclose(got, want, rtol=0, atol=TOLERANCE * np.abs(want).max())


def test_outputs_are_those_of_the_framework(case, images):
    net = wrapped(case)
    assert net.image_shape == (SIZE, SIZE, 3)
    assert len(net.labels) == CLASSES
    last = case.layers[-1]
    close(net(images, (last,))[last], case.forward(images))
    # The comparison says something only about values that differ from image to image.
    assert np.ptp(np.asarray(case.forward(images)), axis=0).min() > 1e-4


def test_the_model_stays_as_it_is(case, images):
    before = case.facts()
    wrapped(case)(images)
    assert case.facts() == before


def test_hidden_layers_are_those_of_submodules_channels_last(case, images):
    net = wrapped(case)
    assert net.layers[: len(case.layers)] == case.layers
    for layer, compute in case.hidden.items():
        got = net(images, (layer,))[layer]
        assert got.shape == (3, SIZE, SIZE, 6)
        close(got, compute(images))


def test_engines_agree(case, images):
    net = wrapped(case)
    sampler = pdjax.Constant(0.0, window=4)
    layers = (*case.hidden, case.layers[-1])
    maps = [
        pdjax.explain(
            net, images[0], sampler, rng_key=jax.random.key(0), stride=4, layers=layers,
            engine=engine,
        )
        for engine in ("local", "dense")
    ]  # fmt: skip
    for layer in layers:
        local, dense = (one.relevance[layer] for one in maps)
        assert np.abs(dense).max() > 0
        np.testing.assert_allclose(local, dense, rtol=0, atol=2e-3 * np.abs(dense).max())


def test_normalisation_belongs_to_the_network(case, images):
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
    want = case.forward((images - np.float32(mean)) / np.float32(std))
    last = case.layers[-1]
    close(wrapped(case, mean=mean, std=std)(images, (last,))[last], want)

    def preprocess(images):
        return (images - jnp.asarray(mean)) / jnp.asarray(std)

    close(wrapped(case, preprocess=preprocess)(images, (last,))[last], want)
