"""What the submodules of a model return while it runs, for frameworks that do not tell.

The classes of the submodules get a `__call__` that notes what the old one returns, for as long as
the model runs, and their own back after it. What runs inside another transformation, such as
`jax.lax.scan` or a compiled part, is left out, because its values do not exist outside of that.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from pdjax.adapters.told import note

try:
    from jax.extend.core import get_opaque_trace_state
except ImportError:  # where older versions of JAX have it
    from jax.core import get_opaque_trace_state

__all__ = ["noted_calls"]

_lock = threading.RLock()


@contextlib.contextmanager
def noted_calls(modules: Mapping[str, Any], hidden: dict[str, Any]) -> Iterator[None]:
    """Enter into ``hidden`` what each of ``modules`` (by path) returns within the block."""
    paths = {id(module): path for path, module in modules.items()}
    level = get_opaque_trace_state()
    running: set[int] = set()

    def noting(call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        def noted(self: Any, *args: Any, **kwargs: Any) -> Any:
            # A class may hand the call on to its base, whose call is noted as well.
            inner = id(self) in running
            running.add(id(self))
            try:
                returned = call(self, *args, **kwargs)
            finally:
                if not inner:
                    running.discard(id(self))
            same = get_opaque_trace_state() == level
            if not inner and same and id(self) in paths:
                note(hidden, paths[id(self)], returned)
            return returned

        return noted

    with _lock, contextlib.ExitStack() as stack:
        for owner in _owners(type(module) for module in modules.values()):
            call = vars(owner)["__call__"]
            stack.callback(setattr, owner, "__call__", call)
            owner.__call__ = noting(call)
        yield


def _owners(classes: Iterable[type]) -> set[Any]:
    """Classes whose own `__call__` objects of the given classes have."""
    return {
        base
        for kind in set(classes)
        for base in kind.__mro__
        if "__call__" in vars(base) and base is not type
    }
