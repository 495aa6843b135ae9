"""Regions instead of windows."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.refusals import refused
from helpers.small_parts import IMAGE, KEY, NET, SIDE, network, run, sampler, statistics

import pdjax
from pdjax.method.regions import RegionGrid
from pdjax.method.schemes import Scheme
from pdjax.samplers.regions import region_contents

LABELS = np.full((SIDE, SIDE), -1)
LABELS[2:6, 3:8] = 7
LABELS[4:9, 6:10] = 3
LABELS[9:, 9:] = 40
LABELS[0, 0] = 40 - 40


def reference_gaussian(index: int, color: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of a region given the pixels around it, entry by entry."""
    table, padding, mean = statistics().covariance, 1, statistics().mean
    inside = list(map(tuple, np.argwhere(index == LABELS)))
    around = []
    for pixel in np.ndindex(SIDE, SIDE):
        near = any(
            max(abs(a - b) for a, b in zip(pixel, p, strict=True)) <= padding for p in inside
        )
        if near and pixel not in inside:
            around.append(pixel)

    def covariance(first, second):
        matrix = np.zeros((len(first), 2, len(second), 2))
        for i, a in enumerate(first):
            for j, b in enumerate(second):
                matrix[i, :, j] = table[11 + b[0] - a[0], 11 + b[1] - a[1]]
                if color == "independent":
                    matrix[i, :, j] *= np.eye(2)
        return matrix.reshape(2 * len(first), 2 * len(second))

    known = np.array([IMAGE[p] - mean for p in around], np.float64).ravel()
    solved = np.linalg.solve(covariance(around, around), covariance(around, inside))
    centre = np.tile(mean, len(inside)) + solved.T @ known
    return centre, covariance(inside, inside) - covariance(inside, around) @ solved


@pytest.mark.parametrize("color", ["joint", "independent"])
@pytest.mark.parametrize("number", [3, 40])
def test_regions_are_drawn_from_the_conditional_gaussian(number, color) -> None:
    """20,000 draws against a computation of its own, in NumPy."""
    grid = RegionGrid.of(LABELS, (SIDE, SIDE))
    own = pdjax.ConditionalGaussian(statistics(), 3, 1, color, clip=None)
    index, draws = grid.ids.index(number), 20_000
    contents = region_contents(own, jnp.asarray(IMAGE), grid)
    drawn = contents.draw(KEY, index, Scheme("independent", draws))
    mask = grid.mask(index)
    assert drawn.shape == (draws, *grid.window, 2)
    # Everything else in the box is the image's own.
    corner = grid.corners[index]
    box = IMAGE[tuple(slice(c, c + k) for c, k in zip(corner, grid.window, strict=True))]
    np.testing.assert_array_equal(
        drawn[:, ~mask], np.broadcast_to(box[~mask], drawn[:, ~mask].shape)
    )
    rows = drawn[:, mask].reshape(draws, -1)
    mean, covariance = reference_gaussian(number, color)
    deviation = np.sqrt(np.diag(covariance))
    # With 5 standard errors for each of some thousand entries none is beyond by chance.
    assert (np.abs(rows.mean(0) - mean) < 5 * deviation / np.sqrt(draws)).all()
    scale = np.sqrt((covariance**2 + np.outer(deviation, deviation) ** 2) / draws)
    assert (np.abs(np.cov(rows.T) - covariance) < 5 * scale).all()


@pytest.mark.parametrize("engine", ["local", "dense", "callable"])
def test_regions_have_relevance_of_their_own(engine) -> None:
    net = NET if engine != "callable" else lambda images: np.asarray(network(None, images)["prob"])
    black = pdjax.explain(
        net,
        IMAGE,
        pdjax.Constant(0.0, 3),
        rng_key=KEY,
        regions=LABELS,
        engine=engine,
        classes=[0, 1, 2],
        measure="probability_difference",
    )
    assert black.settings["regions"] == [0, 3, 7, 40]
    assert black.window_relevance["prob"].shape == (3, 4)
    before = network(None, IMAGE[None])["prob"][0]
    for column, number in enumerate((0, 3, 7, 40)):
        without = np.where((number == LABELS)[..., None], 0, IMAGE)
        loss = before - network(None, without[None])["prob"][0]
        np.testing.assert_allclose(black.window_relevance["prob"][:, column], loss, atol=1e-5)
        shown = black.relevance["prob"][:, number == LABELS]
        np.testing.assert_allclose(shown, np.repeat(loss[:, None], shown.shape[1], 1), atol=1e-5)
    assert np.isnan(black.relevance["prob"][:, LABELS < 0]).all()
    assert "4 regions" in black.caption


def test_regions_with_everything_else(tmp_path) -> None:
    options = {"regions": LABELS, "stride": 1, "layers": ("prob",), "engine": "dense"}
    every = run(**options)
    part = run(**options, where=(slice(0, 3), slice(None)))
    assert part.settings["passes"] == 1 + 2 * 3
    np.testing.assert_array_equal(
        part.window_relevance["prob"][:, [0, 2]], every.window_relevance["prob"][:, [0, 2]]
    )
    assert np.isnan(part.window_relevance["prob"][:, [1, 3]]).all()
    met = run(**options, num_samples=None, target_error=0.1)
    assert met.settings["reached_error"]["prob"] <= 0.1
    split = run(**options, channels=[0, 1])
    assert split.window_relevance["prob[channel 1]"].shape == (3, 4)
    for sampling in ("sobol", "antithetic"):
        assert np.isfinite(
            run(**options | {"num_samples": 4}, sampling=sampling).window_relevance["prob"]
        ).all()
    state = tmp_path / "state.npz"
    first = run(**options, checkpoint=state)
    np.testing.assert_array_equal(
        run(**options, checkpoint=state).relevance["prob"], first.relevance["prob"]
    )
    with refused("checkpoint"):
        run(**options | {"regions": np.where(LABELS == 7, 8, LABELS)}, checkpoint=state)
    for other in (pdjax.Blur(3), pdjax.Marginal(IMAGE[None], 3)):
        assert np.isfinite(run(**options, sampler=other).window_relevance["prob"]).all()
    assert every.plot("prob", display=IMAGE[..., :1]).axes


LARGE = np.zeros((SIDE, SIDE), int)
EMPIRICAL = pdjax.PatchStatistics(np.zeros((5, 5, 2)), np.eye(50), 1)
WRONG_REGIONS = {
    "floats": ("regions", {"regions": LABELS / 2}),
    "another size": ("regions", {"regions": LABELS[:-1]}),
    "none": ("regions", {"regions": LABELS * 0 - 1}),
    "too large": ("regions", {"regions": LARGE}),
    "numbers beyond a key": ("regions", {"regions": LABELS.astype(np.int64) + 2**40}),
    "statistics of patches": (
        "regions",
        {"sampler": pdjax.ConditionalGaussian(EMPIRICAL, 3, 1)},
    ),
    "a stride": ("stride", {"stride": 2}),
    "a part without any": ("where", {"where": (slice(1, 2), slice(0, 2))}),
    "a mixture": ("sampler", {"sampler": "mixture"}),
    "a sampler that JAX rebuilt": ("sampler", {"sampler": "rebuilt"}),
}


@pytest.mark.parametrize("name", WRONG_REGIONS)
def test_what_are_no_regions(untyped, name) -> None:
    argument, options = WRONG_REGIONS[name]
    made = {
        "rebuilt": lambda: jax.tree.map(lambda a: a, sampler()),
        "mixture": lambda: OwnSampler(),
    }
    if isinstance(options.get("sampler"), str):
        options = options | {"sampler": made[options["sampler"]]()}
    with refused(argument, (TypeError, ValueError)):
        run(**{"regions": LABELS, "stride": 1} | options)


class OwnSampler:
    """A sampler of somebody else's."""

    window, constant = (3, 3), False

    def check(self, image_shape, num_samples) -> None: ...

    def sample(self, rng_key, image, origin, num_samples): ...


def test_regions_are_not_previewed_and_may_have_too_many_numbers(monkeypatch) -> None:
    with refused("preview"):
        list(pdjax.preview(NET, IMAGE, sampler(), rng_key=KEY, regions=LABELS))
    table = np.zeros((79, 79, 2, 2))
    table[39, 39] = np.eye(2)
    noise = pdjax.ConditionalGaussian(pdjax.PatchStatistics(np.zeros(2), table, 1), 3, 1)
    grid = RegionGrid.of(np.pad(np.zeros((38, 38), int), 40, constant_values=-1), (118, 118))
    assert region_contents(noise, jnp.zeros((118, 118, 2)), grid)
    five = np.einsum("hw,ab->hwab", table[..., 0, 0], np.eye(5))
    many = pdjax.ConditionalGaussian(pdjax.PatchStatistics(np.zeros(5), five, 1), 3, 1)
    with refused("regions") as caught:
        region_contents(many, jnp.zeros((118, 118, 5)), grid)
    assert "6,000" in str(caught.value)
