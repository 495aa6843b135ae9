"""The commands: arguments in, calls out."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import jax
import typer

import pdjax
from pdjax._drawn import explained
from pdjax._explain.explain import Run
from pdjax._explain.request import PreviewRequest, Request
from pdjax._explain.target import Target
from pdjax._files import existing_file
from pdjax.cli.about import add_commands, versions
from pdjax.cli.errors import Command, fail
from pdjax.cli.models import ModelOptions, load_classifier
from pdjax.cli.options import (
    WHERE,
    BatchSize,
    BiasCorrection,
    CheckpointFile,
    Classes,
    Color,
    EngineName,
    Fit,
    Images,
    Labels,
    Layers,
    MaxPasses,
    Mean,
    MeasureName,
    Model,
    MuteUncertain,
    OutputsName,
    Overwrite,
    Padding,
    Preview,
    Progress,
    SamplerName,
    Samples,
    Sampling,
    Seed,
    ShowError,
    Start,
    Statistics,
    Std,
    Stride,
    TargetError,
    Top,
    Weights,
    Window,
    chosen_classes,
    chosen_rows,
    parse_names,
    parse_window,
)
from pdjax.cli.outputs import Outputs, kept_apart
from pdjax.cli.report import announce, interrupted, load_photo, report, staged
from pdjax.cli.samplers import Choice, Setting, default_sampler
from pdjax.cli.weights import app as weights_app

__all__ = ["app", "main"]

SAMPLES = 4
"""Samples per window where none are asked for."""

EXAMPLES = """Examples:

pdjax explain cat.jpg --classes "tabby; tiger cat; 285"

pdjax explain cat.jpg --window 20 --target-error 0.02 -o cat.html

pdjax explain cat.jpg --model googlenet --layers loss3/classifier,prob
"""

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
) -> None:
    """Explain what in an image made a classifier decide as it did."""


app.add_typer(weights_app, name="weights")
add_commands(app)


@app.command(cls=Command, epilog=EXAMPLES)
def explain(
    image: Annotated[Path, typer.Argument(help="A photograph: JPEG, PNG, WebP, TIFF, ...")],
    model: Model = "efficientnet_lite0",
    weights: Weights = None,
    labels: Labels = None,
    model_outputs: OutputsName = None,
    mean: Mean = None,
    std: Std = None,
    window: Window = "10",
    padding: Padding = None,
    stride: Stride = 5,
    samples: Samples = None,
    target_error: TargetError = None,
    max_passes: MaxPasses = None,
    classes: Classes = None,
    top: Top = None,
    layers: Layers = None,
    start: Start = None,
    sampler: SamplerName = None,
    color: Color = None,
    images: Images = None,
    statistics: Statistics = None,
    measure: MeasureName = "weight_of_evidence",
    fit: Fit = "crop",
    engine: EngineName = "local",
    sampling: Sampling = "independent",
    bias_correction: BiasCorrection = True,
    seed: Seed = 0,
    batch_size: BatchSize = None,
    preview: Preview = False,
    checkpoint: CheckpointFile = None,
    show_error: ShowError = False,
    mute_uncertain: MuteUncertain = False,
    progress: Progress = True,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="The picture or page (.html). Default: IMAGE-explained.png.",
            rich_help_panel=WHERE,
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Explain a photograph: writes a picture and an .npz with the numbers."""
    started = time.monotonic()
    existing_file(image, "image")
    read = [image] if weights is None else [image, weights]
    picture = output or Path(f"{image.stem}-explained.png")
    outputs = Outputs.of(picture, checkpoint, inputs=read, overwrite=overwrite)
    hidden = start is not None
    choice = Choice(
        sampler
        or default_sampler(hidden=hidden, color=color, sampling=sampling, statistics=statistics),
        hidden=hidden,
        options={"padding": padding, "color": color, "images": images, "statistics": statistics},
        draws={"samples": samples, "target_error": target_error, "max_passes": max_passes},
    )
    sizes = parse_window(window)
    planned = choice.planned(sizes)
    if samples is None and target_error is None and max_passes is None and not planned.constant:
        samples = SAMPLES
    described = ModelOptions(model, weights, labels, model_outputs, mean, std)
    net = load_classifier(described, progress=progress)
    asked = PreviewRequest if preview else Request
    request = asked(
        net,
        load_photo(image, net.image_size, fit),
        planned,
        rng_key=jax.random.key(seed),
        num_samples=samples,
        target_error=target_error,
        max_passes=max_passes,
        stride=stride,
        sampling=sampling,
        bias_correction=bias_correction,
        classes=chosen_classes(classes, top, net.labels),
        layers=parse_names(layers),
        start=start,
        measure=measure,
        engine=engine,
        batch_size=batch_size,
        progress=progress,
        checkpoint=checkpoint,
    )
    request.check()
    target = Target.of(request)
    announce(request, target)
    grid = request.grid if isinstance(request.grid, pdjax.WindowGrid) else None
    setting = Setting(net, sizes, request.scheme.num_samples, progress, start, grid)
    request = request.with_sampler(choice.make(setting))
    set_up = time.monotonic()
    try:
        run = Run(request, target)
        for explanation in run.stages():
            explaining = time.monotonic() - set_up
            outputs.write(
                explanation, image.name, show_error=show_error, mute_uncertain=mute_uncertain
            )
            if preview:
                staged(explanation, outputs)
    except KeyboardInterrupt:
        interrupted(checkpoint)
        raise typer.Exit(130) from None
    in_all = time.monotonic() - started
    report(explanation, outputs, kept=run.kept, explaining=explaining, in_all=in_all)


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
