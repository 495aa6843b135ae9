"""Maps of many methods for the same network and photographs, each at about the same price.

Everything that is found is kept in a folder, so that an interrupted run goes on. Photographs are
taken in an order of which every beginning is spread over the folder as well: the table is as fair
after ten of them as after all.
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import jax
import numpy as np
import typer
from keep import check_settings, kept
from measure import environment, print_table
from methods import Method, Setting, has_peers, methods
from photographs import spread, toy_images, toy_network

import pdjax
from pdjax._files import atomic_path
from pdjax._progress import progress_bar
from pdjax.metrics import (
    Table,
    deletion,
    filled,
    grid_pointing_game,
    insertion,
    mosaic,
    randomisation_check,
    road,
)

METRICS = {
    "grid pointing game": True,
    "deletion": False,
    "insertion": True,
    "ROAD": False,
    "randomisation": False,
}
"""The columns, and whether more is better."""

SPENT = ("seconds", "CPU s")
"""Columns of the time of a map: on the clock, and of all cores together in this process."""

STEPS = 20
"""Points of the curves of deletion and insertion."""


@dataclasses.dataclass(frozen=True, eq=False)
class Scene:
    """A photograph with all that its maps are judged by.

    Attributes
    ----------
    photograph, tiled : float array (h, w, 3)
        The photograph, and a mosaic that has it in one quarter.
    quarter : int
        Which.
    index : int
        The class that is explained: the highest-scoring one of the photograph.
    grey, blurred : float array (h, w, 3)
        What deletion leads to, and what insertion starts from (Petsiuk, Das and Saenko, 2018).
    rng_key : key
    """

    photograph: np.ndarray
    tiled: np.ndarray
    quarter: int
    index: int
    grey: np.ndarray
    blurred: np.ndarray
    rng_key: jax.Array


def main(
    images: Annotated[Path, typer.Option(help="A folder of photographs.")] = Path("images"),
    weights: Annotated[Path | None, typer.Option(help="The file of GoogLeNet's weights.")] = None,
    results: Annotated[Path, typer.Option(help="The folder that keeps what is found.")] = Path(
        "compare_results"
    ),
    photographs: Annotated[int, typer.Option(help="How many, spread over the folder.")] = 50,
    limit: Annotated[int | None, typer.Option(help="Stop after so many of them.")] = None,
    passes: Annotated[int, typer.Option(help="Forward passes of a map, about.")] = 1000,
    window: Annotated[int, typer.Option(help="Pixels of a window.")] = 20,
    cells: Annotated[int, typer.Option(help="Squares along a side: KernelShap and RISE.")] = 7,
    randomised: Annotated[
        int, typer.Option(help="Photographs for which the network is randomised as well.")
    ] = 5,
    toy: Annotated[bool, typer.Option(help="A tiny network, to see that this works.")] = False,
) -> None:
    """Print a table of methods and metrics with intervals over photographs."""
    if toy:
        with tempfile.TemporaryDirectory() as own:
            folder = toy_images(Path(own), 6)
            photos = spread(folder, 4)
            others = np.stack([folder[1], folder[4]])
            setting = Setting(toy_network(), "scores", "last", _toy_peer, others, 6, 100, 4)
            _run(setting, photos, Path(own) / "results", limit, 2)
    else:
        net = pdjax.load_model("googlenet", weights)
        folder = pdjax.ImageFolder(images, size=net.image_size)
        photos = spread(folder, photographs)
        others = np.stack([folder[i] for i in range(len(folder)) if i not in photos][:2])
        layers = ("loss3/classifier", "inception_5b/output")
        setting = Setting(net, *layers, _googlenet_peer, others, window, passes, cells)
        _run(setting, photos, results, limit, randomised)


def _run(
    setting: Setting,
    photos: Mapping[int, np.ndarray],
    results: Path,
    limit: int | None,
    randomised: int,
) -> None:
    if len(photos) < 4:
        raise ValueError("photographs: a mosaic takes four of them; ask for four or more")
    rows = methods(setting)
    words = _settings(setting, len(photos))
    print_table(("setting", "value"), [*words, *environment()])
    check_settings(results, words)
    if not has_peers():
        print("Rows of Captum and RISE are left out: pip install -e '.[peers]' for them.\n")
    names = list(photos)
    # Multiples of the golden ratio: every beginning of this order is spread over all.
    order = sorted(range(len(names)), key=lambda place: place * 0.6180339887 % 1)[:limit]
    found: dict[str, list[dict[str, float]]] = {name: [] for name in rows}
    with progress_bar(len(order) * len(rows), "maps", True, "comparing") as bar:
        for number, place in enumerate(order):
            scene = _scene(setting, list(photos.values()), place)
            for name, method in rows.items():
                bar.set_postfix_str(f"photograph {names[place]}, {name}")
                path = results / str(names[place]) / name.replace(", ", "-").replace(" ", "_")
                maps = kept(
                    path.with_suffix(".npz"), lambda m=method, s=scene: _maps(setting, m, s)
                )
                values = _measured(path, setting, scene, method, maps, number < randomised)
                found[name].append(values)
                bar.update(1)
    _print(found, rows)


def _settings(setting: Setting, photographs: int) -> list[tuple[str, str]]:
    return [
        ("network", setting.net.name),
        ("photographs", str(photographs)),
        ("window", str(setting.window)),
        ("passes of a map, about", str(setting.passes)),
        (
            "stride with samples, without",
            f"{setting.grid(2).stride[0]}, {setting.grid(1).stride[0]}",
        ),
        ("squares of KernelShap and RISE", f"{setting.cells}**2"),
    ]


def _scene(setting: Setting, photos: list[np.ndarray], place: int) -> Scene:
    """Join a photograph with three that are far from it in the folder."""
    photograph, quarter, count = photos[place], place % 4, len(photos)
    others = [photos[(place + step * count // 4) % count] for step in (1, 2, 3)]
    others.insert(quarter, photograph)
    net = setting.net
    scores = np.asarray(net(photograph[None], (net.deciding,))[net.deciding])[0]
    key = jax.random.fold_in(jax.random.key(0), place)
    removers = pdjax.Constant(0.5, setting.window), pdjax.Blur(setting.window)
    return Scene(
        photograph,
        mosaic(others).astype(np.float32),
        quarter,
        int(scores.argmax()),
        *(filled(photograph, remover, rng_key=key) for remover in removers),
        key,
    )


def _maps(setting: Setting, method: Method, scene: Scene) -> dict[str, np.ndarray]:
    """Maps of the photograph and of the mosaic; the second is timed, when all is compiled."""
    one = method.make(setting.net, scene.photograph, scene.index, scene.rng_key)
    start, busy = time.perf_counter(), time.process_time()
    tiled = method.make(setting.net, scene.tiled, scene.index, scene.rng_key)
    spent = {"seconds": time.perf_counter() - start, "CPU s": time.process_time() - busy}
    return {"photograph": one, "tiled": tiled} | {k: np.array(v) for k, v in spent.items()}


def _measured(
    path: Path,
    setting: Setting,
    scene: Scene,
    method: Method,
    maps: dict[str, np.ndarray],
    randomised: bool,
) -> dict[str, float]:
    """Values of the metrics; those measured before are read."""
    file = path.with_suffix(".json")
    values = json.loads(file.read_text("utf-8")) if file.exists() else {}
    wanted = [name for name in METRICS if randomised or name != "randomisation"]
    missing = [name for name in wanted if name not in values]
    for name in missing:
        values[name] = _value(name, setting, scene, method, maps)
    if missing:
        with atomic_path(file) as temporary:
            temporary.write_text(json.dumps(values, indent=1), "utf-8")
    spent = {name: float(maps[name]) for name in SPENT}
    return {name: values.get(name, np.nan) for name in METRICS} | spent


def _value(
    name: str, setting: Setting, scene: Scene, method: Method, maps: dict[str, np.ndarray]
) -> float:
    """Value of one metric, NaN where it is not defined for such a map."""
    net, photograph, index = setting.net, scene.photograph, scene.index
    relevance = maps["photograph"]
    try:
        if name == "grid pointing game":
            return grid_pointing_game(maps["tiled"], scene.quarter)
        if name == "deletion":
            return deletion(net, photograph, relevance, index, removed=scene.grey, steps=STEPS).area
        if name == "insertion":
            return insertion(
                net, photograph, relevance, index, removed=scene.blurred, steps=STEPS
            ).area
        if name == "ROAD":
            curve = road(net, photograph, relevance, index, rng_key=scene.rng_key)
            return float(curve.probability[1:].mean())

        def explain(other: pdjax.Classifier) -> np.ndarray:
            if other is net:
                return relevance
            # With a key of its own, so that noise in common does not pass for agreement.
            return method.make(other, photograph, index, keys[1])

        # From the last layer to the first: the whole network is random.
        first = next(layer for layer in net.layers if layer in net.params)
        keys = jax.random.split(scene.rng_key)
        (found,) = randomisation_check(net, explain, rng_key=keys[0], layers=(first,))
        return found.correlation
    except ValueError:
        return float("nan")


def _print(found: dict[str, list[dict[str, float]]], rows: dict[str, Method]) -> None:
    """Print means with intervals, and differences to the first row on the same photographs."""
    columns = {
        name: {metric: np.array([one[metric] for one in each]) for metric in each[0]}
        for name, each in found.items()
    }
    table = Table(columns)
    header = ("method", *(f"{name} {'↑' if more else '↓'}" for name, more in METRICS.items()))
    body = [
        (
            name,
            *(str(table.interval(name, metric)) for metric in METRICS),
            *(f"{np.median(columns[name][spent]):.2f}" for spent in SPENT),
            str(method.passes),
        )
        for name, method in rows.items()
    ]
    print_table((*header, *SPENT, "passes"), body)
    first, *others = rows
    paired = Table(
        {
            name: {metric: columns[name][metric] - columns[first][metric] for metric in METRICS}
            for name in others
        }
    )
    body = [(name, *(str(paired.interval(name, metric)) for metric in METRICS)) for name in others]
    print_table((f"less {first}", *header[1:]), body)


def _googlenet_peer(params: object) -> Callable:
    from torch_networks import Rival

    return Rival("bvlc_googlenet", params)


def _toy_peer(params: Mapping[str, np.ndarray]) -> Callable:
    import torch
    import torch.nn.functional as F

    arrays = {name: torch.from_numpy(np.array(value)) for name, value in params.items()}

    def f(images: torch.Tensor) -> torch.Tensor:
        x, colours = images.permute(0, 3, 1, 2), images.mean((1, 2))
        for name in ("first", "middle", "last"):
            # As JAX pads for an even side and a stride of two: one zero, at the end.
            x = F.conv2d(F.pad(x, (0, 1, 0, 1)), arrays[name].permute(3, 2, 0, 1), stride=2).relu()
        scores = 20 * colours @ (arrays["colours"] - 0.5).T + x.mean((2, 3))
        return scores.softmax(-1)

    return f


if __name__ == "__main__":
    typer.run(main)
