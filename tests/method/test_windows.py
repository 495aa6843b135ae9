"""Geometry of windows, against loops over pixels and windows written out."""

from __future__ import annotations

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.refusals import refused
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import chi2

from pdjax.method.windows import WindowGrid, box_average, box_average_error, crop, paste

GRIDS = [
    WindowGrid((9,), 4, 3),
    WindowGrid((7, 6), 3),
    WindowGrid((8, 11), (3, 4), (2, 3)),  # the last origin is irregular on both axes
    WindowGrid((5, 4, 6), (2, 3, 2), (2, 1, 2)),
    WindowGrid((5, 5), 5),
]


@st.composite
def grids(draw) -> tuple[tuple[int, ...], ...]:
    axes = []
    for _ in range(draw(st.integers(1, 3))):
        size = draw(st.integers(1, 12))
        window = draw(st.integers(1, size))
        axes.append((size, window, draw(st.integers(1, window))))
    return tuple(zip(*axes, strict=True))


def all_origins(grid: WindowGrid) -> list[tuple[int, ...]]:
    """Origins by the definition: 0, stride, ..., and the last one."""
    axes = []
    for size, window, stride in zip(grid.spatial, grid.window, grid.stride, strict=True):
        last = size - window
        axes.append(sorted({*range(0, last + 1, stride), last}))
    return list(itertools.product(*axes))


def inside(origin: tuple[int, ...], window: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(slice(o, o + k) for o, k in zip(origin, window, strict=True))


@settings(max_examples=100, deadline=None)
@given(grids())
def test_origins_are_regular_with_the_last_and_every_pixel_is_covered(arguments) -> None:
    grid = WindowGrid(*arguments)
    origins = all_origins(grid)
    axes = [grid.axis_origins(axis).tolist() for axis in range(len(grid.spatial))]
    assert list(itertools.product(*axes)) == origins
    assert grid.size == len(origins) == np.prod(grid.shape)
    covered = np.zeros(grid.spatial, bool)
    for origin in origins:
        covered[inside(origin, grid.window)] = True
    assert covered.all()
    assert grid == WindowGrid(*arguments)
    assert hash(grid) == hash(WindowGrid(*arguments))


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_origins_of_indices_are_row_major_and_may_be_traced(grid: WindowGrid) -> None:
    indices = np.random.default_rng(0).permutation(grid.size)
    expected = np.array(all_origins(grid))[indices]
    result = jax.jit(grid.origins)(indices)
    assert result.dtype == jnp.int32
    np.testing.assert_array_equal(result, expected)
    np.testing.assert_array_equal(grid.origins(indices), expected)


@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_key_indices_are_those_of_the_full_grid_whatever_the_stride(grid: WindowGrid) -> None:
    full = WindowGrid(grid.spatial, grid.window)
    number = {origin: index for index, origin in enumerate(all_origins(full))}
    origins = all_origins(grid)
    indices = grid.key_indices(jnp.array(origins, jnp.int32))
    assert indices.dtype == jnp.uint32
    assert indices.tolist() == [number[origin] for origin in origins]


@pytest.mark.parametrize("spatial", [(9,), (7, 8), (5, 6, 4)])
def test_crop_and_paste_round_trip(spatial: tuple[int, ...]) -> None:
    generator = np.random.default_rng(1)
    image = generator.random((*spatial, 2), np.float32)
    window = tuple(range(2, 2 + len(spatial)))
    for origin in all_origins(WindowGrid(spatial, window)):
        at = jnp.array(origin, jnp.int32)
        patch = jax.jit(crop, static_argnums=2)(image, at, window)
        np.testing.assert_array_equal(patch, image[inside(origin, window)])
        other = generator.random(patch.shape, np.float32)
        expected = image.copy()
        expected[inside(origin, window)] = other
        pasted = jax.jit(paste)(image, other, at)
        np.testing.assert_array_equal(pasted, expected)
        np.testing.assert_array_equal(paste(pasted, patch, at), image)


@pytest.mark.parametrize("leading", [(), (2, 3)])
@pytest.mark.parametrize("grid", GRIDS, ids=str)
def test_box_average_and_its_error_are_loops_over_windows(x64, grid, leading) -> None:
    values = np.random.default_rng(2).standard_normal((*leading, *grid.shape))
    freedom = 3
    total, variance = np.zeros((2, *leading, *grid.spatial))
    count = np.zeros(grid.spatial)
    rows = np.moveaxis(values.reshape(*leading, -1), -1, 0)
    for origin, value in zip(all_origins(grid), rows, strict=True):
        box = inside(origin, grid.window)
        value = value.reshape(*leading, *(1,) * len(grid.spatial))
        total[(..., *box)] += value
        variance[(..., *box)] += value**2
        count[box] += 1
    mean = jax.jit(box_average, static_argnums=1)(jnp.array(values), grid)
    np.testing.assert_allclose(mean, total / count, atol=1e-12)
    # The mean of the root of a chi-square variable with n degrees of freedom over n, by
    # integration: what a root of an unbiased variance is too small by.
    expected = np.sqrt(variance) / count / mean_of_root(count * freedom)
    of_errors = jax.jit(box_average_error, static_argnums=(1, 2))
    result = of_errors(jnp.array(values), grid, freedom)
    np.testing.assert_allclose(result, expected, rtol=1e-6)
    plain = of_errors(jnp.array(values), grid, 0)
    np.testing.assert_allclose(plain, np.sqrt(variance) / count, rtol=1e-12)


def mean_of_root(freedom: np.ndarray) -> np.ndarray:
    unique, inverse = np.unique(freedom, return_inverse=True)
    return np.array([integral(float(n)) for n in unique])[inverse].reshape(freedom.shape)


@functools.cache
def integral(freedom: float) -> float:
    lowest, highest = chi2.ppf([1e-15, 1 - 1e-15], freedom)
    density = chi2(freedom).pdf
    return quad(lambda v: np.sqrt(v / freedom) * density(v), lowest, highest, limit=200)[0]


BAD = {
    "window": [((8, 8), 9), ((8, 4), (4, 5)), ((8, 8), 0), ((8, 8), (2, 2, 2)), ((8, 8), None)],
    "stride": [((8, 8), 3, 0), ((8, 8), 3, 4), ((8, 8), (4, 3), (4, 4)), ((8, 8), 2, 1.5)],
}


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(
    ("argument", "sizes"), [(argument, sizes) for argument in BAD for sizes in BAD[argument]]
)
def test_bad_inputs_are_named(argument, sizes) -> None:
    wrong_type = any(size is None or isinstance(size, float) for size in sizes[1:])
    with refused(argument, TypeError if wrong_type else ValueError):
        WindowGrid(*sizes)


def test_windows_of_a_grid_are_found_in_a_finer_one() -> None:
    fine, coarse = WindowGrid((8, 11), (3, 4), 1), WindowGrid((8, 11), (3, 4), (2, 4))
    indices = fine.indices_of(coarse)
    np.testing.assert_array_equal(fine.origins(indices), coarse.origins(np.arange(coarse.size)))
    with refused("stride"):
        coarse.indices_of(fine)
