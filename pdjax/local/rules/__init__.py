"""The rules, by name of the primitive."""

from __future__ import annotations

from pdjax.local.rules import elementwise, indexing, products, reductions, structure, windows
from pdjax.local.rules.rule import Rule

__all__ = ["RULES"]

RULES: dict[str, Rule] = {
    **elementwise.RULES,
    **structure.RULES,
    **windows.RULES,
    **reductions.RULES,
    **products.RULES,
    **indexing.RULES,
}
