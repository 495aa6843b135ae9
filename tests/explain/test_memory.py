"""Where memory ends: batches are halved and the run goes on, and nobody sees a traceback."""

from __future__ import annotations

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.refusals import refused

import pdjax
from pdjax._explain import workers
from pdjax.cli import main
from pdjax.jaxprs.program import trace
from pdjax.local.cost import schedule
from pdjax.method.evaluation import Engine

IMAGE = np.random.default_rng(0).random((9, 9, 3), np.float32)
PARAMS = jnp.asarray(np.random.default_rng(1).standard_normal((3, 4)), jnp.float32)
ENDED = jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes.")


def network(most: int):
    """A network whose activations of more than ``most`` images do not fit."""

    def f(params, images):
        if len(images) > most:
            raise ENDED
        return jax.nn.softmax(jnp.tanh(images @ params).mean((1, 2)))

    return f


def explained(f, **settings) -> pdjax.Explanation:
    defaults = {"rng_key": jax.random.key(0), "engine": "dense", "batch_size": 32, "stride": 2}
    net = f
    if settings.get("engine") != "callable":
        net = pdjax.Classifier.from_function(f, PARAMS, image_size=9)
    return pdjax.explain(net, IMAGE, pdjax.Constant(0.5, 3), **defaults | settings)


@pytest.mark.parametrize("engine", ["dense", "callable"])
def test_batches_are_halved_until_they_fit(engine: str) -> None:
    sizes = []

    def f(images):
        sizes.append(len(images))
        return np.asarray(network(5)(PARAMS, images))

    with pytest.warns(UserWarning, match="32 images at once") as said:
        halved = explained(f if engine == "callable" else network(5), engine=engine)
    assert len(said) == 1
    assert max(sizes[-4:], default=4) == 4
    with warnings.catch_warnings(action="error"):
        plain = explained(network(32))
    np.testing.assert_allclose(halved.relevance["prob"], plain.relevance["prob"], atol=1e-5)
    assert halved.settings["passes"] == plain.settings["passes"]


def test_what_was_done_before_is_kept(monkeypatch) -> None:
    once = iter([False, True])
    call = workers._JaxWorker.__call__

    def failing(self, draws):
        if next(once, False):
            raise ENDED
        return call(self, draws)

    plain = explained(network(64), stride=1)
    monkeypatch.setattr(workers._JaxWorker, "__call__", failing)
    monkeypatch.setattr("pdjax.method.marginalize.MIN_IMAGES_PER_CALL", 8)
    with pytest.warns(UserWarning, match="halved"):
        halved = explained(network(64), stride=1, batch_size=8)
    np.testing.assert_allclose(halved.relevance["prob"], plain.relevance["prob"], atol=1e-5)


def test_one_image_that_does_not_fit_is_an_error(monkeypatch) -> None:
    def failing(self, draws):
        raise ENDED

    monkeypatch.setattr(workers._JaxWorker, "__call__", failing)
    with pytest.warns(UserWarning, match="halved"), refused("image"):
        explained(network(64), batch_size=2)


def test_the_command_line_says_it_in_a_sentence(monkeypatch, capsys) -> None:
    for said, expected in ((str(ENDED), "--batch-size"), ("INTERNAL: no such kernel", "kernel")):

        def failing(said=said):
            raise jax.errors.JaxRuntimeError(said)

        monkeypatch.setattr("pdjax.cli.commands.app", failing)
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 2
        assert expected in capsys.readouterr().err


def test_batches_follow_the_memory() -> None:
    def f(params, images):
        return jnp.tanh(images.mean(-1))

    images = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    program = trace(f, None, images).program
    heads = [schedule(program, (64, 64), "cpu", memory=memory).head for memory in (1e9, 1e6, 1.0)]
    assert heads == sorted(heads, reverse=True)
    assert heads[-1] == 1
    sizes = [
        Engine("dense", max_memory=gigabytes)
        .prepare(f, None, jnp.zeros((64, 64, 3)), (4, 4), 0)
        .batch_size
        for gigabytes in (None, 2e-3, 1e-9)
    ]
    assert sizes[0] > sizes[1] > sizes[2] == 1
    with refused("max_memory"):
        explained(network(9), max_memory=0)
