"""One run of `pdjax.explain` with the dense engine, and its parts as calls timed alone."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import pdjax
from pdjax._types import Sampler
from pdjax.method.maps import relevance_maps
from pdjax.method.marginalize import Design, draw, first_draws, summarise
from pdjax.method.measures import WeightOfEvidence
from pdjax.method.schemes import Scheme
from pdjax.method.units import Readings, readouts
from pdjax.method.windows import WindowGrid, paste

__all__ = ["Workload", "plan", "toy_network"]

NUM_CLASSES = 3


def plan(spatial: tuple[int, ...], window: int, passes: int) -> tuple[int, int]:
    """Stride and samples per window (2 to 10) that take about ``passes`` forward passes."""

    def distance(setting: tuple[int, int]) -> tuple[int, int]:
        stride, samples = setting
        return abs(WindowGrid(spatial, window, stride).size * samples - passes), -samples

    return min(((k, s) for k in range(1, window + 1) for s in range(2, 11)), key=distance)


def toy_network() -> pdjax.Classifier:
    """Make a classifier of 12 by 12 images that takes no time."""

    def f(params: jax.Array, images: jax.Array) -> jax.Array:
        hidden = jax.nn.relu(
            jax.lax.conv_general_dilated(
                images, params, (2, 2), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
        )
        return jax.nn.softmax(hidden.mean((1, 2)))

    kernel = _noise((5, 5, 3, 10))
    return pdjax.Classifier.from_function(f, kernel, image_size=12, name="toy")


@dataclasses.dataclass(frozen=True, eq=False)
class Workload:
    """A network, an image and the settings of a run, bound together.

    Attributes
    ----------
    net : Classifier
    sampler : Sampler
    grid : WindowGrid
    num_samples : int
    batch_size : int
        Perturbed images evaluated at once, at most.
    """

    net: pdjax.Classifier
    sampler: Sampler
    grid: WindowGrid
    num_samples: int
    batch_size: int

    @functools.cached_property
    def image(self) -> jax.Array:
        """Noise: the work is the same for every image."""
        return _noise(self.net.image_shape)

    @property
    def windows(self) -> int:
        """Windows given to the device in one call."""
        return self.design.windows_at_once(self.batch_size)

    @functools.cached_property
    def readings(self) -> Readings:
        """The network with what is read from it: the class probabilities."""
        net = self.net
        reads = readouts(
            {net.deciding: (len(net.labels),)},
            heads=net.heads,
            num_training_images=net.num_training_images,
            measure=WeightOfEvidence(),
        )
        return Readings(net.predict, reads)

    @property
    def design(self) -> Design:
        """What is drawn."""
        scheme = Scheme("independent", self.num_samples)
        return Design(self.grid, scheme, self.readings.jackknife)

    @property
    def batch(self) -> int:
        """Perturbed images of one call."""
        return self.windows * self.num_samples

    @property
    def parts_of_a_batch(self) -> int:
        """Evaluations of the network in one call."""
        return -(-self.batch // self.batch_size)

    @property
    def at_once(self) -> int:
        """Images that the network evaluates at once."""
        return -(-self.batch // self.parts_of_a_batch)

    @property
    def num_batches(self) -> int:
        """Calls of the run; the last one is filled up."""
        return -(-self.grid.size // self.windows)

    @property
    def images(self) -> int:
        """Perturbed images of the run."""
        return self.grid.size * self.num_samples

    def explain(self) -> pdjax.Explanation:
        """Make the whole call whose time is in question."""
        return pdjax.explain(
            self.net,
            self.image,
            self.sampler,
            rng_key=jax.random.key(2),
            num_samples=self.num_samples,
            stride=self.grid.stride,
            classes=NUM_CLASSES,
            engine="dense",
            batch_size=self.batch_size,
        )

    def compile_bare(self) -> Any:
        """Compile the network alone, with the class probabilities as its only output."""
        capture = self.net.probabilities[-1:]
        jitted = jax.jit(lambda params, images: self.net.predict(params, images, capture))
        return jitted.lower(self.net.params, self._some_images()).compile()

    def parts(self, bare: Any) -> dict[str, Callable[[], Any]]:
        """Calls, compiled, that do one part of the work each for all batches."""
        net, grid, num_samples = self.net, self.grid, self.num_samples
        images = self._some_images()
        classes = {self.net.deciding: jnp.arange(NUM_CLASSES)}
        readings, design = self.readings, self.design
        few = bare(net.params, images)
        outputs = jax.tree.map(lambda a: jnp.tile(a[:1], (self.batch, 1)), few)

        sample = jax.jit(functools.partial(draw, design=design))
        one_each = jax.jit(jax.vmap(paste, (None, 0, 0)))
        reduce = jax.jit(lambda o, c: summarise(readings.reduce(o, c), design))
        replicates = jnp.full(grid.size, num_samples)
        maps = jax.jit(lambda r, m: relevance_maps(r, m, replicates, grid, readings.readouts))

        starts = range(0, self.num_batches * self.windows, self.windows)
        batches = [np.minimum(np.arange(s, s + self.windows), grid.size - 1) for s in starts]
        draws = [first_draws(batch) for batch in batches]
        origins, patches = sample(self.image, self.sampler, jax.random.key(2), draws[0])
        origins = jnp.repeat(origins, num_samples, axis=0)
        patches = patches.reshape(-1, *patches.shape[2:])
        reference = jax.tree.map(lambda a: a[:1], readings.reduce(outputs, classes))
        moments = jax.tree.map(lambda a: jnp.tile(a[:1], (grid.size, 1)), reduce(outputs, classes))
        jax.block_until_ready((one_each(self.image, patches, origins), maps(reference, moments)))
        return {
            "bare": lambda: _in_turn(
                bare(net.params, images) for _ in range(self.num_batches * self.parts_of_a_batch)
            ),
            "sampling": lambda: _in_turn(
                sample(self.image, self.sampler, jax.random.key(2), batch) for batch in draws
            ),
            "pasting": lambda: _in_turn(one_each(self.image, patches, origins) for _ in batches),
            "reduction": lambda: _in_turn(reduce(outputs, classes) for _ in batches),
            "relevance maps": lambda: maps(reference, moments),
        }

    def _some_images(self) -> jax.Array:
        return _noise((self.at_once, *self.net.image_shape))


def _noise(shape: tuple[int, ...]) -> jax.Array:
    return jnp.asarray(np.random.default_rng(0).random(shape, np.float32))


def _in_turn(results: Iterable[Any]) -> Any:
    """Wait for each result with the next one already asked for, as the run itself does."""
    waiting = None
    for result in results:
        jax.block_until_ready(waiting)
        waiting = result
    return waiting
