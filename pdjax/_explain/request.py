"""What somebody asks for when an image is to be explained: every argument, default and check.

A request is built once, by `explain`, by `preview` or by the command line. Building it checks what
can be seen from the arguments alone; `Request.check` compares them with the network and the sampler
before anything runs. The command line makes the sampler, which may take long, after that; until
then something stands in for it that knows what is asked of a sampler before it is drawn from.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import itertools
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pdjax._bounds import AUTO, Asked, image_bounds
from pdjax._checks import (
    UNIT,
    ArgumentTypeError,
    ArgumentValueError,
    Bounds,
    check_choice,
    check_count,
    check_gigabytes,
    check_image,
    check_key,
    check_sampler,
    remedy_for_shape,
)
from pdjax._explain.budget import Budget
from pdjax._explain.classes import select_classes
from pdjax._files import writable_folder
from pdjax._functions import image_dtype
from pdjax._precision import PRECISIONS, cancels
from pdjax._types import Array, Float, Key, Sampler, has_shared_samples
from pdjax.classifier import Classifier, Labels, check_layers, wrap_callable
from pdjax.method.channels import Channels, check_channels
from pdjax.method.evaluation import ENGINES, Engine
from pdjax.method.marginalize import Design
from pdjax.method.measures import Measure, find_measure
from pdjax.method.regions import RegionGrid
from pdjax.method.schemes import SCHEMES, Scheme
from pdjax.method.where import Part, check_where
from pdjax.method.windows import WindowGrid, check_windows, coarse_to_fine
from pdjax.samplers.regions import region_contents

__all__ = ["CALLABLE", "PreviewRequest", "Request"]

CALLABLE = "callable"
"""The engine for a function that is not written in JAX."""


@dataclasses.dataclass(frozen=True, eq=False)
class Request:
    """The arguments of `pdjax.explain`, which documents them."""

    net: Classifier | Callable[[np.ndarray], Any]
    image: Float[Array, "*spatial c"] | np.ndarray
    sampler: Sampler
    _: dataclasses.KW_ONLY
    rng_key: Key[Array, ""]
    num_samples: int | None = None
    target_error: float | int | None = None
    max_passes: int | None = None
    stride: int | tuple[int, ...] = 1
    sampling: str = SCHEMES[0]
    bias_correction: bool = True
    classes: int | np.integer | Sequence[int | str] | np.ndarray | jax.Array | None = None
    labels: Labels = None
    outputs: str | Mapping[str, str] | None = None
    layers: Sequence[str] | None = None
    units: Mapping[str, Sequence[int | tuple[int, ...]]] | None = None
    start: str | None = None
    measure: str | Measure = "weight_of_evidence"
    engine: str = ENGINES[0]
    batch_size: int | None = None
    lowerings: bool = True
    precision: str = PRECISIONS[0]
    max_memory: float | int | None = None
    progress: bool = False
    checkpoint: str | os.PathLike[str] | None = None
    bounds: Asked = AUTO
    where: Part | None = None
    channels: int | Sequence[int] | np.ndarray | jax.Array | None = None
    regions: Any = None

    def __post_init__(self) -> None:
        check_sampler(self.sampler)
        _ = self.pixels
        check_key(self.rng_key)
        check_choice("engine", self.engine, (*ENGINES, CALLABLE))
        find_measure(self.measure)
        if cancels(self.precision) and self.plain:
            raise ArgumentValueError(
                "precision",
                "is for networks written in JAX",
                "set that of the callable where it is made, and leave this out",
                value=self.precision,
            )
        check_gigabytes(self.max_memory)
        if self.batch_size is not None:
            batch_size = check_count("batch_size", self.batch_size)
            object.__setattr__(self, "batch_size", batch_size)
        if not (self.plain or isinstance(self.net, Classifier)):
            raise ArgumentTypeError(
                "net",
                "is no Classifier",
                "make one with pdjax.Classifier.from_function, or pass engine='callable' for a "
                "function that is not written in JAX",
                value=self.net,
            )
        for argument in ("labels", "outputs"):
            if getattr(self, argument) is not None and not self.plain:
                raise ArgumentValueError(
                    argument,
                    "belong to the network, and are for engine='callable' here",
                    f"pass {argument}= to pdjax.Classifier.from_function",
                )
        if not (self.layers is None or (isinstance(self.layers, Collection) and len(self.layers))):
            raise ArgumentTypeError(
                "layers", "must be names of layers, at least one", value=self.layers
            )
        if not isinstance(self.units, Mapping | None):
            raise ArgumentTypeError(
                "units",
                "must map layers to feature maps and units",
                "give something like {'conv': [17, (17, 5, 6)]}",
                value=self.units,
            )
        if self.checkpoint is not None:
            writable_folder(Path(self.checkpoint), "checkpoint")
        # Made once, by the dataclass that knows what fits, and kept.
        _ = self.budget, self.scheme

    @property
    def plain(self) -> bool:
        """Whether the network is a Python callable that is not written in JAX."""
        return self.engine == CALLABLE

    @functools.cached_property
    def pixels(self) -> Float[Array, "*spatial c"]:
        """The image, as it goes to the device: a copy, which nobody else can change."""
        image = check_image(self.image, bounds=self.image_bounds)
        params = self.net.params if isinstance(self.net, Classifier) else None
        return jnp.array(image, image_dtype(params, self.image))

    @functools.cached_property
    def image_bounds(self) -> Bounds:
        """The range of the image; windows of a hidden layer have a sampler of another range."""
        declared = self.net.bounds if isinstance(self.net, Classifier) else UNIT
        sampler = self.sampler if self.start is None else None
        return image_bounds(self.bounds, sampler, declared)

    @functools.cached_property
    def classifier(self) -> Classifier:
        """The network; a plain callable is asked once what it returns."""
        if isinstance(self.net, Classifier):
            return self.net
        return wrap_callable(self.net, np.asarray(self.pixels), self.outputs, self.labels)

    @functools.cached_property
    def budget(self) -> Budget:
        """When to stop."""
        return Budget(self.target_error, self.max_passes)

    @functools.cached_property
    def scheme(self) -> Scheme:
        """The samples of a draw."""
        count = self.num_samples
        if count is None:
            # Where samples go together, one is too few, whatever the sampler.
            alone = self.sampler.constant and self.sampling == SCHEMES[0]
            count = 1 if alone else self._samples_of_a_draw
        return Scheme(self.sampling, count)

    @property
    def _samples_of_a_draw(self) -> int:
        if not self.budget.given:
            return 10
        return 2 if self.sampling == SCHEMES[0] else 4

    @property
    def how(self) -> Engine:
        """How a network written in JAX is evaluated."""
        return Engine(self.engine, self.batch_size, self.lowerings, self.max_memory)

    @property
    def stages(self) -> tuple[int | tuple[int, ...], ...]:
        """Strides of the maps that are asked for, one after the other."""
        return (self.stride,)

    @functools.cached_property
    def field_shape(self) -> tuple[int, ...]:
        """Shape of the array whose windows are hidden: of the image, or of a hidden layer."""
        net = self.classifier
        return net.image_shape if self.start is None else net.activation_shape(self.start)

    @functools.cached_property
    def grids(self) -> tuple[WindowGrid | RegionGrid, ...]:
        """Windows that are asked for, stage by stage; each has those of the one before."""
        window, spatial = self.sampler.window, self.field_shape[:-1]
        if self.regions is not None:
            return (RegionGrid.of(self.regions, spatial),)
        return tuple(WindowGrid(spatial, window, stride) for stride in self.stages)

    @property
    def grid(self) -> WindowGrid | RegionGrid:
        """All windows, or regions."""
        return self.grids[-1]

    @functools.cached_property
    def part(self) -> np.ndarray | None:
        """The pixels that are explained, a boolean array; None for all."""
        return None if self.where is None else check_where(self.where, self.grid.spatial)

    def chosen(self, grid: WindowGrid | RegionGrid) -> np.ndarray:
        """Indices among all windows of those of a grid that are evaluated."""
        windows = np.arange(grid.size) if self.part is None else grid.touching(self.part)
        return self.among_all(grid)[windows]

    def among_all(self, grid: WindowGrid | RegionGrid) -> np.ndarray:
        """Indices among all windows of those of a grid."""
        if isinstance(grid, WindowGrid) and isinstance(self.grid, WindowGrid):
            return self.grid.indices_of(grid)
        return np.arange(grid.size)

    @functools.cached_property
    def hidden_channels(self) -> Channels:
        """The channels that are hidden one at a time; None hides all of a window at once."""
        return check_channels(self.channels, self.field_shape[-1])

    @functools.cached_property
    def images_per_draw(self) -> int:
        """Images that are evaluated in a draw of one window."""
        return self.design.images_per_draw

    @property
    def design(self) -> Design:
        """Which windows are drawn, and how; what is made of them is still to be added."""
        # Of regions, which do not overlap, no pixel has more than one.
        shared = self.regions is None and has_shared_samples(self.sampler)
        own = cancels(self.precision)
        return Design(self.grid, self.scheme, None, self.hidden_channels, own, shared)

    @property
    def deciding(self) -> str:
        """The layer whose numbers rank the classes of all layers that have the same."""
        return self.classifier.deciding

    @property
    def wanted_layers(self) -> tuple[str, ...]:
        """The layers to explain."""
        if self.layers is None:
            return (self.deciding,)
        return (self.layers,) if isinstance(self.layers, str) else tuple(self.layers)

    def chosen_classes(self, layer: str, outputs: Mapping[str, Any]) -> tuple[int, ...]:
        """Indices of the classes to explain of an output layer, given the outputs ``(1, k)``.

        Layers with the classes of the deciding one show the same of them.
        """
        heads = self.classifier.heads
        labels = heads[layer].labels
        same = self.deciding in heads and labels == heads[self.deciding].labels
        scores = outputs[self.deciding if same else layer][0]
        wanted = min(3, len(labels)) if self.classes is None else self.classes
        return select_classes(wanted, labels, np.asarray(scores))

    def check(self) -> None:
        """Compare everything with the network and the sampler; nothing has run by then.

        Raises
        ------
        ValueError
            With the first argument that does not fit.
        """
        net = self.classifier
        if self.pixels.shape != net.image_shape:
            raise ArgumentValueError(
                "image",
                f"of shape {self.pixels.shape} does not fit {net.name}, which takes "
                f"{net.image_shape}",
                remedy_for_shape(self.pixels.shape, net.image_shape),
            )
        check_layers(self.wanted_layers, net.layers)
        self._check_classes()
        if self.start is not None:
            self._check_start(self.start)
        self.scheme.check(self.sampler)
        self.scheme.check_error(self.sampler)
        self._check_drawing(self.sampler)
        for coarse, fine in itertools.pairwise(self.grids):
            if isinstance(fine, WindowGrid) and isinstance(coarse, WindowGrid):
                fine.indices_of(coarse)
        if isinstance(self.grid, RegionGrid):
            self._check_regions(self.grid)
        windows = len(self.chosen(self.grid))
        if windows == 0:
            raise ArgumentValueError(
                "where", "touches no region", "choose another part, or leave it out"
            )
        self.budget.check(windows, self.images_per_draw, self.sampler)

    def _check_drawing(self, sampler: Sampler) -> None:
        sampler.check(self.field_shape, self.scheme.num_samples)
        if isinstance(self.grid, WindowGrid):
            check_windows(sampler, self.grid)

    def _check_regions(self, grid: RegionGrid) -> None:
        if self.stride != 1:
            raise ArgumentValueError(
                "stride", "does nothing with regions", "leave it out", value=self.stride
            )
        region_contents(self.sampler, np.zeros(self.field_shape, np.float32), grid)

    def _check_classes(self) -> None:
        heads = self.classifier.heads
        nothing = {layer: np.zeros((1, len(head.labels))) for layer, head in heads.items()}
        explained = [layer for layer in self.wanted_layers if layer in heads]
        for layer in explained:
            self.chosen_classes(layer, nothing)
        if self.classes is not None and not explained:
            raise ArgumentValueError(
                "classes",
                f"are of no explained layer: {', '.join(self.wanted_layers)} "
                "hold no number per class",
                "leave them out, or choose feature maps with units=",
                value=self.classes,
            )

    def _check_start(self, start: str) -> None:
        if self.plain:
            raise ArgumentValueError(
                "start",
                "needs a network written in JAX",
                "leave it out with the callable engine",
                value=start,
            )
        check_layers((start,), self.classifier.layers, "start")
        if len(self.field_shape) < 2:
            raise ArgumentValueError(
                "start",
                "has no spatial axes to hide windows of",
                "choose a convolutional layer",
                value=start,
            )

    def with_sampler(self, sampler: Sampler) -> Request:
        """Return the same request, checked as it is, with the sampler that was still to be made.

        Raises
        ------
        ValueError
            If the sampler does not fit the image or the samples.
        """
        self._check_drawing(sampler)
        request = copy.copy(self)
        object.__setattr__(request, "sampler", sampler)
        for made in ("image_bounds", "pixels"):
            vars(request).pop(made, None)
        _ = request.pixels
        return request


@dataclasses.dataclass(frozen=True, eq=False)
class PreviewRequest(Request):
    """The arguments of `pdjax.preview`: those of `explain`, and a stride for every stage."""

    strides: Sequence[int] | None = dataclasses.field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.strides is not None and len(self.strides) == 0:
            raise ArgumentValueError("strides", "are none", "give at least one, e.g. (8, 4, 2, 1)")
        if self.budget.given:
            raise ArgumentValueError(
                "preview",
                "refines a map window by window, and a budget sample by sample",
                "leave out one of them",
            )
        if self.regions is not None:
            raise ArgumentValueError(
                "preview", "refines a stride, and regions have none", "leave out one of them"
            )

    @property
    def stages(self) -> tuple[int | tuple[int, ...], ...]:
        """Strides of the maps that are asked for, from coarse to fine."""
        if self.strides is not None:
            return tuple(self.strides)
        return coarse_to_fine(self.stride, self.sampler.window)
