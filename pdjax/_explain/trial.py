"""A moment's trial before a long run: the local engine, or everything in batches of another size.

Plans are costed by rough figures of the device. Where they promise much, that is borne out; where
they promise little, the whole network in batches of another size may be faster after all.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Protocol, TypeVar, runtime_checkable

import jax
import numpy as np

from pdjax.local import Record
from pdjax.method.evaluation import ENGINES, Engine, Evaluation
from pdjax.method.marginalize import Design, Moments

__all__ = ["Timed", "faster"]

DENSE = ENGINES[1]

LONG_RUN = 120.0
"""Predicted seconds of a run for which compiling the other engine, and trying both, is little."""

CERTAIN = 4.0
"""How much faster than the whole network a plan has to be, as predicted, to go without a trial."""

TRIAL = 1.0
"""Seconds for which an engine is tried, unless one call takes longer."""


@runtime_checkable
class Timed(Protocol):
    """A worker that knows how it evaluates, and how fast engines were found to be.

    Attributes
    ----------
    draws : int
        Draws of windows for a call.
    evaluation : Evaluation
    rates : dict of str to float
        Images a second, by engine; empty where nothing was tried.
    """

    draws: int
    evaluation: Evaluation
    rates: dict[str, float]

    def __call__(self, draws: np.ndarray) -> Moments: ...


T = TypeVar("T", bound=Timed)


def faster(make: Callable[[Engine], T], how: Engine, design: Design, left: int) -> T:
    """Make a worker of the engine that is asked for, or of the dense one where that is faster.

    Parameters
    ----------
    make : callable
        Makes a worker that evaluates as it is told.
    how : Engine
        What is asked for.
    design : Design
    left : int
        Draws of windows that are still to be evaluated.
    """
    worker, samples = make(how), design.images_per_draw
    if not _doubtful(worker.evaluation, left * samples):
        return worker
    workers = {how.engine: worker, DENSE: make(dataclasses.replace(how, engine=DENSE))}
    rates = {name: samples * _rate(one, design.grid.size) for name, one in workers.items()}
    worker = workers[max(rates, key=rates.__getitem__)]
    worker.rates = rates
    return worker


def _doubtful(evaluation: Evaluation, images: int) -> bool:
    if not isinstance(evaluation, Record):
        return False
    best = evaluation.static.schedule
    return best.seconds * images > LONG_RUN and best.seconds_whole < CERTAIN * best.seconds


def _rate(worker: Timed, windows: int) -> float:
    """Draws a second, of windows all over the image."""
    draws = np.zeros((worker.draws, 2), int)
    draws[:, 0] = np.linspace(0, windows - 1, worker.draws)
    jax.block_until_ready(worker(draws))
    spent: list[float] = []
    while sum(spent) < TRIAL:
        start = time.perf_counter()
        jax.block_until_ready(worker(draws))
        spent.append(time.perf_counter() - start)
    return worker.draws / min(spent)
