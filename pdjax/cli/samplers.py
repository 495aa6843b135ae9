"""The samplers of the command line: what their names stand for, and which options each one uses."""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from pdjax._checks import ArgumentValueError, per_axis
from pdjax._files import read_npz
from pdjax._progress import progress_bar
from pdjax._types import Sampler, is_random
from pdjax.classifier import Classifier
from pdjax.cli.kept import kept_sampler
from pdjax.image import ImageFolder
from pdjax.method.schemes import SCHEMES
from pdjax.method.windows import WindowGrid
from pdjax.samplers import (
    Blur,
    ConditionalGaussian,
    ConditionalMixture,
    Constant,
    ImageMean,
    Marginal,
)
from pdjax.statistics import PatchMixture, PatchStatistics

__all__ = ["HIDDEN_SAMPLERS", "SAMPLERS", "Choice", "default_sampler"]

BATCH = 8
MAX_NUMBERS = 8000


@dataclasses.dataclass(frozen=True)
class Setting:
    """What a sampler is made for.

    Attributes
    ----------
    net : Classifier
    window : tuple of int
    num_samples : int
        Samples of a window.
    progress : bool
    start : str or None
        The hidden layer whose windows are hidden, or None for those of the image.
    grid : WindowGrid or None
        These windows; None where any may be asked for.
    """

    net: Classifier
    window: tuple[int, ...]
    num_samples: int
    progress: bool
    start: str | None = None
    grid: WindowGrid | None = None


def conditional(
    setting: Setting, *, padding: int = 2, color: str = "joint", statistics: Path | None = None
) -> ConditionalGaussian:
    """Make a Gaussian conditioned on the ring of pixels around a window."""
    fitted = (
        PatchStatistics.natural_images() if statistics is None else PatchStatistics.load(statistics)
    )
    return kept_sampler(
        ConditionalGaussian,
        fitted,
        setting.window,
        padding,
        setting.grid,
        color=color,
        progress=setting.progress,
    )


def mixture(
    setting: Setting, *, padding: int = 2, statistics: Path | None = None
) -> ConditionalMixture:
    """Make a mixture of textures conditioned on the ring."""
    fitted = PatchMixture.natural_images() if statistics is None else PatchMixture.load(statistics)
    return kept_sampler(
        ConditionalMixture,
        fitted,
        setting.window,
        padding,
        setting.grid,
        progress=setting.progress,
    )


def marginal(setting: Setting, *, images: Path | None = None) -> Marginal:
    """Take the same window of other images."""
    if images is None:
        _needs_images("sampler", "marginal")
    others = ImageFolder(images, setting.net.image_size, limit=setting.num_samples)
    return Marginal(np.stack([others[index] for index in range(len(others))]), setting.window)


def grey(setting: Setting) -> Constant:
    """Hide windows behind grey."""
    return Constant(0.5, setting.window)


def mean(setting: Setting) -> ImageMean:
    """Hide windows behind the mean colour."""
    return ImageMean(setting.window)


def blur(setting: Setting) -> Blur:
    """Hide windows by a blur."""
    return Blur(setting.window)


def hidden_conditional(
    setting: Setting, *, padding: int = 2, color: str = "joint", images: Path | None = None
) -> ConditionalGaussian:
    """Fit a Gaussian to activations of other images, conditioned on the ring."""
    activations = _activations(setting, images, limit=None)
    patch = tuple(k + 2 * padding for k in per_axis(setting.window, activations.ndim - 2, "window"))
    numbers = math.prod(patch) * activations.shape[-1]
    if numbers > MAX_NUMBERS:
        raise ArgumentValueError(
            "window",
            f"with a padding of {padding} has {numbers} numbers in {setting.start!r}, more than "
            f"{MAX_NUMBERS}",
            "choose a smaller window or padding, or the marginal sampler",
            value=setting.window,
        )
    fitted = PatchStatistics.fit_patches(
        activations, patch, num_patches=10 * numbers, bounds=None, progress=setting.progress
    )
    # Many units are zero most of the time, so their covariance is all but singular.
    jitter, clip = 1e-3, (float(activations.min()), float(activations.max()))
    return ConditionalGaussian(
        fitted,
        setting.window,
        padding,
        color,
        jitter=jitter,
        clip=clip,
        places=setting.grid,
        progress=setting.progress,
    )


def hidden_marginal(setting: Setting, *, images: Path | None = None) -> Marginal:
    """Take the same window of the activations of other images."""
    activations = _activations(setting, images, limit=setting.num_samples)
    return Marginal(activations, setting.window, bounds=None)


Maker = Callable[..., Sampler]

SAMPLERS: Mapping[str, tuple[type[Any], Maker]] = {
    "mixture": (ConditionalMixture, mixture),
    "conditional": (ConditionalGaussian, conditional),
    "marginal": (Marginal, marginal),
    "grey": (Constant, grey),
    "mean": (ImageMean, mean),
    "blur": (Blur, blur),
}
"""By name, the class of a sampler and the function that makes it; its keywords are its options."""

HIDDEN_SAMPLERS: Mapping[str, tuple[type[Any], Maker]] = {
    "conditional": (ConditionalGaussian, hidden_conditional),
    "marginal": (Marginal, hidden_marginal),
}
"""The same where windows of a hidden layer are hidden: these learn from images alone."""


def default_sampler(
    *, hidden: bool, color: str | None, sampling: str, statistics: Path | None
) -> str:
    """Name the sampler where none is: the mixture, or the Gaussian for what only that one can.

    These are windows of hidden layers, a model of colour, samples that go together, and statistics
    of patches.
    """
    if hidden or color is not None or sampling != SCHEMES[0]:
        return "conditional"
    of_patches = statistics is not None and "mean" in read_npz(statistics, "statistics")
    return "conditional" if of_patches else "mixture"


class Planned:
    """A sampler that is still to be made: it knows what is asked before anything is drawn."""

    def __init__(self, kind: type[Any], window: tuple[int, ...]) -> None:
        self.window, self.constant, self.random = window, kind.constant, is_random(kind)

    def check(self, image_shape: tuple[int, ...], num_samples: int) -> None:
        """Say nothing yet: the sampler itself is asked once it is made."""

    def sample(self, *arguments: Any) -> NoReturn:
        """Refuse to draw."""
        raise RuntimeError("this sampler is still to be made")


class PlannedNormal(Planned):
    """The same for one that makes contents of normal numbers."""

    axes = 0
    transform = Planned.sample


@dataclasses.dataclass(frozen=True)
class Choice:
    """The sampler that was asked for, checked before anything is loaded.

    Parameters
    ----------
    name : str
        One of `SAMPLERS`.
    hidden : bool
        Whether it is for windows of a hidden layer.
    options : mapping
        What was given for each option of a sampler, None for nothing.
    draws : mapping
        What was given for each option that says how often it is drawn from.

    Raises
    ------
    ValueError
        If there is no such sampler, or it does not use an option that is given.
    """

    name: str
    hidden: bool
    options: Mapping[str, Any]
    draws: Mapping[str, Any]

    def __post_init__(self) -> None:
        if self.name not in self._all:
            raise ArgumentValueError(
                "sampler",
                "has no form for hidden layers",
                f"choose {' or '.join(self._all)}",
                value=self.name,
            )
        for option, value in {**self.options, **self.draws}.items():
            if value is None or self._uses(self.name, option):
                continue
            users = " or ".join(other for other in self._all if self._uses(other, option))
            raise ArgumentValueError(
                option,
                f"does nothing with --sampler {self.name}" + (" and --start" * self.hidden),
                "leave it out" + (f", or give --sampler {users}" if users else ""),
                value=value,
            )

    @property
    def _all(self) -> Mapping[str, tuple[type[Any], Maker]]:
        return HIDDEN_SAMPLERS if self.hidden else SAMPLERS

    def _uses(self, name: str, option: str) -> bool:
        kind, make = self._all[name]
        if option in self.options:
            return option in inspect.signature(make).parameters
        # A single content is drawn once, and one that is not random only so many times.
        return not kind.constant and (option == "samples" or is_random(kind))

    def planned(self, window: tuple[int, ...]) -> Planned:
        """Return what stands in for the sampler until it is made."""
        kind, _ = self._all[self.name]
        return (PlannedNormal if hasattr(kind, "transform") else Planned)(kind, window)

    def make(self, setting: Setting) -> Sampler:
        """Make the sampler, which may take long."""
        _, make = self._all[self.name]
        return make(setting, **{key: v for key, v in self.options.items() if v is not None})


def _activations(setting: Setting, folder: Path | None, limit: int | None) -> np.ndarray:
    """Activations ``(n, *spatial, c)`` of the layer at which the explanation starts."""
    if folder is None:
        _needs_images("start", setting.start)
    net, layer = setting.net, str(setting.start)
    images = ImageFolder(folder, net.image_size, limit)
    parts = []
    with progress_bar(len(images), "images", setting.progress, layer) as bar:
        for first in range(0, len(images), BATCH):
            batch = np.stack([images[i] for i in range(first, min(first + BATCH, len(images)))])
            parts.append(np.asarray(net(batch, (layer,))[layer]))
            bar.update(len(batch))
    return np.concatenate(parts)


def _needs_images(option: str, value: object) -> NoReturn:
    raise ArgumentValueError(
        option, "needs other images to learn from", "give --images FOLDER", value=value
    )
