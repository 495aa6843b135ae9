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


PAD = ((0, 0), (2, 1), (1, 1), (0, 0))
LOCAL = {
    "zeros around": lambda x: jnp.pad(x, PAD),
    "ones around": lambda x: jnp.pad(x, PAD, constant_values=1.0),
    "edges repeated": lambda x: jnp.pad(x, PAD, "edge"),
    "reflected": lambda x: jnp.pad(x, PAD, "reflect"),
    "mean over channels taken out": lambda x: x - x.mean(-1, keepdims=True),
    "softmax over channels": lambda x: jax.nn.softmax(x, -1),
    "mean pooling by reshape": lambda x: x.reshape(-1, 20, 2, 20, 2, 3).mean((2, 4)),
    "patches": lambda x: x.reshape(-1, 10, 4, 10, 4, 3).swapaxes(2, 3).reshape(-1, 100, 48),
    "repeated": lambda x: jnp.repeat(x, 2, 1),
    "resized": lambda x: jax.image.resize(x, (x.shape[0], 80, 80, 3), "bilinear"),
    "shifted": lambda x: jnp.roll(x, 3, 1),
    "largest of channels": lambda x: jax.lax.top_k(x, 2)[0],
}


@pytest.mark.parametrize("name", LOCAL)
def test_what_is_local_in_its_meaning_keeps_its_box(name) -> None:
    def network(params: Any, images: jax.Array) -> jax.Array:
        moved = LOCAL[name](images)
        return jnp.tanh(moved @ params).mean(tuple(range(1, moved.ndim)))

    channels = jax.eval_shape(LOCAL[name], jnp.zeros((1, 40, 40, 3))).shape[-1]
    record = local.record(network, jnp.ones((channels, 64)), jnp.zeros((40, 40, 3)), window=4)
    assert record.report().share < 0.5
