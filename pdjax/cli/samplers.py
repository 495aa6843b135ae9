"""What the words of the command line stand for."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np

from pdjax._checks import per_axis
from pdjax._progress import progress_bar
from pdjax._types import Sampler
from pdjax.classifier import Classifier, check_layers
from pdjax.cli.used_options import OF_HIDDEN_SAMPLERS, OF_SAMPLERS, check_used
from pdjax.image import ImageFolder
from pdjax.samplers import (
    Blur,
    ConditionalGaussian,
    ConditionalMixture,
    Constant,
    ImageMean,
    Marginal,
    PatchMixture,
    PatchStatistics,
)

__all__ = [
    "in_options",
    "make_hidden_sampler",
    "make_sampler",
    "parse_classes",
    "parse_ints",
    "parse_window",
]

BATCH = 8
PADDING = 2
COLOR = "joint"
MAX_NUMBERS = 8000
OPTIONS = {
    "rng_key": "--seed",
    "num_samples": "--samples",
    "batch_size": "--batch-size",
    "target_error": "--target-error",
    "max_passes": "--max-passes",
    "max_patch": "--max-patch",
}
"""Arguments that the command line calls by other names."""


def make_sampler(
    name: str,
    window: tuple[int, ...] | int,
    *,
    padding: int | None,
    color: str | None,
    images: Path | None,
    statistics: Path | None,
    image_size: int | tuple[int, ...],
    num_samples: int,
    progress: bool,
) -> Sampler:
    """Return the sampler called ``name``; options that are None have not been given."""
    if name not in OF_SAMPLERS:
        raise ValueError(f"sampler={name!r} is unknown; choose from {', '.join(OF_SAMPLERS)}")
    check_used(
        OF_SAMPLERS, name, padding=padding, color=color, images=images, statistics=statistics
    )
    padding, color = _with_defaults(padding, color)
    if name == "conditional":
        fitted = (
            PatchStatistics.natural_images()
            if statistics is None
            else PatchStatistics.load(statistics)
        )
        return ConditionalGaussian(fitted, window, padding, color, progress=progress)
    if name == "mixture":
        mixture = (
            PatchMixture.natural_images() if statistics is None else PatchMixture.load(statistics)
        )
        return ConditionalMixture(mixture, window, padding, progress=progress)
    if name == "marginal":
        if images is None:
            raise ValueError("sampler=marginal needs other images; give --images FOLDER")
        others = ImageFolder(images, image_size, limit=num_samples)
        return Marginal(np.stack([others[index] for index in range(len(others))]), window)
    if name == "grey":
        return Constant(0.5, window)
    if name == "mean":
        return ImageMean(window)
    return Blur(window)


def make_hidden_sampler(
    net: Classifier,
    start: str,
    name: str,
    window: tuple[int, ...] | int,
    *,
    padding: int | None,
    color: str | None,
    images: Path | None,
    statistics: Path | None,
    num_samples: int,
    progress: bool,
) -> Sampler:
    """Return the sampler called ``name`` for windows of the activation of layer ``start``."""
    if name not in OF_HIDDEN_SAMPLERS:
        hidden = " or ".join(OF_HIDDEN_SAMPLERS)
        raise ValueError(f"sampler={name!r} has no hidden form; choose {hidden}")
    check_used(
        OF_HIDDEN_SAMPLERS, name, padding=padding, color=color, images=images,
        statistics=statistics,
    )  # fmt: skip
    padding, color = _with_defaults(padding, color)
    if images is None:
        raise ValueError("start needs other images to learn activations from; give --images FOLDER")
    check_layers((start,), net.layers)
    limit = num_samples if name == "marginal" else None
    activations = _activations(net, start, ImageFolder(images, net.image_size, limit), progress)
    if name == "marginal":
        return Marginal(activations, window, bounds=None)
    patch = tuple(k + 2 * padding for k in per_axis(window, activations.ndim - 2, "window"))
    numbers = math.prod(patch) * activations.shape[-1]
    if numbers > MAX_NUMBERS:
        raise ValueError(
            f"window={window} with padding={padding} has {numbers} numbers in {start!r}, more than "
            f"{MAX_NUMBERS}; choose a smaller window or padding, or --sampler marginal"
        )
    fitted = PatchStatistics.fit_patches(
        activations, patch, num_patches=10 * numbers, bounds=None, progress=progress
    )
    # Many units are zero most of the time, so their covariance is all but singular.
    return ConditionalGaussian(
        fitted, window, padding, color, jitter=1e-3,
        clip=(float(activations.min()), float(activations.max())), progress=progress,
    )  # fmt: skip


def _with_defaults(padding: int | None, color: str | None) -> tuple[int, str]:
    return PADDING if padding is None else padding, COLOR if color is None else color


def _activations(net: Classifier, layer: str, images: ImageFolder, progress: bool) -> np.ndarray:
    parts = []
    with progress_bar(len(images), "images", progress, layer) as bar:
        for first in range(0, len(images), BATCH):
            batch = np.stack([images[i] for i in range(first, min(first + BATCH, len(images)))])
            parts.append(np.asarray(net(batch, (layer,))[layer]))
            bar.update(len(batch))
    return np.concatenate(parts)


def in_options(message: str) -> str:
    """Put the message of an error into the words of the command line.

    Examples
    --------
    >>> in_options("batch_size=0 must be an int of at least 1")
    '--batch-size=0 must be an int of at least 1'
    """
    # Only words that stand free or before an equals sign: file names may hold these as well.
    free = rf"(?<!\S)({'|'.join(OPTIONS)})(?=[=,;:\s]|$)"
    return re.sub(free, lambda found: OPTIONS[found[1]], message)


def parse_classes(text: str) -> int | list[int | str]:
    """Read ``3``, or names and ``#indices`` separated by semicolons.

    Examples
    --------
    >>> parse_classes("3")
    3
    >>> parse_classes("tabby, tabby cat; #282")
    ['tabby, tabby cat', 282]
    """
    if text.strip().isdecimal():
        return int(text)
    entries = [entry.strip() for entry in text.split(";") if entry.strip()]
    return [int(e[1:]) if e[0] == "#" and e[1:].isdecimal() else e for e in entries]


def parse_ints(text: str, argument: str) -> tuple[int, ...]:
    """Read ``10`` or ``12,8``."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ValueError(
            f"{argument}={text!r} must be an int, or ints separated by commas"
        ) from None


def parse_window(text: str) -> tuple[int, int]:
    """Read the height and width of a window; one number stands for both."""
    sizes = parse_ints(text, "window")
    if len(sizes) > 2:
        raise ValueError(f"window={text!r} has {len(sizes)} numbers; give one, or height,width")
    return sizes[0], sizes[-1]
