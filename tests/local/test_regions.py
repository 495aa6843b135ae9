"""Regions: heads of their own for windows of which less can change."""

from __future__ import annotations

import functools

import jax.numpy as jnp
import numpy as np
import pytest
from helpers.local_reference import (
    assert_close,
    dense,
    evaluate,
    perturbations,
)
from helpers.user_networks import network

from pdjax import local
from pdjax.local.regions import region_of, region_shares


@pytest.mark.parametrize("name", ["resnet", "dilated", "separable"])
def test_regions_of_long_runs_are_exact(name: str) -> None:
    net = network(name)
    image, origins, patches = perturbations(net.shape, (3, 5), seed=4)
    record = functools.partial(local.record, net.predict, net.params, image, window=(3, 5))
    expected = dense(net.predict, net.params, image, origins, patches)
    one, several = record(batch_size=3), record(batch_size=3, num_images=10**12)
    assert_close(evaluate(several, net.params, origins, patches), expected, origins, 1e-5)
    assert len(one.report().shares) == 1
    assert len(several.report().shares) == 4
    assert several.report().share < one.report().share == several.report().shares[-1]


def test_every_window_is_in_the_region_of_its_places() -> None:
    net = network("dilated")
    image = jnp.zeros(net.shape)
    record = local.record(net.predict, net.params, image, window=(3, 5), num_images=10**12)
    plans = record.static.schedule.plans
    every = np.stack(np.meshgrid(*plans[-1].places, indexing="ij"), -1).reshape(-1, 2)
    counts = np.zeros(len(plans))
    for origin in every[:: len(every) // 40]:
        number = int(region_of(plans, jnp.asarray(origin)[None]))
        assert all(i in own for i, own in zip(origin, plans[number].places, strict=True))
    unfavourable = [~np.isin(p, f) for p, f in zip(plans[-1].places, plans[0].places, strict=True)]
    np.add.at(counts, (2 * unfavourable[0][:, None] + unfavourable[1]).ravel(), 1 / len(every))
    np.testing.assert_allclose(region_shares(plans), counts)
    # Windows of several regions together are evaluated by the plan that holds for all of them.
    assert int(region_of(plans, jnp.asarray(every))) == len(plans) - 1
