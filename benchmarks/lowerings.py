"""Operations as they are traced, beside the form in which pdjax performs them on this device.

One row for each kind of operation that `pdjax.local` puts in another form, at sizes that occur in
the published networks: whole layers, and boxes of them. A ratio below one would be a reason to
take the form out of the table.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import typer
from jax import lax
from measure import environment, print_table, time_alternately

from pdjax.local import tuned


class Layer(NamedTuple):
    """A convolution of a square map with a square kernel."""

    images: int
    side: int
    channels: int
    features: int
    kernel: int
    stride: int = 1
    padding: int = 0
    groups: int = 1


CONVOLUTIONS = {
    "GoogLeNet inception_4a/1x1": Layer(16, 14, 480, 192, 1),
    "GoogLeNet inception_3a/1x1, box": Layer(16, 5, 192, 64, 1),
    "GoogLeNet inception_4c/3x3": Layer(16, 14, 128, 256, 3, padding=1),
    "GoogLeNet inception_3b/3x3, box": Layer(16, 13, 128, 192, 3),
    "GoogLeNet inception_3a/3x3, box": Layer(16, 9, 96, 128, 3),
    "GoogLeNet inception_4c/5x5": Layer(16, 14, 24, 64, 5, padding=2),
    "GoogLeNet inception_5b/3x3": Layer(16, 7, 192, 384, 3, padding=1),
    "AlexNet conv1": Layer(8, 227, 3, 96, 11, stride=4),
    "AlexNet conv2, box": Layer(16, 12, 96, 256, 5, groups=2),
    "AlexNet conv3, box": Layer(16, 9, 256, 384, 3),
    "AlexNet conv4": Layer(16, 13, 384, 384, 3, padding=1, groups=2),
    "VGG16 conv1_2, box": Layer(16, 16, 64, 64, 3),
    "VGG16 conv4_2, box": Layer(16, 13, 512, 512, 3),
    "VGG16 conv5_2": Layer(16, 14, 512, 512, 3, padding=1),
    "EfficientNet blocks_4, depthwise": Layer(16, 28, 240, 240, 5, padding=2, groups=240),
}

POOLS = {
    "GoogLeNet inception_4c/pool": ((16, 14, 14, 512), 1),
    "GoogLeNet pool1": ((8, 112, 112, 64), 2),
}


def main(
    repeats: Annotated[int, typer.Option(help="Timings of everything.")] = 5,
    toy: Annotated[bool, typer.Option(help="Two operations, to see that this works.")] = False,
) -> None:
    """Print the time of each operation in both forms, for one image."""
    calls = {name: _convolution(layer) for name, layer in CONVOLUTIONS.items()}
    calls |= {name: _pool(shape, stride) for name, (shape, stride) in POOLS.items()}
    if toy:
        calls = {name: calls[name] for name in ("GoogLeNet inception_3a/1x1, box",)}
    print_table(("setting", "value"), environment())
    print_table(
        ("operation", "as traced, us", "lowered, us", "ratio"),
        [(name, *_row(f, arguments, repeats)) for name, (f, arguments) in calls.items()],
    )


def _row(f: Callable[..., Any], arguments: tuple[Any, ...], repeats: int) -> tuple[str, ...]:
    plain, lowered = jax.jit(f), jax.jit(tuned(f))
    expected, result = plain(*arguments), lowered(*arguments)
    if not np.abs(result - expected).max() <= 1e-5 * np.abs(expected).max():
        raise SystemExit("the two forms do not give the same numbers")
    calls = {"plain": lambda: plain(*arguments), "lowered": lambda: lowered(*arguments)}
    seconds = time_alternately(calls, repeats)
    images = len(arguments[0])
    least = [1e6 * seconds[name].least / images for name in ("plain", "lowered")]
    return f"{least[0]:.1f}", f"{least[1]:.1f}", f"{least[0] / least[1]:.2f}"


def _convolution(layer: Layer) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    def f(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return lax.conv_general_dilated(
            x,
            kernel,
            (layer.stride,) * 2,
            ((layer.padding,) * 2,) * 2,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=layer.groups,
        )

    width = layer.channels // layer.groups
    return f, (
        _noise(layer.images, layer.side, layer.side, layer.channels),
        _noise(layer.kernel, layer.kernel, width, layer.features),
    )


def _pool(shape: tuple[int, ...], stride: int) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    def f(x: jax.Array) -> jax.Array:
        pads = ((0, 0), (1, 1), (1, 1), (0, 0))
        sizes, strides = (1, 3, 3, 1), (1, stride, stride, 1)
        return lax.reduce_window(x, -jnp.inf, lax.max, sizes, strides, pads)

    return f, (_noise(*shape),)


def _noise(*shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(0).standard_normal(shape, np.float32))


if __name__ == "__main__":
    typer.run(main)
