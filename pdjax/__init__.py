"""pdjax explains image classifiers by prediction difference analysis, in JAX."""

from pdjax.difference import prediction_difference
from pdjax.explain import explain
from pdjax.explanation import Explanation
from pdjax.image import ImageFolder, load_image
from pdjax.marginalize import marginalize
from pdjax.models.classifier import Classifier
from pdjax.preview import preview
from pdjax.relevance import (
    activation_difference,
    information_difference,
    probability_difference,
    weight_of_evidence,
)
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
from pdjax.windows import WindowGrid

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
