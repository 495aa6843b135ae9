"""How far local re-evaluation is from the plain network, at every layer of every network.

Windows at every corner, edge and middle, and at random places, get random contents. For each, all
named activations of the local engine, with its lowerings, are compared with those of the network
as it is written, run on the whole perturbed image. Parameters are random.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import typer
from measure import environment, print_table
from workload import toy_network

import pdjax
from pdjax._progress import progress_bar
from pdjax.method.windows import paste
from pdjax.models import NETWORKS

WINDOWS = (1, 3, 10, 30)
LIMIT = 1e-5
REGIONS_WINDOW, MANY = 10, 10**9
"""The window for which a run is said to be so long that it is planned region by region."""


def main(
    network: Annotated[
        list[str] | None, typer.Option(help=f"Of {', '.join(NETWORKS)}; all by default.")
    ] = None,
    window: Annotated[list[int] | None, typer.Option(help="Pixels of the window.")] = None,
    places: Annotated[int, typer.Option(help="Random places, beside nine at the border.")] = 8,
    toy: Annotated[bool, typer.Option(help="A tiny network, to see that this works.")] = False,
) -> None:
    """Print the largest difference by network and window, as a share of the layer's largest."""
    names = ["toy"] if toy else network or list(NETWORKS)
    sizes = window or ([3] if toy else list(WINDOWS))
    print_table(("setting", "value"), [("random places", str(places)), *environment()])
    rows, worst = [], 0.0
    for name, size in itertools.product(names, sizes):
        net = toy_network() if name == "toy" else pdjax.load_model(name, weights="random")
        errors = _errors(net, size, places, f"{name}, window {size}")
        layer = max(errors, key=lambda name: errors[name])
        rows.append((name, str(size), f"{errors[layer]:.1e}", layer, f"{errors['prob']:.1e}"))
        worst = max(worst, errors[layer])
    print_table(("network", "window", "largest difference", "at", "of probabilities"), rows)
    if not worst < LIMIT:
        raise SystemExit(f"differences reach {worst:.1e}; they must stay below {LIMIT:.0e}")


def _errors(net: pdjax.Classifier, window: int, places: int, title: str) -> dict[str, float]:
    """Largest difference of every layer over all windows, as a share of its largest value."""
    rng = np.random.default_rng(0)
    image = jnp.asarray(rng.random(net.image_shape, np.float32))

    def f(params: Any, images: jax.Array) -> dict[str, jax.Array]:
        return net.predict(params, images, tuple(net.layers))

    @jax.jit
    def compare(record: Any, params: Any, origin: jax.Array, patch: jax.Array) -> Any:
        local = pdjax.local.evaluate(record, params, origin[None], patch[None])
        plain = f(params, paste(image, patch, origin)[None])
        return {
            layer: (jnp.abs(local[layer] - plain[layer]).max(), jnp.abs(plain[layer]).max())
            for layer in plain
        }

    num_images = MANY if window == REGIONS_WINDOW else 0
    record = pdjax.local.record(f, net.params, image, window, num_images=num_images)
    differences: dict[str, float] = dict.fromkeys(net.layers, 0.0)
    largest: dict[str, float] = dict.fromkeys(net.layers, 0.0)
    origins = [*_origins(net.image_shape[:-1], window, places, rng)]
    with progress_bar(len(origins), "windows", True, title) as bar:
        for origin in origins:
            patch = jnp.asarray(rng.random((window, window, image.shape[-1]), np.float32))
            for layer, (difference, size) in compare(record, net.params, origin, patch).items():
                differences[layer] = max(differences[layer], float(difference))
                largest[layer] = max(largest[layer], float(size))
            bar.update(1)
    return {layer: differences[layer] / largest[layer] for layer in net.layers}


def _origins(
    spatial: tuple[int, ...], window: int, places: int, rng: np.random.Generator
) -> Iterator[jax.Array]:
    last = np.array(spatial) - window
    border = itertools.product(*((0, end // 2, end) for end in last))
    for origin in (*border, *rng.integers(0, last + 1, (places, len(last)))):
        yield jnp.asarray(origin, jnp.int32)


if __name__ == "__main__":
    typer.run(main)
