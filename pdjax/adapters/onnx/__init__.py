"""ONNX models: read, and run as JAX operation by operation.

It is our own because the importers that are published have not been kept up with JAX or with the
operator sets, need a batch size that is fixed, or hold weights as constants of the program.
"""

from __future__ import annotations

from pdjax.adapters.onnx.model import classifier

__all__ = ["classifier"]
