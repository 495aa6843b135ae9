"""The operations of ONNX that image classifiers are made of, by name."""

from __future__ import annotations

from collections.abc import Mapping

from pdjax.adapters.onnx.operations import elementwise, products, reductions, shapes, windows
from pdjax.adapters.onnx.operations.call import Operation

__all__ = ["OPERATIONS"]

OPERATIONS: Mapping[str, Operation] = {
    **elementwise.OPERATIONS,
    **products.OPERATIONS,
    **reductions.OPERATIONS,
    **shapes.OPERATIONS,
    **windows.OPERATIONS,
}
