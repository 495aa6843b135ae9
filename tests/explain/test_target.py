"""What is explained: outputs, hidden layers and units, from the image or a hidden layer on."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.refusals import refused

import pdjax

pytestmark = pytest.mark.usefixtures("quick")

SIDE, CLASSES = 12, 4


def first(params, images):
    kernel = params["first"].astype(images.dtype)
    out = jax.lax.conv_general_dilated(
        images, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return jax.nn.relu(out)


def rest(params, hidden):
    kernel = params["second"].astype(hidden.dtype)
    second = jnp.tanh(
        jax.lax.conv_general_dilated(
            hidden, kernel, (2, 2), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
    )
    scores = second.reshape(len(hidden), -1) @ params["dense"].astype(hidden.dtype)
    return second, scores


def network(params, images):
    hidden = first(params, images)
    second, scores = rest(params, hidden)
    return {"first": hidden, "second": second, "scores": scores, "prob": jax.nn.softmax(scores)}


@pytest.fixture(scope="module")
def net():
    keys = jax.random.split(jax.random.key(0), 3)
    params = {
        "first": jax.random.normal(keys[0], (3, 3, 3, 5)) / 3,
        "second": jax.random.normal(keys[1], (3, 3, 5, 6)) / 6,
        "dense": jax.random.normal(keys[2], (5 * 5 * 6, CLASSES)) / 4,
    }
    return pdjax.Classifier.from_function(network, params, image_size=SIDE)


@pytest.fixture(scope="module")
def images():
    return np.asarray(jax.random.uniform(jax.random.key(1), (7, SIDE, SIDE, 3)))


def explain(net, images, sampler=None, **settings):
    sampler = pdjax.Marginal(images[1:], window=3) if sampler is None else sampler
    defaults = {"rng_key": jax.random.key(0), "num_samples": 6, "engine": "dense"}
    return pdjax.explain(net, images[0], sampler, **defaults | settings)


ALL = ("first", "second", "scores", "prob")


@pytest.fixture(scope="module")
def everything(net, images):
    """All layers explained, for all classes."""
    return explain(net, images, layers=ALL, classes=CLASSES, engine="local")


def test_feature_maps_are_means_over_their_units(net, images, everything):
    changed = np.repeat(images[:1], 6, 0)
    changed[:, 2:5, 4:7] = images[1:, 2:5, 4:7]
    plain, without = network(net.params, images[:1]), network(net.params, changed)
    for layer in ("first", "second"):
        expected = plain[layer].mean((0, 1, 2)) - without[layer].mean((0, 1, 2))
        found = everything.window_relevance[layer][:, 2, 4]
        np.testing.assert_allclose(found, expected, atol=1e-6)
    order = np.array(everything.settings["classes"])
    differences = plain["scores"] - without["scores"][:, order]
    found = everything.window_relevance["scores"][:, 2, 4]
    differences = (plain["scores"] - without["scores"])[:, order]
    np.testing.assert_allclose(found, differences.mean(0), atol=1e-6)
    # The mean of a root of 5 degrees of freedom.
    error = np.std(differences, 0, ddof=1) / np.sqrt(6) / 0.951533
    found = everything.window_standard_error["scores"][:, 2, 4]
    np.testing.assert_allclose(found, error, rtol=1e-4)
    for maps in (everything.relevance, everything.standard_error):
        assert all(np.isfinite(values).all() for values in maps.values())


def test_layers_are_measured_by_what_they_hold(net, images, everything):
    assert everything.layers == ALL
    assert {layer: len(everything.relevance[layer]) for layer in ALL} == {
        "first": 5,
        "second": 6,
        "scores": CLASSES,
        "prob": CLASSES,
    }
    order = everything.settings["classes"]
    assert everything.names["prob"] == everything.names["scores"] == tuple(map(str, order))
    assert everything.names["first"] == ("0", "1", "2", "3", "4")
    assert everything.measures == dict.fromkeys(ALL, "activation difference") | {
        "prob": "weight of evidence (bits)"
    }
    assert everything.symbols == dict.fromkeys(ALL, "") | {"prob": "bits"}
    outputs = network(net.params, images[:1])
    for layer in ("scores", "prob"):
        expected = outputs[layer][0][np.array(order)]
        np.testing.assert_allclose(everything.prediction[layer], expected, rtol=1e-5)


def test_the_whole_layer_is_the_mean_of_its_feature_maps(everything):
    assert set(everything.layer_relevance) == {"first", "second"}
    for layer, whole in everything.layer_relevance.items():
        np.testing.assert_allclose(whole, everything.relevance[layer].mean(0), atol=1e-6)
        assert (everything.layer_standard_error[layer] > 0).any()


def test_picked_maps_and_single_units(net, images, everything):
    units = {"first": [2, (3, 5, 6), 0]}
    picked = explain(net, images, layers=("first", "prob"), units=units)
    assert picked.names["first"] == ("2", "(3, 5, 6)", "0")
    for row, index in ((0, 2), (2, 0)):
        # Two engines, which add up in another order: the last bits of float32 differ.
        one, other = picked.relevance["first"][row], everything.relevance["first"][index]
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 * np.abs(other).max())
    # A unit sees three by three pixels, so only windows of three that come within one pixel of it.
    seen = np.abs(picked.window_relevance["first"][1]) > 1e-6
    rows, columns = np.nonzero(seen)
    assert seen.any()
    assert rows.min() >= 5 - 3
    assert rows.max() <= 5 + 1
    assert columns.min() >= 6 - 3
    assert columns.max() <= 6 + 1


def test_start_from_a_hidden_layer(net, images):
    activations = network(net.params, images)["first"]
    sampler = pdjax.Marginal(activations[1:], window=2, bounds=None)
    explanation = pdjax.explain(
        net,
        images[0],
        sampler,
        rng_key=jax.random.key(0),
        num_samples=6,
        start="first",
        layers=("second", "prob"),
        classes=CLASSES,
        bias_correction=False,
    )
    changed = np.repeat(np.asarray(activations[:1]), 6, 0)
    changed[:, 7:9, 3:5] = activations[1:, 7:9, 3:5]
    second, scores = rest(net.params, jnp.asarray(changed))
    p = jax.nn.softmax(scores).mean(0)
    plain = network(net.params, images[:1])
    expected = pdjax.weight_of_evidence(plain["prob"][0], p)[
        np.array(explanation.settings["classes"])
    ]
    np.testing.assert_allclose(explanation.window_relevance["prob"][:, 7, 3], expected, atol=1e-4)
    expected = plain["second"].mean((0, 1, 2)) - second.mean((0, 1, 2))
    np.testing.assert_allclose(explanation.window_relevance["second"][:, 7, 3], expected, atol=1e-6)
    assert explanation.relevance["prob"].shape == (CLASSES, SIDE, SIDE)
    assert explanation.settings["start"] == "first"


def test_start_with_a_gaussian_fitted_to_activations(net, images):
    activations = np.asarray(network(net.params, images)["first"])
    statistics = pdjax.PatchStatistics.fit_patches(
        activations, patch=4, num_patches=2000, bounds=None
    )
    sampler = pdjax.ConditionalGaussian(
        statistics, window=2, padding=1, clip=(0.0, np.inf), jitter=1e-3
    )
    explanation = pdjax.explain(
        net,
        images[0],
        sampler,
        rng_key=jax.random.key(0),
        num_samples=4,
        start="first",
        engine="dense",
    )
    assert np.isfinite(explanation.relevance["prob"]).all()
    assert (explanation.standard_error["prob"] > 0).all()


def of_first(*units):
    return {"layers": ("first",), "units": {"first": list(units)}}


BAD = {
    "no such map": of_first(5),
    "no map at all": of_first(-1),
    "no such unit": of_first((0, 12, 0)),
    "too few indices": of_first((0, 1)),
    "none": of_first(),
    "of a layer not asked for": {"units": {"first": [0]}},
    "of classes": {"units": {"prob": [0]}},
}


@pytest.mark.parametrize("name", BAD)
def test_bad_units_are_named_with_their_layer(net, images, name):
    with refused("units") as caught:
        explain(net, images, **BAD[name])
    (layer,) = BAD[name]["units"]
    assert repr(layer) in str(caught.value)


def test_a_layer_before_the_start_is_named(net, images):
    with refused("layers") as caught:
        explain(net, images, pdjax.Constant(0.5, 3), start="second", layers=("first",))
    assert "'first'" in str(caught.value)


@pytest.mark.parametrize("layer", ["scores", "prob"])
def test_a_network_that_gives_nan_for_the_image_is_named_with_its_layer(images, layer):
    def broken(params, images):
        outputs = {"scores": images.mean((1, 2)), "prob": jax.nn.softmax(images.mean((1, 2)))}
        return outputs | {layer: outputs[layer] * params}

    net = pdjax.Classifier.from_function(broken, jnp.nan, image_size=SIDE)
    with refused("net") as caught:
        explain(net, images, layers=("scores", "prob"))
    assert repr(layer) in str(caught.value)


@pytest.mark.parametrize("engine", ["dense", "callable"])
def test_probabilities_must_be_some(images, engine):
    def scores(images):
        return {"prob": images.mean((1, 2))}

    net = pdjax.Classifier.from_function(lambda _, images: scores(images), None, image_size=SIDE)
    with refused("net") as caught:
        explain(scores if engine == "callable" else net, images, engine=engine)
    assert "'prob'" in str(caught.value)


@pytest.mark.parametrize(
    "plain", [lambda images: images[:, 0, 0, 0], lambda images: 0.5], ids=["units", "number"]
)
def test_plain_callables_must_give_rows(images, plain):
    with refused("net"):
        explain(plain, images, engine="callable")


def test_without_lowerings_the_image_itself_is_seen_as_the_function_sees_it(net, images):
    plain = jax.jit(network)(net.params, images[:1])
    explanation = explain(net, images, layers=ALL, classes=[2, 0], lowerings=False)
    for layer in ("scores", "prob"):
        expected = np.asarray(plain[layer])[0, [2, 0]]
        np.testing.assert_array_equal(explanation.prediction[layer], expected)
    tuned = explain(net, images, layers=ALL, classes=[2, 0])
    np.testing.assert_allclose(
        tuned.prediction["scores"], explanation.prediction["scores"], rtol=1e-5
    )
