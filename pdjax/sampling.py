"""Schemes of sampling, under the name that callers know them by; `pdjax.method.schemes` has them."""

from pdjax.method.schemes import SCHEMES, Scheme

__all__ = ["SCHEMES", "Scheme"]
