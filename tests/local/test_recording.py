"""Recording a function: what it refuses, what it keeps, and how often it traces."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import pytest

from pdjax import local
from pdjax._checks import ArgumentError

IMAGE = jnp.zeros((8, 9, 3))
PARAMS = {"kernel": jnp.ones((3, 2))}
traces = []


def f(params: Any, images: jax.Array) -> dict[str, jax.Array]:
    traces.append(images.shape)
    return {"mean": images.mean((1, 2)) @ params["kernel"]}


def without_batch(params: Any, images: jax.Array) -> jax.Array:
    return images.sum()


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "larger than the image": ({"window": 9}, "window"),
    "as many axes as there are": ({"window": (4, 4, 4)}, "window"),
    "no batch": ({"batch_size": 0}, "batch_size"),
    "no number of images": ({"num_images": -1}, "num_images"),
    "no outputs by image": ({"f": without_batch}, "f"),
}


@pytest.mark.parametrize("case", BAD)
def test_arguments_that_do_not_fit(case: str) -> None:
    changed, argument = BAD[case]
    arguments = {"f": f, "params": PARAMS, "image": IMAGE, "window": 4} | changed
    with pytest.raises(ArgumentError) as caught:
        local.record(**arguments)
    assert caught.value.argument == argument


def test_an_image_without_channels(untyped: None) -> None:
    with pytest.raises(ArgumentError) as caught:
        local.record(f, PARAMS, jnp.zeros(8), window=4)
    assert caught.value.argument == "image"


def test_a_function_is_traced_once_for_all_images_of_a_shape() -> None:
    local.record(f, PARAMS, IMAGE, window=5)
    traces.clear()
    for value in (0.0, 0.5):
        record = local.record(f, PARAMS, IMAGE + value, window=5)
        local.evaluate(record, PARAMS, jnp.array([[0, 0]]), jnp.ones((1, 5, 5, 3)))
    assert traces == []


def test_arrays_that_are_closed_over_are_kept_and_not_compiled_in() -> None:
    weights = jnp.linspace(0, 1, 3 * 7).reshape(3, 7)

    def g(params: None, images: jax.Array) -> jax.Array:
        return jax.jit(lambda x: x @ weights)(images.mean((1, 2))) @ weights.T

    record = local.record(g, None, IMAGE, window=4)
    assert [const.shape for const in record.constants] == [(3, 7)]
    outputs = local.evaluate(record, None, jnp.array([[1, 2]]), jnp.ones((1, 4, 4, 3)))
    expected = g(None, IMAGE.at[1:5, 2:6].set(1)[None])
    assert jnp.allclose(outputs, expected, rtol=1e-5)


def test_a_record_says_what_it_is() -> None:
    record = local.record(f, PARAMS, IMAGE, window=4, batch_size=2)
    assert repr(record).startswith("Record(window=(4, 4), ")
    assert record.batch_size == 2
