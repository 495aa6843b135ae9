"""Bad input and what is said of it: which argument, of which kind, in one line, and what to do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from pdjax._checks import ArgumentError

__all__ = ["refused"]


@contextlib.contextmanager
def refused(
    argument: str, kind: type[Exception] = ValueError
) -> Iterator[pytest.ExceptionInfo[ArgumentError]]:
    """Expect an error of that kind about an argument; what it says can be looked at after."""
    with pytest.raises(ArgumentError) as caught:
        yield caught
    error = caught.value
    assert error.argument == argument, str(error)
    assert isinstance(error, kind)
    assert str(error).startswith(argument)
    assert "\n" not in str(error)
    # Where it says what the argument must be, that is the remedy.
    assert error.remedy or "must" in error.problem, str(error)
