"""Draws of regions, made on the host: where their boxes are, and what is in them."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from pdjax._explain.request import Request
from pdjax._types import Array, Float, Int, Key
from pdjax.method.channels import Channels, in_channels
from pdjax.method.regions import RegionGrid
from pdjax.method.schemes import Scheme
from pdjax.method.windows import crop
from pdjax.samplers.regions import RegionContents, region_contents

__all__ = ["HiddenRegions"]


@dataclasses.dataclass(frozen=True, eq=False)
class HiddenRegions:
    """What is drawn for regions.

    Attributes
    ----------
    field : float array (*spatial, c)
        The image.
    contents : RegionContents
        What hides regions.
    grid : RegionGrid
    scheme : Scheme
        The samples of a draw.
    channels : tuple of int or None
        The channels that are hidden one at a time.
    rng_key : key
        Of the run; that of a region is made from its number in the map.
    """

    field: Float[Array, "*spatial c"]
    contents: RegionContents
    grid: RegionGrid
    scheme: Scheme
    channels: Channels
    rng_key: Key[Array, ""]

    @classmethod
    def of(cls, request: Request, field: Float[Array, "*spatial c"]) -> HiddenRegions | None:
        """Set up what a request asks for; None where it asks for windows."""
        grid = request.grid
        if not isinstance(grid, RegionGrid):
            return None
        contents = region_contents(request.sampler, field, grid)
        return cls(field, contents, grid, request.scheme, request.hidden_channels, request.rng_key)

    def draw(
        self, draws: np.ndarray
    ) -> tuple[Int[Array, "regions d"], Float[Array, "regions samples ..."]]:
        """Return corners of boxes and their contents, as `pdjax.method.marginalize.draw` does."""
        patches = [self._draw(int(index), int(before)) for index, before in draws]
        origins = self.grid.origins(draws[:, 0])
        contents = jnp.asarray(np.stack(patches), self.field.dtype)
        if self.channels is not None:
            own = jax.vmap(crop, (None, 0, None))(self.field, origins, self.grid.window)
            contents = in_channels(contents, own, self.channels)
        return origins, contents

    def _draw(self, index: int, before: int) -> np.ndarray:
        key = jax.random.fold_in(self.rng_key, self.grid.ids[index])
        if before:
            key = jax.random.fold_in(key, before)
        return self.contents.draw(key, index, self.scheme)
