"""How far a map is from one of very many samples, and whether its standard errors say so.

Windows of four blocks of each photograph are drawn 100 times: the truth. Against it stand runs of
8 samples by every scheme of sampling, the bias of runs of 2 samples, and a run of the whole map
until the error asked for is promised.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import jax
import numpy as np
import typer
from blocks import Blocks, Seen, Setup, choose_blocks, draws_of, pooled, reach, seen, set_up
from measure import environment, print_table
from workload import toy_network

import pdjax
from pdjax._explain.request import Request
from pdjax._progress import progress_bar
from pdjax.method.schemes import SCHEMES, Scheme
from pdjax.method.windows import WindowGrid

FEW = 2
"""Samples of one draw of the truth, whose bias is measured."""


class Setting(NamedTuple):
    """What is run on every photograph."""

    net: pdjax.Classifier
    sampler: Any
    stride: int
    classes: int
    side: int
    truth: int
    samples: int
    repeats: int
    target: float


class Found(NamedTuple):
    """What is found on one photograph; mean squares in squared bits."""

    squares: dict[str, float]
    covered: dict[str, float]
    bias: tuple[float, float]
    promised: float
    measured: float
    passes: int


def main(
    images: Annotated[Path, typer.Option(help="A folder of photographs.")] = Path("images"),
    model: Annotated[str, typer.Option(help="The network.")] = "googlenet",
    weights: Annotated[Path | None, typer.Option(help="The file of its weights.")] = None,
    photographs: Annotated[int, typer.Option(help="How many, spread over the folder.")] = 5,
    stride: Annotated[int, typer.Option(help="Pixels between windows.")] = 4,
    side: Annotated[int, typer.Option(help="Windows along a side of a block.")] = 6,
    truth: Annotated[int, typer.Option(help="Samples a window of the truth.")] = 100,
    samples: Annotated[int, typer.Option(help="Samples a window of the schemes.")] = 8,
    repeats: Annotated[int, typer.Option(help="Runs of each scheme.")] = 4,
    target: Annotated[float, typer.Option(help="The target_error of the whole map.")] = 0.02,
    toy: Annotated[bool, typer.Option(help="A tiny network, to see that this works.")] = False,
) -> None:
    """Print factors between schemes, coverage of intervals, bias, and promised errors."""
    statistics = pdjax.PatchStatistics.natural_images()
    if toy:
        net, sampler = toy_network(), pdjax.ConditionalGaussian(statistics, window=4)
        setting = Setting(net, sampler, 1, 3, 4, 40, samples, 2, 0.2)
        photos = {
            f"noise {i}": np.random.default_rng(i).random((12, 12, 3), np.float32) for i in range(2)
        }
    else:
        net, sampler = pdjax.load_model(model, weights), pdjax.ConditionalGaussian(statistics, 10)
        setting = Setting(net, sampler, stride, 1, side, truth, samples, repeats, target)
        folder = pdjax.ImageFolder(images, size=net.image_size)
        chosen = np.linspace(0, len(folder) - 1, photographs + 2).astype(int)[1:-1]
        photos = {f"{index}": folder[index] for index in chosen}
    print_table(("setting", "value"), _settings(setting))
    found = {}
    for number, (name, photo) in enumerate(photos.items()):
        found[name] = _examine(setting, photo, number, f"photograph {name}")
        _print_schemes(found)
        _print_rest(found, setting)


def _settings(setting: Setting) -> list[tuple[str, str]]:
    return [
        ("network", setting.net.name),
        ("window, stride", f"{setting.sampler.window[0]}, {setting.stride}"),
        ("blocks", f"4 of {setting.side} by {setting.side} windows"),
        ("samples of the truth", str(setting.truth)),
        ("samples, runs of a scheme", f"{setting.samples}, {setting.repeats}"),
        *environment(),
    ]


def _examine(setting: Setting, photo: np.ndarray, number: int, title: str) -> Found:
    key = jax.random.fold_in(jax.random.key(0), number)
    common = (setting.net, photo, setting.sampler)
    windows = 4 * setting.side**2
    total = windows * (setting.truth + len(SCHEMES) * setting.repeats * setting.samples)
    with progress_bar(total, "images", True, title) as bar:

        def sampled(number: int, scheme: str, samples: int) -> Setup:
            return set_up(
                Request(
                    *common,
                    rng_key=jax.random.fold_in(key, number),
                    num_samples=samples,
                    stride=setting.stride,
                    sampling=scheme,
                    classes=setting.classes,
                )
            )

        run = sampled(0, SCHEMES[0], FEW)
        blocks = choose_blocks(run.grid, setting.side, number)
        times = setting.truth // FEW
        few = draws_of(run, blocks, times, bar)
        long = seen(run, blocks, pooled(run, few), times)

        def mean(corrected: bool) -> np.ndarray:
            return np.mean([seen(run, blocks, one, 1, corrected).windows for one in few], 0)

        bias = tuple(_rms(mean(corrected) - long.windows) for corrected in (False, True))
        squares, covered = {}, {}
        for place, scheme in enumerate(SCHEMES, start=1):
            own = sampled(place, scheme, setting.samples)
            runs = [seen(own, blocks, one) for one in draws_of(own, blocks, setting.repeats, bar)]
            squares[scheme] = _error_square(runs, long)
            covered[scheme] = _coverage(runs, long, blocks, Scheme(scheme, setting.samples))
    whole = pdjax.explain(
        *common,
        rng_key=jax.random.fold_in(key, 9),
        stride=setting.stride,
        classes=setting.classes,
        target_error=setting.target,
        progress=True,
    )
    pixels, errors = (blocks.cut(m["prob"]) for m in (whole.relevance, whole.standard_error))
    most = float(np.abs(whole.relevance["prob"]).max())
    square = np.square(pixels - long.pixels).mean() - np.square(long.pixel_errors).mean()
    measured = float(np.sqrt(max(square, 0.0)))
    return Found(
        squares, covered, bias, _rms(errors) / most, measured / most, whole.settings["passes"]
    )


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.square(values).mean()))


def _error_square(runs: Sequence[Seen], long: Seen) -> float:
    """Mean squared error of a window's relevance, less that of the truth."""
    mean = np.mean([np.square(run.windows - long.windows).mean() for run in runs])
    return float(mean - np.square(long.window_errors).mean())


def _coverage(runs: Sequence[Seen], long: Seen, blocks: Blocks, scheme: Scheme) -> float:
    half = reach(blocks, scheme.replicates)
    inside = [np.abs(run.pixels - long.pixels) <= half * run.pixel_errors for run in runs]
    return float(np.mean(inside))


def _print_schemes(found: dict[str, Found]) -> None:
    first, *others = SCHEMES
    rows = []
    for name, one in found.items():
        factors = (f"{one.squares[first] / one.squares[scheme]:.2f}" for scheme in others)
        covered = (f"{one.covered[scheme]:.1%}" for scheme in SCHEMES)
        rows.append((name, f"{np.sqrt(one.squares[first]):.3f}", *factors, *covered))
    if len(found) > 1:
        total = {s: np.mean([one.squares[s] for one in found.values()]) for s in SCHEMES}
        factors = (f"{total[first] / total[scheme]:.2f}" for scheme in others)
        covered = (f"{np.mean([one.covered[s] for one in found.values()]):.1%}" for s in SCHEMES)
        rows.append(("all", f"{np.sqrt(total[first]):.3f}", *factors, *covered))
    header = (
        "photograph",
        f"rms error, {first}, bits",
        *(f"variance over {s}" for s in others),
        *(f"covered, {s}" for s in SCHEMES),
    )
    print_table(header, rows)


def _print_rest(found: dict[str, Found], setting: Setting) -> None:
    grid = WindowGrid(setting.net.image_shape[:-1], setting.sampler.window, 1)
    full = 10 * grid.size + 1
    rows = [
        (
            name,
            f"{one.bias[0]:.5f}",
            f"{one.bias[1]:.5f}",
            f"{one.bias[1] / one.bias[0]:.2f}",
            f"{one.promised:.2%}",
            f"{one.measured:.2%}",
            f"{one.measured / one.promised:.2f}",
            f"{one.passes}",
            f"{one.passes / full:.1%}",
        )
        for name, one in found.items()
    ]
    header = (
        "photograph",
        f"bias at {FEW}, bits",
        "corrected",
        "left",
        "promised",
        "measured",
        "ratio",
        "passes",
        "of the full setting",
    )
    print_table(header, rows)


if __name__ == "__main__":
    typer.run(main)
