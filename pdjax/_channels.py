"""Networks that take their channels on another axis than the last, behind one that does not.

Everything in the package has channels last: images, windows, feature maps. PyTorch, Equinox and
most ONNX files have them on axis 1. Here a function of images (n, c, *spatial) becomes one of
images (n, *spatial, c), and so do its feature maps, so that nothing else needs to know.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from pdjax._checks import ArgumentValueError, is_integer
from pdjax._types import Array, Float, Function, Params

__all__ = ["ChannelsMoved", "check_channel_axis"]


@dataclasses.dataclass(frozen=True)
class ChannelsMoved:
    """A function of images with channels last, made of one that has them on another axis.

    Attributes
    ----------
    f : callable
        ``f(params, images)``, which has the channels of images and feature maps on
        ``channel_axis``.
    channel_axis : int
        1 for ``(n, c, *spatial)``; counted with the batch axis, negative ones from the end.

    Notes
    -----
    An output with as many axes as the images has its channels moved to the end; others, such as
    scores ``(n, classes)`` and tokens ``(n, tokens, features)``, stay as they are.
    """

    f: Function
    channel_axis: int

    def __call__(self, params: Params, images: Float[Array, "n *spatial c"]) -> Any:
        """Return the outputs of ``f`` with channels last, in the structure that ``f`` returns."""
        outputs = self.f(params, jnp.moveaxis(images, -1, self.channel_axis))
        return self._with_channels_last(outputs, images.ndim)

    def _with_channels_last(self, outputs: Any, ndim: int) -> Any:
        # Not by jax.tree.map, which sorts dicts: theirs is the forward order of the layers.
        if isinstance(outputs, Mapping):
            return {name: self._with_channels_last(value, ndim) for name, value in outputs.items()}
        if isinstance(outputs, (tuple, list)):
            return tuple(self._with_channels_last(value, ndim) for value in outputs)
        if getattr(outputs, "ndim", None) == ndim:
            return jnp.moveaxis(outputs, self.channel_axis, -1)
        return outputs


def check_channel_axis(channel_axis: Any, spatial_axes: int) -> int:
    """Return the axis of the channels of a batch, counted from the end, or raise.

    Raises
    ------
    ValueError
        If there is no such axis, or it is that of the batch.
    """
    ndim = spatial_axes + 2
    if not is_integer(channel_axis) or not -ndim < channel_axis < ndim or channel_axis == 0:
        raise ArgumentValueError(
            "channel_axis",
            f"is no axis of images with {spatial_axes} spatial axes in a batch",
            "pass 1 for (n, channels, ...) or -1 for (n, ..., channels)",
            value=channel_axis,
        )
    return int(channel_axis) % ndim - ndim
