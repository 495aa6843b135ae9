"""The bias of few samples, under the name that callers know it by: `pdjax.method.bias`."""

from pdjax.method.bias import Jackknife

__all__ = ["Jackknife"]
