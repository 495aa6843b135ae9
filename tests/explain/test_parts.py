"""Parts of an image, and single channels."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.refusals import refused
from helpers.small_parts import BOX, IMAGE, KEY, MASK, NET, SIDE, network, run, sampler

import pdjax


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
        assert " in channel 1, p = " in both.titles("prob[channel 1]")[0]
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
