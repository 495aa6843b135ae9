"""All that a GPU or TPU has to tell, in one run of a few minutes.

How far the local engine is from the dense one in each precision, how many images a second both
evaluate, the paper's full setting, and how long the device has nothing to do. Whatever the time
that is given does not suffice for is left out and said; what is measured is printed at once.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import typer
from local import Case, Probabilities
from measure import environment, print_table, time_alternately
from workload import toy_network

import pdjax
from pdjax._precision import PRECISIONS, AtPrecision
from pdjax._progress import Bar, progress_bar
from pdjax.method.evaluation import ENGINES, Engine, evaluate_at

NETWORKS = ("bvlc_alexnet", "bvlc_googlenet", "vgg16")
SAMPLES = 10
PROFILED = 5.0
"""Seconds to profile."""

TYPES = ("float32", "TF32", "bfloat16")
"""Products of float32 numbers, those of the device's fastest form, and a network in bfloat16."""

PEAKS = {
    "H200": (67e12, 494e12, 989e12),
    "H100": (67e12, 494e12, 989e12),
    "A100": (19.5e12, 156e12, 312e12),
    "L4": (30.3e12, 60e12, 121e12),
    "T4": (8.1e12, 8.1e12, 8.1e12),
}
"""Operations a second in each of the types, dense, by data sheets of whatever has this in its
name."""


class Side(NamedTuple):
    """What one engine does with one network in one type of numbers."""

    rate: float
    spread: str
    operations: float
    compiling: float
    outputs: np.ndarray


@dataclasses.dataclass
class Clock:
    """The time there is, and what was left out for want of it."""

    seconds: float
    started: float = dataclasses.field(default_factory=time.monotonic)
    left_out: list[str] = dataclasses.field(default_factory=list)

    @property
    def left(self) -> float:
        """Seconds."""
        return self.seconds - (time.monotonic() - self.started)

    def allows(self, seconds: float, what: str) -> bool:
        """Whether there is so much time; otherwise note what is left out."""
        if self.left < seconds:
            self.left_out.append(what)
        return self.left >= seconds


def main(
    network: Annotated[list[str] | None, typer.Option(help=f"Of {', '.join(NETWORKS)}.")] = None,
    weights: Annotated[
        list[Path] | None, typer.Option(help="Their files, in order; random ones by default.")
    ] = None,
    minutes: Annotated[float, typer.Option(help="Time for all of it, at most.")] = 9.0,
    repeats: Annotated[int, typer.Option(help="Timings of everything.")] = 3,
    toy: Annotated[bool, typer.Option(help="A tiny network, to see that this works.")] = False,
) -> None:
    """Print tables of exactness, speed, the paper's full setting and idle time."""
    clock = Clock(60 * minutes)
    names = ["toy"] if toy else network or list(NETWORKS)
    files = dict(enumerate(weights or ()))
    nets = {
        name: toy_network() if toy else pdjax.load_model(name, weights=files.get(i, "random"))
        for i, name in enumerate(names)
    }
    window = 4 if toy else 10
    print_table(("setting", "value"), [("window", str(window)), *environment()])
    sides: dict[tuple[str, str], tuple[Side, Side]] = {}
    with progress_bar(2 * len(nets) + 1, "tables", True, "measuring") as bar:
        for name, net in nets.items():
            rows = []
            for numbers in TYPES:
                if clock.allows(90, f"{name} in {numbers}"):
                    sides[name, numbers] = _sides(_case(name, net, window, numbers), repeats)
                    rows.append((name, numbers, *_compared(numbers, *sides[name, numbers])))
            _print(SPEEDS, rows, bar)
        for left, (name, net) in zip(range(len(nets), 0, -1), nets.items(), strict=False):
            seconds = clock.left / left / 2
            _print(FULL, _full(name, net, window, sides, seconds, clock), bar)
        name = next(iter(nets))
        _print(IDLE, _idle(name, nets[name], window, sides, clock), bar)
    print("Left out: " + ("; ".join(clock.left_out) or "nothing") + ".", flush=True)


SPEEDS = ("network", "numbers", "local, images/s", "of the peak", "dense, images/s", "of the peak")
SPEEDS += ("local / dense", "local - dense, bits, rms", "at most", "s to compile")
FULL = ("network", "precision", "windows", "of all", "passes", "s with compiling", "seconds")
FULL += ("images/s", "of the peak", "all windows, minutes")
IDLE = ("network", "seconds", "device busy, s", "idle")


def _print(header: tuple[str, ...], rows: Iterable[tuple[str, ...]], bar: Bar) -> None:
    """Print what has been measured at once: an interrupted run has shown the rest."""
    found = list(rows)
    if found:
        print_table(header, found)
    bar.update(1)


def _case(name: str, net: pdjax.Classifier, window: int, numbers: str = TYPES[0]) -> Case:
    """Return the network's probabilities in one type of numbers."""
    image = jnp.asarray(np.random.default_rng(1).random(net.image_shape, np.float32))
    f: Any = Probabilities(net.predict, net.deciding)
    if numbers != "bfloat16":
        precision = PRECISIONS[0] if numbers == "float32" else PRECISIONS[-1]
        return Case(name, AtPrecision(f, precision), net.params, image, window)
    params = jax.tree.map(lambda a: a.astype(jnp.bfloat16), net.params)
    return Case(name, InBfloat16(f), params, image, window)


@dataclasses.dataclass(frozen=True)
class InBfloat16:
    """A network whose activations are bfloat16 numbers, as its parameters are."""

    f: Callable[..., jax.Array]

    def __call__(self, params: Any, images: jax.Array) -> jax.Array:
        """Return probabilities (n, classes), float32."""
        return self.f(params, images.astype(jnp.bfloat16)).astype(jnp.float32)


def _evaluation(case: Case, engine: str) -> Any:
    size = math.prod(side - case.window + 1 for side in case.image.shape[:-1])
    how = Engine(engine)
    return how.prepare(case.f, case.params, case.image, (case.window,) * 2, size * SAMPLES)


def _sides(case: Case, repeats: int) -> tuple[Side, Side]:
    local, dense = (_side(case, engine, repeats) for engine in ENGINES)
    return local, dense


def _side(case: Case, engine: str, repeats: int) -> Side:
    start = time.perf_counter()
    evaluation = _evaluation(case, engine)
    windows = max(1, evaluation.batch_size // SAMPLES)
    arguments = (evaluation, case.params, *case.contents(windows))
    compiled = jax.jit(evaluate_at).lower(*arguments).compile()
    compiling = time.perf_counter() - start
    outputs = np.asarray(compiled(*arguments), np.float64)
    seconds = time_alternately({"it": lambda: compiled(*arguments)}, repeats)["it"]
    images = windows * SAMPLES
    rate = images / seconds.median
    spread = f"{rate:.0f} ({images / seconds.most:.0f} to {images / seconds.least:.0f})"
    return Side(rate, spread, _operations(case, evaluation), compiling, outputs)


def _compared(numbers: str, local: Side, dense: Side) -> tuple[str, ...]:
    """Speeds, and how far outputs lie apart: in the log-odds of the likeliest class."""
    count = min(len(local.outputs), len(dense.outputs))
    first, second = local.outputs[:count], dense.outputs[:count]
    best = second.argmax(1)[:, None]
    p, q = (np.clip(np.take_along_axis(a, best, 1), 1e-7, 1 - 1e-7) for a in (first, second))
    bits = np.log2(p / (1 - p)) - np.log2(q / (1 - q))
    return (
        local.spread,
        _of_peak(local.rate * local.operations, numbers),
        dense.spread,
        _of_peak(dense.rate * dense.operations, numbers),
        f"{local.rate / dense.rate:.2f}",
        f"{np.sqrt(np.square(bits).mean()):.1e}",
        f"{np.abs(bits).max():.1e}",
        f"{local.compiling:.0f}, {dense.compiling:.0f}",
    )


def _operations(case: Case, evaluation: Any) -> float:
    """Additions and multiplications of one image."""
    local = isinstance(evaluation, pdjax.local.Record)
    record = evaluation
    if not local:
        abstract = functools.partial(pdjax.local.record, case.f, window=case.window)
        record = jax.eval_shape(abstract, case.params, case.image)
    report = record.report()
    full = sum(row.full_arithmetic for row in report.rows)
    return full * (report.share if local else 1.0)


def _of_peak(operations: float, numbers: str) -> str:
    kind = jax.devices()[0].device_kind
    peak = next((peaks for name, peaks in PEAKS.items() if name in kind), None)
    return f"{operations / peak[TYPES.index(numbers)]:.1%}" if peak else ""


def _full(
    name: str,
    net: pdjax.Classifier,
    window: int,
    sides: dict[tuple[str, str], tuple[Side, Side]],
    seconds: float,
    clock: Clock,
) -> Iterator[tuple[str, ...]]:
    """Time the paper's setting, or that of the upper part of the image that there is time for."""
    for precision, numbers in ((PRECISIONS[0], TYPES[0]), (PRECISIONS[-1], TYPES[1])):
        what = f"the full setting of {name} in {precision} precision"
        if (name, numbers) not in sides or not clock.allows(40, what):
            continue
        local, _ = sides[name, numbers]
        every = math.prod(side - window + 1 for side in net.image_shape[:-1])
        # Of two precisions, each is run twice, the first time with compiling.
        images = local.rate * (seconds / 2 - local.compiling) / 2
        part = _upper_part(net, images / (every * SAMPLES))
        run = functools.partial(_explain, net, window, precision, part)
        times = []
        for _ in range(2):
            start = time.perf_counter()
            passes = run().settings["passes"]
            times.append(time.perf_counter() - start)
        windows = passes // (SAMPLES + (precision != PRECISIONS[0]))
        yield (
            name,
            precision,
            f"{windows:,}",
            f"{windows / every:.0%}",
            f"{passes:,}",
            f"{times[0]:.1f}",
            f"{times[1]:.1f}",
            f"{passes / times[1]:.0f}",
            _of_peak(passes / times[1] * local.operations, numbers),
            f"{times[1] / windows * every / 60:.2f}",
        )


def _upper_part(net: pdjax.Classifier, share: float) -> Any:
    """Return the rows of an image that have this share of it, at least one; None for all."""
    height = net.image_shape[0]
    rows = max(1, int(height * share))
    return None if rows >= height else np.s_[:rows, :]


def _explain(net: pdjax.Classifier, window: int, precision: str, part: Any) -> pdjax.Explanation:
    return pdjax.explain(
        net,
        np.random.default_rng(1).random(net.image_shape, np.float32),
        _sampler(window),
        rng_key=jax.random.key(0),
        num_samples=SAMPLES,
        classes=3,
        precision=precision,
        where=part,
    )


@functools.cache
def _sampler(window: int) -> pdjax.ConditionalGaussian:
    return pdjax.ConditionalGaussian(pdjax.PatchStatistics.natural_images(), window=window)


def _idle(
    name: str,
    net: pdjax.Classifier,
    window: int,
    sides: dict[tuple[str, str], tuple[Side, Side]],
    clock: Clock,
) -> Iterator[tuple[str, ...]]:
    """Profile a run of some seconds; the device is busy where any of its events goes on."""
    if (name, TYPES[0]) not in sides or not clock.allows(30, "idle time"):
        return
    every = math.prod(side - window + 1 for side in net.image_shape[:-1])
    part = _upper_part(net, sides[name, TYPES[0]][0].rate * PROFILED / (every * SAMPLES))
    _explain(net, window, PRECISIONS[0], part)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        with jax.profiler.trace(folder):
            _explain(net, window, PRECISIONS[0], part)
            took = time.perf_counter() - start
        busy = _busy(Path(folder))
    words = ("", "") if busy is None else (f"{busy:.2f}", f"{1 - busy / took:.0%}")
    yield name, f"{took:.2f}", *words


def _busy(folder: Path) -> float | None:
    """Seconds in which the first device had something to do; None where a profile has none."""
    for path in folder.rglob("*.xplane.pb"):
        for plane in jax.profiler.ProfileData.from_file(str(path)).planes:
            if not plane.name.startswith("/device:"):
                continue
            spans = [
                (event.start_ns, event.start_ns + event.duration_ns)
                for line in plane.lines
                if line.name.startswith(("Stream", "XLA Ops"))
                for event in line.events
            ]
            return _covered(sorted(spans)) / 1e9
    return None


def _covered(spans: list[tuple[float, float]]) -> float:
    """Length of the union of sorted intervals."""
    total, until = 0.0, -math.inf
    for start, end in spans:
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total


if __name__ == "__main__":
    typer.run(main)
