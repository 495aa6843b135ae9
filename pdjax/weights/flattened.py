"""Fully connected layers behind a feature map: from channels first to channels last."""

from __future__ import annotations

import math

import numpy as np

__all__ = ["channels_last"]


def channels_last(kernel: np.ndarray, size: tuple[int, int], argument: str) -> np.ndarray:
    """Reorder the inputs of a kernel (inputs, out) from (c, h, w) to (h, w, c).

    Caffe and PyTorch flatten a feature map of ``size`` (h, w) with its channels first. Raises
    ValueError, which names ``argument``, where the inputs are not such a map.
    """
    inputs, out = kernel.shape
    if inputs % math.prod(size):
        raise ValueError(
            f"{argument}: a fully connected layer has {inputs} inputs, which cannot come from a "
            f"feature map of {size[0]}x{size[1]} pixels; give the published file of this network"
        )
    return kernel.reshape(-1, *size, out).transpose(1, 2, 0, 3).reshape(inputs, out)
