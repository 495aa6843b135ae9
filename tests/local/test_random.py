"""Local re-evaluation of random networks, against the function on pasted images.

``PDJAX_TEST_EXAMPLES=300`` tries that many networks, other ones at every run.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from helpers.local_reference import assert_close, pasted, quick_compilation
from helpers.random_networks import RandomNetwork, networks
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

import pdjax.local

ASKED = os.environ.get("PDJAX_TEST_EXAMPLES")
ORIGINS = 24
TOLERANCE = {"float64": 1e-10, "float32": 1e-4}  # shares of the largest value of an output

many = settings(
    max_examples=int(ASKED or 15),
    deadline=None,
    derandomize=ASKED is None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@st.composite
def perturbed(draw: Callable) -> tuple[RandomNetwork, tuple[int, ...], str]:
    """A network, a window and a precision."""
    network = draw(networks())
    window = tuple(draw(st.integers(1, min(size, 6))) for size in network.spatial)
    return network, window, draw(st.sampled_from(["float64", "float64", "float32"]))


def some_origins(spatial: tuple[int, ...], window: tuple[int, ...]) -> np.ndarray:
    """All origins, or if there are many the corners and some others."""
    last = [size - k for size, k in zip(spatial, window, strict=True)]
    every = np.stack(np.meshgrid(*(np.arange(end + 1) for end in last), indexing="ij"), -1)
    every = every.reshape(-1, len(last))
    corners = (every == 0) | (every == last)
    first = np.argsort(~corners.all(1), kind="stable")[: 2 ** len(last)]
    others = np.random.default_rng(0).permutation(np.setdiff1d(np.arange(len(every)), first))
    return every[np.concatenate([first, others])[:ORIGINS]]


def compare(network: RandomNetwork, window: tuple[int, ...], precision: str) -> None:
    """Evaluate both ways and compare every output."""
    rng = np.random.default_rng(0)
    image = jnp.asarray(rng.random((*network.spatial, network.channels)), precision)
    origins = some_origins(network.spatial, window)
    noise = rng.standard_normal((len(origins), *window, network.channels))
    origins, patches = jnp.asarray(origins), jnp.asarray(noise, precision)
    params = jax.tree.map(functools.partial(jnp.asarray, dtype=precision), network.params)
    expected = jax.jit(network)(params, pasted(image, origins, patches))
    record = pdjax.local.record(network, params, image, window=window)
    local = jax.jit(pdjax.local.evaluate)(record, params, origins, patches)
    assert_close(local, expected, origins, TOLERANCE[precision])


@many
@given(perturbed())
def test_local_is_dense(case: tuple[RandomNetwork, tuple[int, ...], str]) -> None:
    network, window, precision = case
    note(f"{network}\nwindow {window}, {precision}")
    with quick_compilation(), jax.enable_x64(precision == "float64"):
        compare(network, window, precision)
