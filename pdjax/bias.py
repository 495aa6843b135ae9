"""The bias of few samples, under the name that callers know it by: `pdjax.method.jackknife`."""

from pdjax.method.jackknife import Jackknife

__all__ = ["Jackknife"]
