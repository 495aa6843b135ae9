"""What readers share."""

from __future__ import annotations

import pytest

from pdjax._checks import ArgumentError
from pdjax.weights.readers.binary import printable, readable


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Größe", "Größe"),
        ("b\x1b[2J", "'b\\x1b[2J'"),
        ("b\nweights: all is well", "'b\\nweights: all is well'"),
        ("\u202egnp.exe", "'\\u202egnp.exe'"),
        ("\ud800", "'\\ud800'"),
        ("n" * 500, "n" * 77 + "..."),
        ("\0" * 500, "'" + "\\x00" * 19 + "..."),
    ],
    ids=ascii,
)
def test_hostile_names(name, shown):
    assert printable(name) == shown


@pytest.mark.parametrize("error", [ValueError("\x1b[2J" * 1000), KeyError("x"), RecursionError()])
def test_any_failure_is_one_short_error(tmp_path, error):
    path = tmp_path / "x.pth"
    with pytest.raises(ArgumentError) as caught, readable(path, "PyTorch state dict"):
        raise error
    assert caught.value.argument == "weights"
    assert caught.value.__cause__ is error
    message = str(caught.value)
    assert str(path) in message
    assert message.isprintable()
    assert len(message) < 1000
