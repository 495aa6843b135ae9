"""Fully connected layers behind a feature map: from channels first to channels last."""

from __future__ import annotations

import numpy as np

__all__ = ["channels_last"]


def channels_last(kernel: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Reorder the inputs of a kernel (inputs, out) from (c, h, w) to (h, w, c).

    Caffe and PyTorch flatten a feature map of ``size`` (h, w) with its channels first. The inputs
    are a multiple of h w.
    """
    inputs, out = kernel.shape
    return kernel.reshape(-1, *size, out).transpose(1, 2, 0, 3).reshape(inputs, out)
