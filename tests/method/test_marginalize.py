"""Marginalising a function over windows: closed forms, and what the result must not depend on."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.gaussian_reference import closed_form, smooth, statistics
from helpers.refusals import refused

import pdjax
from pdjax import Classifier, ConditionalGaussian, Constant, WindowGrid, prediction_difference
from pdjax.method.marginalize import marginalize
from pdjax.method.windows import box_average

SHAPE = (8, 9, 3)
IMAGE = jnp.array(smooth(*SHAPE), jnp.float32)
KEY = jax.random.key(5)
WEIGHTS = (0.3 * np.random.default_rng(0).standard_normal((216, 4))).astype(np.float32)


@functools.cache
def gaussian(color: str = "joint") -> ConditionalGaussian:
    return ConditionalGaussian(statistics(2), 3, 1, color, clip=None, jitter=1e-6)


def linear(params, images):
    flat = images.reshape(len(images), -1)
    return jnp.matmul(flat, params, precision="highest")


def softmax(params, images):
    scores = linear(params, images)
    return {"scores": scores, "prob": jax.nn.softmax(scores)}


@pytest.mark.parametrize("color", ["joint", "independent"])
def test_a_linear_model_gives_the_conditional_mean(color) -> None:
    samples = 500
    run = jax.jit(functools.partial(marginalize, linear, num_samples=samples, stride=2))
    result = run(WEIGHTS, IMAGE, gaussian(color), rng_key=KEY)
    grid = WindowGrid(SHAPE[:2], 3, 2)
    origins = np.asarray(grid.origins(np.arange(grid.size)))
    assert result.mean.shape == result.variance.shape == (grid.size, 4)
    weights = np.reshape(WEIGHTS, (*SHAPE, 4)).astype(np.float64)
    image = np.asarray(IMAGE, np.float64)
    for index, (y, x) in enumerate(origins):
        box = (slice(y, y + 3), slice(x, x + 3))
        mean, covariance = closed_form(statistics(2), image, (y, x), (3, 3), 1, color, 1e-6)
        inside = weights[box].reshape(27, 4)
        expected = image.ravel() @ WEIGHTS + (mean - image[box].ravel()) @ inside
        variance = np.einsum("ik,ij,jk->k", inside, covariance, inside)
        # 20 windows by 4 outputs: 5 standard errors are exceeded by chance in 5e-5 of runs.
        error = (result.mean[index] - expected) / np.sqrt(variance / samples)
        assert np.abs(error).max() < 5
        share = (result.variance[index] / variance - 1) / np.sqrt(2 / (samples - 1))
        assert np.abs(share).max() < 5


def test_a_constant_model_has_no_relevance_and_no_error() -> None:
    def constant(params, images):
        return jnp.broadcast_to(jnp.array([0.2, 0.3, 0.5]), (len(images), 3))

    run = jax.jit(functools.partial(prediction_difference, constant, None, num_samples=4))
    maps = run(IMAGE, gaussian(), rng_key=KEY)
    assert set(maps.relevance) == set(maps.window_standard_error) == {"prob"}
    for part in jax.tree.leaves(maps):
        assert (np.asarray(part) == 0).all()


def test_a_model_of_one_pixel_is_relevant_only_where_windows_cover_it() -> None:
    row, column = 2, 6

    def pixel(params, images):
        return jax.nn.softmax(8 * images[:, row, column])

    run = jax.jit(functools.partial(prediction_difference, pixel, None, num_samples=4))
    maps = run(IMAGE, gaussian(), rng_key=KEY)
    y, x = np.indices((6, 7))
    covers = (y <= row) & (row < y + 3) & (x <= column) & (column < x + 3)
    for part in (maps.window_relevance, maps.window_standard_error):
        np.testing.assert_array_equal(part["prob"] != 0, np.broadcast_to(covers, (3, 6, 7)))
    y, x = np.indices(SHAPE[:2])
    near = (abs(y - row) <= 2) & (abs(x - column) <= 2)
    for part in (maps.relevance, maps.standard_error):
        np.testing.assert_array_equal(part["prob"] != 0, np.broadcast_to(near, (3, *SHAPE[:2])))


def close(one, two) -> None:
    """Equal up to the rounding of scores of about 3, summed in another order."""
    jax.tree.map(functools.partial(np.testing.assert_allclose, atol=1e-5, rtol=1e-5), one, two)


difference = functools.partial(prediction_difference, softmax, num_samples=6)


@functools.cache
def reference_maps():
    with jax.numpy_rank_promotion("raise"):
        return difference(WEIGHTS, IMAGE, gaussian(), rng_key=KEY)


@pytest.mark.parametrize("batch_size", [1, 7, 10_000])
def test_the_result_does_not_depend_on_the_batch_size_or_on_jit(batch_size) -> None:
    compiled = jax.jit(functools.partial(difference, batch_size=batch_size))
    close(compiled(WEIGHTS, IMAGE, gaussian(), rng_key=KEY), reference_maps())


def test_images_and_keys_can_be_mapped_over() -> None:
    keys = jax.random.split(KEY, 2)
    images = jnp.stack([IMAGE[::-1], IMAGE])

    def run(image, key):
        return difference(WEIGHTS, image, gaussian(), rng_key=key)

    both = jax.jit(jax.vmap(run))(images, jnp.stack([keys[1], KEY]))
    close(jax.tree.map(lambda a: a[1], both), reference_maps())
    one = jax.jit(run)
    close(jax.tree.map(lambda a: a[0], both), one(images[0], keys[1]))
    other = one(IMAGE, keys[0]).window_relevance["prob"]
    assert np.abs(other - reference_maps().window_relevance["prob"]).min() > 0


def test_coarse_windows_are_those_of_the_fine_grid() -> None:
    run = jax.jit(functools.partial(difference, stride=2))
    coarse = run(WEIGHTS, IMAGE, gaussian(), rng_key=KEY)
    rows, columns = [0, 2, 4, 5], [0, 2, 4, 6]
    for kind in ("window_relevance", "window_standard_error"):
        fine = getattr(reference_maps(), kind)["prob"][:, rows][:, :, columns]
        close(getattr(coarse, kind)["prob"], fine)
    grid = WindowGrid(SHAPE[:2], 3, 2)
    close(coarse.relevance["prob"], box_average(coarse.window_relevance["prob"], grid))


def run_explain(network=softmax, **options) -> pdjax.Explanation:
    net = Classifier.from_function(network, WEIGHTS, image_size=SHAPE[:2])
    settings = {"num_samples": 6, "classes": [0, 1, 2, 3], "layers": ("scores", "prob")}
    options = {"image": IMAGE, "rng_key": KEY, "sampler": gaussian()} | settings | options
    return pdjax.explain(net, **options)


MAPS = ("relevance", "standard_error", "window_relevance", "window_standard_error")


@pytest.mark.parametrize("options", [{}, {"batch_size": 4}, {"engine": "callable"}], ids=str)
def test_explain_gives_the_same_as_the_pure_function(options) -> None:
    explanation = run_explain(**options)
    for kind in MAPS:
        close(getattr(explanation, kind), getattr(reference_maps(), kind))


@pytest.mark.parametrize(("stride", "batch_size"), [(1, 6), (3, 6), (1, 4)])
def test_a_network_is_traced_twice_for_the_image_and_for_the_windows(stride, batch_size) -> None:
    traces = []

    def counted(params, images):
        traces.append(images.shape)
        return softmax(params, images)

    net = Classifier.from_function(counted, WEIGHTS, image_size=SHAPE[:2])
    run = functools.partial(
        pdjax.explain,
        net,
        sampler=gaussian(),
        num_samples=6,
        stride=stride,
        batch_size=batch_size,
    )
    del traces[:]
    first = run(IMAGE, rng_key=KEY)
    assert first.settings["passes"] > 6 * 6
    assert len(traces) == 2, traces
    run(IMAGE[::-1], rng_key=jax.random.key(9))
    assert len(traces) == 2, traces


TWO_DEVICES = """
import sys, jax
import test_marginalize
assert jax.local_device_count() == 2
test_marginalize.run_explain(batch_size=int(sys.argv[2])).save(sys.argv[1])
"""


def test_two_devices_give_the_same_numbers(tmp_path: Path) -> None:
    path = tmp_path / "two.npz"
    environment = os.environ | {
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
        "PYTHONPATH": os.pathsep.join((str(Path(__file__).parent), str(Path(__file__).parents[1]))),
    }
    # 42 windows, 5 to a device and call: the last call is only partly filled.
    command = [sys.executable, "-c", TWO_DEVICES, str(path), "30"]
    subprocess.run(command, check=True, env=environment, timeout=300)
    explanation = pdjax.Explanation.load(path)
    for kind in MAPS:
        close(getattr(explanation, kind), getattr(reference_maps(), kind))


def of_pixels(params, images):
    return images.mean((1, 2, 3))


BAD = {
    "no such layer": ("layers", {"layers": ("nope",)}),
    "too many classes": ("classes", {"classes": 5}),
    "a class too high": ("classes", {"classes": [0, 4]}),
    "a class below zero": ("classes", {"classes": [-1]}),
    "unknown engine": ("engine", {"engine": "fast"}),
    "unknown measure": ("measure", {"measure": "bits"}),
    "no samples": ("num_samples", {"num_samples": 0}),
    "one sample": ("num_samples", {"num_samples": 1}),
    "unknown sampling": ("sampling", {"sampling": "halton"}),
    "stride too large": ("stride", {"stride": 4}),
    "image too small": ("image", {"image": IMAGE[:4]}),
    "window too large": ("window", {"sampler": Constant(0.5, 10)}),
    "no units": ("outputs", {"f": of_pixels}),
    "empty batch": ("batch_size", {"batch_size": 0}),
}


@pytest.mark.parametrize(("argument", "options"), BAD.values(), ids=BAD)
def test_bad_inputs_are_named(argument, options) -> None:
    defaults = {"f": softmax, "params": WEIGHTS, "image": IMAGE, "sampler": gaussian()}
    with refused(argument):
        prediction_difference(**defaults | options, rng_key=KEY)


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(("argument", "value"), [("sampler", "grey"), ("rng_key", 0)])
def test_what_is_no_sampler_or_key_is_named(argument, value) -> None:
    options = {"sampler": gaussian(), "rng_key": KEY} | {argument: value}
    with refused(argument, TypeError):
        prediction_difference(softmax, WEIGHTS, IMAGE, **options)
