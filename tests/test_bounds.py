"""Images in a unit of their own: what is taken, what is refused, and what follows."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.refusals import refused

import pdjax
from pdjax._bounds import image_bounds
from pdjax._checks import check_image

KEY = jax.random.key(0)
SHAPE = (12, 12, 3)
UNIT = np.random.default_rng(0).random(SHAPE, np.float32)
OTHERS = np.random.default_rng(1).random((30, *SHAPE)).astype(np.float32)


def network(params, images, low=0.0, scale=1.0):
    return jax.nn.softmax(4 * ((images - low) / scale).mean((1, 2)))


NET = pdjax.Classifier.from_function(network, None, image_size=12)
GREY = pdjax.Constant(0.5, window=4)


def run(image, sampler=GREY, net=NET, **options):
    return pdjax.explain(net, image, sampler, rng_key=KEY, stride=4, **options)


@pytest.mark.parametrize("beyond", [1e-7, 9e-4])
@pytest.mark.parametrize(("bounds", "low", "scale"), [((0, 1), 0, 1), ((-1000, 3000), -1000, 4000)])
def test_what_is_beyond_by_rounding_is_clipped(bounds, low, scale, beyond) -> None:
    image = UNIT.copy()
    image[0, 0], image[0, 1] = -beyond, 1 + beyond
    taken = check_image(np.float32(low + scale * image), bounds=bounds)
    assert taken.dtype == np.float32
    assert taken.min() == low
    assert taken.max() == low + scale


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (1.07 * UNIT - 0.02, ("clip",)),
        ((UNIT - 0.45) / 0.22, ("normalised", "network", "bounds=None")),
        (2 * UNIT - 1, ("normalised", "bounds=(low, high)")),
        (255 * UNIT, ("255", "bounds=")),
        (65535 * UNIT, ("65535", "bounds=")),
        (1e6 * UNIT, ("bounds=",)),
    ],
)
def test_what_is_further_beyond_is_told_what_to_do(image, words) -> None:
    with refused("image") as caught:
        run(image)
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize(("kind", "levels"), [(np.uint8, "255"), (np.uint16, "65535")])
def test_whole_numbers_are_refused_by_all_who_take_images(untyped, kind, levels) -> None:
    image = np.full(SHAPE, 200, kind)
    for argument, call in {
        "image": lambda: run(image),
        "images": lambda: NET(image[None]),
    }.items():
        with refused(argument, TypeError) as caught:
            call()
        assert levels in str(caught.value)
    with refused("images", TypeError):
        pdjax.Marginal(image[None], 4)
    with refused("image", TypeError):
        run(image, bounds=None)


def test_a_network_of_photographs_refuses_levels_and_nothing_else(untyped) -> None:
    with refused("images") as caught:
        NET(255 * UNIT[None])
    assert "255" in str(caught.value)
    NET((UNIT[None] - 0.5) / 0.2)
    levels = pdjax.Classifier.from_function(network, None, image_size=12, bounds=(0, 255))
    assert levels(255 * UNIT[None])["prob"].shape == (1, 3)
    assert run(255 * UNIT, net=levels).settings["bounds"] == [0, 255]
    jax.jit(NET)(255 * UNIT[None])
    with refused("bounds"):
        pdjax.Classifier.from_function(network, None, image_size=12, bounds=(1, 0))


def test_units_make_no_difference() -> None:
    low, scale = -1000.0, 4000.0
    statistics = pdjax.PatchStatistics.fit(OTHERS, max_patch=8)
    plain = run(UNIT, pdjax.ConditionalGaussian(statistics, 4), num_samples=3)
    net = pdjax.Classifier.from_function(
        functools.partial(network, low=low, scale=scale), None, image_size=12
    )
    for bounds in ((low, low + scale), None):
        fitted = pdjax.PatchStatistics.fit(low + scale * OTHERS, max_patch=8, bounds=bounds)
        sampler = pdjax.ConditionalGaussian(fitted, 4)
        assert (sampler.bounds, sampler.clip) == (bounds, bounds)
        for given in ({}, {"bounds": bounds}):
            own = run(low + scale * UNIT, sampler, net, num_samples=3, **given)
            assert own.settings["bounds"] == (None if bounds is None else list(bounds))
            tolerance = 0.2 if bounds is None else 2e-4  # where samples are not clipped
            np.testing.assert_allclose(
                own.relevance["prob"], plain.relevance["prob"], atol=tolerance
            )
            np.testing.assert_array_equal(own.image, np.float32(low + scale * UNIT))


def test_samplers_made_for_other_images_are_noticed(untyped) -> None:
    photographs = pdjax.ConditionalGaussian(pdjax.PatchStatistics.natural_images(), 4)
    normalised = (UNIT - 0.45) / 0.22
    for sampler in (photographs, pdjax.Marginal(OTHERS, 4)):
        for bounds in (None, (-3, 3)):
            with refused("bounds") as caught:
                run(normalised, sampler, bounds=bounds)
            assert "[0, 1]" in str(caught.value)
    levels = pdjax.Classifier.from_function(network, None, image_size=12, bounds=(0, 255))
    with refused("bounds"):
        run(255 * UNIT, photographs, levels)
    with refused("value"):
        run(UNIT, pdjax.Constant(-1000.0, 4))
    with refused("bounds"):
        run(UNIT, bounds="unit")
    with refused("bounds"):
        run(UNIT, bounds=(1, 0))


def test_occluders_follow_the_image() -> None:
    normalised = np.float32((UNIT - 0.45) / 0.22)
    for sampler in (pdjax.Constant([-2.0, -1.9, -1.8], 4), pdjax.ImageMean(4), pdjax.Blur(4)):
        assert np.isfinite(run(normalised, sampler, bounds=None).relevance["prob"]).all()


def test_a_hidden_layer_has_no_bounds() -> None:
    def f(params, images):
        hidden = 100 * images - 50
        return {"hidden": hidden, "prob": network(None, hidden / 100)}

    net = pdjax.Classifier.from_function(f, None, image_size=12)
    activations = np.asarray(net(OTHERS, ("hidden",))["hidden"])
    sampler = pdjax.Marginal(activations, 4, bounds=None)
    assert run(UNIT, sampler, net, start="hidden", num_samples=4).settings["bounds"] == [0, 1]


def test_the_pure_core_warns_of_a_range_that_nobody_gave(untyped) -> None:
    f = functools.partial(pdjax.prediction_difference, network, None, rng_key=KEY, num_samples=1)
    with pytest.warns(UserWarning, match="normalised"):
        f(2 * UNIT - 1, GREY)
    with refused("image"):
        f(2 * UNIT - 1, GREY, bounds=(0, 1))
    assert f(2 * UNIT - 1, GREY, bounds=None).relevance["prob"].shape == (3, 12, 12)
    with refused("image", TypeError):
        jax.jit(lambda image: f(image, GREY).relevance)(jnp.ones(SHAPE, jnp.uint8))
    traced = jax.jit(lambda image: f(image, GREY).relevance["prob"])(2 * UNIT - 1)
    np.testing.assert_allclose(
        traced, f(2 * UNIT - 1, GREY, bounds=None).relevance["prob"], atol=1e-5
    )


class Own:
    """A sampler of somebody else's, which says nothing of bounds."""

    window, constant = (3, 3), False

    def check(self, image_shape, num_samples) -> None: ...

    def sample(self, rng_key, image, origin, num_samples): ...


@pytest.mark.parametrize("declared", [(0.0, 1.0), None, (0.0, 255.0)])
def test_the_network_decides_where_nobody_else_does(declared) -> None:
    assert image_bounds("auto", Own(), declared) == declared
    assert image_bounds((-1, 1), Own(), declared) == (-1, 1)
    assert image_bounds(None, Own(), declared) is None


def test_statistics_keep_their_bounds_in_files(tmp_path) -> None:
    path = tmp_path / "statistics.npz"
    for bounds in ((0.0, 1.0), (-1.0, 2.0), (0.0, np.inf), None):
        fitted = pdjax.PatchStatistics.fit(OTHERS, max_patch=4, bounds=bounds)
        fitted.save(path)
        assert pdjax.PatchStatistics.load(path).bounds == bounds
        assert ("bounds" in np.load(path)) == (bounds != (0, 1))
    arrays = dict(np.load(path))
    for wrong in ((1.0, 0.0), (0.0, np.nan), (0.0, 1.0, 2.0)):
        np.savez(path, **arrays | {"bounds": np.array(wrong)})
        with refused("statistics"):
            pdjax.PatchStatistics.load(path)
