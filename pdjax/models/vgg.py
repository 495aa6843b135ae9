"""VGG16 with torchvision's input transform and Caffe's layer names.

Simonyan & Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition",
ICLR 2015, configuration D. An activation holds the values after the ReLU.
"""

from __future__ import annotations

import flax.linen as nn
import jax

from pdjax._types import Array, Float
from pdjax.models.convolution import conv
from pdjax.models.layers import dense, max_pool, standardize
from pdjax.models.network import Network

__all__ = ["VGG16", "Vgg16"]

STAGES = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
"""Convolutions and their output channels before each pooling."""


class Vgg16(nn.Module):
    """Images (n, 224, 224, 3), RGB in [0, 1], to all activations in forward order."""

    @nn.compact
    def __call__(self, images: Float[Array, "n h w 3"]) -> dict[str, jax.Array]:
        """Return ``{layer: activation}``, from ``conv1_1`` to ``prob``."""
        layers: dict[str, jax.Array] = {}
        x = standardize(images)
        for stage, (count, features) in enumerate(STAGES, start=1):
            for index in range(1, count + 1):
                name = f"conv{stage}_{index}"
                x = layers[name] = nn.relu(conv(x, name, features, 3, padding=1))
            x = layers[f"pool{stage}"] = max_pool(x, 2, 2)
        x = layers["fc6"] = nn.relu(dense(x, "fc6", 4096))
        x = layers["fc7"] = nn.relu(dense(x, "fc7", 4096))
        x = layers["fc8"] = dense(x, "fc8", 1000)
        layers["prob"] = nn.softmax(x)
        return layers


VGG16 = Network(
    name="vgg16",
    module=Vgg16(),
    image_size=224,
    summary="VGG16: 138 million parameters, 13 convolutions",
)
