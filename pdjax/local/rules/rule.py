"""What a rule is: how a box goes through an operation, and how the operation is done on a box.

A rule is added to the ``RULES`` of the file that its operation belongs to, by name of the
primitive; `pdjax.local.rules` collects them. The simplest to copy is that of ``reverse`` in
`pdjax.local.rules.structure`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import jax
import numpy as np

from pdjax.jaxprs.program import Operand, Step
from pdjax.local.boxes import Box, Ranges

__all__ = ["Boxes", "Operands", "Rule"]

Boxes = Sequence[Box | None]
"""The box of every operand; None where an operand is the same for all windows."""


@runtime_checkable
class Operands(Protocol):
    """The operands of a step for one window."""

    def box(self, index: int) -> Box:
        """Return the box of an operand that windows change."""

    def read(self, index: int, ranges: Ranges, fill: int | float | None = None) -> Operand:
        """Return the new values of an operand in these ranges, ``fill`` beyond its ends.

        They are the values of its box where the ranges lie in it, and elsewhere those of the image
        as it is.
        """

    def read_outside(self, index: int, ranges: Ranges, fill: int | float | bool = 0) -> jax.Array:
        """Return an operand for the image as it is, with ``fill`` in the place of the box.

        A range is that of the box, or all of an axis.
        """

    def look_up(self, axis: int, table: np.ndarray) -> jax.Array:
        """Return the row of a table that belongs to the window's place on an axis of the image."""

    def bind(self, *values: Operand, **changed: object) -> list[jax.Array]:
        """Perform the step on these values, with some of its parameters replaced."""


class Rule(NamedTuple):
    """How one primitive is evaluated where only a box of its operands changes.

    Attributes
    ----------
    box : callable
        ``box(step, boxes)`` -> the box of every result that can change, or None where there is
        nothing to be gained over evaluating the whole result. At least one operand has a box that
        is not the whole array. A span may be all of its axis: whoever asks settles that.
    apply : callable
        ``apply(step, box, operands)`` -> the values of the results in that box.
    why : str
        Why a box ends here, if it does: a sentence for the report.
    joins : bool
        Whether a result that changes as a whole is put together of that for the box and that for
        the rest. By other rules it is evaluated like any other function of whole arrays.
    """

    box: Callable[[Step, Boxes], Box | None]
    apply: Callable[[Step, Box, Operands], list[jax.Array]]
    why: str = ""
    joins: bool = False
