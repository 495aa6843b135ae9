"""From draws of windows to moments, in batches that memory holds: on devices, or by a callable.

What is drawn may come from the host, as regions do.
"""

from __future__ import annotations

import dataclasses
import functools
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

from pdjax._checks import ArgumentValueError
from pdjax._devices import device_count, out_of_memory
from pdjax._explain.hidden_regions import HiddenRegions
from pdjax._explain.request import Request
from pdjax._explain.target import Target
from pdjax._explain.trial import faster
from pdjax._types import Sampler
from pdjax.method.evaluation import Engine, Evaluation
from pdjax.method.marginalize import (
    Design,
    Moments,
    draw,
    evaluated,
    moments,
    shard_over_devices,
    summarise,
)
from pdjax.method.windows import paste

__all__ = ["Worker", "Workers", "design_of", "make_worker"]

CALLABLE_BATCH_SIZE = 32

LARGEST_BATCH = 512
"""Images at once to start halving from, where memory ends before a batch is chosen."""


def design_of(request: Request, target: Target) -> Design:
    """Return which windows are drawn, how, and what is made of them."""
    bias = target.readings.jackknife if request.bias_correction else None
    return dataclasses.replace(request.design, bias=bias)


@runtime_checkable
class Worker(Protocol):
    """From draws of windows, ints ``(n, 2)`` as `moments` takes them, to `Moments`.

    Attributes
    ----------
    draws : int
        How many are best given to it in one call.
    batch_size : int
        Images that it evaluates at once, at most.
    """

    draws: int
    batch_size: int

    def __call__(self, draws: np.ndarray) -> Moments: ...


class Workers:
    """A worker, and others with half its batch wherever the device's memory does not suffice.

    Parameters
    ----------
    request : Request
    target : Target
    design : Design
    left : int
        Draws of windows that are to be evaluated.

    Attributes
    ----------
    worker : Worker or None
        The present one, once there was something to do.
    """

    def __init__(self, request: Request, target: Target, design: Design, left: int) -> None:
        self._make = functools.partial(make_worker, request, target, design, left)
        self._batch_size, self._warned = request.batch_size, False
        self.worker: Worker | None = None

    def do(self, step: Callable[[Worker], None]) -> None:
        """Do something with a worker, again with another one for as long as memory ends.

        Raises
        ------
        ValueError
            If it does not suffice for one image at a time.
        """
        while True:
            try:
                if self.worker is None:
                    self.worker = self._make(self._batch_size)
                return step(self.worker)
            except jax.errors.JaxRuntimeError as error:
                if not out_of_memory(error):
                    raise
                self._batch_size = self._half(error)
                self.worker = None

    def _half(self, error: Exception) -> int:
        size = self._batch_size or LARGEST_BATCH if self.worker is None else self.worker.batch_size
        if size == 1:
            raise ArgumentValueError(
                "image",
                "takes more memory than the device has, even by itself",
                "use a smaller image or network, or another device",
            ) from error
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"the device's memory does not suffice for {size} images at once: batches are "
                "halved until it does; batch_size or max_memory set that from the start",
                stacklevel=2,
            )
        return size // 2


def make_worker(
    request: Request,
    target: Target,
    design: Design,
    left: int = 0,
    batch_size: int | None = None,
) -> Worker:
    """Bind everything but the draws, of which so many are left: what is made here compiles once.

    At most ``batch_size`` images are evaluated at once; by default what promises to be fastest.
    """
    if request.plain:
        return _CallableWorker(request, target, design, batch_size or CALLABLE_BATCH_SIZE)
    how = dataclasses.replace(request.how, batch_size=batch_size)
    regions = HiddenRegions.of(request, target.field)
    if regions is not None:
        return _RegionWorker(request, target, design, regions, how)
    make = functools.partial(_JaxWorker, request, target, design)
    return faster(make, how, design, left)


class _Scene(NamedTuple):
    """What is the same in every call, and traced: the image, its sampler and the key."""

    image: jax.Array
    sampler: Sampler
    rng_key: jax.Array


class _JaxWorker:
    """Evaluate a network written in JAX, on all devices."""

    def __init__(self, request: Request, target: Target, design: Design, how: Engine) -> None:
        self._scene = _Scene(target.field, request.sampler, request.rng_key)
        self._design, self._inputs = design, target.inputs
        self.rates: dict[str, float] = {}
        self._devices = device_count()
        self.evaluation = _prepared(request, target, design, how)
        self.batch_size = self.evaluation.batch_size
        self.draws = self._devices * design.windows_at_once(self.batch_size)

    def __call__(self, draws: np.ndarray) -> Moments:
        rows = jnp.asarray(draws, jnp.int32)
        return _moments(
            self._design, self._devices, self.evaluation, self._inputs, self._scene, rows
        )


class _RegionWorker:
    """Evaluate a network written in JAX where regions are hidden, which are drawn on the host."""

    def __init__(
        self,
        request: Request,
        target: Target,
        design: Design,
        regions: HiddenRegions,
        how: Engine,
    ) -> None:
        self._design, self._inputs, self._regions = design, target.inputs, regions
        self._field = target.field
        self._evaluation = _prepared(request, target, design, how)
        self.batch_size = self._evaluation.batch_size
        self.draws = design.windows_at_once(self.batch_size)

    def __call__(self, draws: np.ndarray) -> Moments:
        origins, patches = self._regions.draw(draws)
        return _moments_at(
            self._design, self._evaluation, self._inputs, self._field, origins, patches
        )


class _CallableWorker:
    """Sample in JAX, and hand batches of perturbed images to a plain callable as NumPy arrays."""

    def __init__(self, request: Request, target: Target, design: Design, batch_size: int) -> None:
        self._regions = HiddenRegions.of(request, target.field)
        self._scene = _Scene(target.field, request.sampler, request.rng_key)
        self._design, self._inputs, self._readings = design, target.inputs, target.readings
        self.batch_size = batch_size
        self.draws = design.windows_at_once(self.batch_size)

    def __call__(self, draws: np.ndarray) -> Moments:
        if self._regions is None:
            images = _perturbed(self._design, self._scene, jnp.asarray(draws, jnp.int32))
        else:
            images = _pasted(self._scene.image, *self._regions.draw(draws))
        size = self.batch_size
        outputs = [self._read(images[i : i + size]) for i in range(0, len(images), size)]
        joined = jax.tree.map(lambda *parts: jnp.concatenate(parts), *outputs)
        return summarise(joined, self._design)

    def _read(self, images: jax.Array) -> Any:
        params, classes = self._inputs
        images_there: Any = np.asarray(images)
        outputs = self._readings.predict(params, images_there, self._readings.layers)
        arrays = {layer: jnp.asarray(np.asarray(a)) for layer, a in outputs.items()}
        return self._readings.reduce(arrays, classes)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _moments(
    design: Design,
    devices: int,
    evaluation: Evaluation,
    inputs: Any,
    scene: _Scene,
    draws: jax.Array,
) -> Moments:
    def step(evaluation: Evaluation, inputs: Any, scene: _Scene, draws: jax.Array) -> Moments:
        return moments(evaluation, inputs, *scene, draws, design)

    return shard_over_devices(step, devices)(evaluation, inputs, scene, draws)


@functools.partial(jax.jit, static_argnums=0)
def _perturbed(design: Design, scene: _Scene, draws: jax.Array) -> jax.Array:
    return _pasted(scene.image, *draw(*scene, draws, design))


@jax.jit
def _pasted(image: jax.Array, origins: jax.Array, patches: jax.Array) -> jax.Array:
    pasted = jax.vmap(jax.vmap(paste, (None, 0, None)), (None, 0, 0))(image, patches, origins)
    return pasted.reshape(-1, *image.shape)


@functools.partial(jax.jit, static_argnums=0)
def _moments_at(
    design: Design,
    evaluation: Evaluation,
    inputs: Any,
    field: jax.Array,
    origins: jax.Array,
    patches: jax.Array,
) -> Moments:
    return evaluated(evaluation, inputs, field, origins, patches, design)


def _prepared(request: Request, target: Target, design: Design, how: Engine) -> Evaluation:
    images = len(request.chosen(request.grid)) * design.images_per_draw
    return how.prepare(target.readings, target.inputs, target.field, design.grid.window, images)
