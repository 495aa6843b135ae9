"""Functions of a request that are called with its arguments, as if these stood in their own."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from pdjax._explain.request import Request

__all__ = ["called_with"]

P = ParamSpec("P")
Result = TypeVar("Result")


def called_with(
    kind: Callable[P, Request],
) -> Callable[[Callable[[Any], Result]], Callable[P, Result]]:
    """Let a function of a request be called with the arguments of one.

    They stand in one place, the dataclass, from where help and editors read them as well.
    """
    arguments = inspect.signature(kind)

    def decorate(function: Callable[[Any], Result]) -> Callable[P, Result]:
        @functools.wraps(function)
        def called(*args: P.args, **kwargs: P.kwargs) -> Result:
            try:
                arguments.bind(*args, **kwargs)
            except TypeError as error:
                raise TypeError(f"{function.__name__}() {error}") from None
            return function(kind(*args, **kwargs))

        returned = inspect.signature(function).return_annotation
        called.__signature__ = arguments.replace(  # type: ignore[attr-defined]
            return_annotation=returned
        )
        return called

    return decorate
