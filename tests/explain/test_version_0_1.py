"""Files of version 0.1: its explanations are read, and its interrupted runs go on.

They were written by that version with the functions of this module and ``interrupt`` of
`helpers.interruption`, which need nothing newer:

    for name, make in SAMPLERS.items():
        interrupt(1, explain, make(), checkpoint=FILES / f"{name}.npz")
    explain(gaussian(), num_samples=4, sampling="antithetic").save(FILES / "explanation.npz")

Whatever could be rounded otherwise on another machine is avoided: the network counts bright pixels
and weighs them with halves, sums are divided by powers of two, and the Gaussian has independent
pixels.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import jax
import matplotlib.pyplot as plt
import numpy as np
import pytest
from helpers.interruption import watching
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.text import Text

import pdjax
from pdjax._checks import ArgumentError

FILES = Path(__file__).parents[1] / "data" / "version_0_1"
SIDE, WINDOW = 8, 3
RNG = np.random.default_rng(0)
IMAGE, *OTHERS = RNG.random((5, SIDE, SIDE, 3)).round(2).astype(np.float32)
PARAMS = {
    "hidden": RNG.integers(-4, 5, (3, 4)).astype(np.float32) / 2,
    "scores": RNG.integers(-4, 5, (4, 3)).astype(np.float32),
}
LABELS = ("tabby, tabby cat", "crane", "fox")
EXACT = ("hidden", "scores")


def network(params, images):
    bright = (images > 0.5).astype(images.dtype)
    hidden = bright @ params["hidden"]
    scores = hidden.reshape(len(images), -1, 4).sum(1) @ params["scores"] / 64
    return {"hidden": hidden, "scores": scores, "prob": jax.nn.softmax(scores)}


def gaussian() -> pdjax.ConditionalGaussian:
    """Every pixel has a variance of its own, whatever those around it are."""
    size = (WINDOW + 2) ** 2 * 3
    variances = np.linspace(0.05, 0.15, size)
    mean = np.full((WINDOW + 2, WINDOW + 2, 3), 0.5)
    statistics = pdjax.PatchStatistics(mean, np.diag(variances), 1)
    return pdjax.ConditionalGaussian(statistics, WINDOW, 1)


SAMPLERS = {
    "gaussian": gaussian,
    "marginal": lambda: pdjax.Marginal(np.stack(OTHERS), WINDOW),
    "constant": lambda: pdjax.Constant(0.75, WINDOW),
    "mean": lambda: pdjax.ImageMean(WINDOW),
    "blur": lambda: pdjax.Blur(WINDOW),
}


def explain(sampler, **options) -> pdjax.Explanation:
    net = pdjax.Classifier.from_function(
        network,
        PARAMS,
        image_size=SIDE,
        labels=LABELS,
        outputs={"scores": "values", "prob": "softmax"},
        name="bright",
    )
    defaults = {
        "rng_key": jax.random.key(0),
        "num_samples": 2,
        "layers": ("hidden", "scores", "prob"),
        "units": {"hidden": [2, (1, 3, 4)]},
        "classes": ["fox", 0],
        "engine": "dense",
        "batch_size": 64,
    }
    return pdjax.explain(net, IMAGE, sampler, **defaults | options)


@pytest.mark.parametrize("name", SAMPLERS)
def test_an_interrupted_run_goes_on(tmp_path, name) -> None:
    path, sampler = tmp_path / "run.npz", SAMPLERS[name]()
    shutil.copy(FILES / f"{name}.npz", path)
    with watching() as seen:
        resumed = explain(sampler, checkpoint=path)
    assert 0 < seen.initial < seen.total
    whole = explain(sampler)
    for kind in ("relevance", "standard_error", "window_relevance", "window_standard_error"):
        one, two = getattr(resumed, kind), getattr(whole, kind)
        for layer in EXACT:
            np.testing.assert_array_equal(one[layer], two[layer])
        np.testing.assert_allclose(one["prob"], two["prob"], atol=1e-5)
    assert resumed.settings["passes"] == whole.settings["passes"]


def test_another_sampler_is_refused_as_ever(tmp_path) -> None:
    path = tmp_path / "run.npz"
    shutil.copy(FILES / "marginal.npz", path)
    with pytest.raises(ArgumentError) as caught:
        explain(pdjax.Marginal(np.stack(OTHERS[::-1]), WINDOW), checkpoint=path)
    assert caught.value.argument == "checkpoint"
    assert "sampler" in str(caught.value)


@pytest.fixture(scope="module")
def both() -> tuple[pdjax.Explanation, pdjax.Explanation]:
    """What was written then, and what the same call gives now."""
    return (
        pdjax.Explanation.load(FILES / "explanation.npz"),
        explain(gaussian(), num_samples=4, sampling="antithetic"),
    )


def test_an_explanation_is_what_it_was(both) -> None:
    then, now = both
    for field in ("names", "measures", "symbols", "layers", "caption"):
        assert getattr(then, field) == getattr(now, field)
    for layer in now.layers:
        assert then.titles(layer) == now.titles(layer)
    assert then.titles("hidden")[1].startswith("unit (1, 3, 4), hidden = ")
    assert then.symbols == {"hidden": "", "scores": "", "prob": "bits"}
    error = "reached_error"
    said_since = {
        "outputs": {"scores": "values", "prob": "softmax"},
        "bounds": [0.0, 1.0],
        "num_classes": {"scores": 3, "prob": 3},
    }
    assert then.settings | said_since | {error: 0} == now.settings | {error: 0}
    assert then.settings[error] == pytest.approx(now.settings[error], rel=1e-4)
    for kind in ("relevance", "standard_error", "window_relevance", "layer_relevance"):
        one, two = getattr(then, kind), getattr(now, kind)
        assert list(one) == list(two)
        for layer in one:
            np.testing.assert_allclose(one[layer], two[layer], atol=1e-5)


@pytest.mark.parametrize("layer", ["hidden", "scores", "prob"])
def test_pictures_of_it_are_what_they_were(both, layer, tmp_path) -> None:
    figures = [each.plot(layer) for each in both]
    words, images = zip(*map(contents, figures), strict=True)
    plt.close("all")
    assert words[0] == words[1]
    for one, two in zip(*images, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-4)
    both[0].to_html(tmp_path / "page.html", layer)
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert ("bits" in page) == (layer == "prob")


def contents(figure: Figure) -> tuple[list[str], list[np.ndarray]]:
    """The words of a figure, and its images."""
    words = [text.get_text() for text in figure.findobj(Text)]
    return words, [np.asarray(image.get_array(), float) for image in figure.findobj(AxesImage)]
