"""The commands `pdjax weights ...`: fetch published files, look into files, convert them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pdjax.cli.errors import Command
from pdjax.cli.options import Overwrite
from pdjax.cli.outputs import kept_apart

# Networks and readers take a second to import, which `pdjax --help` has no need of.
if TYPE_CHECKING:
    from pdjax.weights.convert import Contents

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True, help="Fetch the published weights of a network, inspect and convert them."
)


@app.command(cls=Command)
def fetch(
    name: Annotated[str, typer.Argument(help="The network; `pdjax models` lists them.")],
    folder: Annotated[
        Path | None,
        typer.Option(help="Where to keep it. Default: PDJAX_CACHE, or the user's cache folder."),
    ] = None,
    progress: Annotated[bool, typer.Option(help="Show the progress bar.")] = True,
) -> None:
    """Download the published weights of a network, once, and say where they are."""
    from pdjax.weights import download

    typer.echo(str(download.fetch(name, progress=progress, folder=folder)))


@app.command(name="inspect", cls=Command)
def show(file: Annotated[Path, typer.Argument(help="A file of weights.")]) -> None:
    """List the arrays of a file: name, shape and dtype."""
    from pdjax.weights.convert import inspect

    typer.echo(_table(inspect(file)))


@app.command(cls=Command)
def convert(
    file: Annotated[Path, typer.Argument(help="A file of weights.")],
    output: Annotated[Path, typer.Argument(help="The .safetensors file to write.")],
    model: Annotated[str, typer.Option(help="The network that the weights are of.")],
    overwrite: Overwrite = False,
) -> None:
    """Write the weights of a network as a .safetensors file, for `--weights`."""
    from pdjax.weights import convert as converting

    (output,) = kept_apart(output, inputs=[file], overwrite=overwrite)
    converting.convert(file, output, model)
    typer.echo(str(output))


def _table(contents: Contents) -> str:
    from pdjax.weights.readers.binary import printable

    rows = [
        (printable(name), "x".join(map(str, shape)) or "-", dtype)
        for name, shape, dtype in contents.entries
    ]
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    lines = [f"{name:{widths[0]}}  {shape:>{widths[1]}}  {dtype}" for name, shape, dtype in rows]
    total = f"{contents.kind}: {len(rows)} arrays, {contents.total:,} numbers"
    return "\n".join([*lines, total])
