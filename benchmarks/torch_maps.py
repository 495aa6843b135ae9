"""Maps by hiding parts of an image in PyTorch: those of Captum, and RISE.

Every function takes a network ``images (n, h, w, 3) -> probabilities (n, classes)`` of PyTorch
tensors, an image, the index of a class and the colour that hides, and returns a map ``(h, w)``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import captum.attr
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["feature_ablation", "kernel_shap", "occlusion", "rise"]

AT_ONCE = 16
"""Images evaluated at once."""

Network = Callable[[Tensor], Tensor]


def occlusion(
    f: Network, image: np.ndarray, index: int, colour: np.ndarray, *, window: int, stride: int
) -> np.ndarray:
    """Captum's Occlusion: mean loss of probability over the windows on a pixel."""
    found = captum.attr.Occlusion(f).attribute(
        _batch(image),
        sliding_window_shapes=(window, window, 3),
        strides=(stride, stride, 3),
        baselines=_colour(image, colour),
        target=index,
        perturbations_per_eval=AT_ONCE,
    )
    return _map(found)


def feature_ablation(
    f: Network, image: np.ndarray, index: int, colour: np.ndarray, *, cells: int
) -> np.ndarray:
    """Captum's FeatureAblation: loss of probability with one of ``cells**2`` squares hidden."""
    found = captum.attr.FeatureAblation(f).attribute(
        _batch(image), **_by_squares(image, index, colour, cells)
    )
    return _map(found)


def kernel_shap(
    f: Network,
    image: np.ndarray,
    index: int,
    colour: np.ndarray,
    *,
    cells: int,
    samples: int,
    seed: int,
) -> np.ndarray:
    """Captum's KernelShap: Shapley values of ``cells**2`` squares, by regression on subsets."""
    torch.manual_seed(seed)
    found = captum.attr.KernelShap(f).attribute(
        _batch(image), n_samples=samples, **_by_squares(image, index, colour, cells)
    )
    return _map(found)


def rise(
    f: Network,
    image: np.ndarray,
    index: int,
    colour: np.ndarray,
    *,
    cells: int,
    samples: int,
    seed: int,
) -> np.ndarray:
    """Mean probability where a pixel is seen (RISE; Petsiuk, Das and Saenko, 2018).

    Masks are ``cells**2`` squares, seen or hidden with probability one half, enlarged bilinearly
    and shifted at random.
    """
    random = torch.Generator().manual_seed(seed)
    height, width = image.shape[:-1]
    side = -(-max(height, width) // cells)
    total = torch.zeros(height, width)
    pixels, hidden = _batch(image), torch.as_tensor(colour, dtype=torch.float32)
    for start in range(0, samples, AT_ONCE):
        count = min(AT_ONCE, samples - start)
        # One square more on each axis, so that there is room to shift.
        coarse = torch.rand(count, 1, cells + 1, cells + 1, generator=random).round()
        fine = F.interpolate(coarse, scale_factor=side, mode="bilinear", align_corners=False)[:, 0]
        shifts = torch.randint(side, (count, 2), generator=random).tolist()
        masks = torch.stack(
            [m[y : y + height, x : x + width] for m, (y, x) in zip(fine, shifts, strict=True)]
        )
        weights = f(hidden + masks[..., None] * (pixels - hidden))[:, index]
        total += torch.einsum("n,nhw->hw", weights, masks)
    return (total / (samples * 0.5)).numpy()


def _batch(image: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(image, np.float32))[None]


def _colour(image: np.ndarray, colour: np.ndarray) -> Tensor:
    return torch.as_tensor(np.array(np.broadcast_to(colour, image.shape), np.float32))[None]


def _by_squares(image: np.ndarray, index: int, colour: np.ndarray, cells: int) -> dict[str, Any]:
    """What Captum is told about squares that are hidden behind a colour."""
    return {
        "baselines": _colour(image, colour),
        "target": index,
        "feature_mask": _squares(image, cells),
        "perturbations_per_eval": AT_ONCE,
    }


def _squares(image: np.ndarray, cells: int) -> Tensor:
    """Number of the square that each pixel is in, int64 (1, h, w, 1)."""
    rows, columns = (np.arange(side) * cells // side for side in image.shape[:-1])
    return torch.from_numpy((rows[:, None] * cells + columns)[None, ..., None])


def _map(found: Tensor) -> np.ndarray:
    """All channels of a pixel were hidden together and have the same number."""
    return found[0, ..., 0].detach().numpy()
