"""Samplers in which nothing is random, against what they must give."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
from helpers.gaussian_reference import smooth

from pdjax import Blur, Constant, ImageMean, Marginal
from pdjax._checks import ArgumentError

SHAPE = (12, 12, 3)


@pytest.mark.parametrize("origin", [(0, 0), (4, 7), (9, 10)])
def test_marginal_gives_the_window_of_image_s_as_sample_s(origin) -> None:
    images = np.random.default_rng(0).random((6, 12, 13, 3), np.float32)
    image, at = jnp.zeros((12, 13, 3)), jnp.array(origin)
    result = Marginal(images, 3).sample(jax.random.key(0), image, at, 4)
    y, x = origin
    np.testing.assert_array_equal(result, images[:4, y : y + 3, x : x + 3])


def test_values_of_other_images_may_have_other_bounds() -> None:
    activations = np.full((2, *SHAPE), 7.0)
    assert str(Marginal(activations, 3, bounds=None)) == "samples from 2 other images"
    assert Marginal(activations, 3, bounds=(0.0, 7.0)).window == (3, 3)


def test_occluders_give_their_content() -> None:
    image = smooth(12, 13, 3).astype(np.float32)
    arguments = (jax.random.key(0), jnp.array(image), jnp.array([8, 0]), 1)
    colour = Constant((0.2, 0.5, 0.9), 3).sample(*arguments)
    assert (np.asarray(colour) == np.float32([0.2, 0.5, 0.9])).all()
    assert colour.shape == (1, 3, 3, 3)
    mean = ImageMean(3).sample(*arguments)
    np.testing.assert_allclose(mean, np.broadcast_to(image.mean((0, 1)), (1, 3, 3, 3)), atol=1e-6)
    blur = functools.partial(scipy.ndimage.gaussian_filter, mode="constant", truncate=9)
    blurred = blur(image, (1, 1, 0)) / blur(np.ones_like(image), (1, 1, 0))
    result = Blur(3, sigma=1.0).sample(*arguments)
    np.testing.assert_allclose(result[0], blurred[8:11, :3], atol=1e-5)


def test_occluders_without_arrays_are_equal_by_their_settings() -> None:
    assert ImageMean(3) == ImageMean((3, 3)) != ImageMean(4)
    assert Blur(4) == Blur(4, sigma=2.0) != Blur(4, sigma=1.0)
    assert len({Blur(4), Blur(4, 2.0), ImageMean(4), ImageMean((4, 4))}) == 2


def test_one_reference_image_hides_every_window() -> None:
    reference = np.random.default_rng(0).random(SHAPE, np.float32)
    arguments = (jax.random.key(0), jnp.full(SHAPE, 0.5), jnp.array([2, 5]), 2)
    for sampler in (Constant(reference, 3), Marginal(reference[None], 3)):
        assert sampler.constant
        assert "image" in str(sampler)
        sampler.check(SHAPE, 10)
        again = jax.tree.unflatten(jax.tree.structure(sampler), jax.tree.leaves(sampler))
        assert again.constant
        contents = jax.jit(lambda s: s.sample(*arguments[:3], 2))(sampler)
        np.testing.assert_array_equal(contents, np.stack([reference[2:5, 5:8]] * 2))
    assert Constant(np.zeros((4, 5, 6, 1)), 3).window == (3, 3, 3)
    assert not marginal(2).constant


def marginal(count: int = 5, shape: tuple[int, ...] = SHAPE) -> Marginal:
    return Marginal(np.zeros((count, *shape)), 3)


BAD = {
    "more samples than images": ("num_samples", lambda: marginal().check(SHAPE, 6)),
    "images of another size": ("images", lambda: marginal(5, (12, 13, 3)).check(SHAPE, 2)),
    "one image without a batch": ("images", lambda: Marginal(np.zeros((12, 12)), 3)),
    "no images": ("images", lambda: marginal(0)),
    "images in 8 bit": ("images", lambda: Marginal(np.full((2, *SHAPE), 255.0), 3)),
    "NaN in images": ("images", lambda: Marginal(jnp.full((2, *SHAPE), jnp.nan), 3)),
    "bounds": ("bounds", lambda: Marginal(np.zeros((2, *SHAPE)), 3, bounds=(1.0, 0.0))),
    "too light": ("value", lambda: Constant(1.5, 3).check_bounds((0.0, 1.0))),
    "an image of another size": ("value", lambda: Constant(np.zeros(SHAPE), 3).check((9, 9, 3), 1)),
    "NaN": ("value", lambda: Constant(jnp.array(jnp.nan), 3)),
    "an image for a colour": ("value", lambda: Constant(np.zeros((3, 3)), 3)),
    "two channels": ("value", lambda: Constant((0.1, 0.2), 3).check(SHAPE, 1)),
    "another number of axes": ("image", lambda: Constant(0.5, (3,)).check(SHAPE, 1)),
    "no window": ("window", lambda: Constant(0.5, 0)),
    "no blur": ("sigma", lambda: Blur(3, sigma=0.0)),
    "infinite blur": ("sigma", lambda: Blur(3, sigma=np.inf)),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_inputs_are_named(untyped, name) -> None:
    argument, make = BAD[name]
    with pytest.raises(ArgumentError) as caught:
        make()
    assert caught.value.argument == argument
