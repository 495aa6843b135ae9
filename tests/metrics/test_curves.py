"""Curves against closed forms: a network that is a mean of pixels, and pixels that are constant."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.refusals import refused

import pdjax
from pdjax.metrics import Curve, deletion, filled, insertion, road

SIDE = 8


def brightness(params, images):
    """The share of bright pixels is the probability of class 1."""
    bright = (images[..., 0] > 0.5).astype(images.dtype).mean((1, 2))
    return jnp.stack([1 - bright, bright], -1)


NET = pdjax.Classifier.from_function(brightness, None, image_size=SIDE, channels=1)
IMAGE = np.ones((SIDE, SIDE, 1), np.float32)
DARK = np.zeros_like(IMAGE)
RELEVANCE = np.random.default_rng(0).random((SIDE, SIDE))


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_a_share_of_pixels_falls_and_rises_on_a_line(batch_size) -> None:
    options = {"removed": DARK, "steps": 8, "batch_size": batch_size}
    gone = deletion(NET, IMAGE, RELEVANCE, 1, **options)
    back = insertion(NET, IMAGE, RELEVANCE, 1, **options)
    np.testing.assert_allclose(gone.share, np.linspace(0, 1, 9))
    np.testing.assert_allclose(gone.probability, 1 - gone.share, atol=1e-6)
    np.testing.assert_allclose(back.probability, back.share, atol=1e-6)
    assert gone.area == pytest.approx(0.5)
    assert back.area == pytest.approx(0.5)


def test_the_order_is_that_of_relevance() -> None:
    half = np.zeros((SIDE, SIDE))
    half[:, : SIDE // 2] = 1
    image = half[..., None].astype(np.float32)
    first = deletion(NET, image, half, 1, removed=DARK, steps=2).probability
    last = deletion(NET, image, half, 1, removed=DARK, steps=2, least_first=True).probability
    np.testing.assert_allclose(first, [0.5, 0, 0])
    np.testing.assert_allclose(last, [0.5, 0.5, 0])


def test_areas_follow_the_trapezoidal_rule() -> None:
    assert Curve(np.array([0.0, 0.25, 1.0]), np.array([1.0, 0.5, 0.0])).area == 0.375


@pytest.mark.parametrize("window", [4, 3])
def test_every_pixel_is_filled(window) -> None:
    image = np.random.default_rng(1).random((SIDE, SIDE, 3)).astype(np.float32)
    grey = filled(image, pdjax.Constant(0.25, window), rng_key=jax.random.key(0))
    np.testing.assert_allclose(grey, 0.25)
    others = np.random.default_rng(2).random((2, SIDE, SIDE, 3)).astype(np.float32)
    other = filled(image, pdjax.Marginal(others, window), rng_key=jax.random.key(0))
    np.testing.assert_allclose(other, others[0])


def linear_image() -> np.ndarray:
    rows, columns = np.mgrid[:SIDE, :SIDE] / SIDE
    return np.stack([rows, columns, (rows + columns) / 2], -1).astype(np.float32)


def test_interpolation_continues_what_is_linear() -> None:
    """A linear image solves the equations exactly, away from the border."""
    seen = []

    def watch(params, images):
        seen.append(images)
        return jax.nn.softmax(images.mean((1, 2)))

    net = pdjax.Classifier.from_function(watch, None, image_size=SIDE)
    relevance = np.zeros((SIDE, SIDE))
    relevance[2:5, 2:6] = 1
    curve = road(
        net,
        linear_image(),
        relevance,
        0,
        rng_key=jax.random.key(0),
        shares=(12 / 64,),
        noise=0.0,
    )
    expected = jax.nn.softmax(jnp.asarray(linear_image()[None]).mean((1, 2)))[0, 0]
    np.testing.assert_allclose(curve.probability, expected, atol=1e-6)


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_interpolation_leaves_nothing_out(share) -> None:
    net = pdjax.Classifier.from_function(
        lambda _, x: jax.nn.softmax(x.mean((1, 2)) * 3), None, image_size=SIDE
    )
    curve = road(net, linear_image(), RELEVANCE, 0, rng_key=jax.random.key(0), shares=(share,))
    assert np.isfinite(curve.probability).all()
    assert abs(curve.probability[1] - curve.probability[0]) < 0.1


BAD = {
    "class_index": {"class_index": 2},
    "steps": {"steps": 0},
    "removed": {"removed": DARK[1:]},
    "batch_size": {"batch_size": 0},
}


@pytest.mark.parametrize("argument", BAD)
def test_bad_arguments_are_named(argument) -> None:
    options = {"relevance": RELEVANCE, "class_index": 1, "removed": DARK} | BAD[argument]
    with refused(argument):
        deletion(NET, IMAGE, **options)


def test_values_have_no_curve() -> None:
    net = pdjax.Classifier.from_function(
        lambda _, x: x.mean((1, 2)), None, image_size=SIDE, channels=1, outputs="values"
    )
    with refused("net"):
        deletion(net, IMAGE, RELEVANCE, 0, removed=DARK)
