"""GoogLeNet in the form published with Caffe (BVLC) and in torchvision's.

Szegedy et al., "Going Deeper with Convolutions", CVPR 2015. Caffe's form is the network of the
method's paper. Its layers, blob names and the order of everything follow the published
``deploy.prototxt``; an activation holds what the blob of its name holds, that is after the ReLU
which Caffe applies in place.

Torchvision's form has torchvision's layer names. Batch norm follows every convolution (it is folded
into kernel and bias when weights are read), a 3x3 convolution stands where the paper has a 5x5 one,
and there is no response normalisation. The published weights want pixels in [-1, 1]. An activation
holds the values after the ReLU; ``inception3a`` is the joined output of that module,
``inception3a.branch4.0`` its pooling.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from pdjax._types import Array, Float
from pdjax.models.layers import (
    average_pool,
    conv,
    dense,
    local_response_norm,
    max_pool,
    standardize,
    to_caffe,
)
from pdjax.models.network import IMAGENET_IMAGES, Download, Network, Place

__all__ = ["BVLC_GOOGLENET", "TORCHVISION_GOOGLENET", "GoogLeNet", "TorchvisionGoogLeNet"]

INCEPTIONS = {
    # 1x1, 3x3_reduce, 3x3, 5x5_reduce, 5x5, pool_proj
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
"""Output channels of the six convolutions of every inception module."""

POOLED_AFTER = {"3b": "pool3/3x3_s2", "4e": "pool4/3x3_s2"}
"""Name of the pooling after an inception module, in Caffe's form."""

TORCHVISION_POOLED_AFTER = {"3b": ("maxpool3", 3), "4e": ("maxpool4", 2)}
"""Its name and window in torchvision's."""


class GoogLeNet(nn.Module):
    """Caffe's form: images (n, 224, 224, 3), RGB in [0, 1], to all activations in forward order."""

    num_classes: int = 1000

    @nn.compact
    def __call__(self, images: Float[Array, "n h w 3"]) -> dict[str, jax.Array]:
        """Return ``{blob name: activation}``, from ``conv1/7x7_s2`` to ``prob``."""
        blobs: dict[str, jax.Array] = {}
        keep = blobs.setdefault  # hands back what it is given

        def relu_conv(x: jax.Array, name: str, features: int, size: int = 1) -> jax.Array:
            return keep(name, nn.relu(conv(x, name, features, size, padding=size // 2)))

        def inception(x: jax.Array, stage: str, widths: tuple[int, ...]) -> jax.Array:
            name = f"inception_{stage}"
            one, three_reduce, three, five_reduce, five, projection = widths
            a = relu_conv(x, f"{name}/1x1", one)
            b = relu_conv(x, f"{name}/3x3_reduce", three_reduce)
            b = relu_conv(b, f"{name}/3x3", three, 3)
            c = relu_conv(x, f"{name}/5x5_reduce", five_reduce)
            c = relu_conv(c, f"{name}/5x5", five, 5)
            d = keep(f"{name}/pool", max_pool(x, 3, 1, padding=1))
            d = relu_conv(d, f"{name}/pool_proj", projection)
            return keep(f"{name}/output", jnp.concatenate((a, b, c, d), axis=-1))

        x = to_caffe(images)
        x = conv(x, "conv1/7x7_s2", 64, 7, stride=2, padding=3)
        x = keep("conv1/7x7_s2", nn.relu(x))
        x = keep("pool1/3x3_s2", max_pool(x, 3, 2))
        x = keep("pool1/norm1", local_response_norm(x))
        x = relu_conv(x, "conv2/3x3_reduce", 64)
        x = relu_conv(x, "conv2/3x3", 192, 3)
        x = keep("conv2/norm2", local_response_norm(x))
        x = keep("pool2/3x3_s2", max_pool(x, 3, 2))
        for stage, widths in INCEPTIONS.items():
            x = inception(x, stage, widths)
            if stage in POOLED_AFTER:
                x = keep(POOLED_AFTER[stage], max_pool(x, 3, 2))
        x = keep("pool5/7x7_s1", average_pool(x, 7, 1))
        x = keep("loss3/classifier", dense(x, "loss3/classifier", self.num_classes))
        keep("prob", nn.softmax(x))
        return blobs


class TorchvisionGoogLeNet(nn.Module):
    """Torchvision's form: images (n, 224, 224, 3), RGB in [0, 1], to all activations."""

    num_classes: int = 1000

    @nn.compact
    def __call__(self, images: Float[Array, "n h w 3"]) -> dict[str, jax.Array]:
        """Return ``{layer: activation}``, from ``conv1`` to ``prob``."""
        layers: dict[str, jax.Array] = {}
        keep = layers.setdefault  # hands back what it is given

        def relu_conv(x: jax.Array, name: str, features: int, size: int = 1) -> jax.Array:
            return keep(name, nn.relu(conv(x, name, features, size, padding=size // 2)))

        def inception(x: jax.Array, name: str, widths: tuple[int, ...]) -> jax.Array:
            one, second_reduce, second, third_reduce, third, projection = widths
            a = relu_conv(x, f"{name}.branch1", one)
            b = relu_conv(x, f"{name}.branch2.0", second_reduce)
            b = relu_conv(b, f"{name}.branch2.1", second, 3)
            c = relu_conv(x, f"{name}.branch3.0", third_reduce)
            c = relu_conv(c, f"{name}.branch3.1", third, 3)
            d = keep(f"{name}.branch4.0", max_pool(x, 3, 1, padding=1))
            d = relu_conv(d, f"{name}.branch4.1", projection)
            return keep(name, jnp.concatenate((a, b, c, d), axis=-1))

        x = standardize(images, mean=(0.5, 0.5, 0.5), deviation=(0.5, 0.5, 0.5))
        x = keep("conv1", nn.relu(conv(x, "conv1", 64, 7, stride=2, padding=3)))
        x = keep("maxpool1", max_pool(x, 3, 2))
        x = relu_conv(x, "conv2", 64)
        x = relu_conv(x, "conv3", 192, 3)
        x = keep("maxpool2", max_pool(x, 3, 2))
        for stage, widths in INCEPTIONS.items():
            x = inception(x, f"inception{stage}", widths)
            if stage in TORCHVISION_POOLED_AFTER:
                name, size = TORCHVISION_POOLED_AFTER[stage]
                x = keep(name, max_pool(x, size, 2))
        x = keep("avgpool", x.mean((1, 2)))
        x = keep("fc", dense(x, "fc", self.num_classes))
        keep("prob", nn.softmax(x))
        return layers


def _place(layer: str) -> Place:
    return Place("fc") if layer == "fc" else Place(f"{layer}.conv", norm=f"{layer}.bn")


BVLC_GOOGLENET = Network(
    name="bvlc_googlenet",
    module=GoogLeNet(),
    image_size=224,
    summary="GoogLeNet as published with Caffe: 7 million parameters, 9 inception modules",
    scores="loss3/classifier",
    num_training_images=IMAGENET_IMAGES,
    aliases=("googlenet",),
    published=Download(
        "http://dl.caffe.berkeleyvision.org/bvlc_googlenet.caffemodel",
        "sha1:405fc5acd08a3bb12de8ee5e23a96bec22f08204",
        53_533_754,
    ),
    form="caffemodel",
    unused=("loss1/", "loss2/"),
)

TORCHVISION_GOOGLENET = Network(
    name="torchvision_googlenet",
    module=TorchvisionGoogLeNet(),
    image_size=224,
    summary="GoogLeNet in torchvision's form: 6.6 million parameters, trained with batch norm",
    scores="fc",
    num_training_images=IMAGENET_IMAGES,
    published=Download(
        "https://download.pytorch.org/models/googlenet-1378be20.pth",
        "sha256:1378be20a8e875cf1568b8a71654e704449655e34711a959a38b04fb34905cef",
    ),
    place=_place,
    unused=("aux1.", "aux2."),
    norm_epsilon=1e-3,
)
