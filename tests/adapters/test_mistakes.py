"""What people get wrong with models of other frameworks, each in one sentence."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from helpers.framework_networks import CASES, SIZE
from helpers.refusals import refused

import pdjax


@pytest.fixture(scope="module")
def linen():
    return CASES["linen"]()


BAD_FACTS = {
    "no size": ({"image_size": None}, "image_size"),
    "no kind": ({"outputs": None}, "outputs"),
    "no such kind": ({"outputs": "probabilities"}, "outputs"),
    "no such output": ({"outputs": {"scores": "logits", "more": "logits"}}, "outputs"),
    "too few labels": ({"labels": ["a", "b"]}, "labels"),
    "no such axis": ({"channel_axis": 4}, "channel_axis"),
    "the batch": ({"channel_axis": 0}, "channel_axis"),
    "other channels": ({"channels": 4}, "model"),
    "mean of two": ({"mean": (0.5, 0.5)}, "mean"),
    "no spread": ({"std": 0.0}, "std"),
    "two ways": ({"mean": 0.5, "preprocess": lambda x: x}, "preprocess"),
    "unknown argument": ({"arguments": {"dropout": False}}, "model"),
    "training": ({"arguments": {"train": True}}, "model"),
}


@pytest.mark.usefixtures("untyped")
def test_a_mean_in_words(linen):
    with refused("mean"):
        pdjax.wrap(
            linen.model, *linen.variables, image_size=SIZE, outputs="logits", mean="imagenet"
        )


@pytest.mark.parametrize("case", BAD_FACTS)
def test_facts_that_do_not_fit_are_named(linen, case):
    facts, argument = BAD_FACTS[case]
    with refused(argument):
        pdjax.wrap(
            linen.model, *linen.variables, **{"image_size": SIZE, "outputs": "logits", **facts}
        )


def test_missing_variables():
    case = CASES["linen"]()
    facts = {"image_size": SIZE, "outputs": "logits"}
    for variables in ((), (case.variables[0]["params"],), (case.variables[0], {})):
        with refused("variables"):
            pdjax.wrap(case.model, *variables, **facts)
    with refused("model"):
        pdjax.wrap(case.model, {"params": case.variables[0]["params"]}, **facts)


@pytest.mark.parametrize("name", ["nnx", "keras", "torch"])
def test_variables_that_a_model_holds_itself(name):
    case = CASES[name]()
    with refused("variables"):
        pdjax.wrap(case.model, {}, image_size=SIZE, outputs="logits")


@pytest.mark.parametrize("name", ["equinox", "haiku"])
def test_state_that_is_left_out(name):
    case = CASES[name]()
    with refused("variables"):
        pdjax.wrap(case.model, *case.variables[:-1], image_size=SIZE, outputs="logits")


def test_another_image_size():
    module = nn.Sequential([lambda x: x.reshape(x.shape[0], -1), nn.Dense(4)])
    variables = module.init(jax.random.key(0), jnp.zeros((1, 8, 8, 3)))
    pdjax.wrap(module, variables, image_size=8, outputs="logits")
    with refused("model"):
        pdjax.wrap(module, variables, image_size=9, outputs="logits")


def test_an_output_that_is_not_by_image():
    class Summed(nnx.Module):
        def __call__(self, images):
            return images.sum((0, 1, 2))

    with refused("model"):
        pdjax.wrap(Summed(), image_size=8, outputs="values")


def test_several_outputs_are_told_apart():
    class Heads(nnx.Module):
        def __call__(self, images):
            means = images.mean((1, 2))
            return {"color": means, "spread": images.std((1, 2))}

    facts = {"image_size": 8}
    with refused("outputs"):
        pdjax.wrap(Heads(), outputs="logits", **facts)
    net = pdjax.wrap(Heads(), outputs={"color": "logits", "spread": "values"}, **facts)
    assert net.outputs == {"color": "logits", "spread": "values"}


NO_MODELS = {
    "function": lambda params, images: images,
    "class": nn.Dense,
    "number": 3,
    "text": "resnet50",
    "other file": "weights.pth",
}


@pytest.mark.parametrize("model", NO_MODELS.values(), ids=NO_MODELS)
def test_what_is_no_model(model):
    with refused("model", TypeError):
        pdjax.wrap(model, image_size=8, outputs="logits")


def test_a_file_that_is_not_there():
    with refused("model", FileNotFoundError):
        pdjax.wrap("no/such.onnx")


def test_keras_that_is_not_built():
    keras = pytest.importorskip("keras", reason="keras is not installed")
    with refused("model"):
        pdjax.wrap(keras.Sequential([keras.layers.Dense(3)]), image_size=8, outputs="logits")


def test_what_keras_knows_need_not_be_said():
    keras = pytest.importorskip("keras", reason="keras is not installed")
    layers = [keras.Input((8, 6, 1)), keras.layers.Flatten(), keras.layers.Dense(2, "softmax")]
    net = pdjax.wrap(keras.Sequential(layers))
    assert net.image_shape == (8, 6, 1)
    assert net.outputs == {"prob": "softmax"}


def test_pytorch_that_jax_has_no_equal_of(recwarn):
    torch = pytest.importorskip("torch", reason="torch is not installed")

    class Sorted(torch.nn.Module):
        def forward(self, images):
            return torch.linalg.svdvals(images.mean(1))

    net = pdjax.wrap(Sorted(), image_size=8, outputs="values", name="values")
    (said,) = (warning for warning in recwarn if "engine='callable'" in str(warning.message))
    assert "stays with PyTorch" in str(said.message)
    image = np.random.default_rng(0).random((8, 8, 3), np.float32)
    explanation = pdjax.explain(
        net, image, pdjax.Constant(0.0, window=4), rng_key=jax.random.key(0), stride=4,
        engine="callable",
    )  # fmt: skip
    assert np.abs(explanation.relevance["output"]).max() > 0
