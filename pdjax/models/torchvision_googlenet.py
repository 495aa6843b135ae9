"""GoogLeNet in torchvision's form, with torchvision's layer names.

Batch norm follows every convolution (it is folded into kernel and bias when weights are read), a
3x3 convolution stands where the paper has a 5x5 one, and there is no response normalisation. The
published weights want pixels in [-1, 1]. An activation holds the values after the ReLU;
``inception3a`` is the joined output of that module, ``inception3a.branch4.0`` its pooling.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from pdjax._types import Array, Float
from pdjax.models.convolution import conv
from pdjax.models.googlenet import INCEPTIONS
from pdjax.models.layers import dense, max_pool, standardize
from pdjax.models.network import Network

__all__ = ["TORCHVISION_GOOGLENET", "TorchvisionGoogLeNet"]

POOLED_AFTER = {"3b": ("maxpool3", 3), "4e": ("maxpool4", 2)}
"""Name and window of the pooling after an inception module."""


class TorchvisionGoogLeNet(nn.Module):
    """Images (n, 224, 224, 3), RGB in [0, 1], to all activations in forward order."""

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
            if stage in POOLED_AFTER:
                name, size = POOLED_AFTER[stage]
                x = keep(name, max_pool(x, size, 2))
        x = keep("avgpool", x.mean((1, 2)))
        x = keep("fc", dense(x, "fc", 1000))
        keep("prob", nn.softmax(x))
        return layers


TORCHVISION_GOOGLENET = Network(
    name="torchvision_googlenet",
    module=TorchvisionGoogLeNet(),
    image_size=224,
    summary="GoogLeNet in torchvision's form: 6.6 million parameters, trained with batch norm",
)
