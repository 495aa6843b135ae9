"""AlexNet in the form published with Caffe (BVLC) and in torchvision's.

Krizhevsky et al., "ImageNet Classification with Deep Convolutional Neural Networks", NIPS 2012.
Caffe's has two groups of channels and normalises responses before pooling; torchvision's follows
Krizhevsky, "One weird trick", 2014, and does neither. Both use Caffe's layer names here; an
activation holds what Caffe's blob of that name holds, that is after the ReLU applied in place.
"""

from __future__ import annotations

from collections.abc import Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from pdjax._checks import ArgumentValueError
from pdjax._types import Array, Float, Params
from pdjax.models.layers import conv, dense, local_response_norm, max_pool, standardize, to_caffe
from pdjax.models.network import IMAGENET_IMAGES, Download, Network, Place

__all__ = [
    "BVLC_ALEXNET",
    "TORCHVISION_ALEXNET",
    "AlexNet",
    "TorchvisionAlexNet",
    "with_mean_image",
]

IMAGE_SIZE = 227


class AlexNet(nn.Module):
    """Caffe's form: images (n, 227, 227, 3), RGB in [0, 1], to all activations in forward order.

    The mean colour of ImageNet is subtracted first, or the mean image where the parameters have
    one (`with_mean_image`).
    """

    num_classes: int = 1000

    @nn.compact
    def __call__(self, images: Float[Array, "n h w 3"]) -> dict[str, jax.Array]:
        """Return ``{blob name: activation}``, from ``conv1`` to ``prob``."""
        blobs: dict[str, jax.Array] = {}
        data: Mapping[str, jax.Array] = self.get_variable("params", "data", {})
        x = to_caffe(images, data.get("mean"))
        x = blobs["conv1"] = nn.relu(conv(x, "conv1", 96, 11, stride=4))
        x = blobs["norm1"] = local_response_norm(x)
        x = blobs["pool1"] = max_pool(x, 3, 2)
        x = blobs["conv2"] = nn.relu(conv(x, "conv2", 256, 5, padding=2, groups=2))
        x = blobs["norm2"] = local_response_norm(x)
        x = blobs["pool2"] = max_pool(x, 3, 2)
        x = blobs["conv3"] = nn.relu(conv(x, "conv3", 384, 3, padding=1))
        x = blobs["conv4"] = nn.relu(conv(x, "conv4", 384, 3, padding=1, groups=2))
        x = blobs["conv5"] = nn.relu(conv(x, "conv5", 256, 3, padding=1, groups=2))
        x = blobs["pool5"] = max_pool(x, 3, 2)
        x = blobs["fc6"] = nn.relu(dense(x, "fc6", 4096))
        x = blobs["fc7"] = nn.relu(dense(x, "fc7", 4096))
        x = blobs["fc8"] = dense(x, "fc8", self.num_classes)
        blobs["prob"] = nn.softmax(x)
        return blobs


class TorchvisionAlexNet(nn.Module):
    """Torchvision's form: images (n, 224, 224, 3), RGB in [0, 1], to all activations."""

    num_classes: int = 1000

    @nn.compact
    def __call__(self, images: Float[Array, "n h w 3"]) -> dict[str, jax.Array]:
        """Return ``{layer: activation}``, from ``conv1`` to ``prob``."""
        layers: dict[str, jax.Array] = {}
        x = standardize(images)
        x = layers["conv1"] = nn.relu(conv(x, "conv1", 64, 11, stride=4, padding=2))
        x = layers["pool1"] = max_pool(x, 3, 2)
        x = layers["conv2"] = nn.relu(conv(x, "conv2", 192, 5, padding=2))
        x = layers["pool2"] = max_pool(x, 3, 2)
        x = layers["conv3"] = nn.relu(conv(x, "conv3", 384, 3, padding=1))
        x = layers["conv4"] = nn.relu(conv(x, "conv4", 256, 3, padding=1))
        x = layers["conv5"] = nn.relu(conv(x, "conv5", 256, 3, padding=1))
        x = layers["pool5"] = max_pool(x, 3, 2)
        x = layers["fc6"] = nn.relu(dense(x, "fc6", 4096))
        x = layers["fc7"] = nn.relu(dense(x, "fc7", 4096))
        x = layers["fc8"] = dense(x, "fc8", self.num_classes)
        layers["prob"] = nn.softmax(x)
        return layers


def with_mean_image(params: Params, mean: np.ndarray) -> Params:
    """Let Caffe's AlexNet subtract a mean image, as it did in training, not the mean colour.

    Parameters
    ----------
    params : dict
        Parameters of ``bvlc_alexnet``.
    mean : float array, shape (3, h, w)
        The mean image as Caffe publishes it (``ilsvrc_2012_mean.npy``): BGR in [0, 255], at least
        227 pixels a side. Its middle is used.

    Returns
    -------
    dict
        The parameters with one entry more: ``{"data": {"mean" (227, 227, 3)}}``.

    Raises
    ------
    ValueError
        If the mean has another shape.
    """
    if mean.ndim != 3 or mean.shape[0] != 3 or min(mean.shape[1:]) < IMAGE_SIZE:
        raise ArgumentValueError(
            "mean",
            f"of shape {mean.shape} must be (3, h, w) with h and w of at least {IMAGE_SIZE}",
            "give Caffe's mean image",
        )
    top, left = ((side - IMAGE_SIZE) // 2 for side in mean.shape[1:])
    middle = mean[:, top : top + IMAGE_SIZE, left : left + IMAGE_SIZE]
    return {**params, "data": {"mean": jnp.asarray(middle, jnp.float32).transpose(1, 2, 0)}}


PLACES = {
    "conv1": Place("features.0"),
    "conv2": Place("features.3"),
    "conv3": Place("features.6"),
    "conv4": Place("features.8"),
    "conv5": Place("features.10"),
    "fc6": Place("classifier.1", feature_map=(6, 6)),
    "fc7": Place("classifier.4"),
    "fc8": Place("classifier.6"),
}
"""Torchvision's modules: numbers in two sequences."""

BVLC_ALEXNET = Network(
    name="bvlc_alexnet",
    module=AlexNet(),
    image_size=IMAGE_SIZE,
    summary="AlexNet as published with Caffe: 61 million parameters, 5 convolutions",
    scores="fc8",
    num_training_images=IMAGENET_IMAGES,
    aliases=("alexnet",),
    published=Download(
        "http://dl.caffe.berkeleyvision.org/bvlc_alexnet.caffemodel",
        "sha1:9116a64c0fbe4459d18f4bb6b56d647b63920377",
        243_862_414,
    ),
    form="caffemodel",
    place=lambda layer: Place(layer, feature_map=(6, 6) if layer == "fc6" else None),
    with_mean=with_mean_image,
)

TORCHVISION_ALEXNET = Network(
    name="torchvision_alexnet",
    module=TorchvisionAlexNet(),
    image_size=224,
    summary="AlexNet in torchvision's form: 61 million parameters, no response normalisation",
    scores="fc8",
    num_training_images=IMAGENET_IMAGES,
    published=Download(
        "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
        "sha256:7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
        244_408_911,
    ),
    place=PLACES.__getitem__,
)
