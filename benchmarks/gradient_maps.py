"""Maps by the gradient of a class's score, in a few lines of JAX each.

Every function takes a classifier, an image ``(h, w, 3)``, the index of a class and the name of the
layer that holds scores, from which the softmax is made, and returns a map ``(h, w)``.
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

import pdjax
from pdjax._types import Params, Predict
from pdjax.jaxprs.cut import FromLayer

__all__ = ["grad_cam", "gradient", "integrated_gradients", "smooth_grad"]

AT_ONCE = 8
"""Images whose gradients are computed at once."""


def gradient(net: pdjax.Classifier, image: np.ndarray, index: int, scores: str) -> np.ndarray:
    """Largest absolute gradient of a pixel's channels (Simonyan, Vedaldi and Zisserman, 2014)."""
    found = _gradients(net.predict, net.params, jnp.asarray(image)[None], index, scores)
    return np.abs(found[0]).max(-1)


def smooth_grad(
    net: pdjax.Classifier,
    image: np.ndarray,
    index: int,
    scores: str,
    *,
    rng_key: jax.Array,
    samples: int,
    noise: float = 0.15,
) -> np.ndarray:
    """Absolute mean gradient of noisy copies, summed over channels (Smilkov et al., 2017).

    ``noise`` is a standard deviation, as a share of the range of the image.
    """
    image = jnp.asarray(image)
    deviation = noise * (image.max() - image.min())
    copies = image[None] + deviation * jax.random.normal(rng_key, (samples, *image.shape))
    found = _gradients(net.predict, net.params, copies, index, scores)
    return np.abs(found.mean(0)).sum(-1)


def integrated_gradients(
    net: pdjax.Classifier,
    image: np.ndarray,
    index: int,
    scores: str,
    *,
    baseline: np.ndarray,
    steps: int,
) -> np.ndarray:
    """Change of the score on the way from a colour (Sundararajan, Taly and Yan, 2017).

    By the midpoint rule, summed over channels; with its sign.
    """
    difference = image - baseline
    along = ((np.arange(steps) + 0.5) / steps).astype(np.float32)
    images = jnp.asarray(baseline + along[:, None, None, None] * difference)
    found = _gradients(net.predict, net.params, images, index, scores)
    return np.asarray(found.mean(0) * difference).sum(-1)


def grad_cam(
    net: pdjax.Classifier, image: np.ndarray, index: int, scores: str, features: str
) -> np.ndarray:
    """Feature maps of a layer, weighted by their mean gradient (Selvaraju et al., 2017)."""
    return np.asarray(
        _grad_cam(net.predict, net.params, jnp.asarray(image), index, scores, features)
    )


@functools.partial(jax.jit, static_argnums=(0, 4, 5))
def _grad_cam(
    predict: Predict, params: Params, image: jax.Array, index: int, scores: str, features: str
) -> jax.Array:
    after = FromLayer(predict, features)

    def score(activation: jax.Array) -> jax.Array:
        return after((params, image), activation[None], (scores,))[scores][0, index]

    activation = predict(params, image[None], (features,))[features][0]
    weights = jax.grad(score)(activation).mean((0, 1))
    return jax.image.resize(jax.nn.relu(activation @ weights), image.shape[:-1], "bilinear")


@functools.partial(jax.jit, static_argnums=(0, 4))
def _gradients(
    predict: Predict, params: Params, images: jax.Array, index: int, scores: str
) -> jax.Array:
    """Gradients ``(n, h, w, 3)`` of the class's score at each image."""

    def score(image: jax.Array) -> jax.Array:
        return predict(params, image[None], (scores,))[scores][0, index]

    return jax.lax.map(jax.grad(score), images, batch_size=AT_ONCE)
