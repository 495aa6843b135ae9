"""The maps that are compared: one dictionary of methods by name.

A method makes a map ``(h, w)`` of a classifier, an image, a class and a key. All that look at
perturbed images get about the same number of forward passes; a backward pass counts as two.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
from collections.abc import Callable
from typing import Any, NamedTuple

import gradient_maps
import jax
import numpy as np

import pdjax
from pdjax.method.windows import WindowGrid

__all__ = ["HIDING_COLOUR", "Method", "Setting", "has_peers", "methods"]

HIDING_COLOUR = np.array([123, 117, 104], np.float32) / 255
"""Mean colour of ImageNet: what 0 is to a network that has it subtracted, Captum's default."""

SAMPLES = 2
"""Samples of a window: the more windows for the same number of passes."""


class Method(NamedTuple):
    """A way to make a map.

    Attributes
    ----------
    make : callable
        ``make(net, image (h, w, 3), class index, key) -> map (h, w)``.
    passes : int
        Forward passes that it takes.
    """

    make: Callable[[pdjax.Classifier, np.ndarray, int, jax.Array], np.ndarray]
    passes: int


@dataclasses.dataclass(frozen=True, eq=False)
class Setting:
    """What all methods have in common.

    Attributes
    ----------
    net : Classifier
    scores, features : str
        Its layers before the softmax, and the last with spatial axes.
    peer : callable
        The network in PyTorch, of the parameters in pdjax.
    marginal : float array (n, h, w, 3)
        Photographs that are not among those explained.
    window : int
        Pixels of a window.
    passes : int
        Forward passes of a map, about.
    cells : int
        Squares along a side of the image, of the methods that hide random subsets of squares.
    """

    net: pdjax.Classifier
    scores: str
    features: str
    peer: Callable[[Any], Any]
    marginal: np.ndarray
    window: int
    passes: int
    cells: int

    def grid(self, samples: int) -> WindowGrid:
        """Return the grid of windows that comes nearest to the passes."""
        spatial = self.net.image_shape[:-1]
        grids = [WindowGrid(spatial, self.window, k) for k in range(1, self.window + 1)]
        return min(grids, key=lambda grid: abs(grid.size * samples - self.passes))


def has_peers() -> bool:
    """Whether what the methods in PyTorch need is installed."""
    return all(importlib.util.find_spec(name) for name in ("torch", "captum", "sklearn"))


def methods(setting: Setting) -> dict[str, Method]:
    """Return all methods by name; those in PyTorch only where it is installed."""
    rows = _differences(setting) | _gradients(setting)
    return rows | _in_torch(setting) if has_peers() else rows


def _differences(setting: Setting) -> dict[str, Method]:
    window = setting.window
    statistics = pdjax.PatchStatistics.natural_images()
    mixture = pdjax.PatchMixture.natural_images()
    samplers = {
        "conditional mixture": pdjax.ConditionalMixture(mixture, window),
        "conditional Gaussian, joint": pdjax.ConditionalGaussian(statistics, window),
        "conditional Gaussian, independent": pdjax.ConditionalGaussian(
            statistics, window, color="independent"
        ),
        "marginal": pdjax.Marginal(setting.marginal, window),
        "occlusion, grey": pdjax.Constant(0.5, window),
        "occlusion, mean colour": pdjax.ImageMean(window),
        "occlusion, blur": pdjax.Blur(window),
    }
    return {f"pdjax, {name}": _difference(setting, some) for name, some in samplers.items()}


def _difference(setting: Setting, sampler: Any) -> Method:
    samples = 1 if sampler.constant else SAMPLES
    grid = setting.grid(samples)

    def make(
        net: pdjax.Classifier, image: np.ndarray, index: int, rng_key: jax.Array
    ) -> np.ndarray:
        explanation = pdjax.explain(
            net,
            image,
            sampler,
            rng_key=rng_key,
            num_samples=samples,
            stride=grid.stride,
            classes=[index],
        )
        return explanation.relevance[net.deciding][0]

    return Method(make, grid.size * samples + 1)


def _gradients(setting: Setting) -> dict[str, Method]:
    scores, count = setting.scores, max(setting.passes // 3, 1)
    smooth = functools.partial(gradient_maps.smooth_grad, scores=scores, samples=count)
    integrated = functools.partial(
        gradient_maps.integrated_gradients, scores=scores, baseline=HIDING_COLOUR, steps=count
    )
    cam = functools.partial(gradient_maps.grad_cam, scores=scores, features=setting.features)
    return {
        "gradient": Method(lambda *of: gradient_maps.gradient(*of[:3], scores), 3),
        "SmoothGrad": Method(lambda *of: smooth(*of[:3], rng_key=of[3]), 3 * count),
        "integrated gradients": Method(lambda *of: integrated(*of[:3]), 3 * count),
        "Grad-CAM": Method(lambda *of: cam(*of[:3]), 3),
    }


def _in_torch(setting: Setting) -> dict[str, Method]:
    import torch_maps

    own, cells, passes = setting.peer(setting.net.params), setting.cells, setting.passes

    def method(of: Callable[..., np.ndarray], passes: int, **settings: int) -> Method:
        random = "samples" in settings

        def make(
            net: pdjax.Classifier, image: np.ndarray, index: int, rng_key: jax.Array
        ) -> np.ndarray:
            f = own if net is setting.net else setting.peer(net.params)
            seed = {"seed": int(jax.random.bits(rng_key) >> 1)} if random else {}
            return of(f, image, index, HIDING_COLOUR, **settings, **seed)

        return Method(make, passes)

    grid = setting.grid(1)
    squares = max(round(passes**0.5), 1)
    return {
        "Captum Occlusion": method(
            torch_maps.occlusion, grid.size + 1, window=setting.window, stride=grid.stride[0]
        ),
        "Captum FeatureAblation": method(
            torch_maps.feature_ablation, squares**2 + 1, cells=squares
        ),
        "Captum KernelShap": method(torch_maps.kernel_shap, passes, cells=cells, samples=passes),
        "RISE": method(torch_maps.rise, passes, cells=cells, samples=passes),
    }
