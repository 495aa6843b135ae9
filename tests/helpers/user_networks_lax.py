"""Networks in plain `jax.lax`: dilation, channels first, volumes, attention, nested calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

CLASSES = 5


def convolution(
    x: jax.Array, weights: dict[str, jax.Array], padding: Any = "SAME", **options: Any
) -> jax.Array:
    """Convolve with channels last, on any number of spatial axes, and add the bias."""
    spatial = "DHW"[5 - x.ndim :]
    letters = (f"N{spatial}C", f"{spatial}IO", f"N{spatial}C")
    strides = options.pop("window_strides", (1,) * len(spatial))
    y = lax.conv_general_dilated(
        x, weights["kernel"], strides, padding, dimension_numbers=letters, **options
    )
    return y + weights["bias"].reshape(1, *(1,) * len(spatial), -1)


def layer(*shape: int) -> dict[str, tuple[int, ...]]:
    """Shapes of a convolution's or a linear layer's parameters."""
    return {"kernel": shape, "bias": shape[-1:]}


def classify(x: jax.Array, weights: dict[str, jax.Array]) -> jax.Array:
    """Probabilities from features."""
    return jax.nn.softmax(x @ weights["kernel"] + weights["bias"].reshape(1, -1), axis=-1)


@jax.custom_jvp
def steady_relu(x: jax.Array) -> jax.Array:
    """A rectifier with a derivative of its own, as libraries write it."""
    return jnp.maximum(x, 0)


@steady_relu.defjvp
def _steady_relu_jvp(primals, tangents):
    (x,), (t,) = primals, tangents
    return steady_relu(x), jnp.where(x > 0, t, jnp.zeros_like(t))


def dilated(params: Any, images: jax.Array) -> dict[str, jax.Array]:
    """Context by dilation, with asymmetric padding and a block that is recomputed."""

    @jax.checkpoint
    def block(weights: Any, x: jax.Array) -> jax.Array:
        y = convolution(x, weights[0], ((2, 2), (2, 2)), rhs_dilation=(2, 2))
        y = convolution(jax.nn.gelu(y), weights[1], ((4, 4), (1, 1)), rhs_dilation=(4, 1))
        return x + jax.nn.gelu(y, approximate=False)

    x = steady_relu(convolution(images, params["first"], ((2, 0), (0, 3)), window_strides=(1, 2)))
    deep = block(params["block"], x)
    y = steady_relu(convolution(deep, params["last"], "VALID", rhs_dilation=(2, 2)))
    pooled = jnp.max(y, (1, 2))
    return {
        "first": x,
        "first_mean": x.mean((1, 2)),
        "deep": deep,
        "largest": pooled,
        "probabilities": classify(pooled, params["classify"]),
    }


def nchw(params: Any, images: jax.Array) -> dict[str, jax.Array]:
    """Channels first throughout: groups, pooling by reduce_window, 1x1 as einsum, crop, pad."""
    letters = ("NCHW", "OIHW", "NCHW")
    x = jnp.transpose(images, (0, 3, 1, 2))
    x = lax.conv_general_dilated(x, params["oihw"], (2, 2), ((1, 1), (1, 1)), None, None, letters)
    x = jax.nn.relu(x + params["bias"].reshape(1, -1, 1, 1))
    pooled = lax.reduce_window(
        x, -jnp.inf, lax.max, (1, 1, 3, 2), (1, 1, 2, 1), ((0, 0), (0, 0), (1, 0), (0, 1))
    )
    grouped = lax.conv_general_dilated(
        pooled, params["grouped"]["oihw"], (1, 1), "SAME", None, None, letters, 4
    )
    pointwise = jnp.einsum("nchw,oc->nohw", pooled, params["pointwise"]["oihw"])
    joined = jnp.tanh(jnp.concatenate([grouped, pointwise, pooled], 1))
    cropped = jnp.pad(joined[:, :, 1:-1, 2:], ((0, 0), (0, 0), (1, 2), (0, 1)))
    norm = lax.rsqrt(jnp.sum(jnp.square(cropped), 1, keepdims=True) + 1)
    features = (cropped * norm).mean((2, 3))
    return {
        "joined": joined,
        "joined_mean": joined.mean((2, 3)),
        "cropped": cropped,
        "probabilities": classify(features, params["classify"]),
    }


def volume(params: Any, images: jax.Array) -> dict[str, jax.Array]:
    """Three spatial axes, with average pooling."""
    first = jax.nn.softplus(convolution(images, params["first"]))
    x = lax.reduce_window(first, 0.0, lax.add, (1, 2, 2, 2, 1), (1, 2, 2, 2, 1), "SAME") / 8
    x = jax.nn.relu(convolution(x, params["second"], "VALID"))
    y = convolution(x, params["third"], ((1, 1), (1, 0), (0, 1)), window_strides=(2, 1, 2))
    features = jax.nn.silu(y).mean((1, 2, 3))
    return {
        "first": first,
        "first_mean": first.mean((1, 2, 3)),
        "second": x,
        "probabilities": classify(features, params["classify"]),
    }


def attention(params: Any, images: jax.Array) -> dict[str, jax.Array]:
    """Convolutions, self-attention between all positions, convolutions."""
    x = jax.nn.relu(convolution(images, params["first"], window_strides=(2, 2)))
    patches = convolution(x, params["embed"], "VALID", window_strides=(2, 2))
    tokens = (patches + params["position"]).reshape(len(images), -1, 8)
    query, key, value = (
        (tokens @ params[part]["kernel"]).reshape(len(images), -1, 2, 4)
        for part in ("query", "key", "value")
    )
    weights = jax.nn.softmax(jnp.einsum("nqhc,nkhc->nhqk", query, key) / 2, axis=-1)
    mixed = jnp.einsum("nhqk,nkhc->nqhc", weights, value).reshape(patches.shape)
    y = jax.nn.relu(convolution(patches + mixed, params["last"]))
    return {
        "first": x,
        "embedded": patches,
        "weights": weights,
        "last_mean": y.mean((1, 2)),
        "probabilities": classify(y.mean((1, 2)), params["classify"]),
    }


def nested(params: Any, images: jax.Array) -> dict[str, Any]:
    """Calls within compiled calls, a scanned layer, and outputs of every rank in a tree."""

    @jax.jit
    def pointwise(x: jax.Array, weights: Any) -> jax.Array:
        return jax.jit(jnp.tanh)(convolution(x, weights, "VALID"))

    @jax.jit
    def twice(x: jax.Array, weights: Any) -> tuple[jax.Array, jax.Array]:
        y = pointwise(convolution(x, weights["spread"]), weights["point"])
        return y, x[:, ::-1, :, :2] * y.mean((1, 2), keepdims=True)[..., :1]

    def step(x: jax.Array, kernel: jax.Array) -> tuple[jax.Array, jax.Array]:
        x = jnp.tanh(convolution(x, {"kernel": kernel, "bias": jnp.zeros(4, x.dtype)}))
        return x, x.sum((1, 2, 3))

    rows = jnp.linspace(-1, 1, images.shape[1], dtype=images.dtype).reshape(1, -1, 1, 1)
    x = jnp.concatenate([images, images * rows, jnp.broadcast_to(rows, images.shape)], -1)
    first, mirrored = twice(x, params["first"])
    second, _ = twice(first[:, ::2, ::2], params["second"])
    last, sums = lax.scan(step, second, params["scanned"]["kernel"])
    probabilities = classify(last.mean((1, 2)), params["classify"])
    return {
        "layers": [first, (mirrored, second)],
        "columns": jnp.max(first, 1),
        "sums": sums.T,
        "margin": probabilities[:, 0] - probabilities[:, 1],
        "label": jnp.argmax(probabilities, -1),
        "probabilities": probabilities,
    }


PARAMETERS: dict[Callable, Any] = {
    dilated: {
        "first": layer(3, 4, 3, 6),
        "block": [layer(3, 3, 6, 6), layer(3, 3, 6, 6)],
        "last": layer(3, 2, 6, 8),
        "classify": layer(8, CLASSES),
    },
    nchw: {
        "oihw": (8, 3, 5, 5),
        "bias": (8,),
        "grouped": {"oihw": (12, 2, 3, 3)},
        "pointwise": {"oihw": (4, 8)},
        "classify": layer(24, CLASSES),
    },
    volume: {
        "first": layer(3, 3, 3, 1, 4),
        "second": layer(2, 1, 3, 4, 6),
        "third": layer(3, 3, 3, 6, 6),
        "classify": layer(6, CLASSES),
    },
    attention: {
        "first": layer(3, 3, 3, 6),
        "embed": layer(2, 2, 6, 8),
        "position": (1, 10, 10, 8),
        **{part: layer(8, 8) for part in ("query", "key", "value")},
        "last": layer(3, 3, 8, 8),
        "classify": layer(8, CLASSES),
    },
    nested: {
        "first": {"spread": layer(3, 3, 3, 4), "point": layer(1, 1, 4, 4)},
        "second": {"spread": layer(3, 1, 4, 4), "point": layer(1, 1, 4, 4)},
        "scanned": {"kernel": (2, 3, 3, 4, 4)},
        "classify": layer(4, CLASSES),
    },
}
