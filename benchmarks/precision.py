"""What products in TF32 or bfloat16 do to relevance, emulated on any device.

The network is traced, and every product of its convolutions and matrices gets operands that are
rounded as accelerators round them; sums stay in float32, as they do there. The rounded network is
evaluated by both engines where windows are filled with samples, and with what they hold anyway.
"""

from __future__ import annotations

import dataclasses
import functools
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import typer
from jax import lax
from keep import check_settings, kept
from measure import environment, print_table
from photographs import spread, toy_images, toy_network

import pdjax
from pdjax._progress import progress_bar
from pdjax.jaxprs.lowerings import tuned
from pdjax.jaxprs.program import Step, bind, trace
from pdjax.method.evaluation import ENGINES, Engine, evaluate_at
from pdjax.method.measures import Probability, WeightOfEvidence
from pdjax.method.units import Readings, readouts
from pdjax.method.windows import WindowGrid, crop

WINDOW = 10
PRODUCTS = ("dot_general", "conv_general_dilated")
BFLOAT16, TF32 = 7, 10
"""Bits that are kept of a fraction; exponents are those of float32."""

Numbers = Mapping[str, np.ndarray]


def main(
    network: Annotated[list[str] | None, typer.Option(help="Networks of pdjax.")] = None,
    weights: Annotated[list[Path] | None, typer.Option(help="Their files, in order.")] = None,
    images: Annotated[Path | None, typer.Option(help="A folder of photographs.")] = None,
    limit: Annotated[int, typer.Option(help="Photographs, spread over the folder.")] = 2,
    windows: Annotated[int, typer.Option(help="Windows, spread over a photograph.")] = 64,
    samples: Annotated[int, typer.Option(help="Samples of a window.")] = 2,
    results: Annotated[Path | None, typer.Option(help="A folder to keep numbers in.")] = None,
    toy: Annotated[bool, typer.Option(help="A tiny network, to see that this works.")] = False,
) -> None:
    """Print errors of relevance in bits, by network and by how products are rounded."""
    names = ["toy"] if toy else network or ["efficientnet_lite0"]
    scratch = Path(tempfile.mkdtemp())
    settings = [("photographs", str(limit)), ("windows", str(windows)), ("samples", str(samples))]
    print_table(("setting", "value"), [*settings, *environment()])
    results = results or scratch / "results"
    check_settings(results, settings)
    rows = []
    with progress_bar(len(names) * limit * len(FORMS), "forms", True, "evaluating") as bar:
        for index, name in enumerate(names):
            files = dict(enumerate(weights or ()))
            net = toy_network() if toy else pdjax.load_model(name, weights=files.get(index))
            folder = toy_images(scratch, 2) if toy else _folder(images, net.image_size)
            measured: dict[str, list[Numbers]] = {form: [] for form in FORMS}
            for number, image in spread(folder, limit).items():
                for form in FORMS:
                    measured[form].append(
                        kept(
                            results / f"{name}-{number}-{form}.npz",
                            functools.partial(_measure, net, image, form, windows, samples),
                        )
                    )
                    bar.update(1)
            exact = measured["float32"]
            rows += [(name, form, *_errors(measured[form], exact)) for form in FORMS]
    header = ("network", "products", "relevance", "own content, dense", "own content, local")
    header += ("its mean", "local - dense", "at most", "change", "change, own reference")
    print_table(header, rows)


def _folder(images: Path | None, size: Any) -> pdjax.ImageFolder:
    if images is None:
        raise typer.BadParameter("give a folder of photographs", param_hint="--images")
    return pdjax.ImageFolder(images, size=size)


def _measure(
    net: pdjax.Classifier, image: np.ndarray, form: str, windows: int, samples: int
) -> dict[str, np.ndarray]:
    """Relevance of windows for the highest class, and of their own contents, by both engines."""
    image = jnp.asarray(image)
    reads = readouts(
        {net.deciding: net.activation_shape(net.deciding)},
        heads=net.heads,
        num_training_images=net.num_training_images,
        measure=WeightOfEvidence(),
    )
    scores = net(image[None], capture=(net.deciding,))[net.deciding]
    inputs = (net.params, {net.deciding: jnp.argmax(scores[0])[None]})
    readings = Readings(Rounded(net.predict, form), reads)
    grid = WindowGrid(image.shape[:-1], (WINDOW,) * 2, 1)
    chosen = np.linspace(0, grid.size - 1, windows).round().astype(int)
    origins = grid.origins(jnp.asarray(chosen))
    own = jax.vmap(crop, (None, 0, None))(image, origins, grid.window)
    sampler = pdjax.ConditionalGaussian(pdjax.PatchStatistics.natural_images(), window=WINDOW)
    keys = jax.random.split(jax.random.key(0), windows)
    draw = functools.partial(sampler.sample, num_samples=samples)
    patches = jax.jit(jax.vmap(draw, (0, None, 0)))(keys, image, origins)
    patches = jnp.concatenate([own[:, None], patches], axis=1)
    measure = reads[0].measure
    alone = jax.jit(tuned(readings))(inputs, image[None])[net.deciding]
    found = {}
    for engine in ENGINES:
        evaluation = Engine(engine).prepare(readings, inputs, image, grid.window, 0)
        outputs = jax.jit(evaluate_at)(evaluation, inputs, origins, patches)[net.deciding]
        by_window = [a.reshape(windows, samples + 1) for a in outputs]
        same = Probability(*(a[:, 0] for a in by_window))
        without = Probability(*(a[:, 1:].mean(1) for a in by_window))
        reference = Probability(*(a[0] for a in alone))
        found |= {
            f"own-{engine}": measure.difference(reference, same),
            f"relevance-{engine}": measure.difference(reference, without),
            f"cancelled-{engine}": measure.difference(same, without),
        }
    return {name: np.asarray(values) for name, values in found.items()}


def _errors(measured: list[Numbers], exact: list[Numbers]) -> tuple[str, ...]:
    """Root mean squares over windows and photographs, in bits."""
    found, true = (
        {name: np.concatenate([each[name] for each in numbers]) for name in numbers[0]}
        for numbers in (measured, exact)
    )
    apart = found["relevance-local"] - found["relevance-dense"]
    changes = (found[f"{name}-local"] - true["relevance-dense"] for name in KINDS)
    numbers = (
        _rms(found["relevance-local"]),
        _rms(found["own-dense"]),
        _rms(found["own-local"]),
        found["own-local"].mean(),
        _rms(apart),
        np.abs(apart).max(),
        *map(_rms, changes),
    )
    return tuple(f"{number:.1e}" for number in numbers)


KINDS = ("relevance", "cancelled")


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.square(values).mean()))


@dataclasses.dataclass(frozen=True)
class Rounded:
    """A network whose products are made of rounded operands; called like the network."""

    predict: Callable[..., Any]
    form: str

    def __call__(self, params: Any, images: jax.Array, capture: tuple[str, ...]) -> Any:
        """Return the layers in ``capture``."""
        network = functools.partial(self.predict, capture=capture)
        program, constants, outputs = trace(network, params, images)
        values = program.bound(constants, [*jax.tree.leaves(params), images])
        program.run(functools.partial(_perform, FORMS[self.form]), values)
        return jax.tree.unflatten(jax.tree.structure(outputs), program.outputs(values))


def _perform(product: Callable[..., jax.Array], step: Step, *operands: Any) -> list[jax.Array]:
    if step.name not in PRODUCTS:
        return bind(step, *operands)
    return [product(lambda a, b: bind(step, a, b)[0], *map(jnp.asarray, operands))]


def _rounded(x: jax.Array, bits: int) -> jax.Array:
    return lax.reduce_precision(x, exponent_bits=8, mantissa_bits=bits)


def _once(times: Callable[..., jax.Array], a: jax.Array, b: jax.Array, bits: int) -> jax.Array:
    return times(_rounded(a, bits), _rounded(b, bits))


def _in_parts(times: Callable[..., jax.Array], a: jax.Array, b: jax.Array) -> jax.Array:
    """Split both into two bfloat16 numbers, and leave out the product of the small ones."""
    large, small = zip(*((x, _rounded(y - x, BFLOAT16)) for x, y in _parts(a, b)), strict=True)
    return times(*large) + (times(large[0], small[1]) + times(small[0], large[1]))


def _parts(*operands: jax.Array) -> list[tuple[jax.Array, jax.Array]]:
    return [(_rounded(x, BFLOAT16), x) for x in operands]


FORMS: dict[str, Callable[..., jax.Array]] = {
    "float32": lambda times, a, b: times(a, b),
    "bfloat16x3": _in_parts,
    "TF32": functools.partial(_once, bits=TF32),
    "bfloat16": functools.partial(_once, bits=BFLOAT16),
}
"""How products are made, from the finest on: ``form(times, a, b)``."""


if __name__ == "__main__":
    typer.run(main)
