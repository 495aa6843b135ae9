"""The result of a run: its words, and the file that keeps everything."""

from __future__ import annotations

import copy
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from helpers.refusals import refused

from pdjax import Explanation
from pdjax._caption import stride_in_words

KINDS = (
    "relevance",
    "standard_error",
    "window_relevance",
    "window_standard_error",
    "layer_relevance",
    "layer_standard_error",
    "prediction",
)
SETTINGS = {
    "model": "small",
    "sampler": "samples from 6 other images",
    "window": [3, 2],
    "stride": [1, 1],
    "start": None,
    "sampling": "independent",
    "num_samples": 4,
    "most_samples": 4,
    "passes": 1969,
    "num_training_images": None,
    "probabilities": ["prob"],
    "units": {"conv": [2, [1, 3, 4]]},
    "reached_error": {"conv": 0.1, "prob": 0.02},
}


def make(**fields) -> Explanation:
    """The explanation of an image of 10 by 8 pixels, with whatever numbers."""
    rng = np.random.default_rng(0)
    layers = {"conv": 2, "prob": 2}

    def arrays(*shape: int, hidden: bool = False) -> dict[str, np.ndarray]:
        shapes = {layer: (rows, *shape) for layer, rows in layers.items()}
        if hidden:
            shapes = {"conv": shape}
        return {layer: rng.random(size, np.float32) for layer, size in shapes.items()}

    whole = {
        "image": rng.random((10, 8, 3), np.float32),
        "relevance": arrays(10, 8),
        "standard_error": arrays(10, 8),
        "window_relevance": arrays(8, 7),
        "window_standard_error": arrays(8, 7),
        "layer_relevance": arrays(10, 8, hidden=True),
        "layer_standard_error": arrays(10, 8, hidden=True),
        "prediction": {"conv": np.float32([0.25, -3]), "prob": np.float32([0.75, 1e-6])},
        "names": {"conv": ("2", "(1, 3, 4)"), "prob": ("tabby, tabby cat", "fox")},
        "measures": {"conv": "activation difference", "prob": "weight of evidence (bits)"},
        "symbols": {"conv": "", "prob": "bits"},
        "settings": copy.deepcopy(SETTINGS),
    }
    return Explanation(**whole | fields)


def test_captions_say_how_it_was_computed() -> None:
    caption = make().caption
    assert caption == (
        "small; samples from 6 other images; windows of 3 by 2 pixels at stride 1, "
        "4 samples a window, 1,969 forward passes"
    )
    assert repr(make()) == f"Explanation({caption}; layers conv, prob)"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"start": "conv1"}, "pixels of conv1 at stride"),
        ({"num_samples": 1, "most_samples": 1}, ", 1 sample a window, "),
        ({"num_samples": 2, "most_samples": 16}, ", 2 to 16 samples a window, "),
        ({"sampling": "sobol"}, ", 4 samples a window (sobol), "),
        ({"stride": [2, 1]}, " at stride 2 by 1, "),
    ],
    ids=str,
)
def test_captions_say_what_is_special(settings, words) -> None:
    assert words in make(settings=SETTINGS | settings).caption


def test_titles_say_what_a_row_is_and_what_the_network_gives() -> None:
    explanation = make()
    assert explanation.layers == ("conv", "prob")
    assert explanation.titles("prob") == ["tabby, p = 0.75", "fox, p = 1e-06"]
    assert explanation.titles("conv") == ["feature map 2, conv = 0.25", "unit (1, 3, 4), conv = -3"]
    maps = {name: value for name, value in SETTINGS.items() if name != "units"} | {"units": {}}
    assert make(settings=maps).titles("conv")[0] == "feature map 2, conv = 0.25"


def test_strides_in_words() -> None:
    assert stride_in_words({"stride": [2, 2]}) == "2"
    assert stride_in_words({"stride": [2, 3]}) == "2 by 3"


BAD = {
    "no such layer": ("layer", {"layer": "scores"}),
    "no such row": ("units", {"units": [2]}),
    "a row below zero": ("units", {"units": [-1]}),
    "no rows": ("units", {"units": []}),
    "no such row of a hidden layer": ("units", {"layer": "conv", "units": [2]}),
}


@pytest.mark.parametrize(("argument", "options"), BAD.values(), ids=BAD)
def test_what_cannot_be_drawn_is_named(tmp_path, argument, options) -> None:
    with refused(argument):
        make().plot(**options)
    with refused(argument):
        make().to_html(tmp_path / "page.html", **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("layers", [None, ("prob",), ("prob", "conv"), ("prob", "scores")])
def test_layers_that_cannot_be_compared_are_named(layers) -> None:
    with refused("layers"):
        make().compare(layers)


def test_layers_of_different_classes_cannot_be_compared() -> None:
    two, names = make(), ("fox", "tabby, tabby cat")
    twins = {
        kind: {**getattr(two, kind), "scores": getattr(two, kind)["prob"]}
        for kind in ("relevance", "standard_error", "prediction", "measures", "symbols")
    }
    with refused("layers"):
        dataclasses.replace(two, **twins, names={**two.names, "scores": names}).compare()


def test_everything_is_kept_in_the_file(tmp_path) -> None:
    explanation, path = make(), tmp_path / "cat.npz"
    explanation.save(path)
    again = Explanation.load(path)
    for kind in KINDS:
        assert list(getattr(again, kind)) == list(getattr(explanation, kind))
        for layer, array in getattr(explanation, kind).items():
            np.testing.assert_array_equal(getattr(again, kind)[layer], array)
            assert getattr(again, kind)[layer].dtype == array.dtype
    np.testing.assert_array_equal(again.image, explanation.image)
    for name in ("names", "measures", "symbols", "caption", "layers"):
        assert getattr(again, name) == getattr(explanation, name)
    assert again.settings.keys() - explanation.settings.keys() == {"date", "versions"}
    assert again.settings | explanation.settings == again.settings


def test_a_name_without_a_suffix_gets_one_and_a_date_stays(tmp_path) -> None:
    make().save(tmp_path / "own")
    again = Explanation.load(tmp_path / "own.npz")
    assert again.settings["date"].endswith("+00:00")
    past = dataclasses.replace(again, settings=again.settings | {"date": "then"})
    past.save(tmp_path / "later.npz")
    assert Explanation.load(tmp_path / "later.npz").settings["date"] == "then"


def contents(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as arrays:
        return dict(arrays)


def words(change) -> object:
    """Damage that rewrites the words of an explanation."""

    def damage(arrays):
        value = json.loads(str(arrays["words"]))
        change(value)
        return arrays | {"words": np.array(json.dumps(value))}

    return damage


def test_what_older_files_leave_out_is_told_from_the_rest(tmp_path) -> None:
    path = tmp_path / "cat.npz"
    make().save(path)

    def shorten(value) -> None:
        del value["symbols"]
        for name in ("units", "sampling", "most_samples", "start"):
            del value["settings"][name]

    np.savez(path, **words(shorten)(contents(path)))
    again = Explanation.load(path)
    assert again.symbols == make().symbols
    assert again.settings["units"] == SETTINGS["units"]
    assert again.titles("conv") == make().titles("conv")
    assert again.caption == make().caption


HOSTILE = {
    "pickled": lambda a: a | {"image": np.array(print, object)},
    "foreign": lambda a: {"weights": np.zeros(3)},
    "nothing": lambda a: {},
    "no words": lambda a: {k: v for k, v in a.items() if k != "words"},
    "words": lambda a: a | {"words": np.array("{")},
    "deep words": lambda a: a | {"words": np.array("[" * 100_000)},
    "listed words": lambda a: a | {"words": np.array("[1, 2]")},
    "map missing": lambda a: {k: v for k, v in a.items() if k != "relevance:prob"},
    "map shape": lambda a: a | {"relevance:prob": np.zeros((2, 4, 4), np.float32)},
    "error shape": lambda a: a | {"standard_error:prob": np.zeros((2, 4, 4), np.float32)},
    "layer shape": lambda a: a | {"layer_relevance:conv": np.zeros((4, 4), np.float32)},
    "map of words": lambda a: a | {"relevance:prob": np.full((2, 10, 8), "a")},
    "scalar": lambda a: a | {"prediction:prob": np.float32(1)},
    "image of words": lambda a: a | {"image": np.full((10, 8, 3), "a")},
    "image": lambda a: a | {"image": np.zeros(3, np.float32)},
    "no layers": words(lambda w: w.update(names={})),
    "too few names": words(lambda w: w["names"].update(prob=["a"])),
    "no measure": words(lambda w: w["measures"].clear()),
    "unknown measure": words(lambda w: (w.pop("symbols"), w["measures"].update(prob="joy"))),
    "no settings": words(lambda w: w["settings"].clear()),
    "settings": words(lambda w: w["settings"].update(passes="many")),
    "setting of a list": words(lambda w: w["settings"].update(window=7)),
    "settings of a list": words(lambda w: w.update(settings=[7])),
    "units that are none": words(lambda w: w["settings"].update(units=7)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_files_that_are_no_explanation_are_refused_in_a_sentence(tmp_path, name) -> None:
    path = tmp_path / "cat.npz"
    make().save(path)
    np.savez(path, **HOSTILE[name](contents(path)))
    with refused("explanation") as caught:
        Explanation.load(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 500


def test_missing_and_truncated_files_are_named(tmp_path) -> None:
    path = tmp_path / "cat.npz"
    with refused("explanation", FileNotFoundError):
        Explanation.load(path)
    make().save(path)
    path.write_bytes(path.read_bytes()[:-300])
    with refused("explanation"):
        Explanation.load(path)
