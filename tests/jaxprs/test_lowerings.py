"""Operations in the form that CPUs run fastest give the same numbers."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from pdjax.local import tuned

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
    expected = f(x, kernel)
    result = tuned(f)(x, kernel)
    assert result.shape == expected.shape
    np.testing.assert_allclose(result, expected, atol=3e-6 * float(jnp.abs(expected).max()))


@pytest.mark.parametrize("layout", [("NCHW", "OIHW", "NCHW"), ("NHWC", "OIHW", "NHWC")])
def test_other_layouts_are_transposed_or_left_alone(layout: tuple[str, str, str]) -> None:
    shape = (1, 12, 12, 32) if layout[0] == "NHWC" else (1, 32, 12, 12)
    x, kernel = noise(*shape), noise(8, 32, 3, 3)

    def f(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=layout)

    np.testing.assert_allclose(tuned(f)(x, kernel), f(x, kernel), atol=1e-4)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.int32])
@pytest.mark.parametrize("size", [3, 17])
def test_window_reductions(dtype: type, size: int) -> None:
    x = jnp.asarray(8 * noise(2, 20, 21, 4), dtype)
    low = -jnp.inf if dtype == jnp.float32 else jnp.iinfo(dtype).min
    window, strides, padding = (1, size, 2, 1), (1, 2, 1, 1), ((0, 0), (1, 2), (0, 1), (0, 0))

    def f(x: jax.Array) -> list[jax.Array]:
        return [
            lax.reduce_window(x, jnp.asarray(low, dtype), lax.max, window, strides, padding),
            lax.reduce_window(x, jnp.asarray(0, dtype), lax.add, window, strides, padding),
        ]

    for result, expected in zip(tuned(f)(x), f(x), strict=True):
        np.testing.assert_allclose(result, expected, atol=1e-4)


def test_outputs_keep_their_structure_and_constants() -> None:
    def f(x: jax.Array) -> dict[str, object]:
        return {"twice": 2 * x, "rest": (jnp.ones(2), jax.nn.relu(x))}

    x = noise(3)
    assert jax.tree.structure(tuned(f)(x)) == jax.tree.structure(f(x))
    jax.tree.map(np.testing.assert_array_equal, tuned(f)(x), f(x))
