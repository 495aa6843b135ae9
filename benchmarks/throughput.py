"""Throughput of the dense engine beside the bare network, and where the rest of the time goes.

Both run in one process, alternately, at the same batch size, after both are compiled. What counts
as outside the network is

    1 - (time of the bare forward pass per image) / (time of the whole call of explain per image)

with the class probabilities as the only output. Sampling, pasting, the reduction to units and the
relevance maps are then timed alone, to say where that share goes.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from measure import Seconds, environment, print_table, time_alternately
from workload import Workload, plan, toy_network

import pdjax
from pdjax.method.windows import WindowGrid

PARTS = ("sampling", "pasting", "reduction", "relevance maps")


def main(
    model: Annotated[str, typer.Option(help="The network; `pdjax models` lists them.")] = (
        "googlenet"
    ),
    weights: Annotated[
        Path, typer.Option(help="The file of its weights; values do not matter for the time.")
    ] = Path("random"),
    batch_size: Annotated[int, typer.Option(help="Images evaluated at once.")] = 4,
    passes: Annotated[
        int, typer.Option(help="About so many forward passes; a coarse grid takes over 1000.")
    ] = 640,
    window: Annotated[int, typer.Option(help="Pixels of the window.")] = 10,
    repeats: Annotated[int, typer.Option(help="Timings of everything.")] = 3,
    toy: Annotated[bool, typer.Option(help="A tiny network, to see that this works.")] = False,
) -> None:
    """Time explain against the network alone."""
    if toy:
        net, batch_size, passes, window, repeats = toy_network(), 8, 72, 4, 2
    else:
        net = pdjax.load_model(model, str(weights))
    start = time.perf_counter()
    sampler = pdjax.ConditionalGaussian(pdjax.PatchStatistics.natural_images(), window)
    set_up = time.perf_counter() - start

    spatial = net.image_shape[:-1]
    stride, num_samples = plan(spatial, window, passes)
    work = Workload(net, sampler, WindowGrid(spatial, window, stride), num_samples, batch_size)
    print_table(("setting", "value"), [*_settings(work), *environment()])

    start = time.perf_counter()
    bare = work.compile_bare()
    compiling = time.perf_counter() - start
    parts = work.parts(bare)
    start = time.perf_counter()
    work.explain()
    first = time.perf_counter() - start

    seconds = time_alternately({"explain": work.explain} | parts, repeats)
    print_table(
        ("once", "s"),
        [
            ("compiling the bare forward pass", f"{compiling:.2f}"),
            ("compiling explain", f"{max(first - seconds['explain'].median, 0):.2f}"),
            ("making the sampler", f"{set_up:.2f}"),
        ],
    )
    print_table(
        ("per image", "ms", "from", "to", "CPU ms", "images/s", "share"), _rows(work, seconds)
    )


def _settings(work: Workload) -> list[tuple[str, str]]:
    return [
        ("network", work.net.name),
        ("windows", f"{work.grid.size} of {work.grid.window}, stride {work.grid.stride}"),
        ("samples per window", str(work.num_samples)),
        ("images", str(work.images)),
        ("images evaluated at once", str(work.at_once)),
    ]


def _rows(work: Workload, seconds: dict[str, Seconds]) -> list[tuple[str, ...]]:
    """One row per timing, then what is left; shares are of the whole call."""
    evaluated = work.num_batches * work.batch
    forwarded = work.num_batches * work.parts_of_a_batch * work.at_once
    whole = seconds["explain"].per(work.images)
    bare = seconds["bare"].per(forwarded)
    parts = {name: seconds[name].per(evaluated) for name in PARTS}
    # Maps are made once a run; the rest also for the images that fill up the last batch.
    parts["relevance maps"] = seconds["relevance maps"].per(work.images)
    filling = bare.median * (forwarded / work.images - 1)
    outside = whole.median - bare.median
    rest = outside - filling - sum(part.median for part in parts.values())

    def share(value: float) -> str:
        return f"{100 * value / whole.median:.1f} %"

    def timed(name: str, value: Seconds) -> tuple[str, ...]:
        figures = (f"{1000 * v:.3f}" for v in value)
        return name, *figures, f"{1 / value.median:.1f}", share(value.median)

    def derived(name: str, value: float, processor: str = "") -> tuple[str, ...]:
        return name, f"{1000 * value:.3f}", "", "", processor, "", share(value)

    return [
        timed("explain", whole),
        timed("bare forward pass", bare),
        derived("outside the network", outside, f"{1000 * (whole.processor - bare.processor):.3f}"),
        *(timed(f"- {name}", part) for name, part in parts.items()),
        derived("- images that fill up the last batch", filling),
        derived("- rest: host work, loss inside the network", rest),
    ]


if __name__ == "__main__":
    typer.run(main)
