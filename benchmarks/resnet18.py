"""ResNet-18 as someone who writes plain JAX would: a network of one's own to explain.

He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, in torchvision's form and with
its layer names. Batch norm is folded into the kernel and bias of every convolution.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

__all__ = ["IMAGE_SIZE", "random_params", "resnet18"]

IMAGE_SIZE = 224
WIDTHS = (64, 128, 256, 512)
BLOCKS = 2

Params = dict[str, dict[str, jax.Array]]


def resnet18(params: Params, images: jax.Array) -> dict[str, jax.Array]:
    """Map images (n, 224, 224, 3), RGB in [0, 1], to ``{"prob": (n, 1000)}``."""
    mean = jnp.asarray((0.485, 0.456, 0.406), images.dtype)
    deviation = jnp.asarray((0.229, 0.224, 0.225), images.dtype)
    x = (images - mean[None, None, None]) / deviation[None, None, None]
    x = jax.nn.relu(_conv(params["conv1"], x, 2, 3))
    pads = ((0, 0), (1, 1), (1, 1), (0, 0))
    lowest = np.asarray(-np.inf, x.dtype)
    x = lax.reduce_window(x, lowest, lax.max, (1, 3, 3, 1), (1, 2, 2, 1), pads)
    for stage in range(1, len(WIDTHS) + 1):
        for block in range(BLOCKS):
            stride = 2 if stage > 1 and block == 0 else 1
            x = _residual(params, f"layer{stage}.{block}", x, stride)
    x = x.mean((1, 2))
    logits = x @ params["fc"]["kernel"].astype(x.dtype) + params["fc"]["bias"].astype(x.dtype)[None]
    return {"prob": jax.nn.softmax(logits)}


def random_params(rng_key: jax.Array) -> Params:
    """Draw ``{layer: {"kernel", "bias"}}``; values do not matter for the time.

    Kernels are normal with variance 1 / inputs, so that activations keep their size.
    """
    shapes: dict[str, tuple[int, ...]] = {"conv1": (7, 7, 3, WIDTHS[0])}
    before = WIDTHS[0]
    for stage, width in enumerate(WIDTHS, start=1):
        for block in range(BLOCKS):
            name = f"layer{stage}.{block}"
            shapes[f"{name}.conv1"] = (3, 3, before, width)
            shapes[f"{name}.conv2"] = (3, 3, width, width)
            if before != width:
                shapes[f"{name}.downsample"] = (1, 1, before, width)
            before = width
    shapes["fc"] = (before, 1000)
    keys = jax.random.split(rng_key, len(shapes))
    return {
        name: {
            "kernel": jax.random.normal(key, shape, jnp.float32) / math.sqrt(math.prod(shape[:-1])),
            "bias": jnp.zeros(shape[-1], jnp.float32),
        }
        for key, (name, shape) in zip(keys, shapes.items(), strict=True)
    }


def _residual(params: Params, name: str, x: jax.Array, stride: int) -> jax.Array:
    y = jax.nn.relu(_conv(params[f"{name}.conv1"], x, stride, 1))
    y = _conv(params[f"{name}.conv2"], y, 1, 1)
    if f"{name}.downsample" in params:
        x = _conv(params[f"{name}.downsample"], x, stride, 0)
    return jax.nn.relu(y + x)


def _conv(layer: dict[str, jax.Array], x: jax.Array, stride: int, padding: int) -> jax.Array:
    y = lax.conv_general_dilated(
        x,
        layer["kernel"].astype(x.dtype),
        (stride, stride),
        ((padding, padding), (padding, padding)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    return y + layer["bias"].astype(x.dtype)[None, None, None]
