"""VGG16 with torchvision's input transform and weights, and Caffe's layer names.

Simonyan & Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition",
ICLR 2015, configuration D. An activation holds the values after the ReLU.
"""

from __future__ import annotations

import flax.linen as nn
import jax

from pdjax._types import Array, Float
from pdjax.models.layers import conv, dense, max_pool, standardize
from pdjax.models.network import IMAGENET_IMAGES, Download, Network, Place

__all__ = ["VGG16", "Vgg16"]

STAGES = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
"""Convolutions and their output channels before each pooling."""


class Vgg16(nn.Module):
    """Images (n, 224, 224, 3), RGB in [0, 1], to all activations in forward order."""

    num_classes: int = 1000

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
        x = layers["fc8"] = dense(x, "fc8", self.num_classes)
        layers["prob"] = nn.softmax(x)
        return layers


PLACES = {
    "conv1_1": Place("features.0"),
    "conv1_2": Place("features.2"),
    "conv2_1": Place("features.5"),
    "conv2_2": Place("features.7"),
    "conv3_1": Place("features.10"),
    "conv3_2": Place("features.12"),
    "conv3_3": Place("features.14"),
    "conv4_1": Place("features.17"),
    "conv4_2": Place("features.19"),
    "conv4_3": Place("features.21"),
    "conv5_1": Place("features.24"),
    "conv5_2": Place("features.26"),
    "conv5_3": Place("features.28"),
    "fc6": Place("classifier.0", feature_map=(7, 7)),
    "fc7": Place("classifier.3"),
    "fc8": Place("classifier.6"),
}
"""Torchvision's modules: numbers in two sequences."""

VGG16 = Network(
    name="vgg16",
    module=Vgg16(),
    image_size=224,
    summary="VGG16: 138 million parameters, 13 convolutions",
    scores="fc8",
    num_training_images=IMAGENET_IMAGES,
    published=Download(
        "https://download.pytorch.org/models/vgg16-397923af.pth",
        "sha256:397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        553_433_881,
    ),
    place=PLACES.__getitem__,
)
