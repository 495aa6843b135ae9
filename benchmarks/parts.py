"""What explaining a part of an image costs beside the whole of it: `where=`.

A square of a tenth of the image, at its middle and at a corner, and the whole image are explained
alternately in one process, with the same settings. Each is compiled before.
"""

from __future__ import annotations

import functools
import math
from typing import Annotated

import jax
import numpy as np
import typer
from measure import environment, print_table, time_alternately
from workload import toy_network

import pdjax

SHARE = 0.1


def main(
    model: Annotated[str, typer.Option(help="Name of a network.")] = "googlenet",
    window: Annotated[int, typer.Option(help="Pixels of the window.")] = 10,
    stride: Annotated[int, typer.Option(help="Pixels between windows.")] = 5,
    samples: Annotated[int, typer.Option(help="Samples of a window.")] = 4,
    repeats: Annotated[int, typer.Option(help="Timings of everything.")] = 3,
    toy: Annotated[bool, typer.Option(help="A tiny network, to see that this works.")] = False,
) -> None:
    """Print forward passes, seconds and the share of the whole for each part."""
    if toy:
        net, window, stride = toy_network(), 4, 2
    else:
        net = pdjax.load_model(model, weights="random")
    statistics = pdjax.PatchStatistics.natural_images()
    run = functools.partial(
        pdjax.explain,
        net,
        np.random.default_rng(0).random(net.image_shape, np.float32),
        pdjax.ConditionalGaussian(statistics, window=window),
        rng_key=jax.random.key(0),
        num_samples=samples,
        stride=stride,
    )
    size = net.image_shape[0]
    side = math.floor(size * math.sqrt(SHARE))
    middle = slice((size - side) // 2, (size + side) // 2)
    parts = {
        "whole": None,
        "a tenth in the middle": (middle, middle),
        "a tenth at a corner": (slice(0, side), slice(0, side)),
    }
    passes = {name: run(where=where).settings["passes"] for name, where in parts.items()}
    calls = {name: functools.partial(run, where=where) for name, where in parts.items()}
    seconds = time_alternately(calls, repeats)
    print_table(
        ("setting", "value"),
        [("network", net.name), ("window", str(window)), ("stride", str(stride)), *environment()],
    )
    whole = seconds["whole"].median
    print_table(
        ("explained", "passes", "s", "share of the whole"),
        [
            (name, str(passes[name]), f"{spent.median:.2f}", f"{spent.median / whole:.1%}")
            for name, spent in seconds.items()
        ],
    )


if __name__ == "__main__":
    typer.run(main)
