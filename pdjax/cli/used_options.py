"""Which options each sampler uses: one that would do nothing is refused, not ignored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["OF_DRAWS", "OF_HIDDEN_SAMPLERS", "OF_SAMPLERS", "check_used"]

OF_SAMPLERS: Mapping[str, tuple[str, ...]] = {
    "conditional": ("padding", "color", "statistics"),
    "mixture": ("padding", "statistics"),
    "marginal": ("images",),
    "grey": (),
    "mean": (),
    "blur": (),
}

OF_HIDDEN_SAMPLERS: Mapping[str, tuple[str, ...]] = {
    "conditional": ("padding", "color", "images"),
    "marginal": ("images",),
}
"""The same where windows of a hidden layer are hidden: these learn from images alone."""

OF_DRAWS: Mapping[str, tuple[str, ...]] = {
    "conditional": ("samples", "target_error", "max_passes"),
    "mixture": ("samples", "target_error", "max_passes"),
    "marginal": ("samples",),
    "grey": (),
    "mean": (),
    "blur": (),
}
"""How often a sampler is drawn from: not at all where there is one content, and once where there
are only so many."""


def check_used(used: Mapping[str, tuple[str, ...]], sampler: str, **options: Any) -> None:
    """Raise ValueError for the first option that is given and that the sampler does not use.

    Where there is no sampler of that name, nothing is said of its options.

    Parameters
    ----------
    used : mapping of str to tuple of str
        The options of each sampler.
    sampler : str
        The name of a sampler.
    **options
        What was given for each option, None for nothing.

    Examples
    --------
    >>> check_used(OF_SAMPLERS, "mixture", padding=3, images=None)
    >>> check_used(OF_SAMPLERS, "grey", padding=3, images=None)
    Traceback (most recent call last):
    ...
    ValueError: padding=3 does nothing with --sampler grey; leave out --padding, or give
    --sampler conditional or mixture
    """
    for option, value in options.items():
        if value is None or option in used.get(sampler, options):
            continue
        start = " and --start" if used is OF_HIDDEN_SAMPLERS else ""
        users = " or ".join(other for other in used if option in used[other])
        instead = f", or give --sampler {users}" if users else ""
        shown = value if isinstance(value, int | float) else repr(str(value))
        raise ValueError(
            f"{option}={shown} does nothing with --sampler {sampler}{start}; "
            f"leave out --{option.replace('_', '-')}{instead}"
        )
