"""The command `pdjax explain`: one photograph, or many."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import jax
import numpy as np
import typer

import pdjax
from pdjax._checks import ArgumentValueError, by_sides
from pdjax._explain.explain import Run
from pdjax._explain.request import PreviewRequest, Request
from pdjax._explain.target import Target
from pdjax._files import existing_file
from pdjax._types import Sampler
from pdjax.cli.many import ManyPhotos, are_many, find_photos
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
    MaxMemory,
    MaxPasses,
    Mean,
    MeasureName,
    Model,
    MuteUncertain,
    OutputsName,
    Overwrite,
    Padding,
    PrecisionName,
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
    parse_names,
    parse_window,
)
from pdjax.cli.outputs import Outputs
from pdjax.cli.report import announce, interrupted, load_photo, report, staged
from pdjax.cli.samplers import Choice, Planned, Setting, default_sampler

__all__ = ["EXAMPLES", "explain"]

SAMPLES = 4
"""Samples per window where none are asked for."""

EXAMPLES = """Examples:

pdjax explain cat.jpg --classes "tabby; tiger cat; 285"

pdjax explain cat.jpg --window 20 --target-error 0.02 -o cat.html

pdjax explain cat.jpg --model googlenet --layers loss3/classifier,prob

pdjax explain photos/ --stride 10 -o explained
"""


def explain(
    image: Annotated[
        Path,
        typer.Argument(
            help="A photograph: JPEG, PNG, WebP, TIFF, ... Or many: a folder, a .txt with a path a "
            "line, or a quoted pattern such as 'photos/*.jpg'."
        ),
    ],
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
    precision: PrecisionName = "highest",
    sampling: Sampling = "independent",
    bias_correction: BiasCorrection = True,
    seed: Seed = 0,
    batch_size: BatchSize = None,
    max_memory: MaxMemory = None,
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
            help="The picture or page (.html), or the folder for many. Default: "
            "IMAGE-explained.png, or IMAGE-explained.",
            rich_help_panel=WHERE,
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Explain a photograph: writes a picture and an .npz with the numbers.

    Many photographs go to a folder, with a table and a page of all; those that are done are left
    out when the command is given again.
    """
    choice = Choice(
        sampler
        or default_sampler(
            hidden=start is not None, color=color, sampling=sampling, statistics=statistics
        ),
        hidden=start is not None,
        options={"padding": padding, "color": color, "images": images, "statistics": statistics},
        draws={"samples": samples, "target_error": target_error, "max_passes": max_passes},
    )
    sizes = parse_window(window)
    planned = choice.planned(sizes)
    if samples is None and target_error is None and max_passes is None and not planned.constant:
        samples = SAMPLES
    described = ModelOptions(model, weights, labels, model_outputs, mean, std)

    def job() -> Job:
        net = load_classifier(described, progress=progress)
        settings = {
            "num_samples": samples,
            "target_error": target_error,
            "max_passes": max_passes,
            "stride": stride,
            "sampling": sampling,
            "bias_correction": bias_correction,
            "classes": chosen_classes(classes, top, net.labels),
            "layers": parse_names(layers),
            "start": start,
            "measure": measure,
            "engine": engine,
            "precision": precision,
        }
        batches = {"batch_size": batch_size, "max_memory": max_memory}
        return Job(net, choice, planned, sizes, settings, batches, progress)

    key = jax.random.key(seed)
    look = {"show_error": show_error, "mute_uncertain": mute_uncertain}
    if not are_many(image):
        read = [existing_file(image, "image"), *([] if weights is None else [weights])]
        picture = output or Path(f"{image.stem}-explained.png")
        outputs = Outputs.of(picture, checkpoint, inputs=read, overwrite=overwrite)
        Outputs.check_errors(picture, show_error)
        _one(job, image, fit, key, preview, checkpoint, outputs, look)
        return
    for argument, given in (
        ("preview", preview),
        ("checkpoint", checkpoint),
        ("overwrite", overwrite),
    ):
        if given:
            raise ArgumentValueError(
                argument,
                "is for one photograph",
                "leave it out: of many, what is done is kept, and the same command goes on",
            )
    folder = output or Path(f"{image.stem.replace('*', '') or 'photos'}-explained")
    photos = find_photos(image, folder)
    asked = job()
    depends = {
        **asked.settings,
        **described._asdict(),
        **choice.options,
        **{"sampler": choice.name, "window": sizes, "fit": fit, "seed": seed},
        **look,
    }
    many = ManyPhotos(
        photos,
        folder,
        asked.net.image_size,
        fit,
        functools.partial(asked.request, progress=False),
        key,
        planned,
        asked.sampler,
        {name: str(value) for name, value in depends.items() if value is not None},
        look,
        progress,
    )
    raise typer.Exit(1 if many.run() else 0)


@dataclasses.dataclass(frozen=True)
class Job:
    """What was asked for, whatever the photograph."""

    net: pdjax.Classifier
    choice: Choice
    planned: Planned
    window: tuple[int, int]
    settings: Mapping[str, Any]
    batches: Mapping[str, Any]
    progress: bool

    def request(
        self,
        photo: np.ndarray,
        key: jax.Array,
        sampler: Any,
        kind: type[Request] = Request,
        **options: Any,
    ) -> Request:
        """Return what is asked of a photograph."""
        common = {**self.batches, "progress": self.progress}
        return kind(self.net, photo, sampler, rng_key=key, **{**common, **self.settings, **options})

    def sampler(self, request: Request) -> Sampler:
        """Make the sampler, for the windows of a request."""
        grid = request.grid if isinstance(request.grid, pdjax.WindowGrid) else None
        samples, start = request.scheme.num_samples, self.settings["start"]
        setting = Setting(self.net, self.window, samples, self.progress, start, grid)
        return self.choice.make(setting)


def _one(
    load: Callable[[], Job],
    image: Path,
    fit: str,
    key: jax.Array,
    preview: bool,
    checkpoint: Path | None,
    outputs: Outputs,
    look: Mapping[str, bool],
) -> None:
    """Explain one photograph, and say what was found."""
    started = time.monotonic()
    job = load()
    photo = load_photo(image, job.net.image_size, fit)
    kind = PreviewRequest if preview else Request
    request = job.request(photo, key, job.planned, kind, checkpoint=checkpoint)
    request.check()
    if preview and len(request.stages) == 1:
        raise ArgumentValueError(
            "preview",
            f"has one stage, as windows of {by_sides(job.window)} allow none at twice the stride",
            "leave it out, or choose a smaller stride",
        )
    target = Target.of(request)
    announce(request, target)
    request = request.with_sampler(job.sampler(request))
    set_up = time.monotonic()
    try:
        run = Run(request, target)
        for explanation in run.stages():
            explaining = time.monotonic() - set_up
            outputs.write(explanation, image.name, request, **look)
            if preview:
                staged(explanation, outputs)
    except KeyboardInterrupt:
        interrupted(checkpoint)
        raise typer.Exit(130) from None
    in_all = time.monotonic() - started
    report(explanation, outputs, kept=run.kept, explaining=explaining, in_all=in_all)
