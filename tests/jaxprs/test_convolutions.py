"""Convolutions in the forms that CPUs run fastest give the same numbers."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from pdjax.jaxprs.lowerings import tuned

NHWC = ("NHWC", "HWIO", "NHWC")

# Sides, channels in and out, kernel, stride, dilation, padding, groups.
CONVOLUTIONS = {
    "one entry": (9, 3, 5, 1, 1, 1, 0, 1),
    "one entry, stride": (9, 3, 5, 1, 2, 1, 0, 1),
    "one entry, padded": (9, 3, 5, 1, 1, 1, 1, 1),
    "winograd, even": (14, 64, 64, 3, 1, 1, 1, 1),
    "winograd, odd, not padded": (13, 64, 70, 3, 1, 1, 0, 1),
    "small map": (9, 32, 40, 5, 2, 1, 2, 1),
    "added row": (30, 8, 8, 3, 1, 2, 0, 1),
    "added row, stride 4": (40, 3, 8, 11, 4, 1, 0, 1),
    "as it is": (30, 3, 8, 3, 1, 1, 1, 1),
    "groups": (20, 8, 6, 3, 2, 1, 0, 2),
    "groups, padded": (20, 8, 6, 3, 1, 1, 1, 2),
    "depthwise": (20, 8, 8, 3, 2, 1, 1, 8),
    "depthwise, dilated": (20, 8, 8, 3, 1, 2, 2, 8),
}


def noise(*shape: int, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_convolution(case: str) -> None:
    side, channels, features, size, stride, dilation, padding, groups = CONVOLUTIONS[case]
    f = functools.partial(
        lax.conv_general_dilated,
        window_strides=(stride, stride),
        padding=((padding, padding + stride - 1), (padding, padding)),
        rhs_dilation=(dilation, dilation),
        dimension_numbers=NHWC,
        feature_group_count=groups,
    )
    x = noise(2, side, side + 1, channels)
    kernel = noise(size, size, channels // groups, features, seed=1)
    with jax.default_device("cpu"):
        expected, result = jax.jit(lambda *both: (f(*both), tuned(f)(*both)))(x, kernel)
    assert result.shape == expected.shape
    np.testing.assert_allclose(result, expected, atol=3e-6 * float(jnp.abs(expected).max()))


@pytest.mark.parametrize("layout", [("NCHW", "OIHW", "NCHW"), ("NHWC", "OIHW", "NHWC")])
def test_other_layouts_are_transposed_or_left_alone(layout: tuple[str, str, str]) -> None:
    shape = (1, 12, 12, 32) if layout[0] == "NHWC" else (1, 32, 12, 12)
    x, kernel = noise(*shape), noise(8, 32, 3, 3)

    def f(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=layout)

    with jax.default_device("cpu"):
        result, expected = jax.jit(lambda *both: (tuned(f)(*both), f(*both)))(x, kernel)
    np.testing.assert_allclose(result, expected, atol=1e-4)
