"""Windows of single channels: one spectral band or one sequence of a scan is hidden at a time.

The samples of a window are those that would hide all of its channels; of each, one channel goes
into the image, whose other channels stay as they are. Every channel has outputs, and maps, of its
own. Where there are several, layers carry the channel in their name: ``"prob[channel 3]"``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from pdjax._checks import ArgumentTypeError, ArgumentValueError, is_integer
from pdjax._types import Array, Float

__all__ = [
    "Channels",
    "check_channels",
    "in_channels",
    "joined_by_channel",
    "name_in_channel",
    "named_by_channel",
    "split_by_channel",
]

Channels = tuple[int, ...] | None
"""The channels that are hidden one at a time; None hides all of a window at once."""

T = TypeVar("T")


def check_channels(channels: Any, count: int) -> Channels:
    """Return indices of channels, or raise if they are not among ``count``."""
    if channels is None:
        return None
    if hasattr(channels, "dtype"):
        # As Python's own: a list, or one number.
        channels = np.asarray(channels).tolist()
    chosen = (channels,) if is_integer(channels) else channels
    if isinstance(chosen, str) or not isinstance(chosen, Iterable):
        raise ArgumentTypeError("channels", "must be indices of channels", value=channels)
    indices = tuple(chosen)
    if not indices or not all(is_integer(each) and 0 <= each < count for each in indices):
        raise ArgumentValueError(
            "channels",
            f"must be indices from 0 to {count - 1}, at least one",
            "leave it out to hide all channels of a window at once",
            value=channels,
        )
    return tuple(dict.fromkeys(int(each) for each in indices))


def in_channels(
    contents: Float[Array, "w s *window c"],
    own: Float[Array, "w *window c"],
    channels: tuple[int, ...],
) -> Float[Array, "w channels_s *window c"]:
    """Put contents into one channel after the other, where the rest is the image's own."""
    count = own.shape[-1]
    one = np.eye(count, dtype=bool)[list(channels)]
    one = one.reshape(1, len(channels), *(1,) * (own.ndim - 1), count)
    mixed = jnp.where(one, contents[:, None], own[:, None, None])
    return mixed.reshape(len(own), -1, *own.shape[1:])


def name_in_channel(layer: str, channel: int, channels: Channels) -> str:
    """Name a layer whose map is of one channel; of one channel alone it keeps its name."""
    return layer if channels is None or len(channels) == 1 else f"{layer}[channel {channel}]"


def named_by_channel(values: Mapping[str, T], channels: Channels) -> dict[str, T]:
    """Repeat what there is for each layer under its name in each channel."""
    return joined_by_channel([values] * len(channels or (0,)), channels)


def joined_by_channel(parts: Sequence[Mapping[str, T]], channels: Channels) -> dict[str, T]:
    """Join what there is for each channel, with the channel in the name of each layer."""
    return {
        name_in_channel(layer, channel, channels): value
        for channel, part in zip(channels or (0,), parts, strict=True)
        for layer, value in part.items()
    }


def split_by_channel(outputs: Any, channels: tuple[int, ...], samples: int) -> list[Any]:
    """Split outputs ``(w * channels * samples, ...)`` into a PyTree ``(w * samples, ...)`` each."""

    def split(values: jax.Array) -> jax.Array:
        parts = values.reshape(-1, len(channels), samples, *values.shape[1:]).swapaxes(0, 1)
        return parts.reshape(len(channels), -1, *values.shape[1:])

    parts = jax.tree.map(split, outputs)
    return [jax.tree.map(lambda a, i=i: a[i], parts) for i in range(len(channels))]
