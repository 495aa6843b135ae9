"""Explaining an image: against published numbers, interrupted, saved, and with bad inputs."""

from __future__ import annotations

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pdjax import Classifier, Constant, Explanation, Marginal, explain, prediction_difference

KEY = jax.random.key(0)


def classifier(params, images):
    w1, b1, w2, b2 = params
    dot = functools.partial(jnp.matmul, precision="highest")
    hidden = jnp.tanh(dot(images.reshape(len(images), -1), w1) + b1[None])
    return jax.nn.softmax(dot(hidden, w2) + b2[None])


@pytest.fixture(scope="module")
def published(shared: Path) -> dict[str, np.ndarray]:
    with np.load(shared / "expected" / "marginal_small.npz") as arrays:
        return dict(arrays)


def maps_of(data, route: str):
    dtype = jax.dtypes.canonicalize_dtype(np.float64)
    params = tuple(jnp.asarray(data[name], dtype) for name in ("W1", "b1", "W2", "b2"))
    image = jnp.asarray(data["image"], dtype)
    sampler = Marginal(data["images"], int(data["window"]))
    # The authors take the logarithm of the mean as it is.
    settings = {"num_samples": int(data["num_samples"]), "rng_key": KEY, "bias_correction": False}
    count = int(data["num_training_images"])
    if route == "prediction_difference":
        run = functools.partial(
            prediction_difference, classifier, num_training_images=count, num_samples=10,
            bias_correction=False,
        )  # fmt: skip
        return jax.jit(run)(params, image, sampler, rng_key=KEY)
    net = Classifier.from_function(
        classifier, params, image_size=24, num_training_images=count, name="small"
    )
    return explain(net, image, sampler, classes=list(range(7)), engine=route, **settings)


def in_numpy(data) -> tuple[np.ndarray, np.ndarray]:
    """The algorithm written out in double precision."""
    w1, b1, w2, b2 = (data[name] for name in ("W1", "b1", "W2", "b2"))

    def log_odds(p):
        n, k = int(data["num_training_images"]), p.shape[-1]
        p = (p * n + 1) / (n + k)
        return np.log2(p / (1 - p))

    def network(images):
        scores = np.tanh(images.reshape(len(images), -1) @ w1 + b1) @ w2 + b2
        powers = np.exp(scores - scores.max(-1, keepdims=True))
        return powers / powers.sum(-1, keepdims=True)

    image, others = data["image"].astype(np.float64), data["images"].astype(np.float64)
    windows, total = np.zeros((7, 20, 20)), np.zeros((7, 24, 24))
    count = np.zeros((24, 24))
    for y, x in np.ndindex(20, 20):
        box = (slice(y, y + 5), slice(x, x + 5))
        images = np.repeat(image[None], 10, 0)
        images[(slice(None), *box)] = others[(slice(10), *box)]
        value = log_odds(network(image[None])[0]) - log_odds(network(images).mean(0))
        windows[:, y, x] = value
        total[(slice(None), *box)] += value[:, None, None]
        count[box] += 1
    return windows, total / count


@pytest.mark.parametrize("route", ["dense", "callable", "prediction_difference"])
def test_published_numbers_in_single_precision(published, route) -> None:
    maps = maps_of(published, route)
    assert maps.relevance["prob"].dtype == np.float32
    windows = maps.window_relevance["prob"]
    np.testing.assert_allclose(windows, published["window_relevance"], atol=1e-4)
    np.testing.assert_allclose(maps.relevance["prob"], published["exact"], atol=1e-4)
    # The authors' code keeps its map in float16: half a unit in the last of 11 digits.
    valid = published["published_valid"]
    difference = maps.relevance["prob"][:, valid] - published["published"][:, valid]
    bound = 2.0**-11 * np.abs(published["published"][:, valid]) + 1e-5
    assert (np.abs(difference) <= bound).all()


@pytest.mark.parametrize("route", ["dense", "callable", "prediction_difference"])
def test_published_numbers_in_double_precision(x64, published, route) -> None:
    maps = maps_of(published, route)
    assert maps.relevance["prob"].dtype == np.float64
    windows, pixels = in_numpy(published)
    np.testing.assert_allclose(maps.window_relevance["prob"], windows, atol=1e-9)
    np.testing.assert_allclose(maps.relevance["prob"], pixels, atol=1e-9)
    # The images of the file were rounded to float32 after its maps had been made, which moves
    # them by up to 4e-7 bits.
    expected = published["window_relevance"]
    np.testing.assert_allclose(maps.window_relevance["prob"], expected, atol=1e-6)
    np.testing.assert_allclose(maps.relevance["prob"], published["exact"], atol=1e-6)


LABELS = ("tabby, tabby cat", "crane, bird", "crane, machine", "Egyptian cat", "fox")
IMAGE = np.random.default_rng(0).random((10, 8, 3), np.float32)
PARAMS = jnp.array(np.random.default_rng(1).standard_normal((240, 5)), jnp.float32)
OTHERS = np.random.default_rng(2).random((6, 10, 8, 3), np.float32)


def network(params, images):
    scores = jnp.matmul(images.reshape(len(images), -1), params, precision="highest")
    return {"features": images[:, ::2, ::2], "scores": scores, "prob": jax.nn.softmax(scores)}


def run(**options) -> Explanation:
    net = Classifier.from_function(
        options.pop("f", network),
        options.pop("params", PARAMS),
        image_size=(10, 8),
        labels=LABELS,
        probabilities=options.pop("probabilities", ("prob",)),
    )
    defaults = {
        "net": net, "image": IMAGE, "sampler": Marginal(OTHERS, 3), "rng_key": KEY,
        "num_samples": 4,
    }  # fmt: skip
    return explain(**defaults | options)


def test_layers_are_measured_by_what_they_hold() -> None:
    result = run(layers=("features", "scores", "prob"), classes=["fox"])
    assert result.layers == ("features", "scores", "prob")
    assert {layer: len(result.relevance[layer]) for layer in result.layers} == {
        "features": 3, "scores": 1, "prob": 1,
    }  # fmt: skip
    assert result.names == {"features": ("0", "1", "2"), "scores": ("fox",), "prob": ("fox",)}
    assert result.measures["prob"] == "weight of evidence (bits)"
    assert result.measures["scores"] == result.measures["features"] == "activation difference"
    outputs = network(PARAMS, IMAGE[None])
    np.testing.assert_allclose(result.prediction["scores"], outputs["scores"][0, 4:], rtol=1e-5)
    hidden = np.repeat(IMAGE[None], 4, 0)
    hidden[:, 2:5, 4:7] = OTHERS[:4, 2:5, 4:7]
    changed = network(PARAMS, hidden)
    spatial = outputs["features"].mean((0, 1, 2)) - changed["features"].mean((0, 1, 2))
    np.testing.assert_allclose(result.window_relevance["features"][:, 2, 4], spatial, atol=1e-6)
    score = np.asarray(outputs["scores"] - changed["scores"])[:, 4]
    np.testing.assert_allclose(result.window_relevance["scores"][0, 2, 4], score.mean(), atol=1e-5)
    error = np.std(score, ddof=1) / 2 / 0.921318  # the mean of a root of 3 degrees of freedom
    found = result.window_standard_error["scores"][0, 2, 4]
    assert found == pytest.approx(error, rel=1e-4)


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        ([3, 0], (3, 0)),
        (["fox"], (4,)),
        ("fox", (4,)),
        (["Tabby Cat", 1], (0, 1)),
        (["tabby, tabby cat", "tabby", 0], (0,)),
        (["machine", "egyptian cat"], (2, 3)),
        (2, None),
        (5, None),
    ],
    ids=str,
)
def test_classes_by_index_name_synonym_and_score(classes, expected) -> None:
    if expected is None:
        order = np.argsort(-np.asarray(network(PARAMS, IMAGE[None])["scores"][0]))
        expected = tuple(order[:classes].tolist())
    result = run(classes=classes, stride=3)
    assert result.settings["classes"] == list(expected)
    assert result.names["prob"] == tuple(LABELS[index] for index in expected)
    everything = run(classes=[0, 1, 2, 3, 4], stride=3).relevance["prob"]
    np.testing.assert_allclose(result.relevance["prob"], everything[list(expected)], atol=1e-6)


def test_a_callable_of_numpy_arrays_needs_no_jax() -> None:
    def plain(images):
        assert type(images) is np.ndarray
        assert len(images) <= 7
        scores = images.reshape(len(images), -1) @ np.asarray(PARAMS)
        powers = np.exp(scores - scores.max(1, keepdims=True))
        return (powers / powers.sum(1, keepdims=True)).tolist()

    result = run(net=plain, engine="callable", batch_size=7, classes=[0, 4])
    expected = run(classes=[0, 4])
    np.testing.assert_allclose(result.relevance["prob"], expected.relevance["prob"], atol=1e-4)
    assert result.names["prob"] == ("0", "4")
    assert result.settings["model"] == "plain"


def test_classes_without_names_are_asked_for_by_index() -> None:
    def plain(images):
        return np.asarray(network(PARAMS, images)["prob"])

    with pytest.raises(ValueError, match=r"no class named 'tabby'; .* indices, from 0 to 4$"):
        run(net=plain, engine="callable", classes=["tabby"])


BAD = [
    ({"image": np.where(IMAGE > 0.9, np.nan, IMAGE)}, ValueError, r"image has NaN or infinite"),
    ({"image": IMAGE * 255}, ValueError, r"image has values from .* outside \[0, 1\]; scale"),
    ({"image": IMAGE - 1}, ValueError, r"image has values from -"),
    ({"image": (IMAGE * 255).astype(np.uint8)}, TypeError, r"image of dtype uint8 .* divide 8-bit"),
    ({"image": IMAGE[:8]}, ValueError, r"image of shape \(8, 8, 3\) does not fit custom.*load_im"),
    ({"image": IMAGE[..., :1]}, ValueError, r"image of shape \(10, 8, 1\) does not fit"),
    ({"image": IMAGE[:, 0, 0]}, ValueError, r"must be \(\*spatial, channels\)"),
    ({"classes": ["tiger"]}, ValueError, r"no class named 'tiger'; see the model's labels"),
    ({"classes": ["tabbi"]}, ValueError, r"no class named 'tabbi'; did you mean 'tabby'"),
    ({"classes": ["crane"]}, ValueError, r"'crane' stands for several .*1 \(crane, bird\); 2 "),
    ({"classes": [5]}, ValueError, r"there is no class 5; choose indices from 0 to 4"),
    ({"classes": [-1]}, ValueError, r"there is no class -1"),
    ({"sampler": "grey"}, TypeError, r"sampler='grey' is no sampler; give one such as pdjax.Cond"),
    (
        {"rng_key": 0},
        TypeError,
        r"rng_key=0 is no random key; .* jax.random.key\(0\)",
    ),
    ({"classes": [1.5]}, TypeError, r"1.5 is neither an index nor a name"),
    ({"classes": 0}, ValueError, r"classes=0 must be between 1 and 5"),
    ({"classes": 6}, ValueError, r"classes=6 must be between 1 and 5"),
    ({"classes": []}, ValueError, r"classes is empty"),
    ({"layers": ("score",)}, ValueError, r"no layer 'score'; did you mean 'scores'\? Layers: feat"),
    ({"engine": "quick"}, ValueError, r"engine='quick' is unknown; choose from .*callable"),
    ({"measure": "bits"}, ValueError, r"measure='bits' is unknown; choose from weight_of"),
    ({"num_samples": 0}, ValueError, r"num_samples=0 must be an int of at least 1"),
    ({"num_samples": 1}, ValueError, r"num_samples=1 leaves the standard error unknown; take 2"),
    ({"num_samples": 2.0}, ValueError, r"num_samples=2.0 must be an int"),
    ({"num_samples": 7}, ValueError, r"num_samples=7 is more than the 6 images"),
    ({"sampling": "halton"}, ValueError, r"sampling='halton' is unknown; .* sobol, antithetic"),
    ({"sampling": "sobol"}, ValueError, r"sampling='sobol' .* Marginal does not; use Conditional"),
    ({"batch_size": 0}, ValueError, r"batch_size=0 must be an int of at least 1"),
    ({"batch_size": 2.5}, ValueError, r"batch_size=2.5 must be an int"),
    ({"stride": 4}, ValueError, r"stride=4 is larger than the window"),
    ({"sampler": Constant(0.5, 9)}, ValueError, r"window=\(9, 9\) is larger than the image"),
    ({"sampler": Constant(0.5, (3,))}, ValueError, r"2 spatial axes but the sampler's window"),
    ({"sampler": Marginal(OTHERS[:, :9], 3)}, ValueError, r"differ from the image's"),
    ({"net": lambda images: images}, TypeError, r"is no Classifier; .* engine=\"callable\""),
    ({"net": lambda images: images[:, 0, 0, 0], "engine": "callable"}, ValueError, r"\(1,\) for"),
    ({"net": lambda images: 0.5, "engine": "callable"}, ValueError, r"has shape \(\) for one"),
    ({"params": PARAMS * jnp.nan, "layers": ("scores",)}, ValueError, r"'scores' .* NaN .* is"),
    ({"probabilities": ("prob", "scores"), "layers": ("scores",)}, ValueError, r"'scores' .* sums"),
]


@pytest.mark.parametrize(("options", "kind", "words"), BAD, ids=[words for *_, words in BAD])
def test_bad_inputs_are_named(untyped, options, kind, words) -> None:
    with pytest.raises(kind, match=words) as caught:
        run(**options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("engine", ["dense", "callable"])
def test_a_network_that_fails_on_a_hidden_window_is_stopped_and_named(engine) -> None:
    def fragile(params, images):
        outputs = network(params, images)
        gone = (images[:, 5, 5, 0] < 0.001).astype(images.dtype)[:, None]
        return outputs | {"scores": outputs["scores"] / (1 - gone)}

    options = {"sampler": Constant(0.0, 3), "engine": engine, "layers": ("prob", "scores")}
    with pytest.raises(ValueError, match=r"layer 'scores' .* NaN or infinite .* a window hidden"):
        run(f=fragile, **options)
    assert run(f=fragile, **options | {"layers": ("prob",)}).layers == ("prob",)
