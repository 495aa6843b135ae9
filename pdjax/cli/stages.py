"""What one command gives: an explanation, or with a preview one for each of its stages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from pdjax._explain.budget import Budget
from pdjax._explain.explain import explain
from pdjax._explain.preview import coarse_to_fine, preview
from pdjax._types import Sampler
from pdjax.classifier import Classifier
from pdjax.explanation import Explanation

__all__ = ["check_preview", "stages"]


def check_preview(wanted: bool, budget: Budget) -> None:
    """Raise ValueError where a map is to be refined in two ways at once."""
    if wanted and budget.given:
        raise ValueError(
            "preview: refines a map window by window, and a budget sample by sample; leave out "
            "--preview, or target_error and max_passes"
        )


def stages(
    net: Classifier,
    image: np.ndarray,
    sampler: Sampler,
    *,
    in_stages: bool,
    stride: int,
    budget: Budget,
    **options: Any,
) -> Iterator[Explanation]:
    """Give the explanation of `explain`, or with ``in_stages`` those of `preview`."""
    if in_stages:
        strides = coarse_to_fine(stride, sampler.window)
        yield from preview(net, image, sampler, strides=strides, **options)
    else:
        yield explain(
            net, image, sampler, stride=stride, target_error=budget.target_error,
            max_passes=budget.max_passes, **options,
        )  # fmt: skip
