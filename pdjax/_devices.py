"""The device on which things run unless they are placed elsewhere, and what is known of it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import jax
import jax.experimental

__all__ = ["default_device", "device_count", "double_precision", "memory_bytes", "platform"]

ASSUMED_BYTES = {"cpu": 4 * 2**30}
"""Memory assumed of a device that does not tell, by platform. On a CPU others use it too, so this
is what one program may well take of it."""

ASSUMED_BYTES_ELSEWHERE = 8 * 2**30


def default_device() -> jax.Device:
    """Return the device that ``jax_default_device`` names, or else the first of this process."""
    chosen = _chosen()
    if chosen is None:
        return jax.local_devices()[0]
    # JAX takes the name of a platform, such as "cpu", for the first device of it.
    return jax.local_devices(backend=chosen)[0] if isinstance(chosen, str) else chosen


def platform() -> str:
    """Name the platform of the default device: "cpu", "gpu" or "tpu"."""
    return str(default_device().platform)


def device_count() -> int:
    """Count the devices that work may be spread over: one where a default device is set."""
    return jax.local_device_count() if _chosen() is None else 1


def double_precision() -> AbstractContextManager[Any]:
    """Return the context in which arrays may be float64; JAX has moved it in version 0.8."""
    module: Any = jax if hasattr(jax, "enable_x64") else jax.experimental
    return module.enable_x64(True)


def memory_bytes() -> int:
    """Return the bytes that the default device has for arrays, assumed where it does not tell."""
    stats = default_device().memory_stats() or {}
    assumed = ASSUMED_BYTES.get(platform(), ASSUMED_BYTES_ELSEWHERE)
    return int(stats.get("bytes_limit", assumed))


def _chosen() -> Any:
    """Return what ``jax_default_device`` is set to: a device, the name of a platform, or None."""
    config: Any = jax.config
    return config.jax_default_device
