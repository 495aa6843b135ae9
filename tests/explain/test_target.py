"""What is explained: outputs, hidden layers and units, from the image or a hidden layer on."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.refusals import refused

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
    outputs = {"scores": "values", "prob": "softmax"}
    return pdjax.Classifier.from_function(network, params, image_size=SIDE, outputs=outputs)


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
@pytest.mark.parametrize(
    ("scale", "offset", "advice"),
    [(0.9, 0.0, "'sigmoid'"), (9.0, 0.0, "'logits'"), (1.0, -2.0, "'sigmoid_logits'")],
    ids=["sigmoids", "beyond one", "negative"],
)
def test_what_is_no_softmax_is_told_what_it_looks_like(images, engine, scale, offset, advice):
    def scores(images):
        return {"prob": images.mean((1, 2)) * scale + offset}

    net = pdjax.Classifier.from_function(lambda _, images: scores(images), None, image_size=SIDE)
    with refused("outputs") as caught:
        explain(scores if engine == "callable" else net, images, engine=engine)
    assert "'prob'" in str(caught.value)
    assert advice in str(caught.value)


def test_what_is_no_sigmoid_is_told_what_it_looks_like(images):
    with refused("outputs") as caught:
        explain(lambda x: x.mean((1, 2)) * 9, images, engine="callable", outputs="sigmoid")
    assert "'sigmoid_logits'" in str(caught.value)


@pytest.mark.parametrize(
    ("argument", "plain"),
    [("outputs", lambda images: images[:, 0, 0, 0]), ("net", lambda images: 0.5)],
    ids=["column", "number"],
)
def test_plain_callables_must_give_rows(images, argument, plain):
    with refused(argument):
        explain(plain, images, engine="callable")


def train_mode(images):
    z = images.mean((1, 2)) * 30
    return jax.nn.softmax(np.asarray(z - z.mean(0, keepdims=True)))


class Dropout:
    """Drops every call at random."""

    def __init__(self):
        self.random = np.random.default_rng(0)

    def __call__(self, images):
        return jax.nn.softmax(images.mean((1, 2)) * self.random.integers(0, 9, (len(images), 3)))


@pytest.mark.parametrize("f", [train_mode, Dropout()], ids=["batch norm", "dropout"])
def test_networks_must_be_functions_of_the_image(images, f):
    with refused("net") as caught:
        explain(f, images, engine="callable")
    assert "model.eval()" in str(caught.value)
    if f is train_mode:
        net = pdjax.Classifier.from_function(
            lambda _, x: jax.nn.softmax((x.mean((1, 2)) - x.mean((0, 1, 2))[None]) * 30),
            None,
            image_size=SIDE,
        )
        with refused("net"):
            explain(net, images)


def test_callables_get_a_batch_of_their_own(images):
    def copying(x):
        return np.asarray(jax.nn.softmax((x * 2 - 0.5).mean((1, 2)) * 6))

    def in_place(x):
        x *= 2
        x -= 0.5
        return np.asarray(jax.nn.softmax(x.mean((1, 2)) * 6))

    before = images.copy()
    wanted, found = (explain(f, images, engine="callable") for f in (copying, in_place))
    np.testing.assert_array_equal(found.relevance["prob"], wanted.relevance["prob"])
    np.testing.assert_array_equal(images, before)
    np.testing.assert_array_equal(found.image, images[0])


def test_callables_have_names_for_their_classes(images):
    result = explain(
        lambda x: {"age": x.mean((1, 2))[:, :2], "kind": x.mean((1, 2))},
        images,
        engine="callable",
        outputs={"age": "sigmoid", "kind": "values"},
        labels={"age": ["young", "old"], "kind": {2: "fox", 1: "dog", 0: "cat"}},
        layers=("age", "kind"),
        classes=1,
    )
    ages, kinds = images[0].mean((0, 1))[:2], images[0].mean((0, 1))
    assert result.names["age"] == (("young", "old")[int(ages.argmax())],)
    assert result.names["kind"] == (("cat", "dog", "fox")[int(kinds.argmax())],)
    assert result.settings["outputs"] == {"age": "sigmoid", "kind": "values"}


@pytest.mark.parametrize("argument", ["outputs", "labels"])
def test_classifiers_say_themselves_what_they_hold(net, images, argument):
    with refused(argument):
        explain(net, images, **{argument: "softmax"})


def test_layers_as_wide_as_the_classes_are_hidden_unless_declared(images):
    def f(_, x):
        pooled = x.mean((1, 2))
        return {"hidden": pooled, "prob": jax.nn.softmax(pooled * 3)}

    net = pdjax.Classifier.from_function(f, None, image_size=SIDE, labels=("a", "b", "c"))
    result = explain(net, images, layers=("hidden", "prob"), classes=["b"])
    assert result.names == {"hidden": ("0", "1", "2"), "prob": ("b",)}


def test_spatial_outputs_are_explained_by_feature_maps(images):
    net = pdjax.Classifier.from_function(
        lambda _, x: x[:, ::2] * 2, None, image_size=SIDE, probabilities=()
    )
    assert explain(net, images).names == {"output": ("0", "1", "2")}
    with refused("classes"):
        explain(net, images, classes=2)


@pytest.mark.parametrize("engine", ["dense", "callable"])
def test_half_precision_is_averaged_in_float32(images, engine, tmp_path):
    def half(x):
        return jax.nn.softmax(x.mean((1, 2)) * 3).astype(jnp.bfloat16)

    net = pdjax.Classifier.from_function(lambda _, x: half(x), None, image_size=SIDE)
    result = explain(half if engine == "callable" else net, images, engine=engine)
    assert all(values.dtype == np.float32 for values in result.relevance.values())
    result.save(tmp_path / "half.npz")
    loaded = pdjax.Explanation.load(tmp_path / "half.npz")
    np.testing.assert_array_equal(loaded.relevance["prob"], result.relevance["prob"])


@pytest.mark.parametrize("engine", ["local", "callable"])
def test_probabilities_of_exactly_0_and_1_come_with_a_word(images, engine):
    def votes(x):
        share = (x[:, 4:7, 4:7].mean((1, 2, 3)) > 0.5).astype(x.dtype)
        return jnp.stack([share, 1 - share], -1)

    net = pdjax.Classifier.from_function(lambda _, x: votes(x), None, image_size=SIDE)
    options: dict = {"sampler": pdjax.Constant(0.0, window=3), "num_samples": 1}
    options["engine"] = engine
    with pytest.warns(UserWarning, match="probability_difference"):
        result = explain(votes if engine == "callable" else net, images, **options)
    # Each of the two logarithms ends at half the spacing of float32 below one, 2**-25.
    assert np.abs(result.window_relevance["prob"]).max() <= 50
    explain(
        votes if engine == "callable" else net, images, measure="probability_difference", **options
    )


def test_without_lowerings_the_image_itself_is_seen_as_the_function_sees_it(net, images):
    plain = jax.jit(network)(net.params, images[:1])
    explanation = explain(net, images, layers=ALL, classes=[2, 0], lowerings=False)
    for layer in ("scores", "prob"):
        expected = np.asarray(plain[layer])[0, [2, 0]]
        # Batches of two are compiled otherwise than one image: the last bits may differ.
        np.testing.assert_allclose(explanation.prediction[layer], expected, rtol=1e-6)
    tuned = explain(net, images, layers=ALL, classes=[2, 0])
    np.testing.assert_allclose(
        tuned.prediction["scores"], explanation.prediction["scores"], rtol=1e-5
    )
