"""What benchmarks on photographs share: which ones, runs that are kept, intervals over them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from PIL import Image

import pdjax
from pdjax._progress import Bar
from pdjax.metrics.table import Interval

__all__ = ["Runs", "bootstrap", "others", "spread", "toy_images", "toy_network"]

TIMES = 2000
"""Resamples of a bootstrap."""


def spread(folder: pdjax.ImageFolder, count: int) -> dict[int, np.ndarray]:
    """Read ``count`` photographs, or all there are, evenly spread over a folder; by their index."""
    chosen = np.linspace(0, len(folder) - 1, min(count, len(folder))).round().astype(int)
    return {int(index): folder[int(index)] for index in chosen}


def others(folder: pdjax.ImageFolder, index: int, count: int) -> np.ndarray:
    """Other photographs for `pdjax.Marginal`, as far as can be from one of the folder."""
    steps = np.arange(1, count + 1) * len(folder) // (count + 1)
    return np.stack([folder[int((index + step) % len(folder))] for step in steps])


@dataclasses.dataclass(frozen=True)
class Runs:
    """Explanations of one network, each made once and kept in a folder.

    Attributes
    ----------
    net : Classifier
    folder : path
        An interrupted benchmark goes on with what is there. Files are named by what was run.
    bar : Bar
        Counts explanations.
    """

    net: pdjax.Classifier
    folder: Path
    bar: Bar

    def explain(
        self, image: np.ndarray, sampler: Any, number: int, title: str, **settings: Any
    ) -> pdjax.Explanation:
        """Explain an image, or read what was found the last time, by ``title`` and settings.

        ``number`` makes the key; ``settings`` are those of `pdjax.explain`.
        """
        words = (f"{name}{settings[name]}" for name in ("stride", "num_samples"))
        name = "-".join([self.net.name, title, f"window{sampler.window[0]}", *words])
        path = self.folder / f"{name}.npz"
        self.bar.set_postfix_str(name)
        if path.exists():
            found = pdjax.Explanation.load(path)
        else:
            key = jax.random.fold_in(jax.random.key(0), number)
            found = pdjax.explain(self.net, image, sampler, rng_key=key, **settings)
            found.save(path)
        self.bar.update(1)
        return found


def bootstrap(
    values: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray] | None = None
) -> Interval:
    """Percentile interval (95 %) of a statistic over photographs.

    Parameters
    ----------
    values : float array, shape (photographs,) or (photographs, n)
        Rows with a NaN are left out.
    statistic : callable, optional
        Of the means ``(..., n)`` of the values over photographs; by default the mean itself.
    """
    values = np.asarray(values, np.float64).reshape(len(values), -1)
    values = values[np.isfinite(values).all(1)]
    if not len(values):
        return Interval(*[float("nan")] * 3)
    rows = np.random.default_rng(0).integers(len(values), size=(TIMES, len(values)))
    found = [np.mean(values, 0), np.mean(values[rows], 1)]
    mean, resampled = (each[..., 0] if statistic is None else statistic(each) for each in found)
    return Interval(float(mean), *np.quantile(resampled, [0.025, 0.975]).tolist())


COLOURS = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]], np.float32)


def toy_network() -> pdjax.Classifier:
    """Make a classifier of 40 by 40 images, one class per colour, that takes no time."""

    def conv(x: jax.Array, kernel: jax.Array) -> jax.Array:
        layout = ("NHWC", "HWIO", "NHWC")
        out = jax.lax.conv_general_dilated(x, kernel, (2, 2), "SAME", dimension_numbers=layout)
        return jax.nn.relu(out)

    def f(params: Mapping[str, jax.Array], images: jax.Array) -> dict[str, jax.Array]:
        first = conv(images, params["first"])
        middle = conv(first, params["middle"])
        last = conv(middle, params["last"])
        scores = 20 * images.mean((1, 2)) @ (params["colours"] - 0.5).T + last.mean((1, 2))
        prob = jax.nn.softmax(scores)
        return {"first": first, "middle": middle, "last": last, "scores": scores, "prob": prob}

    random, kernels = np.random.default_rng(0), (("first", 3), ("middle", 4), ("last", 4))
    params = {
        name: random.standard_normal((3, 3, channels, 4), np.float32) / (3 * channels**0.5)
        for name, channels in kernels
    }
    return pdjax.Classifier.from_function(
        f,
        params | {"colours": COLOURS},
        image_size=40,
        name="toy",
        outputs={"scores": "values", "prob": "softmax"},
    )


def toy_images(folder: Path, count: int) -> pdjax.ImageFolder:
    """Smooth random images of a colour each, as files of a folder."""
    for number in range(count):
        noise = np.random.default_rng(number).standard_normal((40, 40, 1)).cumsum(0).cumsum(1)
        smooth = 0.2 * (noise - noise.mean()) / noise.std()
        image = 0.2 + 0.6 * COLOURS[number % len(COLOURS)] + smooth
        levels = np.clip(255 * image, 0, 255).astype(np.uint8)
        Image.fromarray(levels).save(folder / f"{number}.png")
    return pdjax.ImageFolder(folder, size=40)
