"""What goes wrong, as the command line says it: in one sentence, by the names that were typed."""

from __future__ import annotations

import sys
import warnings
from typing import Any, NoReturn

import typer
from typer.core import TyperCommand

from pdjax._checks import ArgumentError

__all__ = ["Command", "fail"]

TYPED = {
    "num_samples": "samples",
    "rng_key": "seed",
    "name": "model",
    "outputs": "model_outputs",
    "mixture": "statistics",
    "images": "folder",
    "classes": "units",
    "weights": "file",
    "explanation": "result",
    "path": "output",
}
"""Arguments that are called otherwise in Python, where a command has none of their own name."""


class Command(TyperCommand):
    """A command whose errors speak of ``--batch-size`` where a function's speak of batch_size."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; a bad argument ends it with exit status 2, a warning is one line."""
        with warnings.catch_warnings():
            warnings.showwarning = _show  # type: ignore[assignment]
            try:
                return super().invoke(ctx)
            except ArgumentError as error:
                fail(error.sentence(self._as_typed(error.argument)))
            except KeyboardInterrupt:
                typer.secho("pdjax: interrupted", err=True, fg="yellow")
                raise typer.Exit(130) from None

    def _as_typed(self, argument: str) -> str:
        """Name an argument as it is typed, or as it is where it is none of this command's."""
        options = {parameter.name: parameter.opts[0] for parameter in self.params}
        return options.get(argument) or options.get(TYPED.get(argument, ""), argument)


def _show(message: Warning | str, *_: Any, **__: Any) -> None:
    typer.secho(f"pdjax: warning: {message}", err=True, fg="yellow")


def fail(said: object) -> NoReturn:
    """End with one sentence and exit status 2."""
    typer.secho(f"pdjax: error: {said}", err=True, fg="red")
    sys.exit(2)
