"""A sampler that hides nothing: every window is filled with what it holds."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from pdjax._types import static
from pdjax.method.windows import crop

__all__ = ["OwnContents"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class OwnContents:
    """Relevance of such windows is 0, but for rounding."""

    constant = True
    random = False

    window: tuple[int, ...] = static()

    def check(self, image_shape: tuple[int, ...], num_samples: int) -> None:
        """Fit every image."""

    def sample(self, rng_key: jax.Array, image: jax.Array, origin: jax.Array, num_samples: int):
        """Return the window ``num_samples`` times."""
        own = crop(image, origin, self.window)
        return jnp.broadcast_to(own, (num_samples, *own.shape))
