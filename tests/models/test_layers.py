"""Pooling, normalisation and convolution against a few lines of NumPy."""

from __future__ import annotations

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from pdjax.models.layers import (
    average_pool,
    conv,
    local_response_norm,
    max_pool,
    standardize,
    to_caffe,
)

RNG = np.random.default_rng(0)
POOLINGS = [
    # (h, w), size, stride, padding
    ((7, 7), 3, 2, 0),
    ((8, 9), 3, 2, 0),
    ((8, 9), 3, 2, 1),
    ((9, 6), 2, 2, 1),
    ((5, 8), 3, 1, 1),
    ((7, 7), 7, 1, 0),
    ((11, 10), 3, 3, 1),
    ((10, 11), 2, 3, 0),
    ((6, 9), 5, 3, 2),
]
FUNCTIONS = {"max": max_pool, "average": average_pool}


def caffe_pool(x: np.ndarray, kind: str, size: int, stride: int, padding: int) -> np.ndarray:
    def axis(side: int) -> list[tuple[slice, int]]:
        count = math.ceil((side + 2 * padding - size) / stride) + 1
        if (count - 1) * stride >= side + padding:
            count -= 1
        starts = [index * stride - padding for index in range(count)]
        ends = [min(start + size, side + padding) for start in starts]
        return [
            (slice(max(start, 0), min(end, side)), end - start)
            for start, end in zip(starts, ends, strict=True)
        ]

    def one(rows, columns):
        window = x[:, rows[0], columns[0]]
        if kind == "max":
            return window.max((1, 2))
        return window.sum((1, 2)) / (rows[1] * columns[1])

    grid = [[one(rows, columns) for columns in axis(x.shape[2])] for rows in axis(x.shape[1])]
    return np.moveaxis(np.asarray(grid), 2, 0)


@pytest.mark.parametrize("kind", FUNCTIONS)
@pytest.mark.parametrize(("sides", "size", "stride", "padding"), POOLINGS)
def test_pooling(kind, sides, size, stride, padding):
    x = RNG.normal(size=(2, *sides, 3)).astype(np.float32) - 2
    got = FUNCTIONS[kind](jnp.asarray(x), size, stride, padding)
    want = caffe_pool(x, kind, size, stride, padding)
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", FUNCTIONS)
def test_pooling_in_double_precision(kind, x64):
    x = RNG.normal(size=(1, 5, 6, 2))
    got = FUNCTIONS[kind](jnp.asarray(x), 3, 2)
    assert got.dtype == jnp.float64
    np.testing.assert_allclose(got, caffe_pool(x, kind, 3, 2, 0), rtol=1e-14)


@pytest.mark.parametrize(("channels", "size"), [(7, 5), (3, 5), (8, 3)])
def test_local_response_norm(channels, size, x64):
    x = 50 * RNG.normal(size=(2, 3, 4, channels))
    want = np.empty_like(x)
    for c in range(channels):
        near = x[..., max(c - size // 2, 0) : c + size // 2 + 1]
        want[..., c] = x[..., c] / (1 + 1e-4 / size * (near**2).sum(-1)) ** 0.75
    np.testing.assert_allclose(local_response_norm(jnp.asarray(x), size), want, rtol=1e-12)


class Alone(nn.Module):
    """One convolution."""

    settings: tuple

    @nn.compact
    def __call__(self, x):
        features, size, stride, padding, groups = self.settings
        return conv(x, "it", features, size, stride=stride, padding=padding, groups=groups)


@pytest.mark.parametrize("sides", [(8, 8), (7, 10)])
@pytest.mark.parametrize(
    "settings",
    # features, size, stride, padding, groups
    [
        (4, 3, 1, 1, 1),
        (6, 3, 2, "SAME", 1),
        (4, 5, 1, 2, 2),
        (6, 3, 2, "SAME", 6),
        (6, 5, 2, "SAME", 6),
        (6, 5, 1, "SAME", 6),
        (6, 3, 3, 1, 6),
        (6, 1, 2, 0, 6),
        (12, 3, 1, 1, 6),
    ],
)
def test_convolution(sides, settings, x64):
    features, size, stride, padding, groups = settings
    x = RNG.normal(size=(2, *sides, 6))
    kernel = RNG.normal(size=(size, size, 6 // groups, features)).astype(np.float32)
    bias = RNG.normal(size=features).astype(np.float32)
    params = {"params": {"it": {"kernel": kernel, "bias": bias}}}
    got = jax.jit(Alone(settings).apply)(params, jnp.asarray(x))
    want = lax.conv_general_dilated(
        jnp.asarray(x),
        jnp.asarray(kernel, jnp.float64),
        (stride, stride),
        padding if padding == "SAME" else ((padding, padding),) * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )
    assert got.dtype == jnp.float64
    np.testing.assert_allclose(got, np.asarray(want) + bias, rtol=1e-10, atol=1e-10)


def test_input_transforms():
    image = np.zeros((1, 2, 2, 3), np.float32)
    image[..., 0] = 1
    np.testing.assert_allclose(to_caffe(jnp.asarray(image))[0, 0, 0], [-104, -117, 255 - 123])
    mean = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    np.testing.assert_allclose(
        to_caffe(jnp.asarray(image), jnp.asarray(mean))[0], 255 * image[0, ..., ::-1] - mean
    )
    got = standardize(jnp.asarray(image))[0, 1, 1]
    np.testing.assert_allclose(got, [0.515 / 0.229, -0.456 / 0.224, -0.406 / 0.225], rtol=1e-6)
