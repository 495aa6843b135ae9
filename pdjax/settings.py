"""How an explanation was computed, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pdjax.method.schemes import SCHEMES

__all__ = ["in_words", "stride_in_words"]


def in_words(settings: Mapping[str, Any]) -> str:
    """Return the settings of an explanation as a line for below its pictures."""
    window = " by ".join(map(str, settings["window"]))
    stride = stride_in_words(settings)
    where = f" of {settings['start']}" if settings.get("start") else ""
    least = settings["num_samples"]
    most = settings.get("most_samples", least)
    samples = str(least) if least == most else f"{least} to {most}"
    samples += f" sample{'s' if most > 1 else ''} a window"
    # Files that were written before there was a choice have independent samples.
    scheme = settings.get("sampling", SCHEMES[0])
    samples += "" if scheme == SCHEMES[0] else f" ({scheme})"
    correction = settings["num_training_images"]
    return (
        f"{settings['model']}; {settings['sampler']}; "
        f"windows of {window} pixels{where} at stride {stride}, "
        f"{samples}, {settings['passes']:,} forward passes"
        + ("" if correction is None else f"; Laplace's correction with N = {correction:,}")
    )


def stride_in_words(settings: Mapping[str, Any]) -> str:
    """Return the stride of an explanation: one number where it is the same on all axes."""
    return " by ".join(map(str, dict.fromkeys(settings["stride"])))
