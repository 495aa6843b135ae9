"""Local re-evaluation of one operation at a time, wherever the window lies."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.local_reference import assert_close, dense, evaluate
from jax import lax

from pdjax import local

SHAPE, WINDOW = (9, 11, 4), (2, 3)
ROWS = np.linspace(-1, 1, 9).reshape(1, 9, 1, 1)
PLACES = np.random.default_rng(1).standard_normal((1, 9, 11, 4))
MATRIX = np.random.default_rng(2).standard_normal((4, 3))

OPERATIONS: dict[str, Callable[[jax.Array], Any]] = {
    "same": lambda x: x,
    "scalar": lambda x: 3 * x - 1,
    "several in": lambda x: lax.clamp(-x, jnp.sin(x), x * x),
    "with rows": lambda x: x * ROWS.astype(x.dtype),
    "with places": lambda x: jnp.maximum(x, PLACES.astype(x.dtype)),
    "with its mirror image": lambda x: x - x[:, ::-1],
    "with its neighbours": lambda x: x[:, 1:, 2:] * x[:, :-1, :-2],
    "with its mean": lambda x: x * x.mean((1, 2), keepdims=True),
    "with its row's mean": lambda x: x / (1 + jnp.square(x).mean(2, keepdims=True)),
    "comparison": lambda x: x > 0.5,
    "to integers": lambda x: jnp.round(10 * x).astype(jnp.int32),
    "transpose": lambda x: x.transpose(0, 3, 2, 1),
    "batch last": lambda x: x.transpose(3, 1, 2, 0).sum(0).transpose(2, 1, 0),
    "reverse": lambda x: lax.rev(x, (1,)),
    "reverse all": lambda x: lax.rev(x, (1, 2, 3)),
    "crop": lambda x: x[:, 2:-1, 1:, 1:3],
    "strided": lambda x: x[:, 1::3, ::2, ::2],
    "one row": lambda x: x[:, 4],
    "taken": lambda x: x[:, :, np.array([1, 5, 5, 0])],
    "dynamic slice": lambda x: lax.dynamic_slice_in_dim(x, 2, 5, axis=2),
    "update": lambda x: x.at[:, 3:5].set(0.5),
    "roll": lambda x: jnp.roll(x, 2, 1),
    "pad": lambda x: jnp.pad(x, ((0, 0), (1, 2), (0, 3), (1, 0)), constant_values=0.5),
    "pad and crop": lambda x: lax.pad(
        x, jnp.asarray(0.5, x.dtype), ((0, 0, 0), (-2, 1, 0), (2, -3, 0), (0, 0, 0))
    ),
    "pad between": lambda x: lax.pad(
        x, jnp.asarray(0.5, x.dtype), ((0, 0, 0), (0, 1, 1), (0, 0, 2), (0, 0, 0))
    ),
    "reflect": lambda x: jnp.pad(x, ((0, 0), (2, 2), (1, 1), (0, 0)), mode="reflect"),
    "join channels": lambda x: jnp.concatenate([x, x[:, ::-1], x * 2], 3),
    "join rows": lambda x: jnp.concatenate([x, x[:, :3]], 1),
    "stack": lambda x: jnp.stack([x, -x], 1),
    "split channels": lambda x: jnp.split(x, 2, 3),
    "split rows": lambda x: jnp.split(x, [2, 6], 1),
    "new axis": lambda x: x[:, :, None],
    "repeat": lambda x: jnp.repeat(x, 2, 1),
    "tile": lambda x: jnp.tile(x, (1, 1, 2, 1)),
    "resize": lambda x: jax.image.resize(x, (*x.shape[:1], 18, 22, 4), "bilinear"),
    "shuffle": lambda x: x.reshape(*x.shape[:3], 2, 2).swapaxes(3, 4).reshape(x.shape),
    "flatten": lambda x: x.reshape(len(x), -1),
    "join axes": lambda x: x.reshape(len(x), 9, -1),
    "matrix": lambda x: x @ MATRIX.astype(x.dtype),
    "matrix of rows": lambda x: (x.reshape(-1, 4) @ MATRIX.astype(x.dtype)).reshape(-1, 9, 11, 3),
    "matrix first": lambda x: jnp.einsum("co,nhwc->nowh", MATRIX.astype(x.dtype), x),
    "matrix of each place": lambda x: jnp.einsum("nhwc,ahwc->nhw", x, PLACES.astype(x.dtype)),
    "matrix over rows": lambda x: jnp.einsum("nhwc,ahwc->nwc", x, PLACES.astype(x.dtype)),
    "with itself": lambda x: jnp.einsum("nhwc,nhvc->nhwv", x, x),
    "softmax": lambda x: jax.nn.softmax(x, -1),
    "softmax over space": lambda x: jax.nn.softmax(x, (1, 2)),
    "largest": lambda x: (x.max(3), x.max(2), x.max((1, 2))),
    "smallest": lambda x: (x.min((1, 3)), x.min((1, 2), keepdims=True)),
    "sums": lambda x: (x.sum(1), x.sum(2, keepdims=True), x.sum((1, 3)), x.sum((1, 2, 3))),
    "product": lambda x: (x.prod(3), x.prod((1, 2))),
    "any and all": lambda x: ((x > 1).any((1, 2)), (x > 0).all(3)),
    "argmax": lambda x: (x.argmax(3), x.argmax(1)),
    "cumulative": lambda x: (jnp.cumsum(x, 3), jnp.cumsum(x, 1), jnp.cumprod(x, 2)),
    "sort": lambda x: (jnp.sort(x, 3), jnp.sort(x, 1), lax.top_k(x, 2)[0]),
    "not of the image": lambda x: jnp.full((len(x), 2, 9), 1.5, x.dtype),
    "scan over rows": lambda x: lax.scan(
        lambda carry, row: (carry + row, carry * row), x[:, 0], jnp.moveaxis(x, 1, 0)
    )[0],
    "branch": lambda x: lax.cond(x.sum() > 1e9, jnp.zeros_like, jnp.square, x),
    "rounded": lambda x: x.astype(jnp.bfloat16),
    "of complex numbers": lambda x: jnp.abs(jnp.fft.fft2(x, axes=(1, 2))),
}


def functions(blurred: bool, x: jax.Array) -> dict[str, Any]:
    """Every operation on the image, or on a convolution of the same shape."""
    if blurred:
        kernel = jnp.asarray(np.linspace(-1, 1, 3 * 2 * 4 * 4).reshape(3, 2, 4, 4), x.dtype)
        x = lax.conv_general_dilated(
            x, kernel, (1, 1), ((2, 0), (0, 1)), dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
    return {name: operation(x) for name, operation in OPERATIONS.items()}


@pytest.fixture(scope="module", params=[False, True], ids=["image", "convolution"])
def both(request) -> tuple[np.ndarray, dict[str, Any], dict[str, Any]]:
    """Origins, and what comes out locally and densely at each."""

    def f(params: None, images: jax.Array) -> dict[str, Any]:
        return functions(request.param, images)

    rng = np.random.default_rng(0)
    origins = np.array(list(itertools.product(range(8), range(9))))
    with jax.enable_x64(True), jax.numpy_dtype_promotion("strict"):
        image = jnp.asarray(rng.random(SHAPE))
        patches = jnp.asarray(rng.random((len(origins), *WINDOW, 4)) - 0.5)
        expected = dense(f, None, image, jnp.asarray(origins), patches)
        record = local.record(f, None, image, window=WINDOW)
        found = evaluate(record, None, jnp.asarray(origins), patches)
        return jax.tree.map(np.asarray, (origins, found, expected))


@pytest.mark.parametrize("name", OPERATIONS)
def test_operation(name: str, both: tuple[np.ndarray, dict[str, Any], dict[str, Any]]) -> None:
    origins, found, expected = both
    assert_close(found[name], expected[name], origins, 1e-12)
