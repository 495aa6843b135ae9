"""A sampler of one's own: one file, no base class, no table to enter it in."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pdjax
from pdjax._types import Sampler, is_random


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Uniform:
    """Pixels anywhere between two levels."""

    levels: jax.Array
    window: tuple[int, ...] = dataclasses.field(metadata={"static": True})
    constant = False

    def check(self, image_shape, num_samples) -> None:
        if len(image_shape) != len(self.window) + 1:
            raise ValueError("image: has other axes than the window")

    def sample(self, rng_key, image, origin, num_samples):
        low, high = self.levels.astype(image.dtype)
        shape = (num_samples, *self.window, image.shape[-1])
        return jax.random.uniform(rng_key, shape, image.dtype, low, high)


KEY = jax.random.key(0)
IMAGE = np.random.default_rng(0).random((8, 9, 3), np.float32)
WEIGHTS = np.random.default_rng(1).standard_normal((8, 9, 3, 2)).astype(np.float32)
SAMPLER = Uniform(jnp.array([0.2, 0.6]), (3, 3))


def linear(params, images):
    return {"scores": jnp.einsum("nijc,ijcu->nu", images, params, precision="highest")}


def expected() -> np.ndarray:
    """Relevance of windows at stride 3: their own part of the scores, less that of the mean 0.4."""
    inside = (WEIGHTS * (IMAGE - 0.4)[..., None]).sum(2)
    rows, columns = (0, 3, 5), (0, 3, 6)
    return np.array([[inside[y : y + 3, x : x + 3].sum((0, 1)) for x in columns] for y in rows])


@functools.cache
def maps_of(route: str):
    if route == "explain":
        net = pdjax.Classifier.from_function(
            linear, WEIGHTS, image_size=(8, 9), probabilities=(), name="linear"
        )
        return pdjax.explain(
            net,
            IMAGE,
            SAMPLER,
            rng_key=KEY,
            num_samples=400,
            stride=3,
            classes=[0, 1],
            layers=("scores",),
            progress=False,
        )
    return pdjax.prediction_difference(
        linear, WEIGHTS, jnp.asarray(IMAGE), SAMPLER, rng_key=KEY, num_samples=400, stride=3
    )


def test_it_is_a_sampler_as_it_stands() -> None:
    assert isinstance(SAMPLER, Sampler)
    assert is_random(SAMPLER)


@pytest.mark.parametrize("route", ["prediction_difference", "explain"])
def test_it_explains_a_linear_model(route) -> None:
    maps = maps_of(route)
    found = np.moveaxis(np.asarray(maps.window_relevance["scores"]), 0, -1)
    # A pixel between two levels has the variance of their distance over 12. The chance that one
    # of 18 means of 400 is 5 standard errors off is 1e-5.
    error = np.sqrt(0.4**2 / 12 / 400 * (WEIGHTS**2).sum(2))
    limit = 5 * np.sqrt((9 * error**2).max())
    np.testing.assert_allclose(found, expected(), atol=limit)
    assert np.abs(expected()).max() > 3 * limit


def test_both_routes_give_the_same_map() -> None:
    one, two = map(maps_of, ("prediction_difference", "explain"))
    np.testing.assert_allclose(one.relevance["scores"], two.relevance["scores"], atol=1e-5)
