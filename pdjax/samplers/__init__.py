"""Samplers: what could have been in a window."""

from pdjax.samplers.conditional_gaussian import ConditionalGaussian
from pdjax.samplers.conditional_mixture import ConditionalMixture
from pdjax.samplers.constant import Blur, Constant, ImageMean
from pdjax.samplers.marginal import Marginal
from pdjax.samplers.mixture import PatchMixture
from pdjax.samplers.statistics import PatchStatistics

__all__ = [
    "Blur",
    "ConditionalGaussian",
    "ConditionalMixture",
    "Constant",
    "ImageMean",
    "Marginal",
    "PatchMixture",
    "PatchStatistics",
]
