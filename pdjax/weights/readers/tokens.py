"""What a state dict may refer to by name, as inert descriptions: storages, tensors, containers.

`named`, `called` and `stored` answer the three ways in which a pickle asks for code. They know a
short list of names and refuse all others.
"""

from __future__ import annotations

import dataclasses
from typing import TypeGuard

import ml_dtypes
import numpy as np

__all__ = ["Global", "Storage", "Tensor", "called", "named", "stored"]

DTYPES: dict[str, type] = {
    "torch DoubleStorage": np.float64,
    "torch FloatStorage": np.float32,
    "torch HalfStorage": np.float16,
    "torch BFloat16Storage": ml_dtypes.bfloat16,
    "torch LongStorage": np.int64,
    "torch IntStorage": np.int32,
    "torch ShortStorage": np.int16,
    "torch CharStorage": np.int8,
    "torch ByteStorage": np.uint8,
    "torch BoolStorage": np.bool_,
}
ORDERED_DICT = "collections OrderedDict"
TENSOR_ARGUMENTS = {
    "torch._utils _rebuild_tensor": (4,),
    "torch._utils _rebuild_tensor_v2": (6, 7),
}
PARAMETER = "torch._utils _rebuild_parameter"
KNOWN = {*DTYPES, *TENSOR_ARGUMENTS, PARAMETER, ORDERED_DICT}
MAX_COUNT = 2**40


@dataclasses.dataclass(frozen=True, slots=True)
class Global:
    """One of the known names, ``"module name"``; not the object of that name."""

    name: str


@dataclasses.dataclass(frozen=True, slots=True)
class Storage:
    """A run of ``count`` numbers that is kept outside the pickle under ``key``."""

    dtype: np.dtype
    key: str
    count: int


@dataclasses.dataclass(frozen=True, slots=True)
class Tensor:
    """A view of a storage, not yet compared with it; ``offset`` and ``strides`` count numbers."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def named(module: object, name: object) -> Global:
    """Answer a wish to import ``module.name``."""
    if not (isinstance(module, str) and isinstance(name, str)):
        raise ValueError("it wants to import something that has no name; nothing was run")
    if f"{module} {name}" not in KNOWN:
        raise ValueError(
            f"it wants to run code, {f'{module}.{name}'[:200]!r}, which state dicts have no need "
            "of; nothing was run"
        )
    return Global(f"{module} {name}")


def called(function: object, arguments: object) -> object:
    """Answer a wish to call ``function`` with a tuple of arguments."""
    if not (isinstance(function, Global) and isinstance(arguments, tuple)):
        raise ValueError("it wants to call something that is not a function; nothing was run")
    if function.name == ORDERED_DICT:
        return _ordered_dict(arguments)
    if function.name in TENSOR_ARGUMENTS and len(arguments) in TENSOR_ARGUMENTS[function.name]:
        storage, offset, shape, strides = arguments[:4]
        if isinstance(storage, Storage) and _count(offset) and _counts(shape) and _counts(strides):
            return Tensor(storage, offset, shape, strides)
    if function.name == PARAMETER and len(arguments) == 3 and isinstance(arguments[0], Tensor):
        return arguments[0]
    raise ValueError(f"it calls {function.name.replace(' ', '.')!r} with unsuitable arguments")


def stored(description: object) -> Storage:
    """Answer a wish for something kept outside the pickle: ``("storage", type, key, place, n)``."""
    if not (isinstance(description, tuple) and len(description) in (5, 6)):
        raise ValueError("it refers to something outside the pickle that is not a storage")
    tag, kind, key, _, count, *view = description
    if not (
        isinstance(tag, str)
        and tag == "storage"
        and isinstance(kind, Global)
        and kind.name in DTYPES
        and isinstance(key, str)
        and _count(count)
    ):
        raise ValueError("it refers to a storage of an unknown kind")
    if view not in ([], [None]):
        raise ValueError("one of its storages is a view of another")
    return Storage(np.dtype(DTYPES[kind.name]), key, count)


def _ordered_dict(arguments: tuple[object, ...]) -> dict[object, object]:
    if not arguments:
        return {}
    items = arguments[0]
    if len(arguments) > 1 or not isinstance(items, list):
        raise ValueError("it makes a dict of something that is not a list of items")
    for item in items:
        if not (isinstance(item, list | tuple) and len(item) == 2 and isinstance(item[0], str)):
            raise ValueError("it makes a dict of something that is not a list of items")
    return dict(items)


def _count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_COUNT


def _counts(values: object) -> TypeGuard[tuple[int, ...]]:
    return isinstance(values, tuple) and len(values) <= 32 and all(map(_count, values))
