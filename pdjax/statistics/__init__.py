"""What samplers are made of: statistics of image patches, and how they are fitted."""

from pdjax.statistics.patches import PatchStatistics
from pdjax.statistics.textures import PatchMixture

__all__ = ["PatchMixture", "PatchStatistics"]
