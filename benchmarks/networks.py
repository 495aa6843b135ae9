"""Networks as people bring them: lines to write, exactness, speed of both engines and their own.

Every network is evaluated at the same perturbed images (one window each, ten contents a window) by
the local engine, by the dense one, and by its own framework's forward pass, alternately in one
process. Before a long run `pdjax.explain` tries both engines where it is in doubt, and takes the
faster one, so what counts is the better of the first two. The error is that of the local engine
against the network's own forward pass, as a share of its largest output.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import framework_networks
import jax
import jax.numpy as jnp
import numpy as np
import plain_networks
import typer
from local import Case, Probabilities, jax_side, perturbed
from measure import environment, print_table, time_alternately
from tqdm import tqdm

import pdjax

OWN_BATCH = 16
COLUMNS = (
    *("network", "lines", "error", "arithmetic", "local", "dense", "own", "local over dense"),
    *("s to compile", "boxes end"),
)


class Subject(NamedTuple):
    """A network: what a person writes to have a classifier of it, and what it is without pdjax.

    Attributes
    ----------
    code : str
        What is written, the network itself aside.
    f, params : callable and PyTree
        ``f(params, images)`` as the classifier has it.
    forward : callable
        The framework's own forward pass, from images (n, h, w, 3) of NumPy to one array.
    size : int
        Pixels of a side.
    """

    code: str
    f: Callable[[Any, jax.Array], jax.Array]
    params: Any
    forward: Callable[[np.ndarray], Any]
    size: int


def main(
    network: Annotated[
        list[str] | None, typer.Option(help="Names in the table; all by default.")
    ] = None,
    window: Annotated[int, typer.Option(help="Pixels of the window.")] = 10,
    repeats: Annotated[int, typer.Option(help="Timings of everything.")] = 3,
    toy: Annotated[bool, typer.Option(help="Tiny networks, to see that this works.")] = False,
) -> None:
    """Print a row for every network."""
    if toy:
        network, window = [name for name in SUBJECTS if name.startswith("toy")], 4
    names = network or [name for name in SUBJECTS if not name.startswith("toy")]
    print_table(("setting", "value"), [("window", str(window)), *environment()])
    rows = [_row(name, SUBJECTS[name](), window, repeats) for name in tqdm(names, unit="network")]
    print_table(COLUMNS, rows)


def _row(name: str, subject: Subject, window: int, repeats: int) -> tuple[str, ...]:
    image = np.random.default_rng(1).random((subject.size, subject.size, 3), np.float32)
    case = Case(name, subject.f, subject.params, jnp.asarray(image), window)
    local, dense = (jax_side(case, engine, None) for engine in ("local", "dense"))
    images = perturbed(case, OWN_BATCH)
    outputs = local.outputs[:OWN_BATCH]
    expected = np.asarray(subject.forward(images)).reshape(outputs.shape)
    error = np.abs(outputs - expected).max() / np.abs(expected).max()
    calls = {"local": local.call, "dense": dense.call, "own": lambda: subject.forward(images)}
    counts = {"local": local.images, "dense": dense.images, "own": len(images)}
    for call in calls.values():
        jax.block_until_ready(call())
    seconds = time_alternately(calls, repeats)
    rates = {side: counts[side] / seconds[side].median for side in calls}
    report = local.report
    rows = report.rows if report else ()
    return (
        name,
        str(len(subject.code.splitlines())),
        f"{error:.1e}",
        f"{report.share:.1%}" if report else "",
        *(f"{rates[side]:.1f}" for side in calls),
        f"{rates['local'] / rates['dense']:.2f}",
        f"{local.compiling:.1f}",
        next((f"{row.where}: {row.why}" for row in rows if row.why), ""),
    )


def _of_framework(name: str) -> Subject:
    code, net, layer, forward = framework_networks.MODELS[name]()
    f = Probabilities(net.predict, layer)
    return Subject(code, f, net.params, forward, net.image_shape[0])


def _plain(name: str) -> Subject:
    size = 24 if name.startswith("toy") else 224
    f, params = plain_networks.build(name, size)
    params = jax.tree.map(jnp.asarray, params)
    code = 'net = pdjax.Classifier.from_function(f, params, image_size=224, outputs="logits")'
    return Subject(code, f, params, functools.partial(jax.jit(f), params), size)


def _published(name: str) -> Subject:
    net = pdjax.load_model(name, weights="random")
    f = Probabilities(net.predict)
    forward = functools.partial(jax.jit(f.__call__), net.params)
    return Subject(f'net = pdjax.load_model("{name}")', f, net.params, forward, net.image_shape[0])


PUBLISHED = ("bvlc_googlenet", "vgg16", "efficientnet_lite0")

SUBJECTS: dict[str, Callable[[], Subject]] = {
    **{name: functools.partial(_of_framework, name) for name in framework_networks.MODELS},
    **{name: functools.partial(_plain, name) for name in plain_networks.NETWORKS},
    **{name: functools.partial(_published, name) for name in PUBLISHED},
}
"""The rows of the table."""


if __name__ == "__main__":
    typer.run(main)
