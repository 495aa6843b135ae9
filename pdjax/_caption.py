"""How an explanation was computed, in words for below its pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pdjax._precision import PRECISIONS
from pdjax.method.schemes import SCHEMES

__all__ = ["caption_of", "stride_in_words"]


def caption_of(settings: Mapping[str, Any]) -> str:
    """Return the settings of an explanation as one line."""
    where = f" of {settings['start']}" if settings.get("start") else ""
    hidden = "windows of " + " by ".join(map(str, settings["window"])) + " pixels"
    hidden += f"{where} at stride {stride_in_words(settings)}"
    if settings.get("regions") is not None:
        hidden = f"{len(settings['regions'])} regions{where}"
    if settings.get("channels") is not None:
        hidden += f" in channel {' or '.join(map(str, settings['channels']))}"
    if settings.get("where") is not None:
        hidden += f" for {settings['where']:.1%} of the pixels"
    least = settings["num_samples"]
    most = settings.get("most_samples", least)
    samples = str(least) if least == most else f"{least} to {most}"
    one = "window" if settings.get("regions") is None else "region"
    samples += f" sample{'s' if most > 1 else ''} a {one}"
    # Files that were written before there was a choice have independent samples.
    scheme = settings.get("sampling", SCHEMES[0])
    samples += "" if scheme == SCHEMES[0] else f" ({scheme})"
    # Files that were written before there was a choice do not say it.
    precision = settings.get("precision") or PRECISIONS[0]
    rounded = "" if precision == PRECISIONS[0] else f" with products in {precision} precision"
    return (
        f"{settings['model']}; {settings['sampler']}; "
        f"{hidden}, {samples}, {settings['passes']:,} forward passes{rounded}"
    )


def stride_in_words(settings: Mapping[str, Any]) -> str:
    """Return the stride of an explanation: one number where it is the same on all axes."""
    return " by ".join(map(str, dict.fromkeys(settings["stride"] or ())))
