"""The commands: arguments in, calls out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import jax
import typer

import pdjax
from pdjax._drawn import explained
from pdjax.cli.about import add_commands, keep_compiled, versions
from pdjax.cli.errors import Command, fail
from pdjax.cli.explain import EXAMPLES, explain
from pdjax.cli.options import (
    MuteUncertain,
    Overwrite,
    Progress,
    Samples,
    Seed,
    ShowError,
    Stride,
    Window,
    chosen_rows,
)
from pdjax.cli.outputs import Outputs, kept_apart
from pdjax.cli.weights import app as weights_app

__all__ = ["app", "main"]

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


@app.callback()
def common(
    version: Annotated[
        bool,
        typer.Option("--version", callback=versions, is_eager=True, help="Say the version."),
    ] = False,
    compiled: Annotated[
        bool,
        typer.Option(
            "--keep-compiled/--no-keep-compiled",
            envvar="PDJAX_KEEP_COMPILED",
            help="Keep compiled programs in the cache folder, for the next start.",
        ),
    ] = True,
) -> None:
    """Explain what in an image made a classifier decide as it did."""
    if compiled:
        keep_compiled()


app.command(cls=Command, epilog=EXAMPLES)(explain)
app.add_typer(weights_app, name="weights")
add_commands(app)


@app.command(cls=Command)
def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The picture; the numbers go beside it.")
    ] = Path("pdjax-demo.png"),
    overwrite: Overwrite = False,
    window: Window = "20",
    stride: Stride = 5,
    samples: Samples = 4,
    seed: Seed = 0,
    progress: Progress = True,
) -> None:
    """Explain a photograph of a rocket that comes with pdjax, in about a minute."""
    explain(
        image=pdjax.example_photo(),
        window=window,
        stride=stride,
        samples=samples,
        seed=seed,
        classes="missile; drilling platform",
        progress=progress,
        output=output,
        overwrite=overwrite,
    )
    typer.echo(
        f"Settings: window {window}, stride {stride}, samples {samples}. For the full map in the "
        "paper's setting, which takes about an hour on two CPU cores:\n"
        "  pdjax demo --window 10 --stride 1 --samples 10"
    )


@app.command(cls=Command)
def fit(
    folder: Annotated[Path, typer.Argument(help="A folder of images.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")] = Path(
        "statistics.npz"
    ),
    overwrite: Overwrite = False,
    size: Annotated[
        int, typer.Option(help="Short side that images are scaled to: that of the network.")
    ] = 224,
    max_patch: Annotated[int, typer.Option(help="Side of the largest patch to describe.")] = 48,
    patch: Annotated[
        int | None,
        typer.Option(help="Instead, the plain empirical covariance of patches of this side."),
    ] = None,
    mixture: Annotated[
        bool, typer.Option(help="Instead, a mixture of textures, for --sampler mixture: minutes.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of the mixture.")] = 0,
    progress: Progress = True,
) -> None:
    """Fit patch statistics on your own images, for `pdjax explain --statistics`."""
    (output,) = kept_apart(output, overwrite=overwrite)
    images = pdjax.ImageFolder(folder, size=size)
    fitted: pdjax.PatchStatistics | pdjax.PatchMixture
    if mixture:
        fitted = pdjax.PatchMixture.fit(
            images, jax.random.key(seed), patch=patch or 14, max_patch=max_patch, progress=progress
        )
    elif patch is None:
        fitted = pdjax.PatchStatistics.fit(images, max_patch=max_patch, progress=progress)
    else:
        fitted = pdjax.PatchStatistics.fit_patches(images, patch, progress=progress)
    fitted.save(output)
    typer.echo(f"{output}: {fitted.num_images} images, patches of up to {fitted.max_patch} pixels")


@app.command(cls=Command)
def plot(
    result: Annotated[Path, typer.Argument(help="An .npz written by `pdjax explain`.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="The picture (.png, .pdf, .svg) or page (.html). Default: RESULT.png.",
        ),
    ] = None,
    overwrite: Overwrite = False,
    layer: Annotated[str | None, typer.Option(help="The layer to draw. Default: the last.")] = None,
    units: Annotated[
        str | None,
        typer.Option(
            help="Rows to draw, by number or name: '0; tabby'. Default: ten classes, or the "
            "strongest feature maps."
        ),
    ] = None,
    show_error: ShowError = False,
    mute_uncertain: MuteUncertain = False,
) -> None:
    """Draw a saved result again, as a picture or as a page to look around in."""
    explanation = pdjax.Explanation.load(result)
    layer = explained(explanation, layer)
    output = output or result.with_suffix(".png")
    Outputs.check_errors(output, show_error)
    (output,) = kept_apart(output, inputs=[result], overwrite=overwrite)
    rows = None if units is None else chosen_rows(units, explanation.names[layer])
    Outputs.draw(
        explanation,
        output,
        layer=layer,
        units=rows,
        show_error=show_error,
        mute_uncertain=mute_uncertain,
    )
    typer.echo(str(output))


def main() -> None:
    """Run the command line; bad input ends with one sentence and exit status 2."""
    try:
        app()
    except (ValueError, TypeError, OSError) as error:
        fail(error)
    except MemoryError:
        fail("out of memory; use a smaller --batch-size")
