"""The commands `pdjax weights ...`: fetch published files, look into files, convert them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pdjax.weights.convert import Contents, inspect
from pdjax.weights.convert import convert as convert_file
from pdjax.weights.download import fetch as fetch_file
from pdjax.weights.match import printable

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True, help="Fetch the published weights of a network, inspect and convert them."
)


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="The network; `pdjax models` lists them.")],
    folder: Annotated[
        Path | None,
        typer.Option(help="Where to keep it. Default: PDJAX_CACHE, or the user's cache folder."),
    ] = None,
    progress: Annotated[bool, typer.Option(help="Show the progress bar.")] = True,
) -> None:
    """Download the published weights of a network, once, and say where they are."""
    typer.echo(str(fetch_file(name, progress=progress, folder=folder)))


@app.command(name="inspect")
def show(file: Annotated[Path, typer.Argument(help="A file of weights.")]) -> None:
    """List the arrays of a file: name, shape and dtype."""
    typer.echo(_table(inspect(file)))


@app.command()
def convert(
    file: Annotated[Path, typer.Argument(help="A file of weights.")],
    output: Annotated[Path, typer.Argument(help="The .safetensors file to write.")],
    model: Annotated[str, typer.Option(help="The network that the weights are of.")],
) -> None:
    """Write the weights of a network as a .safetensors file, for `--weights`."""
    convert_file(file, output, model)
    typer.echo(str(output))


def _table(contents: Contents) -> str:
    rows = [
        (printable(name), "x".join(map(str, shape)) or "-", dtype)
        for name, shape, dtype in contents.entries
    ]
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    lines = [f"{name:{widths[0]}}  {shape:>{widths[1]}}  {dtype}" for name, shape, dtype in rows]
    total = f"{contents.kind}: {len(rows)} arrays, {contents.total:,} numbers"
    return "\n".join([*lines, total])
