"""The options of the command line: their types, their ranges and their help."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer

from pdjax._checks import ArgumentValueError
from pdjax._explain.classes import select_classes

__all__ = [
    "BatchSize",
    "BiasCorrection",
    "CheckpointFile",
    "Classes",
    "Color",
    "EngineName",
    "Fit",
    "Images",
    "Labels",
    "Layers",
    "MaxMemory",
    "MaxPasses",
    "Mean",
    "MeasureName",
    "Model",
    "MuteUncertain",
    "OutputsName",
    "Overwrite",
    "Padding",
    "PrecisionName",
    "Preview",
    "Progress",
    "SamplerName",
    "Samples",
    "Sampling",
    "Seed",
    "ShowError",
    "Start",
    "Statistics",
    "Std",
    "Stride",
    "TargetError",
    "Top",
    "Weights",
    "Window",
    "chosen_classes",
    "chosen_rows",
    "parse_classes",
    "parse_ints",
    "parse_names",
    "parse_window",
]

NETWORK, WHAT, HOW = "The network", "What is explained", "How exactly"
WHERE, SPEED = "What is written", "Speed"
"""Groups of options in the help."""

Model = Annotated[
    str,
    typer.Option(
        help="The network: a name that `pdjax models` lists, an .onnx file, or package.module:name "
        "of a Classifier or of a function that makes one.",
        rich_help_panel=NETWORK,
    ),
]
Labels = Annotated[
    Path | None,
    typer.Option(
        help="Names of the classes: a file with one a line, or JSON.", rich_help_panel=NETWORK
    ),
]
OutputsName = Annotated[
    Literal["softmax", "logits", "sigmoid", "sigmoid_logits", "values"] | None,
    typer.Option(
        "--outputs",
        help="What an ONNX model returns, where it does not say so itself.",
        rich_help_panel=NETWORK,
    ),
]
Fit = Annotated[
    Literal["crop", "pad", "squash"],
    typer.Option(
        help="A photograph of another shape than the network's is cut to its middle, padded with "
        "its mean colour, or squashed.",
        rich_help_panel=WHAT,
    ),
]
Mean = Annotated[
    str | None,
    typer.Option(
        help="An ONNX model takes (image - mean) / std of an image in [0, 1]; one number, or one "
        "for each channel with commas between. Default: 0.",
        rich_help_panel=NETWORK,
    ),
]
Std = Annotated[str | None, typer.Option(help="See --mean. Default: 1.", rich_help_panel=NETWORK)]
Weights = Annotated[
    Path | None,
    typer.Option(
        help="The file of its weights. Default: the published one.", rich_help_panel=NETWORK
    ),
]
Window = Annotated[
    str,
    typer.Option(help="Pixels of the window: 10, or 12,8 (height, width).", rich_help_panel=HOW),
]
Padding = Annotated[
    int | None,
    typer.Option(
        min=0,
        help="Pixels of the ring that windows are sampled from. Default: 2.",
        rich_help_panel=HOW,
    ),
]
Stride = Annotated[
    int, typer.Option(min=1, help="Pixels between neighbouring windows.", rich_help_panel=HOW)
]
Samples = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Samples per window; with sobol and antithetic an even number, at least 4. Default: "
        "4; with a budget, of each draw: 2, or 4 with sobol or antithetic.",
        rich_help_panel=HOW,
    ),
]
TargetError = Annotated[
    float | None,
    typer.Option(
        help="Sample until the error of a pixel is this share of the largest relevance, e.g. 0.02.",
        rich_help_panel=HOW,
    ),
]
MaxPasses = Annotated[
    int | None, typer.Option(min=1, help="Forward passes to spend, at most.", rich_help_panel=HOW)
]
Classes = Annotated[
    str | None,
    typer.Option(
        help="Names or indices of classes, separated by commas or semicolons: 'tabby; 282'. "
        "Default: the highest-scoring ones, see --top.",
        rich_help_panel=WHAT,
    ),
]
Top = Annotated[
    int | None,
    typer.Option(
        min=1, help="So many of the highest-scoring classes. Default: 3.", rich_help_panel=WHAT
    ),
]
Layers = Annotated[
    str | None,
    typer.Option(
        help="Layers to explain, separated by commas. Default: the probabilities.",
        rich_help_panel=WHAT,
    ),
]
Start = Annotated[
    str | None,
    typer.Option(
        help="Hide windows of this hidden layer instead of the image; learns from --images.",
        rich_help_panel=WHAT,
    ),
]
SamplerName = Annotated[
    Literal["mixture", "conditional", "marginal", "grey", "mean", "blur"] | None,
    typer.Option(
        help="What hides a window. Default: mixture; conditional with --start, --color, --sampling "
        "or statistics of patches.",
        rich_help_panel=HOW,
    ),
]
Color = Annotated[
    Literal["joint", "independent"] | None,
    typer.Option(
        help="Colour channels in one Gaussian, or one Gaussian each. Default: joint.",
        rich_help_panel=HOW,
    ),
]
Images = Annotated[
    Path | None,
    typer.Option(
        help="A folder of other images, for the marginal sampler and --start.", rich_help_panel=HOW
    ),
]
Statistics = Annotated[
    Path | None,
    typer.Option(
        help="A mixture of textures, or patch statistics, made by `pdjax fit`. "
        "Default: photographs.",
        rich_help_panel=HOW,
    ),
]
MeasureName = Annotated[
    Literal["weight_of_evidence", "probability_difference", "information_difference"],
    typer.Option(help="What relevance is, for class probabilities.", rich_help_panel=WHAT),
]
EngineName = Annotated[
    Literal["local", "dense"],
    typer.Option(
        help="Evaluate what a window can change, or the whole network.", rich_help_panel=SPEED
    ),
]
PrecisionName = Annotated[
    Literal["highest", "high", "default"],
    typer.Option(
        "--precision",
        help="Of the network's products, where a GPU or TPU has faster ones than float32.",
        rich_help_panel=SPEED,
    ),
]
Sampling = Annotated[
    Literal["independent", "sobol", "antithetic"],
    typer.Option(help="How the samples of a window go together.", rich_help_panel=HOW),
]
BiasCorrection = Annotated[
    bool,
    typer.Option(
        help="Correct relevance in bits for the bias of few samples.", rich_help_panel=HOW
    ),
]
Seed = Annotated[int, typer.Option(help="Seed of the samples.", rich_help_panel=HOW)]
BatchSize = Annotated[
    int | None, typer.Option(min=1, help="Images evaluated at once.", rich_help_panel=SPEED)
]
MaxMemory = Annotated[
    float | None,
    typer.Option(
        help="Gigabytes of the device's memory to use, at most. Default: what it has.",
        rich_help_panel=SPEED,
    ),
]
CheckpointFile = Annotated[
    Path | None,
    typer.Option(
        help="A file to keep the state in; the same command goes on from it.", rich_help_panel=WHERE
    ),
]
Preview = Annotated[
    bool,
    typer.Option(
        "--preview",
        help="Coarse windows first: write everything at twice and four times the stride, ..., as "
        "far as the window allows, before the map is complete.",
        rich_help_panel=HOW,
    ),
]
Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite",
        help="Write over files that are there, instead of numbering new ones.",
        rich_help_panel=WHERE,
    ),
]
Progress = Annotated[bool, typer.Option(help="Show the progress bar.", rich_help_panel=SPEED)]
ShowError = Annotated[
    bool,
    typer.Option(
        "--show-error", help="Show the standard error beside the relevance.", rich_help_panel=WHERE
    ),
]
MuteUncertain = Annotated[
    bool,
    typer.Option(
        "--mute-uncertain",
        help="Grey out relevance less than two standard errors from zero.",
        rich_help_panel=WHERE,
    ),
]


def parse_classes(text: str, labels: Sequence[str]) -> list[int | str]:
    """Read names and indices of classes, an index with or without ``#`` before it.

    Names may have commas in them: where there is no semicolon, the whole is taken for one name if
    there is such a label, and otherwise for several.

    Examples
    --------
    >>> labels = ["fox", "cat, tabby", "dog"]
    >>> parse_classes("cat, tabby", labels), parse_classes("fox, 2", labels)
    (['cat, tabby'], ['fox', 2])
    >>> parse_classes("cat, tabby; #2", labels)
    ['cat, tabby', 2]
    """
    whole = text.strip().lower() in (label.lower() for label in labels)
    parts = text.split(";") if ";" in text else [text] if whole else text.split(",")
    entries = [entry.strip() for entry in parts if entry.strip()]
    return [int(e.lstrip("#")) if e.lstrip("#").isdecimal() else e for e in entries]


def chosen_classes(
    classes: str | None, top: int | None, labels: Sequence[str]
) -> int | list[int | str] | None:
    """Return which classes to explain, from the two options that say it, or None for neither."""
    if top is None:
        return None if classes is None else parse_classes(classes, labels)
    if classes is not None:
        raise ArgumentValueError(
            "top", "chooses classes by their score", "leave out one of --top and --classes"
        )
    if top > len(labels):
        raise ArgumentValueError(
            "top", f"must be at most {len(labels)}, the number of classes", value=top
        )
    return top


def chosen_rows(text: str, names: Sequence[str]) -> list[int]:
    """Return rows by their numbers or the names of classes.

    Examples
    --------
    >>> chosen_rows("1; cat", ["cat, tabby", "dog"])
    [1, 0]
    """
    return list(select_classes(parse_classes(text, names), names, np.zeros(len(names))))


def parse_names(text: str | None) -> list[str] | None:
    """Read names separated by commas."""
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]


def parse_ints(text: str, argument: str) -> tuple[int, ...]:
    """Read ``10`` or ``12,8``."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ArgumentValueError(
            argument, "must be an int, or ints separated by commas", value=text
        ) from None


def parse_window(text: str) -> tuple[int, int]:
    """Read the height and width of a window; one number stands for both."""
    sizes = parse_ints(text, "window")
    if len(sizes) > 2:
        raise ArgumentValueError(
            "window", f"has {len(sizes)} numbers", "give one, or height,width", value=text
        )
    return sizes[0], sizes[-1]
