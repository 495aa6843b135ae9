"""What is put into windows: the very contents that a run with the same arguments hides them by."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pdjax._bounds import AUTO, Asked, check_range
from pdjax._checks import ArgumentValueError, check_key, check_sampler
from pdjax._types import Array, Float, Int, Key, Sampler
from pdjax.local.evaluating import map_in_groups
from pdjax.method.marginalize import Design, draw, first_draws
from pdjax.method.schemes import SCHEMES, Scheme
from pdjax.method.windows import WindowGrid, check_windows

__all__ = ["WindowSamples", "window_samples"]

WINDOWS_AT_ONCE = 64


class WindowSamples(NamedTuple):
    """Contents of windows, and where these are.

    Attributes
    ----------
    origins : int array, shape (windows, d)
        The first pixel of every window.
    contents : float array, shape (windows, num_samples, *window, c)
        In the unit of the image.
    """

    origins: Int[Array, "windows d"]
    contents: Float[Array, "windows num_samples ..."]


def window_samples(
    image: Float[Array, "*spatial c"] | np.ndarray,
    sampler: Sampler,
    *,
    rng_key: Key[Array, ""],
    num_samples: int,
    stride: int | tuple[int, ...] = 1,
    sampling: str = SCHEMES[0],
    windows: Sequence[int] | np.ndarray | None = None,
    bounds: Asked = AUTO,
) -> WindowSamples:
    """Draw what `explain` puts into windows when it is called with the same arguments: pure.

    A window's key comes from its place, so a coarser ``stride`` or a choice of ``windows`` gives
    fewer windows with the same contents. Where a run draws again (``target_error``,
    ``max_passes``), these are the first ones of each window; where it hides ``channels`` one at a
    time, each takes its own from them.

    Parameters
    ----------
    image : float array, shape (*spatial, c)
        As it is explained: ``explanation.image``.
    sampler : Sampler
        What could have been in a window; it has the window's size.
    rng_key : key
        Random key of the run.
    num_samples : int
        Samples per window; of the first draw, where there are more.
    stride : int or tuple of int
        Pixels between neighbouring windows.
    sampling : {"independent", "sobol", "antithetic"}
        How samples of one window go together; see `pdjax.sampling.Scheme`.
    windows : sequence of int, optional
        Only these, by their index in row-major order; by default all of them.
    bounds : (float, float), None or "auto"
        Range of the values of the image, as for `prediction_difference`.

    Returns
    -------
    WindowSamples
        ``origins`` (windows, d), and ``contents`` (windows, num_samples, *window, c).

    Raises
    ------
    ValueError
        If an argument is out of range or does not fit the others.

    Examples
    --------
    >>> import jax, jax.numpy as jnp, pdjax
    >>> image, grey = jnp.ones((6, 6, 3)), pdjax.Constant(0.5, window=2)
    >>> put = window_samples(image, grey, rng_key=jax.random.key(0), num_samples=1, stride=2)
    >>> put.origins[4].tolist(), put.contents.shape
    ([2, 2], (9, 1, 2, 2, 3))
    """
    check_sampler(sampler)
    check_key(rng_key)
    check_range(image, bounds, sampler)
    scheme = Scheme(sampling, num_samples)
    scheme.check(sampler)
    sampler.check(tuple(image.shape), scheme.num_samples)
    grid = WindowGrid(image.shape[:-1], sampler.window, stride)
    check_windows(sampler, grid)
    chosen = np.arange(grid.size) if windows is None else _checked(windows, grid.size)
    design = Design(grid, scheme)
    return _drawn(design, jnp.asarray(image), sampler, rng_key, first_draws(chosen))


@functools.partial(jax.jit, static_argnums=0)
def _drawn(
    design: Design, image: jax.Array, sampler: Sampler, rng_key: jax.Array, draws: jax.Array
) -> WindowSamples:
    def some(rows: jax.Array) -> WindowSamples:
        return WindowSamples(*draw(image, sampler, rng_key, rows, design))

    return map_in_groups(some, draws, WINDOWS_AT_ONCE)


def _checked(windows: Sequence[int] | np.ndarray, size: int) -> np.ndarray:
    indices = np.asarray(windows)
    if (
        indices.ndim != 1
        or not indices.size
        or indices.dtype.kind not in "iu"
        or not ((indices >= 0) & (indices < size)).all()
    ):
        raise ArgumentValueError(
            "windows",
            f"must be indices of the {size} windows, from 0 to {size - 1}",
            "give some, or leave it out for all",
            value=windows,
        )
    return indices.astype(np.int64)
