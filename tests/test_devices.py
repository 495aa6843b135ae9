"""One way to find the device, which respects the one that is set as default; float64 on the CPU."""

from __future__ import annotations

import os
import subprocess
import sys

import jax
import pytest

from pdjax._devices import default_device, device_count, memory_bytes, platform


def test_the_first_device_by_default() -> None:
    assert default_device() == jax.local_devices()[0]
    assert platform() == jax.local_devices()[0].platform
    assert device_count() == jax.local_device_count()


@pytest.mark.parametrize("by_name", [True, False])
def test_the_device_that_is_set(by_name: bool) -> None:
    with jax.default_device("cpu" if by_name else jax.local_devices(backend="cpu")[0]):
        assert default_device() == jax.local_devices(backend="cpu")[0]
        assert platform() == "cpu"
        assert device_count() == 1


def test_memory_is_what_the_device_says_or_assumed() -> None:
    stats = default_device().memory_stats() or {}
    assert memory_bytes() == stats.get("bytes_limit", memory_bytes())
    assert 2**30 <= memory_bytes() < 2**50


SECOND_OF_TWO = """
import jax
import numpy as np
from pdjax._devices import default_device, device_count
from pdjax.statistics import textures
assert device_count() == 2
jax.config.update("jax_default_device", jax.local_devices()[1])
assert default_device().id == 1
assert device_count() == 1


def climb(state, rows, *others):
    arrays = (state.weights, state.spectra, rows)
    assert {device.id for array in arrays for device in array.devices()} == {0}
    assert rows.dtype == np.float64
    raise StopIteration


textures.climb = climb
images = np.random.default_rng(0).random((4, 12, 12, 1))
sizes = {"patch": 3, "max_patch": 4, "num_patches": 100, "textures": 1, "contrasts": 1}
try:
    textures.PatchMixture.fit(list(images), jax.random.key(0), **sizes)
except StopIteration:
    pass
else:
    raise AssertionError("nothing was fitted")
jax.config.update("jax_default_device", "cpu")
assert default_device().id == 0
"""


def test_one_of_several_devices() -> None:
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, "-c", SECOND_OF_TWO], check=True, env=os.environ | flags)
