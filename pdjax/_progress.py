"""One kind of progress bar: rate, time left, silent where nobody waits."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    # Without notebook widgets the bar is drawn as text, which is as good.
    warnings.simplefilter("ignore")
    from tqdm.auto import tqdm

__all__ = ["progress_bar"]


def progress_bar(
    total: int,
    unit: str,
    enabled: bool,
    description: str = "",
    initial: int = 0,
    delay: float = 0.0,
) -> tqdm:
    """Return a bar that counts to ``total`` and shows the rate in ``unit``/s and the time left.

    It appears after ``delay`` seconds, if the work is not done by then.
    """
    return tqdm(
        total=total,
        initial=initial,
        delay=delay,
        unit=f" {unit}",
        desc=description or None,
        disable=not enabled,
        mininterval=0.2,
        dynamic_ncols=True,
        smoothing=0.1,
    )
