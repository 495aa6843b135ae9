"""Maps: relevance of windows and pixels with standard errors, from the moments of all windows."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from pdjax._types import Array, Bool, Int
from pdjax.method.marginalize import Moments
from pdjax.method.measures import ACTIVATION_DIFFERENCE, Measure, Probability
from pdjax.method.regions import RegionGrid
from pdjax.method.units import Hidden, Reading, Readout
from pdjax.method.windows import WindowGrid, root_bias

__all__ = ["Maps", "relevance_maps"]


class Maps(NamedTuple):
    """Relevance and its Monte-Carlo standard error, each ``{layer: array (units, ...)}``.

    Attributes
    ----------
    relevance, standard_error : dict of float array (units, *spatial)
        Of every pixel. Bits for weight of evidence and information difference, otherwise the unit
        of the activation.
    window_relevance, window_standard_error : dict of float array (units, *grid)
        Of every window. See `pdjax.sampling` for intervals where samples are few.
    layer_relevance, layer_standard_error : dict of float array (*spatial)
        Of every pixel for the mean of a whole hidden layer.
    """

    relevance: dict[str, jax.Array]
    standard_error: dict[str, jax.Array]
    window_relevance: dict[str, jax.Array]
    window_standard_error: dict[str, jax.Array]
    layer_relevance: dict[str, jax.Array]
    layer_standard_error: dict[str, jax.Array]


@functools.partial(jax.jit, static_argnames=("grid", "readouts"))
def relevance_maps(
    reference: Mapping[str, Reading],
    moments: Moments,
    replicates: Int[Array, " windows"],
    grid: WindowGrid | RegionGrid,
    readouts: tuple[Readout, ...],
    where: Bool[Array, " *spatial"] | None = None,
) -> Maps:
    """Relevance of windows and pixels, with standard errors.

    Parameters
    ----------
    reference : dict
        What `pdjax.method.units.Readings` gives for the unperturbed image, arrays ``(1, units)``,
        or ``(windows, units)`` where each window is compared with its own contents.
    moments : Moments
        What `marginalize` gives for it, arrays ``(windows, units)``. Where there is a bias of the
        relevance, it is subtracted, but never more of it than one standard error: where the
        estimate is larger, samples differ by orders of magnitude and it is worth nothing.
    replicates : int array, shape (windows,)
        Independent groups of samples of each window; 0 of one that was not evaluated.
    grid : WindowGrid or RegionGrid
        Where the windows are.
    readouts : tuple of Readout
        What was read, and how relevance is measured.
    where : bool array, shape (*spatial), optional
        The pixels that are wanted: all windows that contain one were evaluated. Others, and windows
        that were not evaluated, are NaN.
    """
    maps = Maps({}, {}, {}, {}, {}, {})
    drawn = jnp.reshape(replicates > 0, grid.shape)
    freedom = jnp.maximum(jnp.reshape(replicates, grid.shape) - 1, 0)
    replicates = jnp.maximum(replicates, 1)

    def on_grid(values: jax.Array) -> jax.Array:
        values = values.T.reshape(-1, *grid.shape)
        return values if where is None else jnp.where(drawn[None], values, 0)

    def only(values: jax.Array, known: jax.Array | None) -> jax.Array:
        return values if known is None else jnp.where(known, values, jnp.nan)

    for layer, measure in ((read.layer, read.measure) for read in readouts):
        value, mean, variance = reference[layer], moments.mean[layer], moments.variance[layer]
        if isinstance(value, Hidden):
            relevance, error = _relevance(
                ACTIVATION_DIFFERENCE, value.whole, mean.whole, variance.whole, replicates
            )
            relevance, error = on_grid(relevance), on_grid(error)
            average, spread = grid.average(relevance), grid.average_error(error, freedom)
            if moments.shared is not None:
                apart = moments.shared[layer].whole
                spread = _error_of_shared(ACTIVATION_DIFFERENCE, mean.whole, apart, grid, drawn)
            maps.layer_relevance[layer] = only(average[0], where)
            maps.layer_standard_error[layer] = only(spread[0], where)
            value, mean, variance = value.units, mean.units, variance.units
        relevance, error = _relevance(measure, value, mean, variance, replicates)
        if layer in moments.bias:
            bias = jnp.clip(moments.bias[layer], -error, error)
            # What rounding has left nothing of has no bias that samples could tell.
            lost = _differ(mean, measure.resolved(value, mean)[1])
            relevance -= jnp.where(lost, 0, bias)
        relevance, error = on_grid(relevance), on_grid(error)
        if moments.shared is None:
            spread = grid.average_error(error, freedom)
        else:
            apart = moments.shared[layer]
            apart = apart.units if isinstance(apart, Hidden) else apart
            resolved = measure.resolved(value, mean)[1]
            spread = _error_of_shared(measure, resolved, apart, grid, drawn)
        windows, pixels = (None, None) if where is None else (drawn[None], where[None])
        window_error = error / root_bias(freedom.astype(error.dtype))[None]
        maps.window_relevance[layer] = only(relevance, windows)
        maps.window_standard_error[layer] = only(window_error, windows)
        maps.relevance[layer] = only(grid.average(relevance), pixels)
        maps.standard_error[layer] = only(spread, pixels)
    return maps


def _relevance(
    measure: Measure,
    value: Probability | jax.Array,
    mean: Probability | jax.Array,
    variance: Probability | jax.Array,
    replicates: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Relevance ``(windows, units)``, and its standard error."""
    spread: Any = variance
    if isinstance(mean, Probability):
        # The same number twice, and lost to rounding in the one of them that is close to one.
        spread = jnp.where(mean.p < mean.complement, spread.p, spread.complement)
    square = spread / jnp.asarray(replicates, spread.dtype)[:, None]
    # The root of a variance of 0 has no finite gradient; that of a constant has.
    error = jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), square)
    resolved = measure.resolved(value, mean)[1]
    return measure.difference(value, mean), measure.standard_error(resolved, error)


def _error_of_shared(
    measure: Measure,
    mean: Probability | jax.Array,
    apart: Probability | jax.Array,
    grid: WindowGrid | RegionGrid,
    drawn: jax.Array,
) -> jax.Array:
    """Standard error of pixels ``(units, *spatial)`` whose windows have their samples in common.

    Sample s moves the relevance of all windows on a pixel together, by what it is apart from their
    means, times the slope of the measure. The error is the spread of these averages over samples,
    with as many degrees of freedom as one window has.
    """
    change: Any = apart
    if isinstance(mean, Probability):
        likely = (mean.p < mean.complement)[:, None]
        change = jnp.where(likely, change.p, -change.complement)
    moved = jax.vmap(measure.deviation, (None, 1))(mean, change)
    count, _, units = moved.shape

    def add(total: jax.Array, each: jax.Array) -> tuple[jax.Array, None]:
        on_grid = jnp.where(drawn[None], each.T.reshape(units, *grid.shape), 0)
        return total + jnp.square(grid.average(on_grid)), None

    nothing = jnp.zeros((units, *grid.spatial), moved.dtype)
    squares, _ = jax.lax.scan(add, nothing, moved)
    square = squares / (count * max(count - 1, 1))
    error = jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), square)
    return error / root_bias(jnp.asarray(count - 1, error.dtype))


def _differ(mean: Probability, resolved: Probability) -> jax.Array:
    return (mean.p != resolved.p) | (mean.complement != resolved.complement)
