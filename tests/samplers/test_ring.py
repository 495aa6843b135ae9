"""Places of windows in their patches, and samplers that are set up for some of them."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.gaussian_reference import smooth, statistics
from helpers.mixture_reference import changing

import pdjax
from pdjax._checks import ArgumentError
from pdjax.samplers.ring import Ring

IMAGE = jnp.asarray(smooth(12, 13, 3), jnp.float32)
MAKERS = {
    "joint": functools.partial(pdjax.ConditionalGaussian, statistics(2), 3),
    "independent": functools.partial(
        pdjax.ConditionalGaussian, statistics(2), 3, color="independent"
    ),
    "mixture": functools.partial(pdjax.ConditionalMixture, changing(2), 3),
}
draw = jax.jit(lambda sampler, origin: sampler.sample(jax.random.key(1), IMAGE, origin, 3))


@pytest.mark.parametrize("stride", [1, 2, 3, (1, 3)])
@pytest.mark.parametrize("window", [3, (2, 5)])
def test_places_are_those_that_windows_have(stride, window) -> None:
    ring = Ring.of(window, 2, 2, least=0)
    grid = pdjax.WindowGrid((12, 13), window, np.minimum(stride, window).tolist())
    origins = grid.origins(np.arange(grid.size))
    met = {int(ring.locate(grid.spatial, origin).number) for origin in origins}
    assert ring.places_of(grid) == tuple(sorted(met))


def test_few_places_are_met_on_a_coarse_grid() -> None:
    ring = Ring.of(20, 2, 2, least=0)
    assert len(ring.places_of(pdjax.WindowGrid((224, 224), 20, 5)) or ()) == 9
    assert len(ring.places_of(pdjax.WindowGrid((224, 224), 20, 1)) or ()) == 25


@pytest.mark.parametrize("name", MAKERS)
def test_what_is_set_up_for_a_grid_draws_the_same_there_and_nothing_elsewhere(name) -> None:
    grid = pdjax.WindowGrid((12, 13), 3, 3)
    whole, part = MAKERS[name](), MAKERS[name](places=grid)
    assert len(part.places) < 25
    for origin in np.asarray(grid.origins(np.arange(grid.size))):
        np.testing.assert_array_equal(draw(part, origin), draw(whole, origin))
    other = np.array([1, 1], np.int32)
    assert not np.isnan(draw(whole, other)).any()
    assert np.isnan(draw(part, other)).all()
    part.check_grid(grid)
    with pytest.raises(ArgumentError, match="another grid") as caught:
        part.check_grid(pdjax.WindowGrid((12, 13), 3, 1))
    assert caught.value.argument == "sampler"


def test_a_map_of_another_grid_is_refused() -> None:
    sampler = MAKERS["joint"](places=pdjax.WindowGrid((12, 13), 3, 3))
    kept = {"rng_key": jax.random.key(0), "num_samples": 2}

    def f(params, images):
        return {"mean": images.mean((1, 2))}

    run = functools.partial(pdjax.prediction_difference, f, None, IMAGE, sampler, **kept)
    maps = run(stride=3, probabilities=(), outputs={"mean": "values"})
    assert np.isfinite(maps.relevance["mean"]).all()
    with pytest.raises(ArgumentError, match="another grid"):
        run(stride=1, probabilities=(), outputs={"mean": "values"})
    net = pdjax.Classifier.from_function(f, None, image_size=(12, 13), outputs={"mean": "values"})
    with pytest.raises(ArgumentError, match="another grid"):
        pdjax.explain(net, IMAGE, sampler, stride=1, **kept)


@pytest.mark.parametrize("places", [(), (25,), (-1,), pdjax.WindowGrid((12, 13), 4, 3)], ids=str)
def test_places_that_are_none(places) -> None:
    with pytest.raises(ArgumentError) as caught:
        MAKERS["joint"](places=places)
    assert caught.value.argument == "places"
