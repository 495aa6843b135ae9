"""Networks written in the frameworks that `pdjax.wrap` takes, as their users write them.

Each has random weights: what a framework draws by itself, and for ONNX graphs what
`onnx_zoo.filled` draws. Batch norms whose first statistics would blow activations up or shrink
them get those of a batch of noise, so that differences between programs mean something. A `Model`
holds what a person writes to have a classifier of it, and the framework's own forward pass.
"""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import pdjax

__all__ = ["MODELS", "Model"]

CLASSES = 1000


class Model(NamedTuple):
    """A network of a framework.

    Attributes
    ----------
    code : str
        What a person writes; ``model`` and ``variables`` are their own.
    net : Classifier
        What that gives.
    layer : str
        The layer that is compared: scores, since a softmax of random ones may be all 0 and 1.
    forward : callable
        The framework's own forward pass, from images (n, h, w, 3) of NumPy to that layer.
    """

    code: str
    net: pdjax.Classifier
    layer: str
    forward: Callable[[np.ndarray], Any]


def noise(size: int = 224) -> np.ndarray:
    """Images (4, size, size, 3) of uniform noise."""
    return np.random.default_rng(0).random((4, size, size, 3), np.float32)


def linen_resnet50() -> Model:
    """ResNet-50 (He et al., 2016) in Flax linen."""
    import flax.linen as nn

    class Bottleneck(nn.Module):
        features: int
        stride: int

        @nn.compact
        def __call__(self, x, train=True):
            norm = functools.partial(nn.BatchNorm, use_running_average=not train)
            y = nn.relu(norm()(nn.Conv(self.features, (1, 1), use_bias=False)(x)))
            y = nn.Conv(self.features, (3, 3), self.stride, padding=1, use_bias=False)(y)
            y = nn.Conv(4 * self.features, (1, 1), use_bias=False)(nn.relu(norm()(y)))
            y = norm()(y)
            if x.shape != y.shape:
                x = norm()(nn.Conv(4 * self.features, (1, 1), self.stride, use_bias=False)(x))
            return nn.relu(x + y)

    class ResNet50(nn.Module):
        @nn.compact
        def __call__(self, x, train=True):
            x = nn.Conv(64, (7, 7), 2, padding=3, use_bias=False)(x)
            x = nn.relu(nn.BatchNorm(use_running_average=not train)(x))
            x = nn.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))
            for stage, count in enumerate((3, 4, 6, 3)):
                for index in range(count):
                    stride = 2 if stage and index == 0 else 1
                    x = Bottleneck(64 * 2**stage, stride)(x, train)
            return nn.Dense(CLASSES)(x.mean((1, 2)))

    model = ResNet50()
    images = jnp.zeros((1, 224, 224, 3))
    variables = jax.jit(functools.partial(model.init, train=False))(jax.random.key(0), images)
    return Model(
        'net = pdjax.wrap(model, variables, image_size=224, outputs="logits")',
        pdjax.wrap(model, variables, image_size=224, outputs="logits"),
        "prob",
        functools.partial(jax.jit(functools.partial(model.apply, train=False)), variables),
    )


def nnx_cnn() -> Model:
    """Six convolutions with batch norm and dropout in Flax NNX, for images of 64 pixels."""
    from flax import nnx

    class Block(nnx.Module):
        def __init__(self, inputs, features, rngs):
            self.conv1 = nnx.Conv(inputs, features, (3, 3), rngs=rngs)
            self.norm1 = nnx.BatchNorm(features, rngs=rngs)
            self.conv2 = nnx.Conv(features, features, (3, 3), rngs=rngs)
            self.norm2 = nnx.BatchNorm(features, rngs=rngs)
            self.dropout = nnx.Dropout(0.25, rngs=rngs)

        def __call__(self, x):
            x = nnx.relu(self.norm1(self.conv1(x)))
            x = nnx.relu(self.norm2(self.conv2(x)))
            return self.dropout(nnx.max_pool(x, (2, 2), (2, 2)))

    class CNN(nnx.Module):
        def __init__(self, rngs):
            sizes = (3, 64, 128, 256)
            self.blocks = nnx.List(
                Block(before, after, rngs) for before, after in itertools.pairwise(sizes)
            )
            self.head = nnx.Linear(256, 10, rngs=rngs)

        def __call__(self, x):
            for block in self.blocks:
                x = block(x)
            return self.head(x.mean((1, 2)))

    model = CNN(nnx.Rngs(0))
    graph, state = nnx.split(nnx.view(model, deterministic=True, use_running_average=True))
    return Model(
        'net = pdjax.wrap(model, image_size=64, outputs="logits")',
        pdjax.wrap(model, image_size=64, outputs="logits"),
        "prob",
        functools.partial(jax.jit(lambda state, x: nnx.merge(graph, state)(x)), state),
    )


def equinox_resnet18() -> Model:
    """ResNet-18 (He et al., 2016) in Equinox: channels first, one image at a time."""
    import equinox as eqx

    norm = functools.partial(eqx.nn.BatchNorm, axis_name="batch", mode="ema")

    def conv(inputs, features, size, stride, key):
        return eqx.nn.Conv2d(
            inputs, features, size, stride, padding=size // 2, use_bias=False, key=key
        )

    class Block(eqx.Module):
        conv1: eqx.nn.Conv2d
        norm1: eqx.nn.BatchNorm
        conv2: eqx.nn.Conv2d
        norm2: eqx.nn.BatchNorm
        shortcut: eqx.nn.Conv2d | None

        def __init__(self, inputs, features, stride, key):
            keys = jax.random.split(key, 3)
            self.conv1 = conv(inputs, features, 3, stride, keys[0])
            self.conv2 = conv(features, features, 3, 1, keys[1])
            self.norm1, self.norm2 = norm(features), norm(features)
            self.shortcut = conv(inputs, features, 1, stride, keys[2]) if stride > 1 else None

        def __call__(self, x, state):
            y, state = self.norm1(self.conv1(x), state)
            y, state = self.norm2(self.conv2(jax.nn.relu(y)), state)
            return jax.nn.relu(y + (x if self.shortcut is None else self.shortcut(x))), state

    class ResNet18(eqx.Module):
        stem: eqx.nn.Conv2d
        norm: eqx.nn.BatchNorm
        pool: eqx.nn.MaxPool2d
        blocks: list[Block]
        head: eqx.nn.Linear

        def __init__(self, key):
            keys = jax.random.split(key, 10)
            self.stem, self.norm = conv(3, 64, 7, 2, keys[0]), norm(64)
            self.pool = eqx.nn.MaxPool2d(3, 2, padding=1)
            sizes = (64, 64, 64, 128, 128, 256, 256, 512, 512)
            self.blocks = [
                Block(before, after, 2 if before < after else 1, key)
                for before, after, key in zip(sizes[:-1], sizes[1:], keys[1:9], strict=True)
            ]
            self.head = eqx.nn.Linear(512, CLASSES, key=keys[9])

        def __call__(self, x, state):
            x, state = self.norm(self.stem(x), state)
            x = self.pool(jax.nn.relu(x))
            for block in self.blocks:
                x, state = block(x, state)
            return self.head(x.mean((1, 2))), state

    model, state = eqx.nn.make_with_state(ResNet18)(jax.random.key(0))
    state = eqx.filter_jit(_mapped)(model, noise(), state)[1]
    arrays, rest = eqx.partition(eqx.nn.inference_mode(model), eqx.is_array)

    @jax.jit
    def forward(arrays, state, images):
        return _mapped(eqx.combine(arrays, rest), images, state)[0]

    return Model(
        'net = pdjax.wrap(model, state, image_size=224, outputs="logits")',
        pdjax.wrap(model, state, image_size=224, outputs="logits"),
        "prob",
        functools.partial(forward, arrays, state),
    )


def _mapped(model: Any, images: jax.Array, state: Any) -> Any:
    run = jax.vmap(model, in_axes=(0, None), out_axes=(0, None), axis_name="batch")
    return run(jnp.transpose(images, (0, 3, 1, 2)), state)


def haiku_mobilenet() -> Model:
    """MobileNet (Howard et al., 2017) of Haiku itself."""
    import haiku as hk

    def network(images, is_training):
        return hk.nets.MobileNetV1(num_classes=CLASSES)(images, is_training)

    model = hk.transform_with_state(network)
    init = jax.jit(functools.partial(model.init, is_training=True))
    params, state = init(jax.random.key(0), noise())
    # Its last layer begins with zeros.
    (last,) = (name for name in params if name.endswith("logits"))
    drawn = jax.random.normal(jax.random.key(1), params[last]["w"].shape) / 32
    params = {**params, last: {**params[last], "w": drawn}}
    forward = jax.jit(lambda p, s, x: model.apply(p, s, None, x, is_training=False)[0])
    return Model(
        'net = pdjax.wrap(model, params, state, image_size=224, outputs="logits")',
        pdjax.wrap(model, params, state, image_size=224, outputs="logits"),
        "prob",
        functools.partial(forward, params, state),
    )


def keras_application(name: str) -> Model:
    """One of Keras' own networks."""
    os.environ.setdefault("KERAS_BACKEND", "jax")
    import keras

    keras.utils.set_random_seed(0)
    model = getattr(keras.applications, name)(weights=None, classifier_activation=None)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    model(noise(), training=True)

    @jax.jit
    def run(trained, other, images):
        return model.stateless_call(trained, other, images, training=False)[0]

    values = [
        [variable.value for variable in variables]
        for variables in (model.trainable_variables, model.non_trainable_variables)
    ]
    return Model(
        'net = pdjax.wrap(model, outputs="logits")',
        pdjax.wrap(model, outputs="logits"),
        "prob",
        functools.partial(run, *values),
    )


def torch_resnet18() -> Model:
    """ResNet-18 (He et al., 2016) in PyTorch."""
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self, inputs, features, stride):
            super().__init__()
            self.conv1 = nn.Conv2d(inputs, features, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(features)
            self.conv2 = nn.Conv2d(features, features, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(features)
            self.relu = nn.ReLU(inplace=True)
            self.downsample = None
            if stride > 1:
                self.downsample = nn.Sequential(
                    nn.Conv2d(inputs, features, 1, stride, bias=False), nn.BatchNorm2d(features)
                )

        def forward(self, x):
            y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
            return self.relu(y + (x if self.downsample is None else self.downsample(x)))

    torch.manual_seed(0)
    sizes = (64, 64, 64, 128, 128, 256, 256, 512, 512)
    model = nn.Sequential(
        nn.Conv2d(3, 64, 7, 2, 3, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, 1),
        *(
            Block(before, after, 2 if before < after else 1)
            for before, after in itertools.pairwise(sizes)
        ),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(512, CLASSES),
    )
    return _of_torch(model)


def torch_densenet121() -> Model:
    """DenseNet-121 (Huang et al., 2017) in PyTorch."""
    import torch
    from torch import nn

    class Layer(nn.Module):
        def __init__(self, inputs):
            super().__init__()
            self.norm1, self.norm2 = nn.BatchNorm2d(inputs), nn.BatchNorm2d(128)
            self.conv1 = nn.Conv2d(inputs, 128, 1, bias=False)
            self.conv2 = nn.Conv2d(128, 32, 3, padding=1, bias=False)

        def forward(self, x):
            y = self.conv1(torch.relu(self.norm1(x)))
            return torch.cat([x, self.conv2(torch.relu(self.norm2(y)))], 1)

    torch.manual_seed(0)
    stem = (nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True))
    layers, features = [*stem, nn.MaxPool2d(3, 2, 1)], 64
    for stage, count in enumerate((6, 12, 24, 16)):
        if stage:
            norm, halved = nn.BatchNorm2d(features), nn.Conv2d(features, features // 2, 1)
            layers += [norm, nn.ReLU(inplace=True), halved, nn.AvgPool2d(2)]
            features //= 2
        for _ in range(count):
            layers.append(Layer(features))
            features += 32
    layers += [nn.BatchNorm2d(features), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1)]
    return _of_torch(nn.Sequential(*layers, nn.Flatten(), nn.Linear(features, CLASSES)))


def _of_torch(model: Any) -> Model:
    import torch

    for part in model.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.momentum = None
    with torch.no_grad():
        model(torch.from_numpy(np.moveaxis(noise(), -1, 1).copy()))
    model = model.eval()

    @torch.inference_mode()
    def forward(images: np.ndarray) -> np.ndarray:
        given = torch.from_numpy(images).permute(0, 3, 1, 2)
        return model(given.contiguous(memory_format=torch.channels_last)).numpy()

    return Model(
        'net = pdjax.wrap(model, image_size=224, outputs="logits")',
        pdjax.wrap(model, image_size=224, outputs="logits"),
        "prob",
        forward,
    )


def onnx_graph(name: str) -> Model:
    """One of the graphs that the package ``onnx`` ships, whose batch is one image."""
    import onnxruntime
    from onnx_zoo import GRAPHS, filled, session_of

    model, scores = filled(name)
    said = "" if GRAPHS[name] == "softmax" else ', outputs="logits"'
    session, given = session_of(model, [scores], onnxruntime.SessionOptions())

    def forward(images: np.ndarray) -> np.ndarray:
        moved = np.ascontiguousarray(np.moveaxis(images, -1, 1))
        return np.concatenate(
            [np.moveaxis(session.run([scores], {given: image[None]})[0], 1, -1) for image in moved]
        )

    net = pdjax.wrap(model, outputs=None if GRAPHS[name] == "softmax" else "logits")
    return Model(f'net = pdjax.wrap("{name}.onnx"{said})', net, scores, forward)


ONNX = (
    *("bvlc_alexnet", "densenet121", "inception_v1", "inception_v2", "resnet50"),
    *("shufflenet", "squeezenet", "vgg19", "zfnet512"),
)

MODELS: dict[str, Callable[[], Model]] = {
    "linen ResNet-50": linen_resnet50,
    "NNX CNN, 64 pixels": nnx_cnn,
    "Equinox ResNet-18": equinox_resnet18,
    "Haiku MobileNet": haiku_mobilenet,
    **{
        f"Keras {name}": functools.partial(keras_application, name)
        for name in ("MobileNetV2", "ResNet50", "ConvNeXtTiny")
    },
    "PyTorch ResNet-18": torch_resnet18,
    "PyTorch DenseNet-121": torch_densenet121,
    **{f"ONNX {name}": functools.partial(onnx_graph, name) for name in ONNX},
}
