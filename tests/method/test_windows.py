"""Geometry of windows, against loops over pixels and windows written out."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
    np.testing.assert_allclose(box_average(jnp.array(values), grid), total / count, atol=1e-12)
    # The mean of the root of a chi-square variable with n degrees of freedom over n, by
    # integration: what a root of an unbiased variance is too small by.
    expected = np.sqrt(variance) / count / mean_of_root(count * freedom)
    result = box_average_error(jnp.array(values), grid, freedom)
    np.testing.assert_allclose(result, expected, rtol=1e-6)
    plain = box_average_error(jnp.array(values), grid, 0)
    np.testing.assert_allclose(plain, np.sqrt(variance) / count, rtol=1e-12)


def mean_of_root(freedom: np.ndarray) -> np.ndarray:
    from scipy.integrate import quad
    from scipy.stats import chi2

    def integral(n: float) -> float:
        n = float(n)
        lowest, highest = chi2.ppf([1e-15, 1 - 1e-15], n)
        return quad(lambda v: np.sqrt(v / n) * chi2.pdf(v, n), lowest, highest, limit=200)[0]

    unique, inverse = np.unique(freedom, return_inverse=True)
    return np.array([integral(n) for n in unique])[inverse].reshape(freedom.shape)


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        (((8, 8), 9), ValueError, r"window=9 is larger than the image, 8 by 8 pixels"),
        (((8, 4), (4, 5)), ValueError, r"window=\(4, 5\) is larger than the image"),
        (((8, 8), 0), ValueError, r"window=0 must be at least 1 pixel"),
        (((8, 8), (2, -1)), ValueError, r"window=\(2, -1\) must be at least 1"),
        (((8, 8), 3, 0), ValueError, r"stride=0 must be at least 1"),
        (((8, 8), 3, -2), ValueError, r"stride=-2 must be at least 1"),
        (((8, 8), 3, 4), ValueError, r"stride=4 is larger than the window, 3 by 3"),
        (((8, 8), (4, 3), (4, 4)), ValueError, r"stride=\(4, 4\) is larger"),
        (((8, 8), (2, 2, 2)), ValueError, r"window=\(2, 2, 2\) has 3 entries for 2 spatial axes"),
        (((8, 8, 8), 2, (1, 1)), ValueError, r"stride=\(1, 1\) has 2 entries for 3 spatial axes"),
        (((8, 8), 2.0), TypeError, r"window=2.0 must be an int"),
        (((8, 8), (2, 2.0)), TypeError, r"window=\(2, 2.0\) must be an int"),
        (((8, 8), True), TypeError, r"window=True must be an int"),
        (((8, 8), "ab"), TypeError, r"window='ab' must be an int"),
        (((8, 8), 2, 1.5), TypeError, r"stride=1.5 must be an int"),
        (((8, 8), None), TypeError, r"window=None must be an int"),
    ],
    ids=str,
)
def test_bad_inputs_are_named(untyped, arguments, kind, words) -> None:
    with pytest.raises(kind, match=words):
        WindowGrid(*arguments)
