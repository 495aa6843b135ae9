"""Samplers: what could have been in a window.

- `ConditionalMixture`: a mixture of textures at several contrasts, given the ring of pixels around
  the window: sky goes on as sky, grass as grass. The default of the command line.
- `ConditionalGaussian`: one Gaussian over patches, given the ring; the paper's. It puts the same
  variation into every window, in a clear sky as well as in foliage, and is what ``regions=``,
  ``sampling="sobol"`` and ``"antithetic"`` need.
- `Marginal`: the same window of other images, which knows nothing of the surroundings.
- `Constant`, `ImageMean`, `Blur`: occlusion by a grey, a colour or a reference image, by the mean
  colour of the image, or by a blur of it.

Anything with the methods of `pdjax._types.Sampler` is one as well.
"""

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
