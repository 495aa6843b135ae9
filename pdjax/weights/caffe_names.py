"""From the layers of a published Caffe model to our parameters, one function a network.

Names and kernels agree already (`read_caffemodel`). What differs is the order in which a feature
map is flattened, and that a published file may hold classifiers that only training used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from pdjax.weights.flattened import channels_last

__all__ = ["FROM_CAFFE", "bvlc_alexnet_params", "bvlc_googlenet_params"]

Layers = Mapping[str, Mapping[str, np.ndarray]]
LayerParams = dict[str, dict[str, np.ndarray]]

ALEXNET_SIDE = 6


def bvlc_alexnet_params(layers: Layers) -> LayerParams:
    """Map ``bvlc_alexnet.caffemodel``: ``fc6`` reads a 6x6 feature map, channels first in Caffe."""
    params = {name: dict(parts) for name, parts in layers.items()}
    kernel = params.get("fc6", {}).get("kernel")
    # A kernel that cannot read such a map is left to the comparison with the network.
    if kernel is not None and kernel.ndim == 2 and kernel.shape[0] % ALEXNET_SIDE**2 == 0:
        params["fc6"]["kernel"] = channels_last(kernel, (ALEXNET_SIDE, ALEXNET_SIDE))
    return params


def bvlc_googlenet_params(layers: Layers) -> LayerParams:
    """Map ``bvlc_googlenet.caffemodel``, leaving out the two auxiliary classifiers."""
    return {
        name: dict(parts)
        for name, parts in layers.items()
        if not name.startswith(("loss1/", "loss2/"))
    }


FROM_CAFFE: dict[str, Callable[[Layers], LayerParams]] = {
    "bvlc_alexnet": bvlc_alexnet_params,
    "bvlc_googlenet": bvlc_googlenet_params,
}
"""The function for each network that was published as a Caffe model."""
