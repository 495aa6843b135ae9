"""pdjax explains image classifiers by prediction difference analysis, in JAX."""

from pdjax._explain.explain import explain
from pdjax._explain.preview import preview
from pdjax.classifier import Classifier
from pdjax.explanation import Explanation
from pdjax.image import ImageFolder, load_image
from pdjax.method.difference import prediction_difference
from pdjax.method.marginalize import marginalize
from pdjax.method.measures import (
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
    PatchMixture,
    PatchStatistics,
)
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
    "PatchMixture",
    "PatchStatistics",
    "WindowGrid",
    "activation_difference",
    "explain",
    "information_difference",
    "load_image",
    "load_model",
    "marginalize",
    "prediction_difference",
    "preview",
    "probability_difference",
    "weight_of_evidence",
]
