"""What does not fit a record is refused in one sentence; records are described and reusable."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import pytest

from pdjax import local

IMAGE = jnp.zeros((8, 9, 3))
PARAMS = {"kernel": jnp.ones((3, 2))}
traces = []


def f(params: Any, images: jax.Array) -> dict[str, jax.Array]:
    traces.append(images.shape)
    return {"mean": images.mean((1, 2)) @ params["kernel"]}


def without_batch(params: Any, images: jax.Array) -> jax.Array:
    return images.sum()


def evaluate(**changed: Any) -> Any:
    wanted = {
        "params": PARAMS,
        "origins": jnp.array([[0, 5], [4, 0]]),
        "patches": jnp.ones((2, 4, 4, 3)),
    } | changed
    return local.evaluate(local.record(f, PARAMS, IMAGE, window=4), **wanted)


BAD = {
    "another structure": ({"params": PARAMS["kernel"]}, "params: their structure"),
    "another window": ({"patches": jnp.ones((2, 3, 4, 3))}, "do not fit the recorded window"),
    "too few axes": ({"origins": jnp.array([[0], [1]])}, "do not fit 2 windows"),
    "outside": ({"origins": jnp.array([[0, 5], [5, 0]])}, "must lie within the image"),
    "negative": ({"origins": jnp.array([[0, -1], [4, 0]])}, "must lie within the image"),
}


@pytest.mark.parametrize("case", BAD)
def test_arguments_that_do_not_fit(case: str) -> None:
    changed, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        evaluate(**changed)


def test_a_window_larger_than_the_image() -> None:
    with pytest.raises(ValueError, match="larger than the image"):
        local.record(f, PARAMS, IMAGE, window=9)


def test_no_windows_give_no_outputs() -> None:
    changed = {"origins": jnp.zeros((0, 2), int), "patches": jnp.zeros((0, 4, 4, 3))}
    assert evaluate(**changed)["mean"].shape == (0, 2)


def test_a_batch_of_no_images() -> None:
    with pytest.raises(ValueError, match="batch_size=0 must be an int of at least 1"):
        local.record(f, PARAMS, IMAGE, window=4, batch_size=0)


def test_outputs_without_images_in_front() -> None:
    with pytest.raises(ValueError, match=r"must be \(n, ...\)"):
        local.record(without_batch, PARAMS, IMAGE, window=4)


def test_a_function_is_traced_once_for_all_images_of_a_shape() -> None:
    local.record(f, PARAMS, IMAGE, window=5)
    traces.clear()
    for value in (0.0, 0.5):
        record = local.record(f, PARAMS, IMAGE + value, window=5)
        local.evaluate(record, PARAMS, jnp.array([[0, 0]]), jnp.ones((1, 5, 5, 3)))
    assert traces == []


def test_the_report_names_boxes_and_where_they_end() -> None:
    def g(params: Any, images: jax.Array) -> jax.Array:
        kernel = jnp.ones((3, 3, 3, 4))
        x = jax.lax.conv_general_dilated(
            images, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        return jnp.sort(x, axis=1)

    report = local.record(g, None, jnp.zeros((40, 40, 3)), window=4).report()
    convolution = next(row for row in report.rows if "conv" in row.where)
    assert convolution.box == (1, 6, 6, 4)
    assert convolution.full == (1, 40, 40, 4)
    assert convolution.arithmetic / convolution.full_arithmetic == pytest.approx(36 / 1600)
    assert "sort has no rule" in str(report)
    assert 0 < report.share < 1
