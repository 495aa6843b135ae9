"""A network from one of its hidden layers onwards, as a function of that layer's activation.

Traced to a jaxpr, a network is a list of steps. Handing in the activation instead of computing it
and leaving out the steps that nothing depends on any more gives the rest of the network, for any
JAX function and without its cooperation.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.extend
import jax.numpy as jnp

from pdjax._types import Array, Float, Params, Predict

__all__ = ["FromLayer"]


@dataclasses.dataclass(frozen=True)
class FromLayer:
    """The network after ``start``: a function of ``((params, image), activations, capture)``.

    Hashable, so that it can be a static argument of a jit-compiled function. What later layers
    take past ``start`` from the image is computed from ``image``, the same for all activations.

    Attributes
    ----------
    predict : Predict
        The whole network.
    start : str
        The layer whose activation is handed in.
    """

    predict: Predict
    start: str

    def __call__(
        self,
        params: tuple[Params, Float[Array, "*spatial c"]],
        images: Float[Array, "n *hidden k"],
        capture: tuple[str, ...],
    ) -> dict[str, jax.Array]:
        """Return the layers in ``capture`` for activations ``(n, *hidden, k)`` of ``start``.

        Raises
        ------
        ValueError
            If a layer does not depend on ``start``.
        """
        network, image = params
        batch = jnp.broadcast_to(image, (len(images), *image.shape))

        def both(network: Params, batch: jax.Array) -> tuple[jax.Array, list[jax.Array]]:
            outputs = self.predict(network, batch, (self.start, *capture))
            return outputs[self.start], [outputs[layer] for layer in capture]

        jaxpr = jax.make_jaxpr(both)(network, batch)
        handed_in = jaxpr.jaxpr.outvars[0]
        self._check(jaxpr.jaxpr, handed_in, capture)
        values = _evaluate(jaxpr, [*jax.tree.leaves(network), batch], handed_in, images)
        return dict(zip(capture, values, strict=True))

    def _check(self, jaxpr: Any, handed_in: Any, capture: tuple[str, ...]) -> None:
        reached = {handed_in}
        for equation in jaxpr.eqns:
            if any(v in reached for v in equation.invars if isinstance(v, jax.extend.core.Var)):
                reached.update(equation.outvars)
        for layer, variable in zip(capture, jaxpr.outvars[1:], strict=True):
            if variable not in reached:
                raise ValueError(
                    f"layers: {layer!r} does not depend on start={self.start!r}; choose layers "
                    "that come after it"
                )


def _evaluate(
    jaxpr: jax.extend.core.ClosedJaxpr, arguments: list[Any], handed_in: Any, value: jax.Array
) -> list[jax.Array]:
    """Evaluate all outputs but the first, with ``value`` in place of one variable."""
    steps = []
    for equation in jaxpr.jaxpr.eqns:
        if handed_in in equation.outvars:
            kept = [
                jax.extend.core.DropVar(variable.aval) if variable is handed_in else variable
                for variable in equation.outvars
            ]
            equation = equation.replace(outvars=kept)
        steps.append(equation)
    rest = jaxpr.jaxpr.replace(
        invars=[*jaxpr.jaxpr.invars, handed_in],
        outvars=jaxpr.jaxpr.outvars[1:],
        eqns=steps,
    )
    return jax.core.eval_jaxpr(rest, jaxpr.consts, *arguments, value.astype(handed_in.aval.dtype))
