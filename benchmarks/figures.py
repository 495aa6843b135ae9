"""The figures of the paper, remade (Zintgraf et al., 2017, figures 3 to 8) from real networks.

Numbers of figures are the paper's. Each is a PNG file of at most 150 kB and a PDF file; what is to
be seen in them stands in FIGURES.md. Photographs are found by a word in their file names.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from matplotlib.figure import Figure
from measure import environment, print_table
from photographs import Runs, others, toy_images, toy_network
from PIL import Image

import pdjax
from pdjax._progress import progress_bar
from pdjax.picture import comparison_figure, save_figure

WINDOW = 10
FIGURES = (3, 4, 5, 6, 7, 8)
LARGEST = 150_000
"""Bytes of a PNG file."""

Drawn = Iterator[tuple[str, Figure]]


@dataclasses.dataclass(frozen=True)
class Gallery:
    """What all figures are made of.

    Attributes
    ----------
    runs : Runs
        Of the network that most figures are of.
    folder : ImageFolder
    layers : tuple of str
        A first, a middle and a last hidden layer, the scores and the probabilities.
    words : dict of tuple of str
        By figure, what the file names of its photographs contain.
    stride, samples : int
    sizes : dict of int
        Windows of figure 4, with their strides.
    box : int
        Pixels along a side of what figure 4 shows.
    rivals : tuple of Runs
        Of other networks, for figure 8.
    """

    runs: Runs
    folder: pdjax.ImageFolder
    layers: tuple[str, ...]
    words: dict[int, tuple[str, ...]]
    stride: int
    samples: int
    sizes: dict[int, int]
    box: int
    rivals: tuple[Runs, ...] = ()

    def index(self, word: str) -> int:
        """Index of the first photograph with a word in its name."""
        for index, path in enumerate(self.folder.paths):
            if word in path.stem:
                return index
        raise ValueError(f"images: no file name contains {word!r}; choose another folder")

    def explain(self, word: str, sampler: Any, title: str, **settings: Any) -> pdjax.Explanation:
        """Explain a photograph, by default with the stride and the samples of all figures."""
        index = self.index(word)
        settings = {"stride": self.stride, "num_samples": self.samples, "classes": 3} | settings
        photo = pdjax.load_image(self.folder.paths[index], size=self.runs.net.image_size)
        return self.runs.explain(photo, sampler, index, f"figure-{word}-{title}", **settings)

    def conditional(self, word: str) -> pdjax.Explanation:
        """All layers of a photograph, with conditional samples of the joint Gaussian."""
        units = {layer: self.active[layer] for layer in self.layers[:3]}
        settings = {"layers": self.layers, "units": units}
        return self.explain(word, _gaussian(WINDOW), "conditional", **settings)

    @functools.cached_property
    def active(self) -> dict[str, list[int]]:
        """Of each hidden layer, the eight feature maps that are most active on one photograph."""
        photo = self.folder[self.index(self.words[5][0])]
        outputs = self.runs.net(photo[None], capture=self.layers[:3])
        means = {layer: np.asarray(array[0]).mean((0, 1)) for layer, array in outputs.items()}
        return {layer: np.argsort(-mean)[:8].tolist() for layer, mean in means.items()}


def main(
    images: Annotated[Path, typer.Option(help="A folder of photographs.")] = Path("images"),
    figure: Annotated[list[int] | None, typer.Option(help="Numbers; by default all.")] = None,
    weights: Annotated[Path | None, typer.Option(help="The file of GoogLeNet's weights.")] = None,
    alexnet: Annotated[Path | None, typer.Option(help="Of AlexNet's, for figure 8.")] = None,
    vgg16: Annotated[Path | None, typer.Option(help="Of VGG16's, for figure 8.")] = None,
    stride: Annotated[int, typer.Option(help="Pixels between windows.")] = 5,
    samples: Annotated[int, typer.Option(help="Samples of a window.")] = 2,
    output: Annotated[Path, typer.Option(help="The folder for the files.")] = Path("figures"),
    results: Annotated[
        Path | None, typer.Option(help="A folder that keeps every map, to go on from there.")
    ] = None,
    progress: Annotated[bool, typer.Option(help="Show the progress bar.")] = True,
    toy: Annotated[bool, typer.Option(help="A tiny network, to see that this works.")] = False,
) -> None:
    """Draw the paper's figures anew."""
    numbers = FIGURES if not figure else tuple(figure)
    if not set(numbers) <= set(FIGURES):
        raise typer.BadParameter(f"figures are {FIGURES[0]} to {FIGURES[-1]}", param_hint="figure")
    with contextlib.ExitStack() as stack:
        if results is None or toy:
            results = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for each in (results, output):
            each.mkdir(parents=True, exist_ok=True)
        bar = stack.enter_context(progress_bar(0, "maps", progress))
        if toy:
            gallery = _toy(results, bar)
        else:
            gallery = _real(images, weights, {"alexnet": alexnet, "vgg16": vgg16}, results, bar)
            gallery = dataclasses.replace(gallery, stride=stride, samples=samples)
        rows = []
        for number in numbers:
            for name, drawn in DRAW[number](gallery):
                path = output / f"figure{number}-{name}.png"
                save_figure(drawn, path.with_suffix(".pdf"))
                rows.append((path.name, str(save_small(drawn, path) // 1000)))
    print_table(("setting", "value"), environment())
    print_table(("file", "kB"), rows)


def _real(
    images: Path, weights: Path | None, files: dict[str, Path | None], results: Path, bar: Any
) -> Gallery:
    net = pdjax.load_model("googlenet", weights)
    networks = {name: path for name, path in files.items() if path is not None}
    rivals = [pdjax.load_model(name, path) for name, path in networks.items()]
    rivals.append(pdjax.load_model("efficientnet_lite0"))
    hidden = ("conv1/7x7_s2", "inception_3a/output", "inception_5b/output")
    words = {
        3: ("ostrich", "sax"),
        4: ("African_elephant",),
        5: ("tabby", "ostrich"),
        6: ("tabby", "ostrich", "African_elephant"),
        7: ("African_elephant", "tabby"),
        8: ("African_elephant", "balloon"),
    }
    return Gallery(
        Runs(net, results, bar),
        pdjax.ImageFolder(images, size=net.image_size),
        (*hidden, "loss3/classifier", "prob"),
        words,
        stride=5,
        samples=2,
        sizes={1: 1, 2: 2, 5: 3, 10: 5, 15: 5, 20: 5},
        box=96,
        rivals=tuple(Runs(each, results, bar) for each in rivals),
    )


def _toy(results: Path, bar: Any) -> Gallery:
    runs, layers = (
        Runs(toy_network(), results, bar),
        ("first", "middle", "last", "scores", "prob"),
    )
    words = {3: ("0",), 4: ("1",), 5: ("0",), 6: ("0",), 7: ("0",), 8: ("0",)}
    folder = toy_images(results, 4)
    return Gallery(runs, folder, layers, words, 10, 2, {5: 5, 10: 10}, 20, (runs,))


def _gaussian(window: int) -> pdjax.ConditionalGaussian:
    return pdjax.ConditionalGaussian(pdjax.PatchStatistics.natural_images(), window)


def _samplers(gallery: Gallery) -> Drawn:
    """Figure 3: marginal samples beside conditional ones, for the highest class."""
    for word in gallery.words[3]:
        other = others(gallery.folder, gallery.index(word), gallery.samples)
        mixture = pdjax.ConditionalMixture(pdjax.PatchMixture.natural_images(), WINDOW)
        found = [
            gallery.explain(word, pdjax.Marginal(other, WINDOW), "marginal"),
            gallery.conditional(word),
            gallery.explain(word, mixture, "mixture"),
        ]
        names = ["marginal", "conditional Gaussian", "conditional mixture"]
        first = found[1].names["prob"][0]
        yield word, pdjax.compare(found, "prob", [first], names=names, scale="all")


def _windows(gallery: Gallery) -> Drawn:
    """Figure 4: window sizes, in the part of the photograph with the strongest evidence."""
    for word in gallery.words[4]:
        box = _strongest_box(gallery.conditional(word).relevance["prob"][0], gallery.box)
        found = {
            size: gallery.explain(
                word,
                _gaussian(size),
                f"box{gallery.box}",
                stride=stride,
                classes=1,
                where=box,
            )
            for size, stride in gallery.sizes.items()
        }
        any_one = next(iter(found.values()))
        passes = sum(each.settings["passes"] for each in found.values())
        strides = ", ".join(map(str, gallery.sizes.values()))
        caption = (
            f"{any_one.settings['model']}; {any_one.settings['sampler']}; strides {strides}, "
            f"{gallery.samples} samples a window, {passes:,} forward passes; "
            f"{gallery.box} by {gallery.box} pixels of the photo"
        )
        yield (
            word,
            comparison_figure(
                any_one.image[box],
                [each.relevance["prob"][:, *box] for each in found.values()],
                titles=any_one.titles("prob"),
                columns=[f"k = {size}" for size in found],
                units=[any_one.measures["prob"]] * len(found),
                caption=caption,
                scale="each",
            ),
        )


def _strongest_box(relevance: np.ndarray, side: int) -> tuple[slice, slice]:
    sums = np.pad(np.abs(relevance).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    boxes = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    top, left = (int(start) for start in np.unravel_index(boxes.argmax(), boxes.shape))
    return slice(top, top + side), slice(left, left + side)


def _layers(gallery: Gallery) -> Drawn:
    """Figure 5: the most active feature maps of a first, a middle and a last layer."""
    for word in gallery.words[5]:
        explanation = gallery.conditional(word)
        for layer in gallery.layers[:3]:
            title = f"{word}-{layer.replace('/', '-')}"
            yield title, explanation.plot(layer, show_image=True)


def _feature_maps(gallery: Gallery) -> Drawn:
    """Figure 6: three feature maps of the middle layer, on several photographs."""
    layer = gallery.layers[1]
    for word in gallery.words[6]:
        explanation = gallery.conditional(word)
        yield word, explanation.plot(layer, units=[0, 1, 2], show_image=True, scale="each")


def _penultimate(gallery: Gallery) -> Drawn:
    """Figure 7: scores beside probabilities, for the three highest classes."""
    for word in gallery.words[7]:
        yield word, gallery.conditional(word).compare(gallery.layers[3:])


def _networks(gallery: Gallery) -> Drawn:
    """Figure 8: networks beside each other, for the highest class of the first."""
    for word in gallery.words[8]:
        found = [gallery.conditional(word)]
        label = found[0].names["prob"][0]
        for runs in gallery.rivals:
            rival = dataclasses.replace(gallery, runs=runs)
            found.append(rival.explain(word, _gaussian(WINDOW), "rival", classes=[label]))
        names = [str(each.settings["model"]) for each in found]
        yield word, pdjax.compare(found, "prob", [label], names=names, scale="each")


DRAW = {
    3: _samplers,
    4: _windows,
    5: _layers,
    6: _feature_maps,
    7: _penultimate,
    8: _networks,
}


def save_small(figure: Figure, path: Path) -> int:
    """Write a PNG file of at most 150 kB, with 256 colours and as many dots as fit; its bytes."""
    for dots in (130, 110, 90, 70, 55):
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=dots)
        # Colours by nearest means: strong relevance is rare, and would get none of its own.
        small = Image.open(buffer).convert("RGB").quantize(256, kmeans=4)
        small.save(path, optimize=True)
        if path.stat().st_size <= LARGEST:
            break
    return path.stat().st_size


if __name__ == "__main__":
    typer.run(main)
