"""Exact evaluation of any JAX function where only a window of its input changes.

`record` runs a function once; `evaluate` gives its outputs for any number of images that differ
from that one in a window, at a fraction of the work: of every activation, only the box that the
window can change is computed. Nothing here knows of networks, samplers or relevance.
"""

from pdjax.jaxprs.lowerings import tuned
from pdjax.local.evaluating import evaluate
from pdjax.local.recording import Record, record
from pdjax.local.report import Report

__all__ = ["Record", "Report", "evaluate", "record", "tuned"]
