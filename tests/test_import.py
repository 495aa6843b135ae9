"""What `import pdjax` brings, and what comes when it is first asked for."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

LATER = (
    *("matplotlib", "requests", "typer", "flax.linen", "pandas"),
    *("pdjax.models", "pdjax.weights", "pdjax.cli"),
)


def in_a_fresh_process(lines: str) -> list:
    """Run lines that fill a list called ``found``, and return it."""
    program = f"import json, sys\nfound = []\n{lines}\nprint(json.dumps(found))"
    ended = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=300
    )
    return json.loads(ended.stdout)


@pytest.fixture(scope="module")
def imported() -> list[str]:
    return in_a_fresh_process("import pdjax\nfound += sys.modules")


@pytest.mark.parametrize("module", LATER)
def test_what_a_plain_import_does_without(imported, module) -> None:
    assert "pdjax._explain.explain" in imported
    inside = [name for name in imported if name == module or name.startswith(f"{module}.")]
    assert inside == []


def test_everything_documented_is_found_when_it_is_asked_for() -> None:
    kinds = in_a_fresh_process(
        """
import pdjax
for path in ("load_model", "models.NETWORKS", "sampling.Scheme", "sampling.SCHEMES",
             "bias.Jackknife", "picture", "weights", "local.evaluate", "__version__",
             *pdjax.__all__):
    value = pdjax
    for name in path.split("."):
        assert name in dir(value) or value is not pdjax, name
        value = getattr(value, name)
    found.append([path, callable(value)])
"""
    )
    assert ["load_model", True] in kinds
    assert ["sampling.Scheme", True] in kinds
    assert len(kinds) > 30


def test_modules_and_names_are_listed() -> None:
    import pdjax

    listed = dir(pdjax)
    assert set(pdjax.__all__) <= set(listed)
    assert {"bias", "local", "models", "picture", "sampling", "weights"} <= set(listed)


def test_names_that_there_are_not() -> None:
    import pdjax

    with pytest.raises(AttributeError, match="'pdjax' has no attribute 'explian'"):
        _ = pdjax.explian
