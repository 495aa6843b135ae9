"""The command line: arguments in, calls out."""

from __future__ import annotations

import sys
import time
import warnings
from pathlib import Path
from typing import Annotated, Any

import jax
import numpy as np
import typer

import pdjax
from pdjax._explain.budget import Budget
from pdjax._explain.checkpoint import count_draws
from pdjax._explain.classes import select_classes
from pdjax._explain.job import samples_of_a_draw
from pdjax._explain.target import check_spatial
from pdjax.classifier import check_layers
from pdjax.cli.options import (
    BatchSize,
    BiasCorrection,
    CheckpointFile,
    Classes,
    Color,
    EngineName,
    Images,
    Layers,
    MaxPasses,
    Measure,
    Model,
    MuteUncertain,
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
    Stride,
    TargetError,
    Weights,
    Window,
)
from pdjax.cli.outputs import Outputs
from pdjax.cli.report import announce, interrupted, report, staged
from pdjax.cli.samplers import (
    in_options,
    make_hidden_sampler,
    make_sampler,
    parse_classes,
    parse_ints,
    parse_window,
)
from pdjax.cli.stages import check_preview, stages
from pdjax.cli.used_options import OF_DRAWS, check_used
from pdjax.cli.weights import app as weights_app
from pdjax.local.grouping import check_batch_size
from pdjax.method.difference import check_choice, check_samples
from pdjax.method.evaluation import ENGINES
from pdjax.method.measures import MEASURES
from pdjax.method.schemes import Scheme
from pdjax.method.windows import WindowGrid
from pdjax.models import ALIASES, NETWORKS

__all__ = ["main"]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Explain what in an image made a classifier decide as it did.",
)
app.add_typer(weights_app, name="weights")


@app.command()
def explain(
    image: Annotated[Path, typer.Argument(help="A photograph: JPEG, PNG, WebP, TIFF, ...")],
    model: Model = "efficientnet_lite0",
    weights: Weights = None,
    window: Window = "10",
    padding: Padding = None,
    stride: Stride = 5,
    samples: Samples = None,
    target_error: TargetError = None,
    max_passes: MaxPasses = None,
    classes: Classes = "3",
    layers: Layers = None,
    start: Start = None,
    sampler: SamplerName = "conditional",
    color: Color = None,
    images: Images = None,
    statistics: Statistics = None,
    measure: Measure = "weight_of_evidence",
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
        typer.Option(help="The picture or page (.html). Default: IMAGE-explained.png."),
    ] = None,
) -> None:
    """Explain a photograph: writes a picture and an .npz with the numbers."""
    started = time.monotonic()
    outputs = Outputs.of(output or Path(f"{image.stem}-explained.png"), checkpoint)
    check_choice("engine", engine, ENGINES)
    check_choice("measure", measure, MEASURES)
    check_batch_size(batch_size)
    check_used(OF_DRAWS, sampler, samples=samples, target_error=target_error, max_passes=max_passes)
    budget = Budget(target_error, max_passes)
    check_preview(preview, budget)
    if samples is None:
        samples = samples_of_a_draw(sampling, budget) if budget.given else 4
    scheme = Scheme(sampling, samples)
    net = pdjax.load_model(model, weights, progress=progress)
    pixels = pdjax.load_image(image, size=net.image_size)
    sizes, wanted, named = parse_window(window), parse_classes(classes), _split(layers)
    select_classes(wanted, net.labels, np.zeros(len(net.labels)))
    check_layers(named or (), net.layers)
    shape = net.image_shape
    if start is not None:
        shape = net.activation_shape(start)
        check_spatial(start, shape)
    grid = WindowGrid(shape[:-1], sizes, stride)
    budget.check_passes(grid, scheme)
    if start is None:
        chosen = make_sampler(
            sampler, sizes, padding=padding, color=color, images=images, statistics=statistics,
            image_size=net.image_size, num_samples=samples, progress=progress,
        )  # fmt: skip
    else:
        chosen = make_hidden_sampler(
            net, start, sampler, sizes, padding=padding, color=color, images=images,
            statistics=statistics, num_samples=samples, progress=progress,
        )  # fmt: skip
    scheme.check(chosen)
    samples = 1 if chosen.constant else samples
    check_samples(chosen, shape, Scheme(sampling, samples))
    budget.check(grid, scheme, chosen)
    announce(net, grid, samples, budget)
    kept = count_draws(checkpoint) * samples
    set_up = time.monotonic()
    found = stages(
        net, pixels, chosen, in_stages=preview, stride=stride, budget=budget,
        rng_key=jax.random.key(seed), num_samples=samples, classes=wanted, layers=named,
        start=start, measure=measure, engine=engine, sampling=sampling,
        bias_correction=bias_correction, batch_size=batch_size, progress=progress,
        checkpoint=checkpoint,
    )  # fmt: skip
    try:
        for explanation in found:
            explaining = time.monotonic() - set_up
            outputs.write(explanation, show_error=show_error, mute_uncertain=mute_uncertain)
            if preview:
                staged(explanation, outputs)
    except KeyboardInterrupt:
        interrupted(checkpoint)
        raise typer.Exit(130) from None
    in_all = time.monotonic() - started
    report(explanation, outputs, kept=kept, explaining=explaining, in_all=in_all)


@app.command()
def demo(
    output: Annotated[Path, typer.Option(help="The picture; the numbers go beside it.")] = Path(
        "pdjax-demo.png"
    ),
    window: Window = "20",
    stride: Stride = 8,
    samples: Samples = 4,
    seed: Seed = 0,
    progress: Progress = True,
) -> None:
    """Explain the photograph of Grace Hopper that comes with matplotlib, in a minute or two."""
    import matplotlib.cbook

    photo = matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    explain(
        image=Path(str(photo)), window=window, stride=stride, samples=samples, seed=seed,
        classes="2", progress=progress, output=output,
    )  # fmt: skip
    typer.echo(
        f"Settings: window {window}, stride {stride}, samples {samples}. For the full map in the "
        "paper's setting, which takes about an hour on two CPU cores:\n"
        "  pdjax demo --window 10 --stride 1 --samples 10"
    )


@app.command()
def models() -> None:
    """List the networks."""
    for name, network in NETWORKS.items():
        aliases = [alias for alias, target in ALIASES.items() if target == name]
        also = f" (also: {', '.join(aliases)})" if aliases else ""
        size = f"{network.image_size}x{network.image_size}"
        typer.echo(f"{name:22} {size:9} {network.summary}{also}")


@app.command()
def fit(
    folder: Annotated[Path, typer.Argument(help="A folder of images.")],
    output: Annotated[Path, typer.Option(help="The file to write.")] = Path("statistics.npz"),
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
    Outputs.check(output)
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


@app.command()
def plot(
    result: Annotated[Path, typer.Argument(help="An .npz written by `pdjax explain`.")],
    output: Annotated[
        Path | None,
        typer.Option(help="The picture (.png, .pdf, .svg) or page (.html). Default: RESULT.png."),
    ] = None,
    layer: Annotated[str | None, typer.Option(help="The layer to draw. Default: the last.")] = None,
    units: Annotated[
        str | None,
        typer.Option(
            help="Rows to draw, e.g. 0,2. Default: ten classes, or the strongest feature maps."
        ),
    ] = None,
    show_error: ShowError = False,
    mute_uncertain: MuteUncertain = False,
) -> None:
    """Draw a saved result again, as a picture or as a page to look around in."""
    explanation = pdjax.Explanation.load(result)
    output = output or result.with_suffix(".png")
    Outputs.check(output)
    rows = None if units is None else parse_ints(units, "units")
    Outputs.draw(
        explanation, output, layer=layer, units=rows, show_error=show_error,
        mute_uncertain=mute_uncertain,
    )  # fmt: skip
    typer.echo(str(output))


def main() -> None:
    """Run the command line; bad input ends with one sentence and exit status 2."""
    warnings.showwarning = _note
    try:
        app()
    except (ValueError, TypeError, OSError) as error:
        typer.secho(f"pdjax: error: {in_options(str(error))}", err=True, fg="red")
        sys.exit(2)
    except MemoryError:
        typer.secho("pdjax: error: out of memory; use a smaller --batch-size", err=True, fg="red")
        sys.exit(2)


def _split(text: str | None) -> list[str] | None:
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]


def _note(message: Warning | str, *details: Any, **more: Any) -> None:
    typer.secho(f"pdjax: note: {message}", err=True, fg="yellow")
