"""How much sooner pdjax knows a map as well as the brute force does.

The brute force evaluates the whole network in PyTorch for 10 independent samples of every window at
stride 1. Its error, and that of pdjax after some budgets of forward passes at a coarser stride, are
those of pixels spread over the photograph against one truth: all windows at stride 1 that contain
the pixel, with many more samples. What a stride leaves out and what a logarithm of few samples
gets wrong are part of the error.

Nobody needs to wait for the brute force: its time is that of an image, measured, times their
number; its error is measured with such samples of the pixels' windows in the local engine, which
gives the same numbers up to rounding.
"""

from __future__ import annotations

import dataclasses
import itertools
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import jax
import numpy as np
import typer
from blocks import Blocks, choose_blocks, draws_of, pooled, seen, set_up
from keep import check_settings, kept
from measure import Seconds, environment, print_table, time_alternately
from photographs import spread
from workload import toy_network

import pdjax
from pdjax._explain.request import Request
from pdjax._progress import progress_bar
from pdjax.method.windows import WindowGrid

FORMS = ("channels_last", "compiled")
"""Ways in which PyTorch runs."""

BATCH = 32
"""Images that PyTorch evaluates at once."""

Forms = Mapping[str, Callable[[np.ndarray], Any]]


@dataclasses.dataclass(frozen=True, eq=False)
class Setting:
    """What is run on every photograph.

    Attributes
    ----------
    net : Classifier
    sampler : Sampler
    samples : int
        Of a window, independent, of the brute force.
    truth : int
        Draws of 8 Sobol samples of a window, of the truth.
    along : int
        Pixels of which the truth is known, along a side.
    stride : int
        Of pdjax's runs.
    budgets : tuple of int
        Forward passes of pdjax's runs.
    """

    net: pdjax.Classifier
    sampler: Any
    samples: int
    truth: int
    along: int
    stride: int
    budgets: tuple[int, ...]

    @property
    def grid(self) -> WindowGrid:
        """Windows of the brute force."""
        return WindowGrid(self.net.image_shape[:-1], self.sampler.window, 1)

    @property
    def brute_passes(self) -> int:
        """Forward passes of the brute force."""
        return self.grid.size * self.samples + 1


def main(
    images: Annotated[Path, typer.Option(help="A folder of photographs.")] = Path("images"),
    weights: Annotated[Path | None, typer.Option(help="The file of GoogLeNet's weights.")] = None,
    results: Annotated[Path, typer.Option(help="The folder that keeps what is found.")] = Path(
        "equal_error_results"
    ),
    photographs: Annotated[int, typer.Option(help="How many, spread over the folder.")] = 3,
    stride: Annotated[int, typer.Option(help="Pixels between windows of pdjax's runs.")] = 2,
    budgets: Annotated[str, typer.Option(help="Their forward passes, from few to many.")] = (
        "60000,120000,240000"
    ),
    along: Annotated[int, typer.Option(help="Pixels with a truth, along a side.")] = 6,
    truth: Annotated[int, typer.Option(help="Draws of 8 samples of the truth.")] = 2,
    toy: Annotated[bool, typer.Option(help="A tiny network, to see that this works.")] = False,
) -> None:
    """Print errors and times of the brute force and of pdjax, and the factor at equal error."""
    statistics = pdjax.PatchStatistics.natural_images()
    if toy:
        net, sampler = toy_network(), pdjax.ConditionalGaussian(statistics, window=4)
        setting = Setting(net, sampler, 10, 2, 2, 2, (220, 880))
        random = np.random.default_rng(0)
        photos = {i: random.random((12, 12, 3), np.float32) for i in range(2)}
        with tempfile.TemporaryDirectory() as folder:
            _run(setting, photos, Path(folder), {"dense": net})
    else:
        from torch_networks import Rival

        net, sampler = pdjax.load_model("googlenet", weights), pdjax.ConditionalGaussian(statistics)
        some = tuple(sorted(int(number) for number in budgets.split(",")))
        setting = Setting(net, sampler, 10, truth, along, stride, some)
        # The first and the last of a folder are often of a kind.
        photos = spread(pdjax.ImageFolder(images, size=net.image_size), photographs + 2)
        photos = dict(list(photos.items())[1:-1])
        forms = {form: Rival("bvlc_googlenet", net.params, form) for form in FORMS}
        _run(setting, photos, results, forms)


def _run(setting: Setting, photos: Mapping[int, np.ndarray], results: Path, forms: Forms) -> None:
    words = [
        ("network", setting.net.name),
        ("window", str(setting.sampler.window[0])),
        ("brute force", f"stride 1, {setting.samples} samples, {setting.brute_passes} passes"),
        ("pdjax", f"stride {setting.stride}, Sobol samples where they help most"),
        ("truth", f"stride 1, {8 * setting.truth} Sobol samples"),
        ("pixels", f"{setting.along**2}, of all {_windows_on_a_pixel(setting)} windows on each"),
    ]
    print_table(("setting", "value"), [*words, *environment()])
    check_settings(results, words)
    rows, summary = [], []
    for number, (name, photo) in enumerate(photos.items()):
        folder, key = results / str(name), jax.random.fold_in(jax.random.key(0), number)
        blocks = choose_blocks(setting.grid, setting.sampler.window[0], number, setting.along)
        known = kept(
            folder / "known.npz", lambda p=photo, k=key, b=blocks: _known(setting, p, k, b)
        )
        errors: dict[int, float] = {}
        spent: dict[int, Seconds] = {}
        for budget in setting.budgets:
            run = kept(
                folder / f"{budget}.npz",
                lambda p=photo, k=key, m=budget, f=folder: _budgeted(setting, p, k, m, f),
            )
            passes = int(run["passes"])
            errors[passes] = _error(blocks.cut(run["relevance"]), known)
            spent[passes] = Seconds(*run["seconds"].tolist())
            promised = _rms(blocks.cut(run["standard_error"]))
            rows.append(
                _row(f"{name}, {budget} passes", passes, spent[passes], errors[passes], promised)
            )
            if errors[passes] <= _error(known["brute"], known):
                break
        timed = kept(folder / "seconds.npz", lambda p=photo: _seconds(forms, p))
        brute_error = _error(known["brute"], known)
        one = {form: Seconds(*timed[form].tolist()) for form in forms}
        whole = {form: each.per(1 / setting.brute_passes) for form, each in one.items()}
        for form in reversed(forms):
            promised = _rms(known["brute_errors"])
            title = f"{name}, brute force, {form}"
            row = _row(title, setting.brute_passes, whole[form], brute_error, promised)
            rows.insert(len(rows) - len(errors), row)
        summary.append(_factors(str(name), brute_error, whole, errors, spent))
        print_table(
            ("photograph, run", "passes", "error, bits", "promised, bits", "seconds", "CPU s"), rows
        )
        factors = (f"{what} over {form}" for form in forms for what in ("clock", "CPU"))
        print_table(("photograph", "passes", "seconds", "CPU s", *factors), summary)


def _windows_on_a_pixel(setting: Setting) -> int:
    return int(np.prod(setting.sampler.window))


def _request(setting: Setting, photo: np.ndarray, key: jax.Array, **settings: Any) -> Request:
    return Request(setting.net, photo, setting.sampler, rng_key=key, classes=1, **settings)


def _known(
    setting: Setting, photo: np.ndarray, key: jax.Array, blocks: Blocks
) -> dict[str, np.ndarray]:
    """The truth of the pixels and what the brute force finds there, both with standard errors."""
    keys = jax.random.split(key)
    true = set_up(_request(setting, photo, keys[0], stride=1, num_samples=8, sampling="sobol"))
    brute = set_up(
        _request(
            setting, photo, keys[1], stride=1, num_samples=setting.samples, bias_correction=False
        )
    )
    total = blocks.windows.size * (8 * setting.truth + setting.samples)
    with progress_bar(total, "images", True, "truth and brute force") as bar:
        long = seen(
            true, blocks, pooled(true, draws_of(true, blocks, setting.truth, bar)), setting.truth
        )
        (draw,) = draws_of(brute, blocks, 1, bar)
        short = seen(brute, blocks, draw, bias_correction=False)
    return {
        "truth": long.pixels,
        "truth_errors": long.pixel_errors,
        "brute": short.pixels,
        "brute_errors": short.pixel_errors,
    }


def _budgeted(
    setting: Setting, photo: np.ndarray, key: jax.Array, passes: int, folder: Path
) -> dict[str, np.ndarray]:
    """Run `pdjax.explain` within a budget; seconds include all but loading the network."""
    start, busy = time.perf_counter(), time.process_time()
    found = pdjax.explain(
        setting.net,
        photo,
        setting.sampler,
        rng_key=jax.random.fold_in(key, passes),
        stride=setting.stride,
        sampling="sobol",
        classes=1,
        max_passes=passes,
        progress=True,
    )
    wall, processor = time.perf_counter() - start, time.process_time() - busy
    layer = setting.net.deciding
    return {
        "relevance": found.relevance[layer],
        "standard_error": found.standard_error[layer],
        "passes": np.array(found.settings["passes"]),
        "seconds": np.array([wall, wall, wall, processor]),
    }


def _seconds(forms: Forms, photo: np.ndarray) -> dict[str, np.ndarray]:
    """Seconds of one image, by form of the brute force."""
    batch = np.repeat(photo[None], BATCH, 0)
    calls = {form: (lambda f=f: f(batch)) for form, f in forms.items()}
    for call in calls.values():
        jax.block_until_ready(call())
    timed = time_alternately(calls, 7)
    return {form: np.array(each.per(BATCH)) for form, each in timed.items()}


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.square(values).mean()))


def _error(pixels: np.ndarray, known: Mapping[str, np.ndarray]) -> float:
    """Error about the truth, root mean square over pixels, less the truth's own."""
    square = np.square(pixels - known["truth"]).mean() - np.square(known["truth_errors"]).mean()
    return float(np.sqrt(max(square, 0.0)))


def _row(title: str, passes: int, spent: Seconds, error: float, promised: float) -> tuple[str, ...]:
    times = (f"{spent.median:.3f}", f"{spent.processor:.3f}")
    return (title, str(passes), f"{error:.5f}", f"{promised:.5f}", *times)


def _factors(
    name: str,
    error: float,
    brute: Mapping[str, Seconds],
    errors: dict[int, float],
    spent: dict[int, Seconds],
) -> tuple[str, ...]:
    """Time of the brute force over that in which pdjax has the same error."""
    passes = _interpolated(errors, error)
    if passes is None:
        return (name, "not reached", *[""] * (2 + 2 * len(brute)))
    counts = list(spent)
    clock, processor = (
        float(np.interp(passes, counts, [getattr(each, which) for each in spent.values()]))
        for which in ("median", "processor")
    )
    factors = (
        f"{value:.1f}"
        for each in brute.values()
        for value in (each.median / clock, each.processor / processor)
    )
    return (name, f"{passes:.0f}", f"{clock:.0f}", f"{processor:.0f}", *factors)


def _interpolated(errors: Mapping[int, float], wanted: float) -> float | None:
    """Passes at which the error is met: between two budgets, on logarithmic axes; None if never."""
    counts = list(errors)
    if errors[counts[0]] <= wanted:
        return float(counts[0])
    for few, many in itertools.pairwise(counts):
        if errors[many] <= wanted:
            logs = np.log([errors[many], errors[few]])
            at = np.interp(np.log(wanted), logs, np.log([many, few]))
            return float(np.exp(at))
    return None


if __name__ == "__main__":
    typer.run(main)
