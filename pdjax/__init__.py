"""pdjax explains image classifiers by prediction difference analysis, in JAX."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from pdjax import local
from pdjax._explain.explain import explain, preview
from pdjax._explain.many import explain_all
from pdjax._side_by_side import compare
from pdjax.classifier import Classifier
from pdjax.explanation import Explanation
from pdjax.image import ImageFolder, example_photo, load_image
from pdjax.method.contents import WindowSamples, window_samples
from pdjax.method.difference import prediction_difference
from pdjax.method.marginalize import marginalize
from pdjax.method.measures import (
    Measure,
    activation_difference,
    information_difference,
    probability_difference,
    weight_of_evidence,
)
from pdjax.method.windows import WindowGrid
from pdjax.samplers import (
    Blur,
    ConditionalGaussian,
    ConditionalMixture,
    Constant,
    ImageMean,
    Marginal,
)
from pdjax.statistics import PatchMixture, PatchStatistics

if TYPE_CHECKING:
    from pdjax.adapters.wrap import wrap
    from pdjax.weights.load import load_model

__all__ = [
    "Blur",
    "Classifier",
    "ConditionalGaussian",
    "ConditionalMixture",
    "Constant",
    "Explanation",
    "ImageFolder",
    "ImageMean",
    "Marginal",
    "Measure",
    "PatchMixture",
    "PatchStatistics",
    "WindowGrid",
    "WindowSamples",
    "activation_difference",
    "compare",
    "example_photo",
    "explain",
    "explain_all",
    "information_difference",
    "load_image",
    "load_model",
    "local",
    "marginalize",
    "prediction_difference",
    "preview",
    "probability_difference",
    "weight_of_evidence",
    "window_samples",
    "wrap",
]

# The published networks bring Flax, their weights a client for downloads, and pictures matplotlib:
# each is imported when it is first asked for.
ON_FIRST_USE = {"load_model": "pdjax.weights.load", "wrap": "pdjax.adapters.wrap"}
MODULES_ON_FIRST_USE = ("bias", "metrics", "models", "picture", "sampling", "weights")


def __getattr__(name: str) -> Any:
    if name in ON_FIRST_USE:
        value = getattr(importlib.import_module(ON_FIRST_USE[name]), name)
    elif name in MODULES_ON_FIRST_USE:
        value = importlib.import_module(f"pdjax.{name}")
    elif name == "__version__":
        value = importlib.import_module("importlib.metadata").version("pdjax")
    else:
        raise AttributeError(f"module 'pdjax' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *ON_FIRST_USE, *MODULES_ON_FIRST_USE, "__version__"})
