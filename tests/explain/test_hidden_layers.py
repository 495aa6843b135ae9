"""Hidden layers explained like outputs, and explanations that start from a hidden layer."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pdjax

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


def explain(net, images, window=3, **settings):
    sampler = pdjax.Marginal(images[1:], window=window)
    return pdjax.explain(
        net, images[0], sampler, rng_key=jax.random.key(0), num_samples=6, **settings
    )


ALL = ("first", "second", "scores", "prob")


def test_feature_maps_are_means_over_their_units(net, images):
    explanation = explain(net, images, layers=ALL, classes=CLASSES)
    changed = np.repeat(images[:1], 6, 0)
    changed[:, 2:5, 4:7] = images[1:, 2:5, 4:7]
    plain, without = network(net.params, images[:1]), network(net.params, changed)
    for layer in ("first", "second"):
        expected = plain[layer].mean((0, 1, 2)) - without[layer].mean((0, 1, 2))
        found = explanation.window_relevance[layer][:, 2, 4]
        np.testing.assert_allclose(found, expected, atol=1e-6)
    order = explanation.settings["classes"]
    expected = (plain["scores"][0] - without["scores"].mean(0))[np.array(order)]
    np.testing.assert_allclose(explanation.window_relevance["scores"][:, 2, 4], expected, atol=1e-6)
    assert explanation.measures["scores"] == "activation difference"
    assert explanation.measures["prob"] == "weight of evidence (bits)"
    for maps in (explanation.relevance, explanation.standard_error):
        assert all(np.isfinite(values).all() for values in maps.values())


def test_the_whole_layer_is_the_mean_of_its_feature_maps(net, images):
    explanation = explain(net, images, layers=ALL)
    assert set(explanation.layer_relevance) == {"first", "second"}
    for layer, whole in explanation.layer_relevance.items():
        np.testing.assert_allclose(whole, explanation.relevance[layer].mean(0), atol=1e-6)
        assert (explanation.layer_standard_error[layer] > 0).any()


def test_picked_maps_and_single_units(net, images):
    units = {"first": [2, (3, 5, 6), 0]}
    picked = explain(net, images, layers=("first", "prob"), units=units)
    every = explain(net, images, layers=("first",))
    assert picked.names["first"] == ("2", "(3, 5, 6)", "0")
    for row, index in ((0, 2), (2, 0)):
        # Two programs, which may add up in another order: the last bit of float32 differs.
        one, other = picked.relevance["first"][row], every.relevance["first"][index]
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6 * np.abs(other).max())
    # A unit sees three by three pixels, so only windows of three that come within one pixel of it.
    seen = np.abs(picked.window_relevance["first"][1]) > 1e-6
    rows, columns = np.nonzero(seen)
    assert seen.any()
    assert rows.min() >= 5 - 3
    assert rows.max() <= 5 + 1
    assert columns.min() >= 6 - 3
    assert columns.max() <= 6 + 1


def test_hidden_layers_are_saved_and_loaded(net, images, tmp_path):
    explanation = explain(net, images, layers=ALL, units={"second": [1]})
    explanation.save(tmp_path / "result.npz")
    loaded = pdjax.Explanation.load(tmp_path / "result.npz")
    np.testing.assert_array_equal(
        loaded.layer_relevance["second"], explanation.layer_relevance["second"]
    )
    assert loaded.names == explanation.names


def test_start_from_a_hidden_layer(net, images):
    activations = network(net.params, images)["first"]
    sampler = pdjax.Marginal(activations[1:], window=2, bounds=None)
    explanation = pdjax.explain(
        net, images[0], sampler, rng_key=jax.random.key(0), num_samples=6, start="first",
        layers=("second", "prob"), classes=CLASSES, bias_correction=False,
    )  # fmt: skip
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
        net, images[0], sampler, rng_key=jax.random.key(0), num_samples=4, start="first"
    )
    assert np.isfinite(explanation.relevance["prob"]).all()
    assert (explanation.standard_error["prob"] > 0).all()


BAD = {
    "no such map": ({"layers": ("first",), "units": {"first": [5]}}, "no unit 5"),
    "no such unit": ({"layers": ("first",), "units": {"first": [(0, 12, 0)]}}, r"\(0, 12, 0\)"),
    "too few indices": ({"layers": ("first",), "units": {"first": [(0, 1)]}}, "map, position"),
    "layer not asked for": ({"units": {"first": [0]}}, "add it to layers"),
    "class layer": ({"units": {"prob": [0]}}, "by classes"),
    "no units": ({"layers": ("first",), "units": {"first": []}}, "none are given"),
    "unknown start": ({"start": "third"}, "no layer 'third'"),
    "start without axes": ({"start": "scores"}, "no spatial axes"),
    "layer before start": ({"start": "second", "layers": ("first",)}, "does not depend on start"),
    "start of a callable": ({"start": "first", "engine": "callable"}, "written in JAX"),
}


@pytest.mark.parametrize(("settings", "words"), BAD.values(), ids=BAD.keys())
def test_bad_units_and_starts_are_named(net, images, settings, words):
    with pytest.raises(ValueError, match=words):
        explain(net, images, **settings)
