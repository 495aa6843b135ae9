"""Explanations of random numbers, made without a network."""

from __future__ import annotations

import numpy as np

from pdjax import Explanation, WindowGrid

__all__ = ["small_explanation"]


def small_explanation(
    *,
    size: tuple[int, ...] = (8, 8),
    channels: int = 3,
    window: int = 4,
    stride: int = 2,
    names: tuple[str, ...] = ("a, bee", "b, bee"),
    sampler: str = "samples",
    seed: int = 0,
) -> Explanation:
    """Return an explanation of one layer of classes, ``prob``."""
    random = np.random.default_rng(seed)
    grid = WindowGrid(size, window, stride)
    rows = len(names)

    def numbers(*shape: int) -> dict[str, np.ndarray]:
        return {"prob": random.normal(size=(rows, *shape)).astype(np.float32)}

    def positive(*shape: int) -> dict[str, np.ndarray]:
        return {layer: np.abs(values) for layer, values in numbers(*shape).items()}

    return Explanation(
        image=np.random.default_rng(9).random((*size, channels), dtype=np.float32),
        relevance=numbers(*size),
        standard_error=positive(*size),
        window_relevance=numbers(*grid.shape),
        window_standard_error=positive(*grid.shape),
        layer_relevance={},
        layer_standard_error={},
        prediction={"prob": np.full(rows, 1 / rows, np.float32)},
        names={"prob": names},
        measures={"prob": "weight of evidence (bits)"},
        symbols={"prob": "bits"},
        settings={
            "model": "small",
            "sampler": sampler,
            "window": list(grid.window),
            "stride": list(grid.stride),
            "num_samples": 4,
            "passes": 4 * grid.size + 1,
            "probabilities": ["prob"],
            "measure": "weight_of_evidence",
            "num_training_images": None,
            "units": {},
        },
    )
