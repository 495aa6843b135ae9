"""What the command line says of a run, before it starts and when it is done."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import typer

from pdjax._caption import stride_in_words
from pdjax._checks import by_sides
from pdjax._drawn import first_synonyms
from pdjax._explain.request import Request
from pdjax._explain.target import Target
from pdjax.cli.outputs import Outputs
from pdjax.explanation import Explanation
from pdjax.image import image_size, load_image

__all__ = ["announce", "interrupted", "load_photo", "report", "staged"]


def load_photo(path: Path, size: tuple[int, ...] | int, fit: str) -> np.ndarray:
    """Read a photograph as a network takes it, and say what became of it."""
    photo, shape = load_image(path, size, fit), image_size(path)
    # As everywhere with files of images, width comes first.
    whole, part = by_sides(shape[::-1]), by_sides(photo.shape[1::-1])
    became = {
        "crop": f"the middle of it is explained, resized to {part}",
        "pad": f"all of it is resized and padded to {part}",
        "squash": f"all of it is squashed to {part}",
    }
    if shape[0] * photo.shape[1] == shape[1] * photo.shape[0]:
        became[fit] = f"resized to {part}"
    if whole != part:
        typer.echo(f"{path.name}: {whole} pixels, {became[fit]}")
    return photo


def announce(request: Request, target: Target) -> None:
    """Say what the network sees, and how many forward passes a run will make."""
    typer.echo(f"{request.classifier.name} sees")
    for layer, names in target.names.items():
        if len(names) <= 10:
            symbol = "p" if layer in request.classifier.probabilities else layer
            values = target.prediction[layer]
            for name, value in zip(first_synonyms(names), values, strict=True):
                typer.echo(f"  {name}, {symbol} = {value:.3g}")
    budget, samples, size = request.budget, request.scheme.num_samples, request.grid.size
    until = "in all"
    if budget.given:
        goals = (
            budget.target_error and f"a pixel's error is {budget.target_error:.1%} of the largest",
            budget.max_passes and f"{budget.max_passes:,} are spent",
        )
        until = f"at first, and more until {' or '.join(goal for goal in goals if goal)}"
    passes = size * request.images_per_draw + 1
    typer.echo(
        f"{size:,} windows with {samples} sample{'s' if samples > 1 else ''} each, "
        f"{passes:,} forward passes {until}"
    )


def interrupted(checkpoint: Path | None) -> None:
    """Say what is left of a run that was interrupted."""
    state = f"what is done is kept in {checkpoint}" if checkpoint else "nothing is kept"
    again = "the same command goes on" if checkpoint else "with --checkpoint FILE it would be"
    typer.secho(f"pdjax: interrupted; {state}; {again}", err=True, fg="yellow")


def staged(explanation: Explanation, outputs: Outputs) -> None:
    """Say that a stage of a preview has been written."""
    stride, passes = stride_in_words(explanation.settings), explanation.settings["passes"]
    typer.echo(f"stride {stride}, {passes:,} forward passes so far: {outputs.picture}")


def report(
    explanation: Explanation, outputs: Outputs, *, kept: int, explaining: float, in_all: float
) -> None:
    """Say what was found, where it was written and how long it took.

    Parameters
    ----------
    explanation : Explanation
        What was found.
    outputs : Outputs
        Where it was written.
    kept : int
        Forward passes that were not made this time, as a checkpoint had their results.
    explaining, in_all : float
        Seconds that the others took, and seconds since the command was given.
    """
    for layer in explanation.layers:
        error = explanation.settings["reached_error"][layer]
        # Of a single content there is no Monte-Carlo error, which says nothing of how good it is.
        if explanation.settings["most_samples"] > 1:
            typer.echo(f"  {layer}: a pixel's error is {error:.1%} of the largest relevance")
    passes = explanation.settings["passes"]
    took = f"{passes:,} forward passes, "
    if kept:
        took += f"{kept:,} of them kept from before, "
    took += f"{in_all:.0f} s in all"
    # The image as it is, alone, tells nothing about the speed.
    if passes - kept > 1:
        took += f"; {(passes - kept) / explaining:.0f} images/s while explaining"
    typer.echo(f"{outputs.picture} and {outputs.numbers} ({took})")
