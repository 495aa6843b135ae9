"""The precision of products: where it is asked for, and that rounding cancels in relevance."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.own_contents import OwnContents
from helpers.refusals import refused

import pdjax
from pdjax._caption import caption_of
from pdjax._precision import PRECISIONS, AtPrecision
from pdjax.jaxprs.program import trace

IMAGE = np.random.default_rng(0).random((16, 16, 3), np.float32)
KERNELS = jnp.asarray(np.random.default_rng(1).standard_normal((2, 3, 3, 3, 3)) / 4, jnp.float32)


@jax.jit
def convolved(images, kernel):
    layout = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(images, kernel, (1, 1), "SAME", dimension_numbers=layout)


def rounded(x):
    return jax.lax.reduce_precision(x, exponent_bits=8, mantissa_bits=7)


def network(kernels, images):
    """Products in a call that is compiled by itself, in a loop, and in the open."""
    hidden = jax.nn.relu(convolved(rounded(images), rounded(kernels[0])))
    hidden, _ = jax.lax.scan(lambda x, k: (convolved(rounded(x), k), None), hidden, kernels[1:])
    scores = hidden.mean((1, 2)) @ kernels[0, 0, 0]
    return {"hidden": hidden, "prob": jax.nn.softmax(3 * scores)}


NET = pdjax.Classifier.from_function(network, KERNELS, image_size=16, name="three products")


def precisions(program) -> set[object]:
    """What the products of a program ask for, those of loops included."""
    inner = [step.params["jaxpr"] for step in program.steps if step.name == "scan"]
    loops = [trace(jax.extend.core.jaxpr_as_fun(each), *each.in_avals).program for each in inner]
    own = {step.params["precision"] for step in program.steps if "precision" in step.params}
    return own.union(*map(precisions, loops))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_record_has_the_precision_that_is_asked_for(precision: str) -> None:
    jax.jit(network)(KERNELS, IMAGE[None])  # Compiled before, with what JAX does by itself.
    record = pdjax.local.record(network, KERNELS, jnp.asarray(IMAGE), 4, precision=precision)
    wanted = jax.lax.Precision[precision.upper()]
    assert precisions(record.static.schedule.plan.program) == {(wanted, wanted)}


def test_the_innermost_precision_counts_and_a_network_may_have_its_own() -> None:
    product = AtPrecision(AtPrecision(jnp.dot, "default"), "highest")
    own = AtPrecision(functools.partial(jnp.dot, precision="high"), "highest")
    for f, wanted in ((product, "DEFAULT"), (own, "HIGH")):
        (step,) = trace(f, jnp.ones(2), jnp.ones(2)).program.steps
        assert step.params["precision"][0].name == wanted


def explained(**settings):
    defaults = {"rng_key": jax.random.key(0), "stride": 3, "classes": 2}
    return pdjax.explain(NET, IMAGE, OwnContents((4, 4)), **defaults | settings)


REGIONS = np.arange(16)[:, None] // 8 * 2 + np.arange(16) // 8


@pytest.mark.filterwarnings("error::UserWarning")
@pytest.mark.parametrize("engine", ["local", "dense"])
@pytest.mark.parametrize(
    "settings",
    [{}, {"channels": [0, 2]}, {"where": np.s_[:5, :5]}, {"layers": ("hidden", "prob")}],
    ids=["windows", "channels", "part", "hidden layer"],
)
def test_a_window_with_its_own_contents_has_no_relevance(engine: str, settings) -> None:
    found = explained(engine=engine, precision="default", **settings)
    for values in (*found.relevance.values(), *found.layer_relevance.values()):
        assert np.nanmax(np.abs(values)) == 0
    count = len(settings.get("channels", [0])) + 1
    assert found.settings["passes"] % count == 1


def test_regions_are_compared_with_themselves() -> None:
    plain, coarse = (
        pdjax.explain(
            NET,
            IMAGE,
            pdjax.Constant(0.5, 4),
            rng_key=jax.random.key(0),
            regions=REGIONS,
            precision=precision,
        )
        for precision in ("highest", "default")
    )
    np.testing.assert_allclose(coarse.relevance["prob"], plain.relevance["prob"], atol=0.05)
    assert coarse.settings["passes"] == 2 * plain.settings["passes"] - 1


def test_draws_of_a_budget_are_pooled_with_their_reference() -> None:
    settings = {"rng_key": jax.random.key(0), "num_samples": 2, "stride": 4, "max_passes": 150}
    sampler = pdjax.ConditionalGaussian(pdjax.PatchStatistics.natural_images(), 4)
    found = pdjax.explain(NET, IMAGE, sampler, precision="default", **settings)
    assert found.settings["most_samples"] > 2
    assert found.settings["passes"] <= 150
    assert np.isfinite(found.relevance["prob"]).all()


def test_the_core_does_the_same() -> None:
    sampler, key = OwnContents((4, 4)), jax.random.key(0)
    core = functools.partial(
        pdjax.prediction_difference, network, num_samples=1, stride=3, precision="high"
    )
    for options in ({}, {"where": np.s_[:5, :5]}):
        maps = jax.jit(functools.partial(core, **options))(KERNELS, IMAGE, sampler, rng_key=key)
        assert jnp.nanmax(jnp.abs(maps.relevance["prob"])) == 0


def test_explanations_say_it_where_it_is_not_the_default() -> None:
    highest, high = explained(), explained(precision="high")
    assert highest.settings["precision"] == "highest"
    assert "precision" not in caption_of(highest.settings)
    assert "with products in high precision" in caption_of(high.settings)


def test_a_checkpoint_belongs_to_one_precision(tmp_path) -> None:
    path = tmp_path / "run.npz"
    explained(checkpoint=path, precision="high")
    explained(checkpoint=path, precision="high")
    with refused("checkpoint") as caught:
        explained(checkpoint=path)
    assert "precision" in caught.value.problem


def test_what_is_refused() -> None:
    with refused("precision"):
        explained(precision="bfloat16")
    with refused("precision"):
        pdjax.explain(
            lambda images: np.ones((len(images), 2)) / 2,
            IMAGE,
            pdjax.Constant(0.5, 4),
            rng_key=jax.random.key(0),
            engine="callable",
            precision="high",
        )
