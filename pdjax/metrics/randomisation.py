"""Whether maps depend on what a network has learnt (Adebayo et al., 2018)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from pdjax._checks import ArgumentValueError, check_key
from pdjax.classifier import Classifier
from pdjax.metrics.agreement import rank_correlation, structural_similarity

__all__ = ["Randomised", "randomisation_check"]


@dataclasses.dataclass(frozen=True)
class Randomised:
    """The map of a network whose last layers have been randomised, beside that of the network.

    Attributes
    ----------
    layer : str
        The first layer that is random; all after it are, too.
    correlation : float
        Rank correlation of absolute relevance with the map of the trained network.
    signed_correlation : float
        Rank correlation of relevance with its sign.
    similarity : float
        Structural similarity of absolute relevance.
    """

    layer: str
    correlation: float
    signed_correlation: float
    similarity: float


def randomisation_check(
    net: Classifier,
    explain: Callable[[Classifier], np.ndarray],
    *,
    rng_key: jax.Array,
    layers: Sequence[str],
) -> list[Randomised]:
    """Randomise a network from its last layer to its first, and compare its maps each time.

    A method whose maps stay the same explains the image, not the network.

    Parameters
    ----------
    net : Classifier
        With parameters ``{layer: arrays}``.
    explain : callable
        Makes a map ``(*spatial)`` of a classifier: the method that is tested, on one image.
    rng_key : key
        Of the random parameters: normal, with the mean and the standard deviation of those they
        replace, array by array.
    layers : sequence of str
        Layers with parameters in forward order, at which maps are compared. Going backwards, all
        layers from the last to each of them are randomised ("cascading").

    Returns
    -------
    list of Randomised
        From the last layer to the first.

    Raises
    ------
    ValueError
        If parameters are not by layer, or have no such layer.
    """
    check_key(rng_key)
    params = net.params
    if not isinstance(params, dict):
        raise ArgumentValueError("net", "has parameters that are not a dict by layer")
    for layer in layers:
        if layer not in params:
            raise ArgumentValueError(
                "layers", f"name {layer!r}, which has no parameters", f"choose from {list(params)}"
            )
    trained = np.asarray(explain(net))
    order = [layer for layer in net.layers if layer in params]
    order += [layer for layer in params if layer not in order]
    found, random = [], dict(params)
    for number, layer in enumerate(reversed(order)):
        random[layer] = _random(jax.random.fold_in(rng_key, number), params[layer])
        if layer not in layers:
            continue
        now = np.asarray(explain(dataclasses.replace(net, params=dict(random))))
        found.append(
            Randomised(
                layer,
                rank_correlation(np.abs(trained), np.abs(now)),
                rank_correlation(trained, now),
                structural_similarity(np.abs(trained), np.abs(now)),
            )
        )
    return found


def _random(rng_key: jax.Array, arrays: Any) -> Any:
    leaves, structure = jax.tree.flatten(arrays)
    keys = jax.random.split(rng_key, len(leaves))
    drawn = [
        leaf.mean() + leaf.std() * jax.random.normal(key, leaf.shape, leaf.dtype)
        for key, leaf in zip(keys, map(jax.numpy.asarray, leaves), strict=True)
    ]
    return jax.tree.unflatten(structure, drawn)
