"""Schemes of sampling, under the name that callers know them by: `pdjax.method.schemes`."""

from pdjax.method.schemes import SCHEMES, Scheme

__all__ = ["SCHEMES", "Scheme"]
