"""Samplers: what could have been in a window."""

from pdjax.samplers.gaussian import ConditionalGaussian
from pdjax.samplers.marginal import Marginal
from pdjax.samplers.mixture import ConditionalMixture
from pdjax.samplers.occlusion import Blur, Constant, ImageMean

__all__ = [
    "Blur",
    "ConditionalGaussian",
    "ConditionalMixture",
    "Constant",
    "ImageMean",
    "Marginal",
]
