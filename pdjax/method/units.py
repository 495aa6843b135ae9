"""What is read from a network's outputs: the units whose relevance is wanted.

Layers of class probabilities give a probability and its complement for the chosen classes, other
layers with one number per class give these, and layers with spatial axes give the mean of each
feature map over its units, or the maps and single units asked for, and the mean over the whole
layer. Reducing every perturbed image to these numbers at once is what bounds memory.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from pdjax._checks import ArgumentValueError, is_integer
from pdjax._types import Array, Float, Int, Params, Predict
from pdjax.method.measures import ACTIVATION_DIFFERENCE, Jackknife, Measure, Probability

__all__ = ["Hidden", "Reading", "Readings", "Readout", "Units", "readouts"]

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
    by_class : bool
        Whether the layer has one number per class, of which those of some classes are read.
    units : tuple, optional
        Of a layer without classes, the feature maps and single units to read; by default all maps.
    """

    layer: str
    measure: Measure
    by_class: bool
    units: Units | None = None

    def __call__(self, values: Float[Array, "n ..."], classes: Int[Array, " classes"]) -> Reading:
        """Reduce the activation of the layer to its units."""
        if self.measure.of_probabilities:
            # The sum over all other classes is exact where one minus the probability is not.
            others = jnp.arange(values.shape[-1], dtype=classes.dtype)[:, None] != classes[None]
            complement = jnp.matmul(values, others.astype(values.dtype), precision="highest")
            return Probability(jnp.take(values, classes, axis=-1), complement)
        if self.by_class:
            return jnp.take(values, classes, axis=-1)
        maps = values.mean(tuple(range(1, values.ndim - 1)))
        whole = maps.mean(-1, keepdims=True)
        if self.units is None:
            return Hidden(maps, whole)
        columns = [
            maps[:, unit] if isinstance(unit, int) else values[:, *unit[1:], unit[0]]
            for unit in self.units
        ]
        return Hidden(jnp.stack(columns, -1), whole)


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
        self, params: tuple[Params, Int[Array, " classes"]], images: Float[Array, "n *spatial c"]
    ) -> dict[str, Reading]:
        """Run the network and reduce its outputs."""
        network, classes = params
        return self.reduce(self.predict(network, images, self.layers), classes)

    def reduce(
        self, outputs: Mapping[str, jax.Array], classes: Int[Array, " classes"]
    ) -> dict[str, Reading]:
        """Reduce the activations of all layers to units."""
        return {read.layer: read(outputs[read.layer], classes) for read in self.readouts}

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that are read."""
        return tuple(read.layer for read in self.readouts)

    @property
    def jackknife(self) -> Jackknife:
        """The bias of what is read."""
        return Jackknife(tuple((read.layer, read.measure) for read in self.readouts))


def readouts(
    shapes: Mapping[str, tuple[int, ...]],
    *,
    probabilities: Sequence[str],
    num_classes: int,
    num_training_images: int | None,
    measure: Measure,
    units: Mapping[str, Sequence[int | Sequence[int]]] | None = None,
) -> tuple[Readout, ...]:
    """Decide what is read from each layer.

    Parameters
    ----------
    shapes : mapping of str to tuple of int
        The layers to read, with the shapes of their activations for one image.
    probabilities : sequence of str
        Layers that hold class probabilities.
    num_classes : int
        K of Laplace's correction, and the width of layers with one number per class.
    num_training_images : int or None
        N of Laplace's correction; None switches it off.
    measure : Measure
        The measure for probabilities; all other layers get the activation difference.
    units : mapping of str to sequence, optional
        For some layers without classes, feature maps and single units to read.

    Raises
    ------
    ValueError
        If units are asked for that there are not.
    """
    measure = dataclasses.replace(
        measure, num_training_images=num_training_images, num_classes=num_classes
    )
    wanted = dict(units or {})
    for layer in wanted:
        if layer not in shapes:
            raise ArgumentValueError(
                "units", f"are of {layer!r}, which is not explained", "add it to layers"
            )
    found = []
    for layer, shape in shapes.items():
        of_probabilities = layer in probabilities
        by_class = of_probabilities or shape == (num_classes,)
        chosen = _units(layer, wanted[layer], shape, by_class) if layer in wanted else None
        own = measure if of_probabilities else ACTIVATION_DIFFERENCE
        found.append(Readout(layer, own, by_class, chosen))
    return tuple(found)


def _units(
    layer: str, chosen: Sequence[int | Sequence[int]], shape: tuple[int, ...], by_class: bool
) -> Units:
    """Check the units asked for of a layer and make them hashable."""
    if by_class:
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
