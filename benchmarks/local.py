"""Local re-evaluation beside dense evaluation in pdjax and in PyTorch: images a second.

Every side evaluates the same perturbed images (one window each, ten contents a window) of the same
network with the same random parameters, in one process, each at the best of a few batch sizes and
forms, which are found first. What is compared is then timed alternately. pdjax's dense engine gets
the same lowerings as the local one. Outputs are compared before anything is timed.
"""

from __future__ import annotations

import importlib.util
import math
import os
import time
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import resnet18
import typer
from measure import environment, print_table, time_alternately
from workload import toy_network

import pdjax
from pdjax._precision import AtPrecision
from pdjax.method.evaluation import Engine, evaluate_at
from pdjax.method.windows import paste

NETWORKS = ("bvlc_alexnet", "bvlc_googlenet", "vgg16", "efficientnet_lite0", "resnet18")
SIDES = ("local", "dense", "PyTorch", "PyTorch compiled")
SAMPLES = 10
IMAGES = 300
"""Images of a local call, at least: enough for windows of all regions."""

DENSE_BATCHES = (4, 10, 30)
RIVAL_BATCHES = (8, 16, 64)


class Side(NamedTuple):
    """One way to evaluate: a call, the images it evaluates, and what it took to set up.

    The local engine has a report as well.
    """

    call: Callable[[], Any]
    images: int
    how: str
    compiling: float
    outputs: np.ndarray
    report: pdjax.local.Report | None = None


class Case(NamedTuple):
    """A network, an image, and what is put into its windows."""

    name: str
    f: Callable[..., Any]
    params: Any
    image: jax.Array
    window: int

    def contents(self, windows: int) -> tuple[jax.Array, jax.Array]:
        """Origins (windows, 2) and contents (windows, samples, ...); the first are always alike."""
        last = self.image.shape[0] - self.window + 1
        origins = np.random.default_rng(2).integers(0, last, (windows, 2)).astype(np.int32)
        shape = (windows, SAMPLES, self.window, self.window, self.image.shape[-1])
        return jnp.asarray(origins), jnp.asarray(np.random.default_rng(3).random(shape, np.float32))


def main(
    network: Annotated[
        list[str] | None, typer.Option(help=f"Of {', '.join(NETWORKS)}; all by default.")
    ] = None,
    window: Annotated[int, typer.Option(help="Pixels of the window.")] = 10,
    repeats: Annotated[int, typer.Option(help="Timings of everything.")] = 3,
    toy: Annotated[bool, typer.Option(help="A tiny network, to see that this works.")] = False,
) -> None:
    """Print images a second of local, dense and PyTorch, and their ratios."""
    names = ["toy"] if toy else network or list(NETWORKS)
    print_table(("setting", "value"), [("window", str(4 if toy else window)), *environment()])
    rows = [_compare(_case(name, 4 if toy else window), repeats) for name in names]
    over = (f"over {name}" for name in SIDES[1:])
    print_table(("network", *SIDES, *over, "s to compile"), [row for row, _ in rows])
    print_table(("network", *SIDES), [how for _, how in rows])


def _case(name: str, window: int) -> Case:
    rng = np.random.default_rng(1)
    if name == "resnet18":
        size, params = resnet18.IMAGE_SIZE, resnet18.random_params(jax.random.key(0))
        image = jnp.asarray(rng.random((size, size, 3), np.float32))
        return Case(name, _resnet18, params, image, window)
    net = toy_network() if name == "toy" else pdjax.load_model(name, weights="random")
    image = jnp.asarray(rng.random(net.image_shape, np.float32))
    return Case(name, Probabilities(net.predict), net.params, image, window)


class Probabilities(NamedTuple):
    """The one layer of class probabilities, of a classifier's function."""

    predict: Any
    layer: str = "prob"

    def __call__(self, params: Any, images: jax.Array) -> jax.Array:
        """Return probabilities (n, classes)."""
        return self.predict(params, images, (self.layer,))[self.layer]


def _resnet18(params: Any, images: jax.Array) -> jax.Array:
    return resnet18.resnet18(params, images)["prob"]


def _compare(case: Case, repeats: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    sides = {"local": jax_side(case, "local", None)}
    sides["dense"] = _best([jax_side(case, "dense", batch) for batch in DENSE_BATCHES])
    for name, rivals in _rivals(case).items():
        sides[name] = _best(rivals)
    for name, side in sides.items():
        _check_equal(case, name, sides["local"].outputs, side.outputs)
    seconds = time_alternately({name: side.call for name, side in sides.items()}, repeats)
    rates = {name: side.images / seconds[name].median for name, side in sides.items()}

    def cell(name: str) -> str:
        if name not in rates:
            return ""
        least, most = seconds[name].least, seconds[name].most
        images = sides[name].images
        return f"{rates[name]:.1f} ({images / most:.1f} to {images / least:.1f})"

    def ratio(name: str) -> str:
        return f"{rates['local'] / rates[name]:.2f}" if name in rates else ""

    compiling = f"{sides['local'].compiling:.1f}"
    row = (case.name, *map(cell, SIDES), *map(ratio, SIDES[1:]), compiling)
    return row, (case.name, *(sides[name].how if name in sides else "" for name in SIDES))


def jax_side(case: Case, engine: str, batch_size: int | None) -> Side:
    """Prepare, compile and run once one of pdjax's engines."""
    start = time.perf_counter()
    num_images = math.prod(side - case.window + 1 for side in case.image.shape[:-1]) * SAMPLES
    # Both sides in float32, on devices that would rather multiply otherwise, too.
    evaluation = Engine(engine, batch_size).prepare(
        AtPrecision(case.f), case.params, case.image, (case.window,) * 2, num_images
    )
    windows = max(evaluation.batch_size, IMAGES if engine == "local" else 1) // SAMPLES or 1
    arguments = (evaluation, case.params, *case.contents(windows))
    compiled = jax.jit(evaluate_at).lower(*arguments).compile()
    compiling = time.perf_counter() - start
    outputs = np.asarray(compiled(*arguments))
    how, report = f"batch {evaluation.batch_size}", None
    if isinstance(evaluation, pdjax.local.Record):
        report = evaluation.report()
        how = f"batch {report.head}, then {report.tail}; {report.share:.1%} of the arithmetic"
    return Side(lambda: compiled(*arguments), windows * SAMPLES, how, compiling, outputs, report)


def _rivals(case: Case) -> dict[str, list[Side]]:
    if importlib.util.find_spec("torch") is None or case.name == "toy":
        return {}
    import torch
    from torch_networks import FORMATS, Rival

    torch.set_num_threads(_cores())
    sides: dict[str, list[Side]] = {}
    for form in FORMATS:
        kind = "PyTorch compiled" if form == "compiled" else "PyTorch"
        rival = Rival(case.name, case.params, form)
        for batch in RIVAL_BATCHES:
            images = torch.as_tensor(perturbed(case, batch))
            start = time.perf_counter()
            outputs = rival(images).numpy()
            took = time.perf_counter() - start
            call = _bind(rival, images)
            side = Side(call, batch, f"batch {batch}, {form}", took, outputs)
            sides.setdefault(kind, []).append(side)
    return sides


def _bind(rival: Any, images: Any) -> Callable[[], Any]:
    def call() -> None:
        rival(images)

    return call


def perturbed(case: Case, count: int) -> np.ndarray:
    """Return the first images that all sides evaluate, (count, ...)."""
    origins, contents = case.contents(-(-count // SAMPLES))
    images = jax.vmap(jax.vmap(paste, (None, 0, None)), (None, 0, 0))(case.image, contents, origins)
    return np.array(images.reshape(-1, *case.image.shape)[:count])


def _best(sides: list[Side]) -> Side:
    """Return the fastest side by the shorter of two calls, after one to warm up."""

    def seconds_an_image(side: Side) -> float:
        jax.block_until_ready(side.call())
        spent = []
        for _ in range(2):
            start = time.perf_counter()
            jax.block_until_ready(side.call())
            spent.append(time.perf_counter() - start)
        return min(spent) / side.images

    return min(sides, key=seconds_an_image)


def _check_equal(case: Case, name: str, local: np.ndarray, other: np.ndarray) -> None:
    """Compare the images that both have evaluated: the first windows are the same."""
    count = min(len(local), len(other), SAMPLES)
    error = np.abs(local[:count] - other[:count]).max() / np.abs(other[:count]).max()
    if not error < 1e-5:
        raise SystemExit(f"{case.name}: local and {name} differ by {error:.1e} of the largest")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


if __name__ == "__main__":
    typer.run(main)
