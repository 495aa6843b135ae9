"""The bias of few samples, under the name that callers know it by: `pdjax.method.measures`."""

from pdjax.method.measures import Jackknife

__all__ = ["Jackknife"]
