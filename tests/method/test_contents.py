"""Contents of windows: those that the network is given, whatever the stride and the choice."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.gaussian_reference import smooth, statistics
from helpers.refusals import refused

import pdjax

IMAGE = np.asarray(smooth(8, 9, 3), np.float32)
KEY = jax.random.key(3)
GAUSSIAN = pdjax.ConditionalGaussian(statistics(2), 3, 1, jitter=1e-6)
COMMON = {"rng_key": KEY, "num_samples": 4, "stride": 2}


@pytest.mark.parametrize("sampling", ["independent", "sobol"])
def test_contents_are_what_the_network_sees(sampling) -> None:
    seen = []

    def network(images):
        seen.append(images.copy())
        return np.full((len(images), 2), 0.5)

    explained = pdjax.explain(
        network, IMAGE, GAUSSIAN, engine="callable", sampling=sampling, batch_size=8, **COMMON
    )
    put = pdjax.window_samples(explained.image, GAUSSIAN, sampling=sampling, **COMMON)
    windows, samples = put.contents.shape[:2]
    assert explained.window_relevance["prob"][0].size == windows
    # The image as it is comes first, and the last batch is filled up with the last window.
    perturbed = np.concatenate(seen)[-(-(-windows // 2) * 8) :][: windows * samples]
    expected = []
    for (row, column), contents in zip(np.asarray(put.origins), put.contents, strict=True):
        for each in contents:
            image = IMAGE.copy()
            image[row : row + 3, column : column + 3] = each
            expected.append(image)
    np.testing.assert_allclose(perturbed, expected, atol=1e-6)


def test_fewer_windows_have_the_same_contents() -> None:
    fine = pdjax.window_samples(IMAGE, GAUSSIAN, **COMMON | {"stride": 1})
    by_origin = {tuple(map(int, o)): each for o, each in zip(*map(np.asarray, fine), strict=True)}
    coarse = pdjax.window_samples(IMAGE, GAUSSIAN, **COMMON | {"stride": 3})
    some = pdjax.window_samples(IMAGE, GAUSSIAN, windows=[7, 2], **COMMON)
    assert len(by_origin) > len(coarse.contents) > len(some.contents) == 2
    for put in (coarse, some):
        for origin, contents in zip(*map(np.asarray, put), strict=True):
            np.testing.assert_allclose(contents, by_origin[tuple(map(int, origin))], atol=1e-6)


def test_contents_may_be_drawn_while_jax_compiles() -> None:
    def drawn(image):
        return pdjax.window_samples(image, GAUSSIAN, windows=[1], **COMMON).contents

    inside = jax.jit(drawn)(jnp.asarray(IMAGE))
    np.testing.assert_allclose(inside, drawn(IMAGE), atol=1e-6)


@pytest.mark.parametrize(
    ("argument", "change"),
    [
        ("windows", {"windows": [99]}),
        ("windows", {"windows": []}),
        ("windows", {"windows": np.array([0.5])}),
        ("stride", {"stride": 4}),
        ("num_samples", {"num_samples": 3, "sampling": "sobol"}),
        ("sampling", {"sampler": pdjax.Constant(0.5, window=3), "sampling": "sobol"}),
    ],
)
def test_bad_input_is_refused(argument, change) -> None:
    good = {"image": IMAGE, "sampler": GAUSSIAN, **COMMON}
    with refused(argument):
        pdjax.window_samples(**good | change)
