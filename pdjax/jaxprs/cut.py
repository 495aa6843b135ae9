"""A network from one of its hidden layers onwards, as a function of that layer's activation.

Traced, a network is a list of steps on numbered values. Handing in the value of the layer instead
of computing it, and leaving out the steps that nothing needs any more, gives the rest of the
network, for any JAX function and without its cooperation.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from pdjax._checks import ArgumentValueError
from pdjax._types import Array, Float, Params, Predict
from pdjax.jaxprs.program import bind, trace

__all__ = ["FromLayer"]


@dataclasses.dataclass(frozen=True)
class FromLayer:
    """The part of a network that comes after one of its layers.

    It is called like a network, with the activations of that layer in place of images. Layers may
    depend on the image by other ways than through ``start``: there they see the one image that
    comes with the parameters, whatever the activations are. Layers that hold the same value as
    ``start`` change with it.

    Hashable, so that it can be a static argument of a jit-compiled function.

    Attributes
    ----------
    predict : Predict
        The whole network.
    start : str
        The layer whose activations are handed in.
    """

    predict: Predict
    start: str

    def __call__(
        self,
        params: tuple[Params, Float[Array, "*spatial c"]],
        images: Float[Array, "n *hidden k"],
        capture: tuple[str, ...],
    ) -> dict[str, jax.Array]:
        """Return the layers in ``capture`` for some activations of ``start``.

        Parameters
        ----------
        params : tuple
            The parameters of the network, and the image (*spatial, c).
        images : float array, shape (n, *hidden, k)
            Activations of ``start``.
        capture : tuple of str
            Names of layers.

        Returns
        -------
        dict of array (n, ...)

        Raises
        ------
        ValueError
            If a layer does not depend on ``start``.
        """
        network, image = params
        batch = jnp.broadcast_to(image, (len(images), *image.shape))

        def activations(network: Params, batch: jax.Array) -> list[jax.Array]:
            outputs = self.predict(network, batch, (self.start, *capture))
            return [outputs[layer] for layer in (self.start, *capture)]

        # Traced as one function, the layer and what comes after it are values of one program, in
        # whatever nested call they are made.
        program, constants, shapes = trace(activations, network, batch)
        start, *wanted = program.results
        changed = program.dependents(start)
        for layer, value in zip(capture, wanted, strict=True):
            if not isinstance(value, int) or value not in changed:
                raise ArgumentValueError(
                    "layers",
                    f"has {layer!r}, which does not depend on start={self.start!r}",
                    "choose layers that come after it",
                )
        values = program.bound(constants, [*jax.tree.leaves(network), batch])
        # With the layer given, the steps that lead up to it are needed no more, but for those on
        # which a later layer depends by another way.
        if isinstance(start, int):
            values[start] = images.astype(shapes[0].dtype)
        program.run(bind, values, wanted)
        return dict(zip(capture, program.outputs(values)[1:], strict=True))
