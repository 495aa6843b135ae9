"""How well each model of patches predicts what stands in windows of photographs it has not seen.

All models are fitted on the same part of the photographs; every fifth is held out. A model's
figure is the mean of ``log2(255) - log2 p(window | ring) / numbers`` over windows at random
places of these: the bits it takes to write one number (the level of a pixel in one channel, one
level being 1/255 wide) when the ring is known. Less is better. The densities are those without
clipping, and the same noise, one level wide, is added to all images.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
import typer
from measure import environment, print_table
from PIL import Image

import pdjax
from pdjax._progress import progress_bar

LEVELS = 256
Density = Callable[[np.ndarray], np.ndarray]
"""Logarithms of the densities, in nats, of the windows in the middle of patches (n, *patch, c)."""


def main(
    images: Annotated[Path, typer.Option(help="A folder of photographs.")] = Path("images"),
    size: Annotated[int, typer.Option(help="Short side that images are scaled to.")] = 224,
    window: Annotated[int, typer.Option(help="Pixels of the window.")] = 10,
    padding: Annotated[int, typer.Option(help="Pixels of the ring.")] = 2,
    windows: Annotated[int, typer.Option(help="Windows of every photograph held out.")] = 50,
    textures: Annotated[int, typer.Option(help="Textures of the mixture.")] = 6,
    contrasts: Annotated[int, typer.Option(help="Contrasts of each texture.")] = 6,
    steps: Annotated[int, typer.Option(help="Steps of fitting the mixture.")] = 30,
    patches: Annotated[int, typer.Option(help="Patches that the mixture is fitted to.")] = 14_400,
    mixture: Annotated[
        Path | None, typer.Option(help="A mixture fitted earlier, on the same photographs.")
    ] = None,
    save: Annotated[Path | None, typer.Option(help="Where to keep the fitted mixture.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the noise and of the windows.")] = 0,
    progress: Annotated[bool, typer.Option(help="Show the progress bars.")] = True,
    toy: Annotated[bool, typer.Option(help="Small random images, to see that it works.")] = False,
) -> None:
    """Compare samplers by the windows they predict."""
    with tempfile.TemporaryDirectory() as folder:
        if toy:
            images, size, window, padding, windows = toy_images(Path(folder)), 24, 3, 1, 8
            textures, contrasts, steps, patches = 2, 2, 3, 600
        photographs = pdjax.ImageFolder(images, size=size)
        train, held_out = split(photographs, progress)
    side = window + 2 * padding
    largest = max(side, min(48, size // 4))
    if mixture is None:
        fitted = fit_mixture(train, seed, largest, textures, contrasts, steps, patches, progress)
    else:
        fitted = pdjax.PatchMixture.load(mixture)
    if save is not None:
        fitted.save(save)
    noisy = [_noisy(image, [seed, 0, number]) for number, image in enumerate(train)]
    statistics = pdjax.PatchStatistics.fit(noisy, max_patch=side, bounds=None, progress=progress)
    models = {
        "conditional mixture": _mixture(fitted, window, padding),
        "conditional Gaussian, joint": _gaussian(statistics, window, padding, 1, True),
        "marginal Gaussian, joint": _gaussian(statistics, window, padding, 1, False),
        "conditional Gaussian, independent": _gaussian(statistics, window, padding, 3, True),
        "marginal Gaussian, independent": _gaussian(statistics, window, padding, 3, False),
    }
    bits = _bits(models, held_out, window, side, windows, seed, progress)
    rows = [
        ("photographs fitted on", str(len(train))),
        ("photographs held out", str(len(held_out))),
        ("windows of each", str(windows)),
        ("window", str(window)),
        ("padding", str(padding)),
        ("textures", str(fitted.weights.shape[0])),
        ("contrasts", str(fitted.weights.shape[1])),
    ]
    print_table(("setting", "value"), [*rows, *environment()])
    _report(bits)


def split(
    photographs: pdjax.ImageFolder, progress: bool
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Photographs to fit on, and every fifth of all."""
    parts: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    with progress_bar(len(photographs), "images", progress, "reading") as bar:
        for number in range(len(photographs)):
            parts[number % 5 == 4].append(photographs[number])
            bar.update(1)
    return parts


def fit_mixture(
    train: list[np.ndarray],
    seed: int,
    largest: int,
    textures: int = 6,
    contrasts: int = 6,
    steps: int = 30,
    patches: int = 14_400,
    progress: bool = True,
) -> pdjax.PatchMixture:
    """Fit a mixture for patches of up to ``largest`` pixels."""
    return pdjax.PatchMixture.fit(
        train,
        jax.random.key(seed),
        textures=textures,
        contrasts=contrasts,
        steps=steps,
        num_patches=patches,
        patch=min(largest, 14),
        max_patch=largest,
        progress=progress,
    )


def _noisy(image: np.ndarray, seed: list[int]) -> np.ndarray:
    noise = np.random.default_rng(seed).random(image.shape) - 0.5
    return image + noise / (LEVELS - 1)


def _bits(
    models: Mapping[str, Density],
    held_out: list[np.ndarray],
    window: int,
    side: int,
    windows: int,
    seed: int,
    progress: bool,
) -> dict[str, np.ndarray]:
    """Bits per number of each model: the mean over the windows of every photograph."""
    generator = np.random.default_rng([seed, 1])
    found: dict[str, list[float]] = {name: [] for name in models}
    with progress_bar(len(held_out), "images", progress, "held out") as bar:
        for number, image in enumerate(held_out):
            image = _noisy(image, [seed, 2, number])
            views = np.lib.stride_tricks.sliding_window_view(image, (side, side), (0, 1))
            y, x = generator.integers(np.array(views.shape[:2])[:, None], size=(2, windows))
            patches = np.moveaxis(views[y, x], 1, -1)
            numbers = window**2 * image.shape[-1]
            for name, density in models.items():
                logs = density(patches) / np.log(2) / numbers
                found[name].append(float(np.log2(LEVELS - 1) - logs.mean()))
            bar.update(1)
    return {name: np.array(values) for name, values in found.items()}


def _mixture(fitted: pdjax.PatchMixture, window: int, padding: int) -> Density:
    with jax.enable_x64(True):
        middle = ((2 * padding + 1) ** 2 // 2,)
        sampler = pdjax.ConditionalMixture(fitted, window, padding, places=middle)
    origin = np.array([padding, padding], np.int32)

    @jax.jit
    def every(sampler: pdjax.ConditionalMixture, patches: jax.Array) -> jax.Array:
        def one(patch: jax.Array) -> jax.Array:
            inside = patch[padding : padding + window, padding : padding + window]
            return sampler.log_density(inside[None], patch, jnp.asarray(origin))[0]

        return jax.lax.map(one, patches)

    def density(patches: np.ndarray) -> np.ndarray:
        with jax.enable_x64(True):
            return np.asarray(every(sampler, jnp.asarray(patches)))

    return density


def _gaussian(
    statistics: pdjax.PatchStatistics, window: int, padding: int, groups: int, conditional: bool
) -> Density:
    """Density of one Gaussian over all channels, or of one for each; with the ring or without."""
    side, channels = window + 2 * padding, statistics.channels
    mean, covariance = statistics.gaussian(side)
    within = np.zeros((side, side), bool)
    within[padding : padding + window, padding : padding + window] = True
    rows = np.arange(mean.size).reshape(-1, channels)
    ring, inside = rows[~within.ravel()], rows[within.ravel()]
    parts = [list(range(channels))] if groups == 1 else [[each] for each in range(channels)]
    factors = []
    for part in parts:
        first = ring[:, part].ravel() if conditional else np.zeros(0, int)
        order = np.concatenate([first, inside[:, part].ravel()])
        factors.append((order, len(first), np.linalg.cholesky(covariance[np.ix_(order, order)])))

    def density(patches: np.ndarray) -> np.ndarray:
        deviations = patches.reshape(len(patches), -1) - mean.ravel()
        total = np.zeros(len(patches))
        for order, known, root in factors:
            # The rows of the triangular factor after those of the ring belong to the conditional.
            white = scipy.linalg.solve_triangular(root, deviations[:, order].T, lower=True)[known:]
            scale = np.log(np.diagonal(root)[known:]).sum()
            total -= 0.5 * np.square(white).sum(0) + scale + 0.5 * len(white) * np.log(2 * np.pi)
        return total

    return density


def _report(bits: Mapping[str, np.ndarray]) -> None:
    """Print means with standard errors over photographs, and differences to the first row."""
    best, rows = next(iter(bits.values())), []
    for name, values in bits.items():
        more = values - best
        rows.append((name, *_mean_and_error(values), *_mean_and_error(more)))
    print_table(
        ("model", "bits per number", "standard error", "more than the first", "its error"), rows
    )


def _mean_and_error(values: np.ndarray) -> tuple[str, str]:
    return f"{values.mean():.3f}", f"{values.std(ddof=1) / len(values) ** 0.5:.3f}"


def toy_images(folder: Path) -> Path:
    """Smooth random images, some of high contrast and some of low."""
    for number in range(10):
        noise = np.random.default_rng(number).standard_normal((28, 28, 3)).cumsum(0).cumsum(1)
        levels = 128 + noise / noise.std() * (8 + 40 * (number % 2))
        image = Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8))
        image.save(folder / f"{number}.png")
    return folder


if __name__ == "__main__":
    typer.run(main)
