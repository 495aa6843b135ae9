"""Other frameworks promote ranks and dtypes; only our own code is held not to."""

from __future__ import annotations

import os

import jax
import pytest

os.environ.setdefault("KERAS_BACKEND", "jax")


@pytest.fixture(autouse=True)
def _others_promote(_strict):
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        yield
