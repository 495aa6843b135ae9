"""The report names boxes and where they end."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import pytest

from pdjax import local


def f(params: Any, images: jax.Array) -> jax.Array:
    kernel = jnp.ones((3, 3, 3, 4))
    x = jax.lax.conv_general_dilated(
        images, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return jnp.tanh(jnp.abs(jnp.fft.fft(x)))


def test_boxes_and_where_they_end() -> None:
    report = local.record(f, None, jnp.zeros((40, 40, 3)), window=4).report()
    convolution = next(row for row in report.rows if "conv" in row.where)
    assert convolution.box == (1, 6, 6, 4)
    assert convolution.full == (1, 40, 40, 4)
    assert convolution.arithmetic / convolution.full_arithmetic == pytest.approx(36 / 1600)
    assert 0 < report.share < 1


def test_a_reason_is_given_once_where_boxes_end() -> None:
    report = local.record(f, None, jnp.zeros((40, 40, 3)), window=4).report()
    assert [row.why for row in report.rows if row.why] == ["fft has no rule"]
    assert "fft has no rule" in str(report)
