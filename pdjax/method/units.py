"""What is read from a network's outputs: the units whose relevance is wanted.

Output layers of probabilities give a probability and its complement for the chosen classes, those
of values give these, and hidden layers give the mean of each feature map over its units, or the
maps and single units asked for, and the mean over the whole layer. Reducing every perturbed image
to these numbers at once is what bounds memory.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from pdjax._checks import ArgumentValueError, is_integer
from pdjax._functions import at_least_float32
from pdjax._outputs import Head
from pdjax._types import Array, Float, Int, Params, Predict
from pdjax.method.channels import Channels, named_by_channel
from pdjax.method.jackknife import Jackknife
from pdjax.method.measures import ACTIVATION_DIFFERENCE, Measure, Probability

__all__ = [
    "Classes",
    "Hidden",
    "Reading",
    "Readings",
    "Readout",
    "Units",
    "readouts",
    "readouts_by_channel",
]

Units = tuple[int | tuple[int, ...], ...]
"""Feature maps, by index, and single units, by index of the map and position in it."""


class Hidden(NamedTuple):
    """What is read from a hidden layer: its units, and the mean over all of it."""

    units: Float[Array, "n units"]
    whole: Float[Array, "n 1"]


Reading = Probability | Float[Array, "n classes"] | Hidden
"""What is read from one layer for ``n`` images."""


@dataclasses.dataclass(frozen=True)
class Readout:
    """What is read from one layer, and how its relevance is measured: static, hashable.

    Attributes
    ----------
    layer : str
    measure : Measure
    kind : str or None
        What an output layer holds, of which some classes are read: ``"softmax"``, ``"logits"``,
        ``"sigmoid"``, ``"sigmoid_logits"`` or ``"values"``. None: a hidden layer.
    units : tuple, optional
        Of a hidden layer, the feature maps and single units to read; by default all maps.
    """

    layer: str
    measure: Measure
    kind: str | None = None
    units: Units | None = None

    def __call__(self, values: Float[Array, "n ..."], classes: Int[Array, " classes"]) -> Reading:
        """Reduce the activation of the layer to its units, in float32 at least.

        A class that there is not gives NaN.
        """
        values = at_least_float32(values)
        if self.kind is None:
            return self._hidden(values)
        inside = (classes >= 0) & (classes < values.shape[-1])
        chosen = jnp.where(inside, classes, values.shape[-1])
        if self.kind == "values":
            return _columns(values, chosen)
        if self.kind == "sigmoid":
            p = _columns(values, chosen)
            return Probability(p, 1 - p)
        if self.kind == "sigmoid_logits":
            z = _columns(values, chosen)
            # Of the two exponentials, the one that cannot overflow.
            small = jnp.exp(-jnp.abs(z))
            likely, unlikely = 1 / (1 + small), small / (1 + small)
            return Probability(*_swapped(z < 0, likely, unlikely))
        if self.kind == "logits":
            # Not yet divided by their sum, so that small ones keep all their digits.
            values = jnp.exp(values - jax.lax.stop_gradient(values.max(-1, keepdims=True)))
        # The sum over all other classes is exact where one minus the probability is not.
        others = jnp.arange(values.shape[-1], dtype=chosen.dtype)[:, None] != chosen[None]
        complement = jnp.matmul(values, others.astype(values.dtype), precision="highest")
        total = values.sum(-1, keepdims=True) if self.kind == "logits" else 1
        return Probability(_columns(values, chosen) / total, complement / total)

    def _hidden(self, values: Float[Array, "n ..."]) -> Hidden:
        maps = values.mean(tuple(range(1, values.ndim - 1)))
        whole = maps.mean(-1, keepdims=True)
        if self.units is None:
            return Hidden(maps, whole)
        columns = [
            maps[:, unit] if isinstance(unit, int) else values[:, *unit[1:], unit[0]]
            for unit in self.units
        ]
        return Hidden(jnp.stack(columns, -1), whole)


def _columns(values: Float[Array, "n k"], indices: Int[Array, " c"]) -> Float[Array, "n c"]:
    return jnp.take(values, indices, axis=-1, mode="fill", fill_value=jnp.nan)


def _swapped(which: jax.Array, a: jax.Array, b: jax.Array) -> tuple[jax.Array, jax.Array]:
    return jnp.where(which, b, a), jnp.where(which, a, b)


Classes = Mapping[str, Int[Array, " classes"]]
"""Indices of classes, for each output layer that is read."""


@dataclasses.dataclass(frozen=True)
class Readings:
    """A network followed by the reduction to units, as one hashable function.

    Called with ``((params, classes), images)`` it returns, by layer, what its readout gives.

    Attributes
    ----------
    predict : Predict
        The network.
    readouts : tuple of Readout
        What is read from each layer.
    """

    predict: Predict
    readouts: tuple[Readout, ...]

    def __call__(
        self, params: tuple[Params, Classes], images: Float[Array, "n *spatial c"]
    ) -> dict[str, Reading]:
        """Run the network and reduce its outputs."""
        network, classes = params
        return self.reduce(self.predict(network, images, self.layers), classes)

    def reduce(self, outputs: Mapping[str, jax.Array], classes: Classes) -> dict[str, Reading]:
        """Reduce the activations of all layers to units."""
        none = jnp.zeros(0, jnp.int32)
        return {
            read.layer: read(outputs[read.layer], classes.get(read.layer, none))
            for read in self.readouts
        }

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that are read."""
        return tuple(read.layer for read in self.readouts)

    @property
    def jackknife(self) -> Jackknife:
        """The bias of what is read."""
        return Jackknife(tuple((read.layer, read.measure) for read in self.readouts))


def readouts_by_channel(reads: tuple[Readout, ...], channels: Channels) -> tuple[Readout, ...]:
    """Return what is read of each layer in each channel that is hidden by itself."""
    named = named_by_channel({read.layer: read for read in reads}, channels)
    return tuple(dataclasses.replace(read, layer=name) for name, read in named.items())


def readouts(
    shapes: Mapping[str, tuple[int, ...]],
    *,
    heads: Mapping[str, Head],
    num_training_images: int | None,
    measure: Measure,
    units: Mapping[str, Sequence[int | Sequence[int]]] | None = None,
) -> tuple[Readout, ...]:
    """Decide what is read from each layer.

    Parameters
    ----------
    shapes : mapping of str to tuple of int
        The layers to read, with the shapes of their activations for one image.
    heads : mapping of str to Head
        The output layers of the network; K of Laplace's correction is theirs.
    num_training_images : int or None
        N of Laplace's correction; None switches it off.
    measure : Measure
        The measure for probabilities; all other layers get the activation difference.
    units : mapping of str to sequence, optional
        For some hidden layers, feature maps and single units to read.

    Raises
    ------
    ValueError
        If units are asked for that there are not.
    """
    wanted = dict(units or {})
    for layer in wanted:
        if layer not in shapes:
            raise ArgumentValueError(
                "units", f"are of {layer!r}, which is not explained", "add it to layers"
            )
    found = []
    for layer, shape in shapes.items():
        head = heads.get(layer)
        own: Measure = ACTIVATION_DIFFERENCE
        if head is not None and head.of_probabilities:
            own = dataclasses.replace(
                measure, num_training_images=num_training_images, num_classes=head.num_classes
            )
        chosen = None
        if layer in wanted:
            chosen = _units(layer, wanted[layer], shape, head is not None)
        found.append(Readout(layer, own, None if head is None else head.kind, chosen))
    return tuple(found)


def _units(
    layer: str, chosen: Sequence[int | Sequence[int]], shape: tuple[int, ...], output: bool
) -> Units:
    """Check the units asked for of a layer and make them hashable."""
    if output:
        raise ArgumentValueError(
            "units", f"are of {layer!r}, which has one unit per class", "choose them by classes"
        )
    if len(chosen) == 0:
        raise ArgumentValueError("units", f"of {layer!r} are none", "leave it out for all of them")
    order = (shape[-1], *shape[:-1])
    return tuple(_unit(layer, unit, order) for unit in chosen)


def _unit(layer: str, unit: int | Sequence[int], order: tuple[int, ...]) -> int | tuple[int, ...]:
    """Check the index of a feature map, or the index and the position of one unit in it."""
    position = (unit,) if is_integer(unit) else tuple(unit)  # type: ignore[arg-type]
    inside = all(is_integer(i) and 0 <= i < side for i, side in zip(position, order, strict=False))
    if len(position) not in (1, len(order)) or not inside:
        raise ArgumentValueError(
            "units",
            f"of {layer!r} hold {unit!r}, which there is not",
            f"give the index of one of its {order[0]} feature maps, or (map, position) within "
            f"{order}",
        )
    return int(unit) if is_integer(unit) else tuple(map(int, position))
