"""Weights against the shapes that a network wants."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

from pdjax.weights.match import match_arrays, match_params, printable

SHAPES = {"conv1/7x7": {"kernel": (3, 3, 3, 8), "bias": (8,)}, "fc": {"kernel": (8, 5)}}
WANTED = {
    layer: {part: jax.ShapeDtypeStruct(shape, jnp.float32) for part, shape in parts.items()}
    for layer, parts in SHAPES.items()
}


def given(dtype=np.float32):
    return {
        layer: {part: np.ones(shape, dtype) for part, shape in reversed(parts.items())}
        for layer, parts in reversed(SHAPES.items())
    }


@pytest.mark.parametrize(
    "dtype", [np.float32, np.float64, np.float16, ml_dtypes.bfloat16, np.int32, np.bool_, ">f4"]
)
def test_the_wanted_structure_in_float32(dtype):
    params = match_params(given(dtype), WANTED, "cat.pth")
    assert jax.tree.structure(params) == jax.tree.structure(WANTED)
    assert list(params) == list(WANTED)
    for layer, parts in params.items():
        for part, array in parts.items():
            np.testing.assert_array_equal(
                array, np.ones(SHAPES[layer][part], np.float32), strict=True
            )


def test_numbers_without_axes():
    wanted = {"scale": {"factor": jax.ShapeDtypeStruct((), jnp.float32)}}
    params = match_params({"scale": {"factor": np.float64(2)}}, wanted, "cat.pth")
    assert params["scale"]["factor"].shape == ()


def test_one_error_says_everything():
    params = given()
    del params["conv1/7x7"]["bias"]
    params["conv1/7x7"]["kernel"] = np.ones((8, 3, 3, 3), np.float32)
    params["fc"]["bias"] = np.ones(5, np.float32)
    params["loss1/fc"] = {"kernel": np.ones((2, 2), np.float32)}
    with pytest.raises(ValueError, match=r"cat\.pth") as info:
        match_params(params, WANTED, "cat.pth")
    message = str(info.value)
    assert "1 missing from it: conv1/7x7.bias" in message
    assert "2 surplus in it: fc.bias, loss1/fc.kernel" in message
    assert "1 of another shape: conv1/7x7.kernel is (8, 3, 3, 3) instead of (3, 3, 3, 8)" in (
        message
    )
    assert "another network" not in message


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_values_that_are_not_finite(value):
    params = given(np.float64)
    params["fc"]["kernel"][1, 2] = value
    with pytest.raises(ValueError, match=r"1 not finite: fc\.kernel.*fetch the file again"):
        match_params(params, WANTED, "cat.pth")


@pytest.mark.parametrize("array", [np.full((8, 5), "a"), np.full((8, 5), 1j), np.full((8, 5), {})])
def test_what_is_not_real(array):
    params = given()
    params["fc"]["kernel"] = array
    with pytest.raises(ValueError, match=r"1 not made of real numbers: fc\.kernel is "):
        match_params(params, WANTED, "cat.pth")


def test_another_network_is_said_to_be_one():
    params = {f"layer{index}": {"kernel": np.ones((2, 2), np.float32)} for index in range(50)}
    with pytest.raises(ValueError, match=r"0 of the 3 arrays .* another network") as info:
        match_params(params, WANTED, "cat.pth")
    message = str(info.value)
    assert "3 missing from it" in message
    assert "50 surplus in it" in message
    assert "layer19.kernel and 30 more" in message
    assert "layer20" not in message


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Größe", "Größe"),
        ("b\x1b[2J", "'b\\x1b[2J'"),
        ("b\nweights: all is well", "'b\\nweights: all is well'"),
        ("\u202egnp.exe", "'\\u202egnp.exe'"),
        ("\ud800", "'\\ud800'"),
        ("n" * 500, "n" * 77 + "..."),
        ("\0" * 500, "'" + "\\x00" * 19 + "..."),
    ],
    ids=ascii,
)
def test_hostile_names(name, shown):
    assert printable(name) == shown
    with pytest.raises(ValueError, match="surplus") as info:
        match_arrays({name: np.ones(2)}, WANTED, "cat.pth")
    assert f"1 surplus in it: {shown}. It has" in str(info.value)


def test_dtype_with_hostile_names():
    strange = {"fc.kernel": np.zeros((8, 5), [("\x1b[2J" * 100, "f4")])}
    with pytest.raises(ValueError, match=r"real numbers: fc\.kernel is void32\. It"):
        match_arrays(strange, WANTED, "cat.pth")


def test_published_weights(shared):
    from pdjax.weights.readers.caffemodel import read_caffemodel

    params = read_caffemodel(shared / "weights/bvlc_googlenet.caffemodel")
    wanted = jax.eval_shape(lambda: jax.tree.map(jnp.asarray, params))
    assert match_params(params, wanted, "it").keys() == params.keys()
