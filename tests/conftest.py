"""Strictness for every test, and the data beside the project where it is present."""

from __future__ import annotations

import matplotlib as mpl

mpl.use("Agg")

import os
from pathlib import Path

import jax
import jax.experimental
import jaxtyping
import pytest
from jaxtyping import install_import_hook

install_import_hook("pdjax", "beartype.beartype")

# Compiling takes most of the time, and few programs run more than once.
jax.config.update("jax_disable_most_optimizations", True)

if not hasattr(jax, "enable_x64"):  # where it was before JAX 0.8
    jax.enable_x64 = jax.experimental.enable_x64

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(autouse=True)
def _strict():
    """Neither ranks nor dtypes may be promoted by accident."""
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        yield


@pytest.fixture(autouse=True, scope="module")
def _forgotten():
    """What was compiled for a file is of little use to the next, and takes gigabytes together."""
    yield
    if resident_bytes() > 2**31:
        jax.clear_caches()


def resident_bytes() -> int:
    """Memory of this process, where the system tells in Linux's way; otherwise 0."""
    statm = Path("/proc/self/statm")
    if not statm.exists():
        return 0
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real weights, photographs and expected values."""
    if not SHARED.is_dir():
        pytest.skip(f"the data folder {SHARED.name!r} is not beside the project")
    return SHARED


@pytest.fixture
def x64():
    """Double precision for one test."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def untyped():
    """No checks of annotations, so that the package's own checks of types are seen."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
