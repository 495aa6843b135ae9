"""Weights against the shapes that a network wants."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from pdjax._checks import ArgumentError
from pdjax.weights.match import flat, match_arrays

SHAPES = {"conv1/7x7": {"kernel": (3, 3, 3, 8), "bias": (8,)}, "fc": {"kernel": (8, 5)}}
WANTED = {
    layer: {part: jax.ShapeDtypeStruct(shape, jnp.float32) for part, shape in parts.items()}
    for layer, parts in SHAPES.items()
}


def given(dtype=np.float32) -> dict[str, np.ndarray]:
    return {name: np.ones(shape, dtype) for name, shape in reversed(flat(SHAPES).items())}


def refused(arrays: dict[str, np.ndarray]) -> ArgumentError:
    with pytest.raises(ArgumentError) as caught:
        match_arrays(arrays, WANTED, "cat.pth")
    assert caught.value.argument == "weights"
    assert "cat.pth" in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    "dtype", [np.float32, np.float64, np.float16, ml_dtypes.bfloat16, np.int32, np.bool_, ">f4"]
)
def test_the_wanted_structure_in_float32(dtype):
    params = match_arrays(given(dtype), WANTED, "cat.pth")
    assert jax.tree.structure(params) == jax.tree.structure(WANTED)
    assert list(params) == list(WANTED)
    for layer, parts in params.items():
        for part, array in parts.items():
            np.testing.assert_array_equal(
                array, np.ones(SHAPES[layer][part], np.float32), strict=True
            )


def test_numbers_without_axes():
    wanted = {"scale": {"factor": jax.ShapeDtypeStruct((), jnp.float32)}}
    params = match_arrays({"scale.factor": np.asarray(2.0)}, wanted, "cat.pth")
    assert params["scale"]["factor"].shape == ()


def test_one_error_names_everything():
    arrays = given()
    del arrays["conv1/7x7.bias"]
    arrays["conv1/7x7.kernel"] = np.ones((8, 3, 3, 3), np.float32)
    arrays["fc.bias"] = np.ones(5, np.float32)
    arrays["loss1/fc.kernel"] = np.ones((2, 2), np.float32)
    problem = refused(arrays).problem
    assert ": conv1/7x7.bias" in problem
    assert ": fc.bias, loss1/fc.kernel" in problem
    assert "conv1/7x7.kernel is (8, 3, 3, 3) instead of (3, 3, 3, 8)" in problem


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_values_that_are_not_finite(value):
    arrays = given(np.float64)
    arrays["fc.kernel"][1, 2] = value
    assert "fc.kernel" in refused(arrays).problem


@pytest.mark.parametrize("array", [np.full((8, 5), "a"), np.full((8, 5), 1j), np.full((8, 5), {})])
def test_what_is_not_real(array):
    assert "fc.kernel" in refused(given() | {"fc.kernel": array}).problem


def test_another_network_is_said_to_be_one():
    arrays = {f"layer{index}.kernel": np.ones((2, 2), np.float32) for index in range(50)}
    error = refused(arrays)
    assert "0 of the 3" in error.remedy
    assert "layer4.kernel and 45 more" in error.problem
    assert "layer20" not in error.problem


def test_hostile_names():
    problem = refused(given() | {"b\x1b[2J": np.ones(2)}).problem
    assert ": 'b\\x1b[2J'" in problem


def test_dtype_with_hostile_names():
    strange = np.zeros((8, 5), [("\x1b[2J" * 100, "f4")])
    assert "fc.kernel is void32" in refused(given() | {"fc.kernel": strange}).problem
