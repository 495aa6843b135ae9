"""What the command line says of a run, before it starts and when it is done."""

from __future__ import annotations

from pathlib import Path

import typer

from pdjax._caption import stride_in_words
from pdjax._explain.request import Request
from pdjax.cli.outputs import Outputs
from pdjax.explanation import Explanation

__all__ = ["announce", "interrupted", "report", "staged"]


def announce(request: Request) -> None:
    """Say how many forward passes a run will make."""
    budget, samples, size = request.budget, request.scheme.num_samples, request.grid.size
    until = "in all"
    if budget.given:
        goals = (
            budget.target_error and f"a pixel's error is {budget.target_error:.1%} of the largest",
            budget.max_passes and f"{budget.max_passes:,} are spent",
        )
        until = f"at first, and more until {' or '.join(goal for goal in goals if goal)}"
    typer.echo(
        f"{request.classifier.name}: {size:,} windows with {samples} "
        f"sample{'s' if samples > 1 else ''} each, {size * samples + 1:,} forward passes {until}"
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
        if len(explanation.names[layer]) <= 10:
            for title in explanation.titles(layer):
                typer.echo(f"  {title}")
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
