"""Sentences of the paper, put to the test on photographs (Zintgraf et al., 2017, section 4.1).

Every photograph is explained with conditional samples, of one Gaussian as in the paper and of a
mixture of textures, and with marginal ones; so are single pixels of it, and, in groups of four, as
a quarter of a mosaic, where it is known where a class is to be seen. Each sentence is a row: the
numbers that test it and the difference that would speak for it, with 95 % bootstrap intervals over
photographs, and what follows.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import claim_numbers as of
import numpy as np
import typer
from measure import environment, print_table
from photographs import Runs, bootstrap, others, spread, toy_images, toy_network

import pdjax
from pdjax._progress import progress_bar
from pdjax.method.windows import WindowGrid
from pdjax.metrics.table import Interval

WINDOW = 10
SMALL = (1, 2, 5)
"""Windows that tile one of 10, whose mean it is compared with."""
DEPTHS = ("first", "middle", "last")


class Setting(NamedTuple):
    """What is run on every photograph.

    ``layers`` are three hidden ones, the scores and the probabilities, in this order.
    """

    net: pdjax.Classifier
    folder: pdjax.ImageFolder
    layers: tuple[str, ...]
    maps: int
    samples: int
    sizes: tuple[int, ...]
    pixels: int
    pixel_samples: int
    blocks: int
    block: int


class Row(NamedTuple):
    """A sentence, the names of the numbers that test it, and those whose difference speaks for it.

    Of one name in ``speaks`` the difference is that to ``chance``.
    """

    sentence: str
    number: str
    sides: Mapping[str, str]
    speaks: tuple[str, ...]
    chance: float = 0.0


Numbers = dict[int, dict[str, float]]
"""By photograph, then by name."""


def main(
    images: Annotated[Path, typer.Option(help="A folder of photographs.")] = Path("images"),
    weights: Annotated[Path | None, typer.Option(help="The file of GoogLeNet's weights.")] = None,
    limit: Annotated[int, typer.Option(help="So many photographs, spread over the folder.")] = 50,
    samples: Annotated[int, typer.Option(help="Samples of a window.")] = 2,
    pixels: Annotated[int, typer.Option(help="Single pixels hidden of each photograph.")] = 64,
    blocks: Annotated[int, typer.Option(help="Photographs with windows inside windows.")] = 16,
    results: Annotated[
        Path | None, typer.Option(help="A folder that keeps every map, to go on from there.")
    ] = None,
    progress: Annotated[bool, typer.Option(help="Show the progress bar.")] = True,
    toy: Annotated[bool, typer.Option(help="A tiny network, to see that this works.")] = False,
) -> None:
    """Print the paper's sentences with the numbers that test them."""
    with contextlib.ExitStack() as stack:
        if results is None or toy:
            results = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        results.mkdir(parents=True, exist_ok=True)
        if toy:
            folder = toy_images(results, 4)
            layers = ("first", "middle", "last", "scores", "prob")
            setting = Setting(toy_network(), folder, layers, 4, 2, (5, 10), 8, 4, 2, 20)
            limit = 4
        else:
            net = pdjax.load_model("googlenet", weights)
            folder = pdjax.ImageFolder(images, size=net.image_size)
            hidden = ("conv1/7x7_s2", "inception_3a/output", "inception_5b/output")
            layers = (*hidden, "loss3/classifier", "prob")
            sizes = (5, 10, 15, 20)
            setting = Setting(net, folder, layers, 16, samples, sizes, pixels, 8, blocks, 30)
        photos = spread(folder, limit)
        total = 4 * len(photos) + len(photos) // 4 * (2 + len(setting.sizes))
        total += (len(SMALL) + 2) * min(setting.blocks, len(photos))
        with progress_bar(total, "maps", progress) as bar:
            runs = Runs(setting.net, results, bar)
            numbers, classes, errors = _single(runs, setting, photos)
            for found in (_mosaics(runs, setting, photos, classes), _blocks(runs, setting, photos)):
                for index, values in found:
                    numbers[index] |= values
    _report(setting, numbers, errors)


def _gaussian(window: int) -> pdjax.ConditionalGaussian:
    return pdjax.ConditionalGaussian(pdjax.PatchStatistics.natural_images(), window)


def _mixture(setting: Setting) -> pdjax.ConditionalMixture:
    grid = WindowGrid(setting.net.image_shape[:-1], WINDOW, WINDOW)
    return pdjax.ConditionalMixture(pdjax.PatchMixture.natural_images(), WINDOW, places=grid)


def _marginal(setting: Setting, index: int) -> pdjax.Marginal:
    return pdjax.Marginal(others(setting.folder, index, setting.samples), WINDOW)


def _single(
    runs: Runs, setting: Setting, photos: Mapping[int, np.ndarray]
) -> tuple[Numbers, dict[int, int], list[float]]:
    """Photographs by themselves: their numbers, their highest classes, and the maps' errors."""
    conditional, mixture, pixel = _gaussian(WINDOW), _mixture(setting), _gaussian(1)
    common = {"stride": WINDOW, "num_samples": setting.samples}
    numbers: Numbers = {}
    classes, errors = {}, []
    prob = setting.layers[-1]
    for index, photo in photos.items():
        title = f"photo{index}"
        units = {layer: _some_maps(setting, layer) for layer in setting.layers[:3]}
        settings = common | {"layers": setting.layers, "units": units, "classes": 3}
        whole = runs.explain(photo, conditional, index, title, **settings)
        classes[index] = int(whole.settings["classes"][0])
        other = _marginal(setting, index)
        settings = common | {"classes": 3}
        marginal = runs.explain(photo, other, index, f"{title}-marginal", **settings)
        mixed = runs.explain(photo, mixture, index, f"{title}-mixture", **settings)
        few = setting.pixel_samples
        settings = {"stride": 1, "num_samples": few, "classes": 1}
        settings["where"] = _scattered(setting, index)
        single = runs.explain(photo, pixel, index, f"{title}-pixels{setting.pixels}", **settings)
        errors.append(whole.settings["reached_error"][prob])
        grid = WindowGrid(photo.shape[:-1], WINDOW, WINDOW)
        contrast = of.ring_contrast(photo, grid, conditional.padding)
        surprise = of.surprise(photo, grid, conditional)
        found = {}
        samplers = {"conditional": whole, "mixture": mixed, "marginal": marginal}
        for name, explanation in samplers.items():
            relevance = explanation.window_relevance[prob][0]
            found[f"gini {name}"] = pdjax.metrics.gini(relevance)
            found[f"flat {name}"] = of.flat_share(relevance, contrast)
            found[f"predicted {name}"] = of.rank(np.abs(relevance), -surprise)
        alone, error = single.window_relevance[prob][0], single.window_standard_error[prob][0]
        known = np.isfinite(alone)
        found["pixels beyond"] = of.beyond_chance(alone, error, few)
        found["pixels rank"] = of.rank(
            np.abs(alone[known]), np.abs(whole.relevance[prob][0][known])
        )
        for name, layer in zip(DEPTHS, setting.layers, strict=False):
            maps = whole.window_relevance[layer]
            found[f"gini {name}"] = of.window_gini(maps)
            found[f"overlap {name}"] = of.overlap(maps)
        for name, layer in zip(("scores", "prob"), setting.layers[3:], strict=True):
            found[f"classes {name}"] = of.pairwise(whole.window_relevance[layer])
        numbers[index] = found
    return numbers, classes, errors


def _some_maps(setting: Setting, layer: str) -> list[int]:
    """Indices of feature maps, evenly spread over a layer."""
    count = setting.net.activation_shape(layer)[-1]
    return np.linspace(0, count - 1, setting.maps).round().astype(int).tolist()


def _scattered(setting: Setting, index: int) -> np.ndarray:
    """Mark single pixels at random places."""
    spatial = setting.net.image_shape[:-1]
    where = np.zeros(spatial, bool)
    chosen = np.random.default_rng(index).choice(where.size, setting.pixels, replace=False)
    where.ravel()[chosen] = True
    return where


def _mosaics(
    runs: Runs, setting: Setting, photos: Mapping[int, np.ndarray], classes: Mapping[int, int]
) -> Iterator[tuple[int, dict[str, float]]]:
    """Photographs as quarters of mosaics, where their class is explained."""
    samplers = {size: _gaussian(size) for size in setting.sizes}
    mixture = _mixture(setting)
    indices, prob = list(photos), setting.layers[-1]
    apart = len(indices) // 4
    for first in range(apart):
        # Neighbours in the folder may show the same kind of thing.
        four = indices[first::apart][:4]
        image = pdjax.metrics.mosaic([photos[index] for index in four])
        wanted = list(dict.fromkeys(classes[index] for index in four))
        title = "mosaic" + "_".join(map(str, four))
        common = {"num_samples": setting.samples, "classes": wanted}
        other = _marginal(setting, four[0])
        settings = common | {"stride": WINDOW}
        found = {
            name: runs.explain(image, sampler, first, f"{title}-{name}", **settings)
            for name, sampler in (("marginal", other), ("mixture", mixture))
        }
        for size, sampler in samplers.items():
            settings = common | {"stride": size}
            found[str(size)] = runs.explain(image, sampler, first, title, **settings)
        for quarter, index in enumerate(four):
            if [classes[each] for each in four].count(classes[index]) > 1:
                continue
            row, values = wanted.index(classes[index]), {}
            for name, explanation in found.items():
                relevance = explanation.relevance[prob][row]
                if (relevance > 0).any():
                    values[f"game {name}"] = pdjax.metrics.grid_pointing_game(relevance, quarter)
                values[f"frequency {name}"] = of.frequency(relevance)
            yield index, values


def _blocks(
    runs: Runs, setting: Setting, photos: Mapping[int, np.ndarray]
) -> Iterator[tuple[int, dict[str, float]]]:
    """Windows of 10 beside all smaller ones inside them, in a block of strong relevance."""
    prob, side = setting.layers[-1], setting.block
    samplers = {size: _gaussian(size) for size in (*SMALL, WINDOW)}
    indices = list(photos)
    chosen = np.linspace(0, len(indices) - 1, min(setting.blocks, len(indices))).round()
    for index in (indices[int(place)] for place in chosen):
        photo = photos[index]
        units = {layer: _some_maps(setting, layer) for layer in setting.layers[:3]}
        settings = {"stride": WINDOW, "num_samples": setting.samples, "layers": setting.layers}
        settings |= {"units": units, "classes": 3}
        whole = runs.explain(photo, samplers[WINDOW], index, f"photo{index}", **settings)
        top, left = _strongest_block(whole.window_relevance[prob][0], side // WINDOW)
        box = (slice(top, top + side), slice(left, left + side))
        found = {}
        for size, sampler in samplers.items():
            settings = {"stride": size, "classes": 1, "where": box}
            settings["num_samples"] = 8 if size == WINDOW else setting.samples
            title = f"photo{index}-block{side}"
            explanation = runs.explain(photo, sampler, index, title, **settings)
            cut = (
                slice(top // size, (top + side) // size),
                slice(left // size, (left + side) // size),
            )
            found[size] = tuple(
                each[prob][0][cut]
                for each in (explanation.window_relevance, explanation.window_standard_error)
            )
        values = {}
        for size in SMALL:
            moments = of.block_moments(found[WINDOW], found[size], WINDOW // size)
            values |= {f"inside {size} {part}": float(each) for part, each in enumerate(moments)}
        yield index, values


def _strongest_block(relevance: np.ndarray, windows: int) -> tuple[int, int]:
    """First pixel of the block of so many windows a side that has most absolute relevance."""
    # The last window of a row may overlap the one before it.
    strength = np.abs(relevance[:-1, :-1])
    sums = np.lib.stride_tricks.sliding_window_view(strength, (windows, windows)).sum((2, 3))
    top, left = np.unravel_index(sums.argmax(), sums.shape)
    return int(top) * WINDOW, int(left) * WINDOW


def _beside_marginal(sampler: str, samples: str, game: str) -> list[Row]:
    """Rows that compare samples given the surroundings with marginal ones."""
    targeted = f"{samples} point at fewer and better places than marginal ones"

    def both(number: str) -> dict[str, str]:
        return {name: f"{number} {name}" for name in (sampler, "marginal")}

    gini, flat, predicted = both("gini"), both("flat"), both("predicted")
    games = {sampler: game, "marginal": "game marginal"}
    return [
        Row(targeted, "grid pointing game", games, tuple(games.values())),
        Row(targeted, "Gini coefficient", gini, tuple(gini.values())),
        Row(targeted, "relevance on the flattest third", flat, tuple(flat.values())[::-1]),
        Row(
            f"Marginal samples credit pixels that their neighbours predict, {samples.lower()} less",
            "rank correlation of relevance and how well the ring predicts the window",
            predicted,
            tuple(predicted.values())[::-1],
        ),
    ]


def _rows(sizes: tuple[int, ...]) -> list[Row]:
    depths = {
        number: {name: f"{number} {name}" for name in DEPTHS} for number in ("gini", "overlap")
    }
    games = {f"k = {size}": f"game {size}" for size in sizes}
    layers = "First layers see filters, middle ones parts, last ones objects"
    return [
        *_beside_marginal("conditional", "Conditional samples", f"game {WINDOW}"),
        *_beside_marginal("mixture", "Those of a mixture of textures", "game mixture"),
        Row(
            "A single pixel has a measurable effect",
            "share of pixels beyond their 95 % interval, less 5 %",
            {"k = 1": "pixels beyond"},
            ("pixels beyond",),
            0.05,
        ),
        Row(
            "Important pixels score higher even alone",
            "rank correlation of relevance at k = 1 and k = 10",
            {"k = 1": "pixels rank"},
            ("pixels rank",),
        ),
        Row(
            "Larger windows give smoother maps",
            "mean spatial frequency, cycles an image",
            {f"k = {size}": f"frequency {size}" for size in sizes},
            (f"frequency {sizes[0]}", f"frequency {sizes[-1]}"),
        ),
        Row(
            "Larger windows are easier to read",
            "grid pointing game, the largest beside the smallest",
            games,
            (f"game {sizes[-1]}", f"game {sizes[0]}"),
        ),
        Row(
            "Very large ones blur",
            "grid pointing game, the largest beside the one before",
            games,
            (f"game {sizes[-2]}", f"game {sizes[-1]}"),
        ),
        Row(layers, "Gini coefficient", depths["gini"], ("gini middle", "gini first")),
        Row(
            layers, "overlap of feature maps", depths["overlap"], ("overlap last", "overlap middle")
        ),
        Row(
            "Scores of the three highest classes have the same evidence, probabilities have not",
            "correlation between classes",
            {"scores": "classes scores", "probabilities": "classes prob"},
            ("classes scores", "classes prob"),
        ),
    ]


def _report(setting: Setting, numbers: Numbers, errors: list[float]) -> None:
    values = {
        name: np.array([each.get(name, np.nan) for each in numbers.values()])
        for name in dict.fromkeys(name for each in numbers.values() for name in each)
    }
    rows: list[tuple[str, ...]] = []
    for row in _rows(setting.sizes):
        sides = "; ".join(f"{k} {bootstrap(values[name])}" for k, name in row.sides.items())
        speaks = [values[name] for name in row.speaks]
        difference = speaks[0] - (speaks[1] if len(speaks) > 1 else row.chance)
        rows.append(_cells(row.sentence, row.number, sides, bootstrap(difference), difference))
    rows.insert(-3, _averages(values))
    print_table(("setting", "value"), _settings(setting, numbers, errors))
    header = ("sentence", "number", "found", "speaks for it", "photographs", "verdict")
    print_table(header, rows)


def _averages(values: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    """Windows of 10 beside the mean of smaller ones inside them; moments are pooled."""
    moments = {
        size: np.stack([values[f"inside {size} {part}"] for part in range(4)], 1) for size in SMALL
    }
    found = [f"k = {k} {bootstrap(each, of.explained_variance)}" for k, each in moments.items()]
    left = bootstrap(moments[SMALL[-1]], lambda each: 1 - of.explained_variance(each))
    return _cells(
        "Larger windows are not averages of smaller ones",
        f"variance at k = {WINDOW} explained by the mean of smaller windows; "
        f"1 less that at k = {SMALL[-1]}",
        "; ".join(found),
        left,
        moments[SMALL[-1]][:, 0],
    )


def _cells(
    sentence: str, number: str, found: str, difference: Interval, values: Any
) -> tuple[str, ...]:
    verdict = "open"
    if difference.low > 0:
        verdict = "holds"
    elif difference.high < 0:
        verdict = "the opposite"
    return sentence, number, found, str(difference), str(np.isfinite(values).sum()), verdict


def _settings(setting: Setting, numbers: Numbers, errors: list[float]) -> list[tuple[str, str]]:
    return [
        ("network", setting.net.name),
        ("photographs", str(len(numbers))),
        ("window, stride, samples", f"{WINDOW}, {WINDOW}, {setting.samples}"),
        ("error of a pixel, of the largest relevance", f"{np.mean(errors):.1%}"),
        ("windows of mosaics, stride as large", ", ".join(map(str, setting.sizes))),
        ("single pixels, samples", f"{setting.pixels}, {setting.pixel_samples}"),
        ("feature maps of a layer", str(setting.maps)),
        ("hidden layers", ", ".join(setting.layers[:3])),
        *environment(),
    ]


if __name__ == "__main__":
    typer.run(main)
