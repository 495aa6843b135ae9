"""Networks of other frameworks as classifiers, one file a framework.

None of the frameworks is imported here: a model is known by where its class comes from.
"""

from __future__ import annotations

from pdjax.adapters.wrap import wrap

__all__ = ["wrap"]
