"""Pickles without unpickling: the few opcodes that state dicts are made of, and nothing else.

A pickle is a program, and running one may do anything. Here its opcodes are only *listed* (by the
standard library's `pickletools`), and a small stack machine puts together what they describe:
containers, texts, numbers, and inert tokens of tensors. Nothing is imported or called at a file's
request, and nothing recurses into what was built, which may be deep, shared or circular.

It is our own because the one library that reads PyTorch's files is PyTorch, which is larger than
all that this package needs, and because `pickle.Unpickler`, even with its imports forbidden, takes
memory for what a file declares rather than for what is in it.
"""

from __future__ import annotations

import dataclasses
import io
import pickletools
from typing import IO, Any, cast

from pdjax.weights.readers.tokens import Storage, called, named, stored

__all__ = ["Pickle", "read_pickle"]

MAX_OPCODES = 1_000_000
MAX_BYTES = 32 * 2**20
MAX_LINE = 1024
MAX_MARKS = 64
PLAIN_NUMBERS = frozenset({"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"})
PLAIN_TEXTS = frozenset({"BINUNICODE", "SHORT_BINUNICODE", "BINSTRING", "SHORT_BINSTRING"})


@dataclasses.dataclass(frozen=True, slots=True)
class Pickle:
    """What a pickle describes, and all storages that it speaks of, by their keys."""

    value: object
    storages: dict[str, Storage]


def read_pickle(file: io.BufferedIOBase, max_opcodes: int = MAX_OPCODES) -> Pickle:
    """Read the pickle at the current position of ``file``, which is then just behind it.

    Raises
    ------
    Exception
        ValueError if it is too large or not a state dict, others of `pickletools` if damaged.
    """
    machine = _Machine()
    bounded = cast(IO[bytes], _Bounded(file))
    for count, (opcode, argument, _) in enumerate(pickletools.genops(bounded)):
        if count >= max_opcodes:
            raise ValueError(f"it has more than {max_opcodes} pickle opcodes")
        machine.step(opcode.name, argument)
    return Pickle(machine.pop(), machine.storages)


class _Bounded:
    """A file of which a pickle may read a bounded number of bytes, whatever lengths it declares."""

    def __init__(self, file: io.BufferedIOBase) -> None:
        self._file = file
        self._left = MAX_BYTES
        self.tell = file.tell

    def read(self, size: int) -> bytes:
        if size > self._left:
            raise ValueError(f"one of its values declares {size} bytes")
        return self._spend(self._file.read(size))

    def readline(self) -> bytes:
        return self._spend(self._file.readline(MAX_LINE))

    def _spend(self, data: bytes) -> bytes:
        self._left -= len(data)
        return data


class _Machine:
    """The stack, divided by marks, and the memo."""

    def __init__(self) -> None:
        self.storages: dict[str, Storage] = {}
        self._stack: list[object] = []
        self._outer: list[list[object]] = []
        self._memo: dict[int, object] = {}

    def step(self, opcode: str, argument: Any) -> None:
        match opcode:
            case "PROTO" | "FRAME" | "STOP":
                pass
            case _ if opcode in PLAIN_NUMBERS | PLAIN_TEXTS:
                self._stack.append(argument)
            case "NONE":
                self._stack.append(None)
            case "NEWTRUE" | "NEWFALSE":
                self._stack.append(opcode == "NEWTRUE")
            case "EMPTY_LIST":
                self._stack.append([])
            case "EMPTY_DICT":
                self._stack.append({})
            case "EMPTY_TUPLE":
                self._stack.append(())
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                self._stack.append(tuple(self._last(int(opcode[-1]))))
            case "MARK":
                self._mark()
            case "TUPLE":
                values = tuple(self._marked())
                self._stack.append(values)
            case "APPEND":
                self._append(self._last(1))
            case "APPENDS":
                self._append(self._marked())
            case "SETITEM":
                self._set_items(self._last(2))
            case "SETITEMS":
                self._set_items(self._marked())
            case "BINPUT" | "LONG_BINPUT":
                self._put(argument)
            case "MEMOIZE":
                self._put(len(self._memo))
            case "BINGET" | "LONG_BINGET":
                self._get(argument)
            case "GLOBAL":
                self._stack.append(named(*argument.split(" ", 1)))
            case "STACK_GLOBAL":
                self._stack.append(named(*self._last(2)))
            case "BINPERSID":
                self._store(stored(self.pop()))
            case "REDUCE":
                self._stack.append(called(*self._last(2)))
            case "BUILD":
                self._build(*self._last(2))
            case _:
                raise ValueError(
                    f"it has the pickle opcode {opcode}, which state dicts are not made of; "
                    "nothing was run"
                )

    def pop(self) -> object:
        return self._last(1)[0]

    def _last(self, count: int) -> list[object]:
        """Take values from the top of the stack, but not from under a mark."""
        if len(self._stack) < count:
            raise ValueError("one of its values is missing")
        values = self._stack[-count:]
        del self._stack[-count:]
        return values

    def _mark(self) -> None:
        if len(self._outer) >= MAX_MARKS:
            raise ValueError(f"its values are nested more than {MAX_MARKS} deep")
        self._outer.append(self._stack)
        self._stack = []

    def _marked(self) -> list[object]:
        """Take all values above the last mark."""
        if not self._outer:
            raise ValueError("one of its values has no beginning")
        values, self._stack = self._stack, self._outer.pop()
        return values

    def _append(self, values: list[object]) -> None:
        target = self._top()
        if not isinstance(target, list):
            raise ValueError("it appends to something that is not a list")
        target.extend(values)

    def _set_items(self, values: list[object]) -> None:
        target = self._top()
        if not isinstance(target, dict) or len(values) % 2:
            raise ValueError("it sets items of something that is not a dict")
        for key, value in zip(values[::2], values[1::2], strict=True):
            # Hashing a tuple of shared tuples takes time without bound.
            if not isinstance(key, str | int):
                raise ValueError("one of its dicts has a key that is neither text nor integer")
            target[key] = value

    def _top(self) -> object:
        if not self._stack:
            raise ValueError("one of its values is missing")
        return self._stack[-1]

    def _put(self, index: int) -> None:
        if not 0 <= index <= MAX_OPCODES:
            raise ValueError(f"it remembers a value under the number {index}")
        self._memo[index] = self._top()

    def _get(self, index: int) -> None:
        if index not in self._memo:
            raise ValueError(f"it recalls a value {index} that it never had")
        self._stack.append(self._memo[index])

    def _store(self, storage: Storage) -> None:
        if self.storages.setdefault(storage.key, storage) != storage:
            raise ValueError(f"it describes the storage {storage.key[:80]!r} in two ways")
        self._stack.append(storage)

    def _build(self, target: object, state: object) -> None:
        # State dicts carry version numbers as an attribute, which nothing here needs.
        if not (isinstance(target, dict) and isinstance(state, dict)):
            raise ValueError("it sets attributes of something that is not a dict; nothing was run")
        self._stack.append(target)
