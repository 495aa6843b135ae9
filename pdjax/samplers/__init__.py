"""Samplers: what could have been in a window."""

from pdjax.samplers.gaussian import ConditionalGaussian
from pdjax.samplers.marginal import Marginal
from pdjax.samplers.mixture import ConditionalMixture
from pdjax.samplers.occlusion import Blur, Constant, ImageMean
from pdjax.statistics.patches import PatchStatistics
from pdjax.statistics.textures import PatchMixture

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
