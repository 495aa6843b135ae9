"""Maps: relevance of windows and pixels with standard errors, from the moments of all windows."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from pdjax._types import Array, Int
from pdjax.method.marginalize import Moments
from pdjax.method.measures import ACTIVATION_DIFFERENCE, Measure, Probability
from pdjax.method.units import Hidden, Reading, Readout
from pdjax.method.windows import WindowGrid, box_average, box_average_error, root_bias

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
    grid: WindowGrid,
    readouts: tuple[Readout, ...],
) -> Maps:
    """Relevance of windows and pixels, with standard errors.

    Parameters
    ----------
    reference : dict
        What `pdjax.method.units.Readings` gives for the unperturbed image, arrays ``(1, units)``.
    moments : Moments
        What `marginalize` gives for it, arrays ``(windows, units)``. Where there is a bias of the
        relevance, it is subtracted, but never more of it than one standard error: where the
        estimate is larger, samples differ by orders of magnitude and it is worth nothing.
    replicates : int array, shape (windows,)
        Independent groups of samples of each window.
    grid : WindowGrid
        Where the windows are.
    readouts : tuple of Readout
        What was read, and how relevance is measured.
    """
    maps = Maps({}, {}, {}, {}, {}, {})
    freedom = jnp.reshape(replicates - 1, grid.shape)

    def on_grid(values: jax.Array) -> jax.Array:
        return values.T.reshape(-1, *grid.shape)

    for layer, measure in ((read.layer, read.measure) for read in readouts):
        value, mean, variance = reference[layer], moments.mean[layer], moments.variance[layer]
        if isinstance(value, Hidden):
            relevance, error = _relevance(
                ACTIVATION_DIFFERENCE, value.whole, mean.whole, variance.whole, replicates
            )
            relevance, error = on_grid(relevance), on_grid(error)
            maps.layer_relevance[layer] = box_average(relevance, grid)[0]
            maps.layer_standard_error[layer] = box_average_error(error, grid, freedom)[0]
            value, mean, variance = value.units, mean.units, variance.units
        relevance, error = _relevance(measure, value, mean, variance, replicates)
        if layer in moments.bias:
            bias = jnp.clip(moments.bias[layer], -error, error)
            # What rounding has left nothing of has no bias that samples could tell.
            lost = _differ(mean, measure.resolved(value, mean)[1])
            relevance -= jnp.where(lost, 0, bias)
        relevance, error = on_grid(relevance), on_grid(error)
        maps.window_relevance[layer] = relevance
        maps.window_standard_error[layer] = error / root_bias(freedom.astype(error.dtype))[None]
        maps.relevance[layer] = box_average(relevance, grid)
        maps.standard_error[layer] = box_average_error(error, grid, freedom)
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


def _differ(mean: Probability, resolved: Probability) -> jax.Array:
    return (mean.p != resolved.p) | (mean.complement != resolved.complement)
