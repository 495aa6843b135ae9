"""What pdjax compiles, exported for accelerators that need not be there: nothing they lack.

Exported programs are only written down, so this takes no device; what they may hold besides plain
operations is listed below.
"""

from __future__ import annotations

import functools
import re
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.gaussian_reference import JITTERED, smooth, statistics
from helpers.mixture_reference import mixture

import pdjax
from pdjax import _devices
from pdjax._explain import target, workers
from pdjax._explain.request import Request
from pdjax._precision import AtPrecision
from pdjax.local.evaluating import evaluate
from pdjax.method.maps import relevance_maps
from pdjax.method.marginalize import Design, draw, first_draws
from pdjax.method.schemes import Scheme
from pdjax.method.windows import WindowGrid
from pdjax.models import NETWORKS

PLATFORMS = {"tpu": "tpu", "cuda": "gpu"}
"""What JAX calls them where it exports, and what a device says that it is."""

ALLOWED = {
    "Sharding",  # where arrays lie, which every compiler knows,
    "SPMDFullToShardShape",
    "SPMDShardToFullShape",
    "mhlo.topk",  # an operation of XLA itself,
    "cu_threefry2x32_ffi",  # and the random numbers of JAX on GPUs.
}
IMAGE = jnp.asarray(smooth(12, 13, 3), jnp.float32)
KEY = jax.random.key(0)
# What JAX notes of arguments fills samplers as well, and is no array.
pytestmark = pytest.mark.usefixtures("untyped")


@pytest.fixture(params=PLATFORMS)
def platform(request, monkeypatch) -> str:
    """Let pdjax plan for a device of this kind."""
    device = types.SimpleNamespace(platform=PLATFORMS[request.param], memory_stats=lambda: None)
    monkeypatch.setattr(_devices, "default_device", lambda: device)
    return request.param


def network():
    """A function of its own each time, so that nothing is kept that was planned elsewhere."""

    def f(params, images):
        layout = ("NHWC", "HWIO", "NHWC")
        hidden = jax.lax.conv_general_dilated(
            images, params["kernel"], (1, 1), "SAME", dimension_numbers=layout
        )
        return jax.nn.softmax(jax.nn.relu(hidden).mean((1, 2)) @ params["matrix"])

    return f


PARAMS = {
    "kernel": jnp.asarray(np.random.default_rng(0).random((3, 3, 3, 8), np.float32)),
    "matrix": jnp.asarray(np.random.default_rng(1).random((8, 4), np.float32)),
}


def exported(f, *arguments, platforms, **named) -> str:
    """Return the program that is made of a compiled function, and look for what must not be."""
    text = jax.export.export(f, platforms=platforms)(*arguments, **named).mlir_module()
    assert "f64" not in text
    assert "callback" not in text
    assert set(re.findall(r"custom_call @([\w.]+)", text)) <= ALLOWED
    return text


def products(text: str) -> list[str]:
    """What the products of a program ask for, the operands of each together."""
    lines = re.findall(r".*stablehlo\.(?:dot_general|convolution)\b.*", text)
    # What is left out is the default.
    found = [sorted(set(re.findall(r"DEFAULT|HIGHEST|HIGH", line))) for line in lines]
    return ["/".join(each or ["DEFAULT"]) for each in found]


SAMPLERS = {
    "joint": lambda: JITTERED(statistics(2), 3),
    "independent": lambda: JITTERED(statistics(2), 3, color="independent"),
    "mixture": lambda: pdjax.ConditionalMixture(mixture(2), 3),
    "marginal": lambda: pdjax.Marginal(np.stack([smooth(12, 13, 3, seed=s) for s in range(4)]), 3),
    "constant": lambda: pdjax.Constant(0.5, 3),
    "mean": lambda: pdjax.ImageMean(3),
    "blur": lambda: pdjax.Blur(3),
}


EACH = [*((name, "independent") for name in SAMPLERS), ("joint", "sobol")]


@pytest.mark.parametrize(("name", "sampling"), EACH)
def test_samplers(name: str, sampling: str) -> None:
    design = Design(WindowGrid((12, 13), (3, 3), 3), Scheme(sampling, 4))
    drawn = jax.jit(functools.partial(draw, design=design))
    rows = first_draws(np.arange(4))
    text = exported(drawn, IMAGE, SAMPLERS[name](), KEY, rows, platforms=tuple(PLATFORMS))
    assert set(products(text)) <= {"HIGHEST"}


@pytest.mark.parametrize("engine", ["local", "dense"])
def test_what_explain_compiles(platform: str, engine: str) -> None:
    net = pdjax.Classifier.from_function(network(), PARAMS, image_size=(12, 13))
    sampler = SAMPLERS["joint"]()
    request = Request(net, IMAGE, sampler, rng_key=KEY, num_samples=2, stride=3, engine=engine)
    found = target.Target.of(request)
    design = workers.design_of(request, found)
    worker = workers._JaxWorker(request, found, design, request.how)
    rows = first_draws(np.arange(worker.draws))
    scene = (found.field, sampler, KEY)
    run = (design, 1, worker.evaluation, found.inputs, workers._Scene(*scene), rows)
    text = exported(workers._moments, *run, platforms=(platform,))
    assert len(products(text)) > 3
    assert set(products(text)) == {"HIGHEST"}

    predict = found.readings.predict
    first = (predict, net.params, IMAGE, ("prob",), True)
    assert set(products(exported(target._reference, *first, platforms=(platform,)))) == {"HIGHEST"}
    moments = jax.tree.map(
        lambda a: jnp.zeros((design.grid.size, *a.shape[1:]), a.dtype),
        jax.eval_shape(workers._moments, *run),
    )
    counts = jnp.full(design.grid.size, 2)
    maps = functools.partial(relevance_maps, grid=design.grid, readouts=found.readings.readouts)
    exported(jax.jit(maps), found.reference, moments, counts, platforms=(platform,))


@pytest.mark.parametrize("precision", ["highest", "high", "default"])
def test_the_core_and_local_evaluation(platform: str, precision: str) -> None:
    f, settings = network(), {"num_samples": 2, "stride": 3}
    core = functools.partial(pdjax.prediction_difference, f, precision=precision, **settings)
    sampler = SAMPLERS["mixture"]()
    text = exported(jax.jit(core), PARAMS, IMAGE, sampler, rng_key=KEY, platforms=(platform,))
    assert set(products(text)) == {"HIGHEST", precision.upper()}

    @jax.jit
    def local(params, image, origins, patches):
        record = pdjax.local.record(f, params, image, 3, precision=precision)
        return evaluate(record, params, origins, patches)

    some = jnp.zeros((5, 2), jnp.int32), jnp.zeros((5, 3, 3, 3))
    text = exported(local, PARAMS, IMAGE, *some, platforms=(platform,))
    assert set(products(text)) == {precision.upper()}


@pytest.mark.parametrize("network", NETWORKS.values(), ids=lambda network: network.name)
def test_published_networks(network) -> None:
    net = network.with_params({})
    f = AtPrecision(functools.partial(net.predict, capture=net.layers[-1:]), "high")
    images = jax.ShapeDtypeStruct((2, *net.image_shape), jnp.float32)
    text = exported(jax.jit(f), network.param_shapes, images, platforms=tuple(PLATFORMS))
    assert set(products(text)) == {"HIGH"}


@pytest.mark.parametrize("platform", ["tpu"], indirect=True)
def test_the_local_engine_on_a_published_network(platform: str) -> None:
    network = NETWORKS["efficientnet_lite0"]
    net = network.with_params({})
    f = functools.partial(net.predict, capture=net.layers[-1:])
    core = functools.partial(pdjax.prediction_difference, f, num_samples=1, stride=10)
    image = jax.ShapeDtypeStruct(net.image_shape, jnp.float32)
    sampler = pdjax.Constant(0.5, window=10)
    explained = jax.jit(core)
    text = exported(
        explained, network.param_shapes, image, sampler, rng_key=KEY, platforms=(platform,)
    )
    assert len(products(text)) > len(net.layers)
    assert set(products(text)) == {"HIGHEST"}
