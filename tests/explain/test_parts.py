"""Parts of an image, single channels, and regions instead of windows."""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.gaussian_reference import smooth
from helpers.refusals import refused

import pdjax
from pdjax.method.regions import RegionGrid
from pdjax.method.schemes import Scheme
from pdjax.samplers.regions import region_contents

KEY = jax.random.key(3)
SIDE = 14
IMAGE = smooth(SIDE, SIDE, 2).astype(np.float32)
KERNEL = jnp.asarray(np.random.default_rng(0).normal(size=(3, 3, 2, 4)), jnp.float32)
WEIGHTS = jnp.asarray(np.random.default_rng(1).normal(size=(4, 3)), jnp.float32)
BOX = (slice(3, 7), slice(5, 8))
MASK = np.zeros((SIDE, SIDE), bool)
MASK[BOX] = True


def network(params, images):
    layout = ("NHWC", "HWIO", "NHWC")
    hidden = jax.lax.conv_general_dilated(images, KERNEL, (2, 2), "SAME", dimension_numbers=layout)
    hidden = jax.nn.relu(hidden)
    return {"hidden": hidden, "prob": jax.nn.softmax(4 * hidden.mean((1, 2)) @ WEIGHTS)}


NET = pdjax.Classifier.from_function(network, None, image_size=SIDE, channels=2)


@functools.cache
def statistics() -> pdjax.PatchStatistics:
    noise = np.random.default_rng(0).normal(0, 0.03, (6, 30, 30, 2))
    images = [smooth(30, 30, 2, seed=s) + noise[s] for s in range(6)]
    return dataclasses.replace(
        pdjax.PatchStatistics.fit(images, max_patch=12, bounds=None), bounds=(0.0, 1.0)
    )


@functools.cache
def sampler() -> pdjax.ConditionalGaussian:
    return pdjax.ConditionalGaussian(statistics(), 3, 1)


def run(**options) -> pdjax.Explanation:
    options = {"num_samples": 3, "stride": 2, "layers": ("hidden", "prob")} | options
    return pdjax.explain(NET, IMAGE, options.pop("sampler", sampler()), rng_key=KEY, **options)


@functools.cache
def full() -> pdjax.Explanation:
    return run()


# Where only a part is explained.


@pytest.mark.parametrize("where", [MASK, BOX], ids=["mask", "box"])
@pytest.mark.parametrize("engine", ["local", "dense"])
def test_a_part_has_the_numbers_of_the_whole(where, engine) -> None:
    part, whole = (
        run(where=where, engine=engine),
        full() if engine == "local" else run(engine=engine),
    )
    for kind in ("relevance", "standard_error", "layer_relevance", "layer_standard_error"):
        for layer, values in getattr(part, kind).items():
            inside = getattr(whole, kind)[layer][..., MASK]
            np.testing.assert_array_equal(values[..., MASK], inside)
            assert np.isnan(values[..., ~MASK]).all()
    evaluated = ~np.isnan(part.window_relevance["prob"][0])
    # Origins 0, 2, ..., 10, 11 with 3 pixels: rows 2 to 6 and columns 4 and 6 touch the box.
    assert evaluated.sum() == 3 * 2
    assert part.settings["passes"] == 1 + 3 * 2 * 3
    assert part.settings["where"] == pytest.approx(12 / 196)
    assert "6.1%" in part.caption


def test_a_part_in_previews_budgets_and_files(tmp_path) -> None:
    stages = list(
        pdjax.preview(NET, IMAGE, sampler(), rng_key=KEY, num_samples=3, strides=(2, 1), where=BOX)
    )
    np.testing.assert_array_equal(
        stages[0].relevance["prob"][:, MASK], full().relevance["prob"][:, MASK]
    )
    assert stages[0].settings["passes"] < stages[1].settings["passes"]
    spent = run(where=BOX, num_samples=None, max_passes=60, layers=("prob",))
    assert 40 < spent.settings["passes"] <= 60
    met = run(where=BOX, num_samples=None, target_error=0.3, layers=("prob",))
    assert met.settings["reached_error"]["prob"] <= 0.3
    assert np.isfinite(met.relevance["prob"][:, MASK]).all()
    spent.save(tmp_path / "part.npz")
    again = pdjax.Explanation.load(tmp_path / "part.npz")
    np.testing.assert_array_equal(again.relevance["prob"], spent.relevance["prob"])
    with refused("max_passes"):
        run(where=BOX, num_samples=None, max_passes=10)


def test_a_part_goes_on_from_a_checkpoint_of_its_own(tmp_path) -> None:
    state = tmp_path / "state.npz"
    first = run(where=BOX, checkpoint=state)
    again = run(where=MASK, checkpoint=state)
    np.testing.assert_array_equal(again.relevance["prob"], first.relevance["prob"])
    for other in ({}, {"where": ~MASK}, {"where": BOX, "channels": 0}):
        with refused("checkpoint") as caught:
            run(checkpoint=state, **other)
        assert "where" in str(caught.value) or "channels" in str(caught.value)


def test_the_pure_core_explains_a_part() -> None:
    f = functools.partial(
        pdjax.prediction_difference, network, None, num_samples=3, stride=2, rng_key=KEY
    )
    whole = f(jnp.asarray(IMAGE), sampler())
    part = jax.jit(functools.partial(f, where=BOX))(jnp.asarray(IMAGE), sampler())
    np.testing.assert_allclose(
        part.relevance["prob"][:, MASK], whole.relevance["prob"][:, MASK], atol=2e-5
    )
    assert np.isnan(part.relevance["prob"][:, ~MASK]).all()
    moments = pdjax.marginalize(
        network, None, jnp.asarray(IMAGE), sampler(), rng_key=KEY, num_samples=2, where=MASK
    )
    assert moments.mean["prob"].shape == (6 * 5, 3)
    with refused("where", TypeError):
        jax.jit(lambda mask: f(jnp.asarray(IMAGE), sampler(), where=mask).relevance)(MASK)


WRONG_PARTS = {
    "nothing": (np.zeros((SIDE, SIDE), bool), ValueError),
    "another size": (np.ones((SIDE, SIDE + 1), bool), ValueError),
    "with channels": (np.ones((SIDE, SIDE, 2), bool), ValueError),
    "levels": (np.full((SIDE, SIDE), 255), TypeError),
    "one slice": ((slice(2),), ValueError),
    "a number": ((slice(2), 3), ValueError),
    "half a pixel": ((slice(1.5, 3), slice(None)), TypeError),
    "no step": ((slice(1, 3, 0), slice(None)), TypeError),
    "an empty box": ((slice(2, 2), slice(None)), ValueError),
    "words": ("left", TypeError),
}


@pytest.mark.parametrize("name", WRONG_PARTS)
def test_what_is_no_part(untyped, name) -> None:
    where, kind = WRONG_PARTS[name]
    with refused("where", kind):
        run(where=where)


def test_pictures_of_a_part_leave_the_rest_blank(tmp_path) -> None:
    photo = IMAGE[..., :1]
    part = run(where=BOX)
    for layer in ("hidden", "prob"):
        figure = part.plot(layer, mute_uncertain=True, display=photo)
        drawn = [image for axes in figure.axes for image in axes.get_images()]
        assert drawn
        part.to_html(tmp_path / "page.html", layer, display=photo)
    figure = part.plot("prob", show_error=True, display=photo)
    maps = [a.get_images()[0].get_array() for a in figure.axes if a.patch.get_hatch()]
    assert maps
    assert all((np.ma.getmaskarray(values) == ~MASK).all() for values in maps)
    with refused("display"):
        part.plot("prob", display=photo[:-1])


# Where channels are hidden one at a time.


def test_one_channel_is_hidden_and_the_other_stays() -> None:
    """Against the same run with a sampler that does it by itself."""

    class OneChannel:
        window, constant = (3, 3), False

        def check(self, image_shape, num_samples) -> None: ...

        def sample(self, rng_key, image, origin, num_samples):
            drawn = sampler().sample(rng_key, image, origin, num_samples)
            own = jax.lax.dynamic_slice(image, (*origin, 0), (3, 3, 2))
            return jnp.stack([jnp.broadcast_to(own[..., 0], drawn.shape[:-1]), drawn[..., 1]], -1)

    jax.tree_util.register_static(OneChannel)
    wanted = run(sampler=OneChannel())
    for engine in ("local", "dense"):
        both = run(channels=[0, 1], engine=engine)
        assert both.layers == tuple(
            f"{layer}[channel {c}]" for c in (0, 1) for layer in ("hidden", "prob")
        )
        np.testing.assert_allclose(
            both.relevance["prob[channel 1]"], wanted.relevance["prob"], atol=2e-5
        )
        np.testing.assert_allclose(
            both.standard_error["prob[channel 1]"], wanted.standard_error["prob"], atol=2e-5
        )
        assert both.settings["passes"] == 2 * wanted.settings["passes"] - 1
        assert both.titles("prob[channel 1]")[0].endswith(wanted.titles("prob")[0][-5:])
    alone = run(channels=jnp.array([1]))
    assert alone.layers == ("hidden", "prob")
    np.testing.assert_array_equal(alone.relevance["prob"], run(channels=[1]).relevance["prob"])
    np.testing.assert_allclose(alone.relevance["prob"], wanted.relevance["prob"], atol=2e-5)


def test_channels_in_the_pure_core_and_with_a_callable() -> None:
    f = functools.partial(pdjax.prediction_difference, network, None, rng_key=KEY, stride=2)
    maps = f(jnp.asarray(IMAGE), sampler(), num_samples=3, channels=(1, 0), where=BOX)
    wanted = run(channels=(1, 0), where=BOX, classes=[0, 1, 2])
    for layer, values in wanted.relevance.items():
        np.testing.assert_allclose(maps.relevance[layer], values, atol=2e-5)
    plain = pdjax.explain(
        lambda images: {name: np.asarray(a) for name, a in network(None, images).items()},
        IMAGE,
        sampler(),
        rng_key=KEY,
        num_samples=3,
        stride=2,
        channels=(1, 0),
        where=BOX,
        classes=[0, 1, 2],
        layers=("prob",),
        engine="callable",
    )
    layer = "prob[channel 0]"
    np.testing.assert_allclose(plain.relevance[layer], wanted.relevance[layer], atol=2e-5)
    with refused("f", TypeError):
        pdjax.marginalize(
            lambda params, images: images.mean((1, 2)),
            None,
            jnp.asarray(IMAGE),
            sampler(),
            rng_key=KEY,
            num_samples=2,
            channels=(0, 1),
        )


@pytest.mark.parametrize("channels", [2, -1, [0, 2], [], "red", [0.0], 1.5], ids=repr)
def test_what_are_no_channels(untyped, channels) -> None:
    with refused("channels", (TypeError, ValueError)):
        run(channels=channels)


# Where regions are hidden.

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
