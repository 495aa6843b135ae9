"""Whether what samplers put into windows varies as much as what photographs have there.

Windows at random places of photographs held out are grouped by the ring of pixels around them: ten
classes of its contrast (the standard deviation of its pixels about their mean colour), three of its
brightness, equally many windows in each. In every class, and for every sampler,

- the *ratio* is the mean standard deviation over the pixels of a sample, divided by that of the
  true contents: 1 where samples are as rough as what they stand for;
- the *coverage* of 50 and 95 % is the share of true values that lie within the middle half, or
  all but the outermost 5 %, of the samples of that value (Gneiting and Raftery, 2007). The rank of
  the truth among S samples takes S + 1 values, so that S = 39 gives both shares exactly.

Samples are rounded to 256 levels, as the photographs are, and ranks of equal ones drawn at random:
where a photograph is white, a sampler that knows it is right half of the time within its 50 %.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import typer
from measure import environment, print_table
from samplers import LEVELS, fit_mixture, split, toy_images

import pdjax
from pdjax._progress import progress_bar

PADDING = 2
MIDDLE = ((2 * PADDING + 1) ** 2 // 2,)
"""The place of a window in the middle of its patch."""

CONTRASTS, BRIGHTNESSES = 10, 3
GOAL = {"ratio": (0.7, 1.4), "coverage": 5.0}


class Windows(NamedTuple):
    """What one sampler does in windows of one size, an entry for each window.

    Attributes
    ----------
    contrast, brightness : float arrays (n,)
        Of the ring, in [0, 1].
    spread, true_spread : float arrays (n,)
        Standard deviation over pixels of the samples (mean over samples) and of the truth.
    half, most : float arrays (n,)
        Share of the values within the ranges of 50 and 95 %.
    """

    contrast: np.ndarray
    brightness: np.ndarray
    spread: np.ndarray
    true_spread: np.ndarray
    half: np.ndarray
    most: np.ndarray


def main(
    images: Annotated[Path, typer.Option(help="A folder of photographs.")] = Path("images"),
    size: Annotated[int, typer.Option(help="Short side that images are scaled to.")] = 224,
    windows: Annotated[str, typer.Option(help="Pixels of windows, with commas.")] = "10,20,32",
    places: Annotated[int, typer.Option(help="Windows of every photograph held out.")] = 20,
    samples: Annotated[int, typer.Option(help="Samples of a window; 39, or 40 n - 1.")] = 39,
    mixture: Annotated[
        Path | None, typer.Option(help="A mixture fitted earlier, on the same photographs.")
    ] = None,
    only: Annotated[str, typer.Option(help="Names of samplers, with commas; all if empty.")] = "",
    keep: Annotated[
        Path | None,
        typer.Option(help="A folder for partial results, which a new run goes on from."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the places and the samples.")] = 0,
    progress: Annotated[bool, typer.Option(help="Show the progress bars.")] = True,
    toy: Annotated[bool, typer.Option(help="Small random images, to see that it works.")] = False,
) -> None:
    """Compare the spread of samples with that of what they stand for."""
    if (samples + 1) % 40:
        raise typer.BadParameter("must be 39, 79, ..., so that 95 % is a whole number of ranks")
    sides = [int(part) for part in windows.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        if toy:
            images, size, sides, places = toy_images(Path(folder)), 24, [3, 5], 30
        train, held_out = split(pdjax.ImageFolder(images, size=size), progress)
    if mixture is not None:
        fitted = pdjax.PatchMixture.load(mixture)
    elif toy:
        fitted = fit_mixture(train, seed, 9, 2, 2, 3, 600, False)
    else:
        fitted = fit_mixture(train, seed, max(sides) + 2 * PADDING, progress=progress)
    makers = _makers(train, fitted, max(sides) + 2 * PADDING, samples)
    names = [name.strip() for name in only.split(",") if name.strip()] or list(makers)
    settings = [
        ("photographs fitted on", str(len(train))),
        ("photographs held out", str(len(held_out))),
        ("windows of each", str(places)),
        ("samples of each", str(samples)),
        ("textures", str(fitted.weights.shape[0])),
        ("contrasts", str(fitted.weights.shape[1])),
    ]
    print_table(("setting", "value"), [*settings, *environment()])
    found: dict[int, dict[str, Windows]] = {}
    for side in sides:
        spots = _spots(held_out, side, places, seed)
        found[side] = {
            name: _kept(
                keep,
                f"{name.replace(' ', '_')}-{side}-{places}-{samples}-{seed}",
                functools.partial(
                    _measure, makers[name], held_out, spots, side, samples, seed, progress
                ),
            )
            for name in names
        }
        print_table((f"windows of {side}, by their rings", *names), _rows(found[side]))
    _summary(found)


def _makers(
    train: Sequence[np.ndarray], fitted: pdjax.PatchMixture, largest: int, samples: int
) -> dict[str, Callable[[int], Any]]:
    """By name, what makes a sampler for windows of so many pixels."""
    statistics = pdjax.PatchStatistics.fit(train, max_patch=largest)
    others = np.stack(train[: min(samples, len(train))])
    others = others[np.arange(samples) % len(others)]
    return {
        "mixture": lambda side: pdjax.ConditionalMixture(fitted, side, PADDING, places=MIDDLE),
        "Gaussian": lambda side: pdjax.ConditionalGaussian(
            statistics, side, PADDING, places=MIDDLE
        ),
        "Gaussian independent": lambda side: pdjax.ConditionalGaussian(
            statistics, side, PADDING, "independent", places=MIDDLE
        ),
        "marginal": lambda side: pdjax.Marginal(others, side),
        "grey": lambda side: pdjax.Constant(0.5, side),
        "mean": lambda side: pdjax.ImageMean(side),
        "blur": lambda side: pdjax.Blur(side),
    }


def _spots(held_out: Sequence[np.ndarray], side: int, places: int, seed: int) -> np.ndarray:
    """Origins ``(photographs, places, 2)`` of windows with a whole ring around them."""
    generator = np.random.default_rng([seed, side])
    room = np.array(held_out[0].shape[:2]) - side - 2 * PADDING + 1
    shape = (len(held_out), places, 2)
    return (PADDING + generator.integers(room, size=shape)).astype(np.int32)


def _kept(folder: Path | None, name: str, measure: Callable[[], Windows]) -> Windows:
    """Measure, or read what an earlier run has measured."""
    if folder is None:
        return measure()
    file = folder / f"{name}.npz"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(file, **measure()._asdict())
    with np.load(file) as stored:
        return Windows(**stored)


def _measure(
    make: Callable[[int], Any],
    held_out: Sequence[np.ndarray],
    spots: np.ndarray,
    side: int,
    samples: int,
    seed: int,
    progress: bool,
) -> Windows:
    """Draw windows of every photograph, a photograph at a time."""
    sampler = make(side)
    parts = []
    with progress_bar(len(held_out), "images", progress, f"{side} pixels") as bar:
        for number, (image, origins) in enumerate(zip(held_out, spots, strict=True)):
            keys = jax.random.split(jax.random.key(seed + number), len(origins))
            drawn = np.asarray(_draw(sampler, keys, jnp.asarray(image), origins, samples))
            generator = np.random.default_rng([seed, side, number])
            parts.append(_judge(drawn, image, origins, side, sampler.constant, generator))
            bar.update(1)
    return Windows(*map(np.concatenate, zip(*parts, strict=True)))


@functools.partial(jax.jit, static_argnames="samples")
def _draw(
    sampler: Any, keys: jax.Array, image: jax.Array, origins: jax.Array, samples: int
) -> jax.Array:
    """Samples ``(places, samples, side, side, c)``."""
    return jax.lax.map(
        lambda each: sampler.sample(each[0], image, each[1], samples), (keys, origins)
    )


def _judge(
    drawn: np.ndarray,
    image: np.ndarray,
    origins: np.ndarray,
    side: int,
    constant: bool,
    generator: np.random.Generator,
) -> Windows:
    """Compare samples ``(places, samples, side, side, c)`` with the photograph."""
    views = np.lib.stride_tricks.sliding_window_view(image, (side,) * 2, (0, 1))
    truth = np.moveaxis(views[tuple(origins.T)], 1, -1)
    wide = side + 2 * PADDING
    views = np.lib.stride_tricks.sliding_window_view(image, (wide,) * 2, (0, 1))
    patches = np.moveaxis(views[tuple(origins.T - PADDING)], 1, -1)
    around = np.ones((wide, wide), bool)
    around[PADDING:-PADDING, PADDING:-PADDING] = False
    ring = patches[:, around]
    drawn, truth = np.rint(drawn * (LEVELS - 1)), np.rint(truth * (LEVELS - 1))[:, None]
    below, equal = (drawn < truth).sum(1), (drawn == truth).sum(1)
    count = drawn.shape[1]
    rank = below + generator.integers(equal + 1)
    shares = []
    for outside in ((count + 1) // 4, (count + 1) // 40):
        within = (rank >= outside) & (rank <= count - outside)
        shares.append(within.mean((1, 2, 3)) if not constant else np.full(len(drawn), np.nan))
    return Windows(
        _spread(ring[:, :, None]),
        ring.mean((1, 2)),
        _spread(drawn).mean(1) / (LEVELS - 1),
        _spread(truth)[:, 0] / (LEVELS - 1),
        *shares,
    )


def _spread(contents: np.ndarray) -> np.ndarray:
    """Standard deviation of pixels ``(..., h, w, c)``, in the root mean square over channels."""
    return np.sqrt(contents.var((-3, -2)).mean(-1))


def _classes(windows: Windows) -> dict[str, np.ndarray]:
    """By its name, which windows are in a class."""
    classes = {}
    for title, values, count in (
        ("contrast", windows.contrast, CONTRASTS),
        ("brightness", windows.brightness, BRIGHTNESSES),
    ):
        order = np.argsort(values, kind="stable")
        for part in np.array_split(order, count):
            low, high = values[part[0]], values[part[-1]]
            classes[f"{title} {low:.3f} to {high:.3f}"] = part
    return classes


def _numbers(windows: Windows, which: np.ndarray) -> tuple[float, float, float]:
    """Ratio, and coverage in percent."""
    true = windows.true_spread[which].mean()
    ratio = windows.spread[which].mean() / true if true else np.inf
    return ratio, 100 * windows.half[which].mean(), 100 * windows.most[which].mean()


def _rows(found: Mapping[str, Windows]) -> list[tuple[str, ...]]:
    """Rows of a table: a class, and what each sampler does there."""
    some = next(iter(found.values()))
    rows = []
    for name, which in [*_classes(some).items(), ("all", np.arange(len(some.spread)))]:
        cells = []
        for windows in found.values():
            ratio, half, most = _numbers(windows, which)
            cells.append(f"{ratio:.2f}" + ("" if np.isnan(half) else f", {half:.0f}, {most:.0f}"))
        rows.append((name, *cells))
    return rows


def _summary(found: Mapping[int, Mapping[str, Windows]]) -> None:
    """Print the worst class of every sampler, and in how many of all the goals are met."""
    rows = []
    for side, samplers in found.items():
        for name, windows in samplers.items():
            numbers = np.array([_numbers(windows, part) for part in _classes(windows).values()])
            ratio, missed = numbers[:, 0], np.abs(numbers[:, 1:] - (50, 95))
            low, high = GOAL["ratio"]
            met = (ratio >= low) & (ratio <= high) & (missed.max(1) <= GOAL["coverage"])
            shares = ("", "") if np.isnan(missed).any() else [f"{m:.0f}" for m in missed.max(0)]
            rows.append(
                (
                    name,
                    str(side),
                    f"{ratio.min():.2f}",
                    f"{ratio.max():.2f}",
                    *shares,
                    f"{met.sum()} of {len(met)}",
                )
            )
    header = (
        "sampler",
        "window",
        "lowest ratio",
        "highest ratio",
        "50 % missed by",
        "95 % missed by",
    )
    print_table((*header, "classes within the goals"), rows)


if __name__ == "__main__":
    typer.run(main)
