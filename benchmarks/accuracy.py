"""Top-1 and top-5 accuracy of a network on photographs whose class is in the file name.

File names begin with the WordNet id of the class, ``n02123045_tabby.jpg``; a text file lists the
ids in the order in which the network has its classes, one a line, followed by anything. Images are
read as `pdjax explain` reads them, so a network whose weights or preprocessing went wrong shows
here.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Annotated

import jax.numpy as jnp
import numpy as np
import typer
from measure import environment, print_table
from PIL import Image

import pdjax
from pdjax._progress import progress_bar


def main(
    model: Annotated[str, typer.Option(help="The network; `pdjax models` lists them.")] = (
        "efficientnet_lite0"
    ),
    weights: Annotated[
        Path | None, typer.Option(help="The file of its weights. Default: the installed ones.")
    ] = None,
    images: Annotated[Path, typer.Option(help="A folder of photographs.")] = Path("images"),
    synsets: Annotated[
        Path, typer.Option(help="WordNet ids of the classes, one a line, in the network's order.")
    ] = Path("synset_words.txt"),
    batch_size: Annotated[int, typer.Option(help="Images evaluated at once.")] = 32,
    limit: Annotated[
        int | None, typer.Option(help="So many images, spread evenly over the folder.")
    ] = None,
    progress: Annotated[bool, typer.Option(help="Show the progress bar.")] = True,
    toy: Annotated[bool, typer.Option(help="Four small images, to see that this works.")] = False,
) -> None:
    """Count how often a network is right."""
    if toy:
        with tempfile.TemporaryDirectory() as folder:
            _report(_toy_network(), *_toy_images(Path(folder)), 3, None, progress)
    else:
        net = pdjax.load_model(model, weights)
        _report(net, images, synsets, batch_size, limit, progress)


def _report(
    net: pdjax.Classifier,
    folder: Path,
    synsets: Path,
    batch_size: int,
    limit: int | None,
    progress: bool,
) -> None:
    photographs = pdjax.ImageFolder(folder, size=net.image_size)
    chosen = np.arange(len(photographs))
    if limit is not None and limit < len(chosen):
        chosen = np.linspace(0, len(photographs) - 1, limit).round().astype(int)
    wanted = _classes_of([photographs.paths[index] for index in chosen.tolist()], synsets)

    ranks: list[np.ndarray] = []
    start = time.perf_counter()
    with progress_bar(len(chosen), "images", progress, net.name) as bar:
        for first in range(0, len(chosen), batch_size):
            part = slice(first, first + batch_size)
            scores = _scores(
                net, [photographs[index] for index in chosen[part].tolist()], batch_size
            )
            own = np.take_along_axis(scores, wanted[part, None], axis=1)
            # Neither a tie nor NaN counts as right.
            ranks.append((~(scores < own)).sum(1) - 1)
            bar.update(len(own))
    seconds = time.perf_counter() - start
    rank = np.concatenate(ranks)

    rows = [("network", net.name), ("images", str(len(rank))), ("seconds", f"{seconds:.1f}")]
    print_table(("setting", "value"), [*rows, *environment()])
    rows = [(f"top-{k}", *_accuracy(rank < k)) for k in (1, 5)]
    print_table(("accuracy", "%", "standard error"), rows)


def _scores(net: pdjax.Classifier, photographs: list[np.ndarray], batch_size: int) -> np.ndarray:
    """Class probabilities; a batch that is not full is filled up, to compile only once."""
    rows = np.minimum(np.arange(batch_size), len(photographs) - 1)
    batch = jnp.asarray(np.stack(photographs)[rows])
    return np.asarray(net(batch)[net.layers[-1]])[: len(photographs)]


def _classes_of(paths: list[Path], synsets: Path) -> np.ndarray:
    """Index of the class of every photograph, from its name."""
    order = [line.split()[0] for line in synsets.read_text("utf-8").splitlines() if line.strip()]
    index = {name: number for number, name in enumerate(order)}
    names = [path.stem.split("_")[0] for path in paths]
    unknown = [name for name in names if name not in index]
    if unknown:
        raise ValueError(f"images: {unknown[0]!r}, the start of a file name, is not in {synsets}")
    return np.array([index[name] for name in names])


def _accuracy(right: np.ndarray) -> tuple[str, str]:
    share = float(right.mean())
    return f"{100 * share:.1f}", f"{100 * (share * (1 - share) / len(right)) ** 0.5:.1f}"


def _toy_network() -> pdjax.Classifier:
    """Six classes, one per primary and mixed colour."""
    colours = jnp.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [0, 1, 1], [1, 0, 1]], float)

    def f(params: jnp.ndarray, images: jnp.ndarray) -> jnp.ndarray:
        distances = jnp.square(images.mean((1, 2))[:, None] - params[None]).sum(-1)
        return jnp.exp(-distances) / jnp.exp(-distances).sum(-1, keepdims=True)

    return pdjax.Classifier.from_function(f, colours, image_size=8, name="toy")


def _toy_images(folder: Path) -> tuple[Path, Path]:
    """Two pure colours, one that is nearly another, and one under the name of its opposite."""
    colours = {"n0": (255, 0, 0), "n1": (0, 255, 0), "n2": (0, 140, 200), "n4": (255, 0, 0)}
    for name, colour in colours.items():
        Image.new("RGB", (12, 10), colour).save(folder / f"{name}_colour.png")
    synsets = folder / "synsets.txt"
    synsets.write_text("".join(f"n{index} colour\n" for index in range(6)), "utf-8")
    return folder, synsets


if __name__ == "__main__":
    typer.run(main)
