"""Networks from a hidden layer onwards, however their functions are wrapped."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pdjax
from pdjax._checks import ArgumentError
from pdjax.jaxprs.cut import FromLayer
from pdjax.method.marginalize import marginalize

SIDE, HIDDEN, CLASSES = 6, 4, 3
RNG = np.random.default_rng(0)
PARAMS = {
    "first": jnp.asarray(RNG.standard_normal((3, HIDDEN)), jnp.float32),
    "second": jnp.asarray(RNG.standard_normal((HIDDEN, HIDDEN)), jnp.float32),
    "dense": jnp.asarray(RNG.standard_normal((HIDDEN + 3, CLASSES)), jnp.float32),
}
IMAGE = jnp.asarray(RNG.random((SIDE, SIDE, 3)), jnp.float32)
ACTIVATIONS = jnp.asarray(RNG.standard_normal((5, SIDE, SIDE, HIDDEN)), jnp.float32)
CAPTURE = ("second", "prob")


@jax.custom_jvp
def rectified(x: jax.Array) -> jax.Array:
    return jnp.maximum(x, 0)


rectified.defjvp(lambda primals, tangents: (rectified(*primals), tangents[0]))


@jax.custom_vjp
def squashed(x: jax.Array) -> jax.Array:
    return jnp.tanh(x)


squashed.defvjp(lambda x: (jnp.tanh(x), x), lambda _, t: (t,))


def head(params: Any, images: jax.Array) -> jax.Array:
    return rectified(images @ params["first"])


def middle(params: Any, hidden: jax.Array) -> jax.Array:
    return squashed(hidden @ params["second"])


def tail(params: Any, second: jax.Array, images: jax.Array) -> jax.Array:
    """Scores of a layer, and of the image itself on another way."""
    both = jnp.concatenate([second, images], -1).mean((1, 2))
    return jax.nn.softmax(both @ params["dense"])


def layers(params: Any, images: jax.Array, wrap: Callable = lambda f: f) -> dict[str, jax.Array]:
    hidden = wrap(head)(params, images)
    second = wrap(middle)(params, hidden)
    return {
        "input": images,
        "side": jnp.cos(images),
        "hidden": hidden,
        "twin": hidden,
        "second": second,
        "prob": wrap(tail)(params, second, images),
    }


def captured(network: Callable, params: Any, images: jax.Array, capture: Any) -> Any:
    outputs = network(params, images)
    return {name: outputs[name] for name in capture}


def inner_start(params: Any, images: jax.Array) -> dict[str, jax.Array]:
    """The start is made in the middle of a compiled call, whose end goes on from it."""

    @jax.jit
    def some(params: Any, images: jax.Array) -> tuple[jax.Array, jax.Array]:
        hidden = jax.jit(head)(params, images)
        return hidden, middle(params, hidden)

    hidden, second = some(params, images)
    return layers(params, images) | {
        "hidden": hidden,
        "second": second,
        "prob": tail(params, second, images),
    }


NETWORKS: dict[str, Callable] = {
    "plain": functools.partial(captured, layers),
    "jit": jax.jit(functools.partial(captured, layers), static_argnums=2),
    "jit of every layer": jax.jit(
        functools.partial(captured, functools.partial(layers, wrap=jax.jit)), static_argnums=2
    ),
    "start inside a jit": functools.partial(captured, inner_start),
    "checkpoint": functools.partial(captured, jax.checkpoint(layers)),
    "checkpoint of every layer": functools.partial(
        captured, functools.partial(layers, wrap=jax.checkpoint)
    ),
    "checkpoint in jit": jax.jit(
        functools.partial(captured, jax.checkpoint(layers)), static_argnums=2
    ),
}


def expected(activations: jax.Array) -> dict[str, jax.Array]:
    second = middle(PARAMS, activations)
    images = jnp.broadcast_to(IMAGE, (len(activations), *IMAGE.shape))
    return {"second": second, "prob": tail(PARAMS, second, images)}


@pytest.mark.parametrize("name", NETWORKS)
def test_later_layers_follow_from_the_activations(name: str) -> None:
    outputs = FromLayer(NETWORKS[name], "hidden")((PARAMS, IMAGE), ACTIVATIONS, CAPTURE)
    assert tuple(outputs) == CAPTURE
    for layer, values in expected(ACTIVATIONS).items():
        np.testing.assert_allclose(outputs[layer], values, atol=1e-6)


FIELD = head(PARAMS, IMAGE)
SAMPLER = pdjax.Marginal(ACTIVATIONS, window=2, bounds=None)
WINDOW = (2, 1)
"""Where the window is that is looked at, of 2 by 2 entries."""


def without_the_window() -> dict[str, jax.Array]:
    """The layers, averaged over what other activations have in the window."""
    contents = ACTIVATIONS[:, 2:4, 1:3]
    changed = jnp.broadcast_to(FIELD, (5, *FIELD.shape)).at[:, 2:4, 1:3].set(contents)
    return {layer: values.mean(0) for layer, values in expected(changed).items()}


@pytest.mark.parametrize("engine", ["local", "dense"])
def test_windows_of_a_hidden_layer_are_marginalised(engine: str) -> None:
    rest = FromLayer(NETWORKS["start inside a jit"], "hidden")

    def f(params: Any, hidden: jax.Array) -> dict[str, jax.Array]:
        return rest(params, hidden, CAPTURE)

    settings = {"rng_key": jax.random.key(0), "num_samples": 5, "engine": engine}
    run = jax.jit(lambda params, field: marginalize(f, params, field, SAMPLER, **settings))
    mean = run((PARAMS, IMAGE), FIELD).mean
    for layer, values in without_the_window().items():
        found = mean[layer].reshape(SIDE - 1, SIDE - 1, *values.shape)[WINDOW]
        np.testing.assert_allclose(found, values, atol=1e-5)


@pytest.mark.parametrize("engine", ["local", "dense"])
@pytest.mark.parametrize("name", ["jit", "checkpoint in jit"])
def test_windows_of_a_hidden_layer_are_explained(name: str, engine: str) -> None:
    labels = tuple(map(str, range(CLASSES)))
    net = pdjax.Classifier(
        name, NETWORKS[name], PARAMS, SIDE, ("hidden", "side", *CAPTURE), labels, ("prob",)
    )
    explanation = pdjax.explain(
        net,
        np.asarray(IMAGE),
        SAMPLER,
        rng_key=jax.random.key(0),
        num_samples=5,
        start="hidden",
        layers=CAPTURE,
        classes=CLASSES,
        engine=engine,
        bias_correction=False,
        progress=False,
    )
    plain, without = expected(FIELD[None]), without_the_window()
    difference = (plain["second"][0] - without["second"]).mean((0, 1))
    found = explanation.window_relevance["second"][:, *WINDOW]
    np.testing.assert_allclose(found, difference, atol=1e-5)
    evidence = pdjax.weight_of_evidence(plain["prob"][0], without["prob"])
    found = explanation.window_relevance["prob"][:, *WINDOW]
    order = np.array(explanation.settings["classes"])
    np.testing.assert_allclose(found, evidence[order], atol=1e-4)


class Linen(nn.Module):
    """A module whose blocks are compiled, and computed again for gradients."""

    @nn.compact
    def __call__(self, images: jax.Array, capture: Any) -> dict[str, jax.Array]:
        hidden = nn.jit(nn.Dense)(HIDDEN, name="first")(images)
        second = nn.tanh(nn.remat(nn.Dense)(HIDDEN, name="second")(hidden))
        outputs = {
            "hidden": hidden,
            "second": second,
            "prob": nn.softmax(nn.jit(nn.remat(nn.Dense))(CLASSES)(second.mean((1, 2)))),
        }
        return {name: outputs[name] for name in capture}


def test_a_linen_module_of_compiled_blocks() -> None:
    module = Linen()
    params = jax.jit(module.init, static_argnums=2)(jax.random.key(0), IMAGE[None], CAPTURE)
    run = jax.jit(FromLayer(module.apply, "hidden"), static_argnums=2)
    whole = jax.jit(module.apply, static_argnums=2)(params, IMAGE[None], ("hidden", *CAPTURE))
    for layer, values in run((params, IMAGE), whole["hidden"], CAPTURE).items():
        np.testing.assert_allclose(values, whole[layer], atol=1e-6)
    second = params["params"]["second"]
    changed = jnp.tanh(ACTIVATIONS @ second["kernel"] + second["bias"].reshape(1, 1, 1, -1))
    outputs = run((params, IMAGE), ACTIVATIONS, ("second",))
    np.testing.assert_allclose(outputs["second"], changed, atol=1e-6)


@pytest.mark.parametrize("name", ["plain", "jit", "start inside a jit"])
def test_a_layer_that_holds_the_same_value(name: str) -> None:
    for start, layer in (("hidden", "hidden"), ("hidden", "twin"), ("twin", "hidden")):
        if name == "start inside a jit" and start != layer:
            continue  # there it is computed twice
        outputs = FromLayer(NETWORKS[name], start)((PARAMS, IMAGE), ACTIVATIONS, (layer,))
        np.testing.assert_array_equal(outputs[layer], ACTIVATIONS)


def test_the_image_itself_as_a_layer() -> None:
    images = jnp.asarray(RNG.random((2, *IMAGE.shape)), jnp.float32)
    outputs = FromLayer(NETWORKS["jit"], "input")((PARAMS, IMAGE), images, ("side", "prob"))
    wanted = layers(PARAMS, images)
    for layer, values in outputs.items():
        np.testing.assert_allclose(values, wanted[layer], atol=1e-6)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("layer", ["side", "input"])
def test_a_layer_that_does_not_depend_on_the_start(name: str, layer: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        FromLayer(NETWORKS[name], "hidden")((PARAMS, IMAGE), ACTIVATIONS, ("prob", layer))
    assert caught.value.argument == "layers"


def test_what_comes_before_the_start_is_not_computed() -> None:
    rest = FromLayer(NETWORKS["jit"], "hidden")
    program = str(jax.make_jaxpr(lambda a: rest((PARAMS, IMAGE), a, CAPTURE))(ACTIVATIONS))
    assert program.count("dot_general") == 2  # of three


def test_equal_cuts_are_one_static_argument() -> None:
    one, other = (FromLayer(NETWORKS["jit"], "hidden") for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)
    assert one != FromLayer(NETWORKS["jit"], "second")
