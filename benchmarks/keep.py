"""Results that are kept in a folder, so that an interrupted benchmark goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from pdjax._files import write_npz

__all__ = ["check_settings", "kept"]


def kept(path: Path, make: Callable[[], Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Make arrays by name, or read what was made before."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_npz(path, make())
    with np.load(path) as file:
        return dict(file)


def check_settings(results: Path, words: Sequence[tuple[str, str]]) -> None:
    """Write the settings beside the results, and refuse a folder with results of others."""
    results.mkdir(parents=True, exist_ok=True)
    path, settings = results / "settings.json", dict(words)
    if path.exists() and json.loads(path.read_text("utf-8")) != settings:
        raise ValueError(f"results: {results} has those of other settings; give another folder")
    path.write_text(json.dumps(settings, indent=1), "utf-8")
