"""The options of the command line: their types and their help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "BatchSize",
    "BiasCorrection",
    "CheckpointFile",
    "Classes",
    "Color",
    "EngineName",
    "Images",
    "Layers",
    "MaxPasses",
    "Measure",
    "Model",
    "MuteUncertain",
    "Padding",
    "Preview",
    "Progress",
    "SamplerName",
    "Samples",
    "Sampling",
    "Seed",
    "ShowError",
    "Start",
    "Statistics",
    "Stride",
    "TargetError",
    "Weights",
    "Window",
]

Model = Annotated[str, typer.Option(help="The network; `pdjax models` lists them.")]
Weights = Annotated[
    Path | None, typer.Option(help="The file of its weights. Default: the published one.")
]
Window = Annotated[str, typer.Option(help="Pixels of the window: 10, or 12,8 (height, width).")]
Padding = Annotated[
    int | None,
    typer.Option(help="Pixels of the ring that windows are sampled from. Default: 2."),
]
Stride = Annotated[int, typer.Option(help="Pixels between neighbouring windows.")]
Samples = Annotated[
    int | None,
    typer.Option(
        help="Samples per window; with sobol and antithetic an even number, at least 4. Default: "
        "4; with a budget, of each draw: 2, or 4 with sobol or antithetic."
    ),
]
TargetError = Annotated[
    float | None,
    typer.Option(
        help="Sample until the error of a pixel is this share of the largest relevance, e.g. 0.02."
    ),
]
MaxPasses = Annotated[int | None, typer.Option(help="Forward passes to spend, at most.")]
Classes = Annotated[
    str,
    typer.Option(
        help="A number N: the N highest-scoring. Otherwise names or #indices, separated by "
        "semicolons: 'tabby; #282'."
    ),
]
Layers = Annotated[
    str | None,
    typer.Option(help="Layers to explain, separated by commas. Default: the probabilities."),
]
Start = Annotated[
    str | None,
    typer.Option(
        help="Hide windows of this hidden layer instead of the image; learns from --images."
    ),
]
SamplerName = Annotated[
    str,
    typer.Option(help="conditional, mixture, marginal, grey, mean or blur: what hides a window."),
]
Color = Annotated[
    str | None, typer.Option(help="joint or independent colour channels. Default: joint.")
]
Images = Annotated[
    Path | None,
    typer.Option(help="A folder of other images, for the marginal sampler and --start."),
]
Statistics = Annotated[
    Path | None,
    typer.Option(
        help="Patch statistics, or with --sampler mixture a mixture, made by `pdjax fit`. "
        "Default: photographs."
    ),
]
Measure = Annotated[
    str,
    typer.Option(help="weight_of_evidence, probability_difference or information_difference."),
]
EngineName = Annotated[str, typer.Option(help="What of the network is evaluated: local or dense.")]
Sampling = Annotated[
    str, typer.Option(help="independent, sobol or antithetic: how samples of a window go together.")
]
BiasCorrection = Annotated[
    bool, typer.Option(help="Correct relevance in bits for the bias of few samples.")
]
Seed = Annotated[int, typer.Option(help="Seed of the samples.")]
BatchSize = Annotated[int | None, typer.Option(help="Images evaluated at once.")]
CheckpointFile = Annotated[
    Path | None, typer.Option(help="A file to keep the state in; the same command goes on from it.")
]
Preview = Annotated[
    bool,
    typer.Option(
        help="Coarse windows first: write everything at twice and four times the stride, ..., as "
        "far as the window allows, before the map is complete."
    ),
]
Progress = Annotated[bool, typer.Option(help="Show the progress bar.")]
ShowError = Annotated[bool, typer.Option(help="Show the standard error beside the relevance.")]
MuteUncertain = Annotated[
    bool, typer.Option(help="Grey out relevance less than two standard errors from zero.")
]
