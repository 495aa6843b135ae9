"""What the words of the command line stand for."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pdjax._typing import Sampler
from pdjax.image import ImageFolder
from pdjax.samplers import (
    Blur,
    ConditionalGaussian,
    Constant,
    ImageMean,
    Marginal,
    PatchStatistics,
)

__all__ = ["SAMPLERS", "make_sampler", "parse_classes", "parse_ints", "parse_window"]

SAMPLERS = ("conditional", "marginal", "grey", "mean", "blur")


def make_sampler(
    name: str,
    window: tuple[int, ...] | int,
    *,
    padding: int,
    color: str,
    folder: Path | None,
    statistics: Path | None,
    image_size: int | tuple[int, ...],
    num_samples: int,
) -> Sampler:
    """Return the sampler called ``name``."""
    if name == "conditional":
        fitted = (
            PatchStatistics.natural_images()
            if statistics is None
            else PatchStatistics.load(statistics)
        )
        return ConditionalGaussian(fitted, window, padding, color, progress=True)
    if name == "marginal":
        if folder is None:
            raise ValueError("sampler=marginal needs other images; give --images FOLDER")
        others = ImageFolder(folder, image_size, limit=num_samples)
        return Marginal(np.stack([others[index] for index in range(len(others))]), window)
    if name == "grey":
        return Constant(0.5, window)
    if name == "mean":
        return ImageMean(window)
    if name == "blur":
        return Blur(window)
    raise ValueError(f"sampler={name!r} is unknown; choose from {', '.join(SAMPLERS)}")


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
