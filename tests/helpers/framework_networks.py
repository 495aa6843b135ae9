"""One small network in each framework: convolution, batch norm, dropout, pooling, dense.

Each is in training mode, where a framework has one on its objects, and has statistics of its batch
norms that are not those of the images, so that only inference mode gives what is expected. Each
comes with the framework's own forward pass, written as its users write it.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

SIZE = 16
CLASSES = 5


@dataclasses.dataclass(frozen=True)
class Case:
    """A model, and what is known about it.

    Attributes
    ----------
    model, variables
        What `pdjax.wrap` gets.
    forward : callable
        Images (n, 16, 16, 3) to scores (n, 5) in inference mode, by the framework itself.
    hidden : mapping
        Hidden layers to functions of images that compute them otherwise, channels last.
    layers : tuple
        All layers that there should be, in forward order.
    facts : function
        Returns something that is equal as long as nobody has changed the model.
    """

    model: Any
    variables: tuple[Any, ...]
    forward: Callable[[np.ndarray], np.ndarray]
    hidden: dict[str, Callable[[np.ndarray], np.ndarray]]
    layers: tuple[str, ...]
    facts: Callable[[], Any]


def linen() -> Case:
    import flax.linen as nn

    class Block(nn.Module):
        @nn.compact
        def __call__(self, x, train: bool = True):
            x = nn.Conv(6, (3, 3), name="conv")(x)
            x = nn.BatchNorm(use_running_average=not train, name="norm")(x)
            return nn.max_pool(nn.relu(x), (2, 2), (2, 2))

    class Network(nn.Module):
        @nn.compact
        def __call__(self, x, train: bool = True):
            x = Block(name="block")(x, train)
            x = nn.Dropout(0.5, deterministic=not train, name="dropout")(x)
            return nn.Dense(CLASSES, name="head")(x.mean((1, 2)))

    module = Network()
    variables = module.init(jax.random.key(0), jnp.zeros((1, SIZE, SIZE, 3)), train=False)
    variables = with_statistics(variables)

    def apply(images, method=None):
        return module.apply(variables, images, train=False)

    def conv(images):
        layer = nn.Conv(6, (3, 3))
        return layer.apply({"params": variables["params"]["block"]["conv"]}, images)

    layers = ("block/conv", "block/norm", "block", "dropout", "prob")
    return Case(module, (variables,), apply, {"block/conv": conv}, layers, lambda: str(module))


def nnx() -> Case:
    from flax import nnx

    class Block(nnx.Module):
        def __init__(self, rngs):
            self.conv = nnx.Conv(3, 6, (3, 3), rngs=rngs)
            self.norm = nnx.BatchNorm(6, rngs=rngs)

        def __call__(self, x):
            return nnx.max_pool(nnx.relu(self.norm(self.conv(x))), (2, 2), (2, 2))

    class Network(nnx.Module):
        def __init__(self, rngs):
            self.block = Block(rngs)
            self.dropout = nnx.Dropout(0.5, rngs=rngs)
            self.head = nnx.Linear(6, CLASSES, rngs=rngs)

        def __call__(self, x):
            return self.head(self.dropout(self.block(x)).mean((1, 2)))

    module = Network(nnx.Rngs(0))
    module.block.norm.mean = nnx.BatchStat(jnp.linspace(-0.5, 0.5, 6))
    module.block.norm.var = nnx.BatchStat(jnp.linspace(0.5, 2.0, 6))

    def forward(images):
        copy = nnx.clone(module)
        copy.eval()
        return copy(images)

    layers = ("block/conv", "block/norm", "block", "dropout", "prob")
    return Case(
        module,
        (),
        forward,
        {"block/conv": lambda images: module.block.conv(images)},
        layers,
        lambda: (module.dropout.deterministic, module.block.norm.use_running_average),
    )


def equinox() -> Case:
    eqx = pytest.importorskip("equinox", reason="equinox is not installed")

    class Block(eqx.Module):
        conv: eqx.nn.Conv2d
        norm: eqx.nn.BatchNorm

        def __init__(self, key):
            self.conv = eqx.nn.Conv2d(3, 6, 3, padding=1, key=key)
            self.norm = eqx.nn.BatchNorm(6, axis_name="batch", mode="batch")

        def __call__(self, x, state):
            x, state = self.norm(self.conv(x), state)
            return jax.nn.relu(x), state

    class Network(eqx.Module):
        block: Block
        pool: eqx.nn.MaxPool2d
        dropout: eqx.nn.Dropout
        head: list

        def __init__(self, key):
            first, second = jax.random.split(key)
            self.block = Block(first)
            self.pool = eqx.nn.MaxPool2d(2, 2)
            self.dropout = eqx.nn.Dropout(0.5)
            self.head = [eqx.nn.Linear(6, CLASSES, key=second)]

        def __call__(self, x, state, key=None):
            x, state = self.block(x, state)
            x = self.dropout(self.pool(x), key=key).mean((1, 2))
            return self.head[0](x), state

    model, state = eqx.nn.make_with_state(Network)(jax.random.key(0))
    values = (jnp.linspace(-0.5, 0.5, 6), jnp.linspace(0.5, 2.0, 6))
    state = state.set(model.block.norm.batch_state_index, values)
    state = state.set(model.block.norm.batch_counter, jnp.array(1))

    def channels_first(images):
        return jnp.asarray(images).transpose(0, 3, 1, 2)

    def forward(images):
        inference = eqx.nn.inference_mode(model)
        run = jax.vmap(inference, in_axes=(0, None), out_axes=(0, None), axis_name="batch")
        return run(channels_first(images), state)[0]

    def conv(images):
        return jax.vmap(model.block.conv)(channels_first(images)).transpose(0, 2, 3, 1)

    layers = ("block/conv", "block/norm", "block", "pool", "dropout", "prob")
    return Case(
        model,
        (state,),
        forward,
        {"block/conv": conv},
        layers,
        lambda: (model.dropout.inference, model.block.norm.inference),
    )


def haiku() -> Case:
    hk = pytest.importorskip("haiku", reason="dm-haiku is not installed")

    def network(images, is_training):
        x = hk.Conv2D(6, 3, name="conv")(images)
        x = hk.BatchNorm(True, True, 0.9, name="norm")(x, is_training)
        x = hk.max_pool(jax.nn.relu(x), (2, 2, 1), (2, 2, 1), "VALID")
        if is_training:
            x = hk.dropout(hk.next_rng_key(), 0.5, x)
        return hk.Linear(CLASSES, name="head")(x.mean((1, 2)))

    transformed = hk.transform_with_state(network)
    images = jnp.zeros((1, SIZE, SIZE, 3))
    params, state = transformed.init(jax.random.key(0), images, is_training=True)
    state = dict(state)
    state["norm/~/mean_ema"] = {**state["norm/~/mean_ema"], "average": row(-0.5, 0.5)}
    state["norm/~/var_ema"] = {**state["norm/~/var_ema"], "average": row(0.5, 2.0)}

    def forward(images):
        return transformed.apply(params, state, None, images, is_training=False)[0]

    def conv(images):
        part = hk.without_apply_rng(hk.transform(lambda x: hk.Conv2D(6, 3, name="conv")(x)))
        return part.apply({"conv": params["conv"]}, images)

    layers = ("conv", "norm", "prob")
    return Case(transformed, (params, state), forward, {"conv": conv}, layers, lambda: None)


def keras() -> Case:
    keras = pytest.importorskip("keras", reason="keras is not installed")
    if keras.backend.backend() != "jax":
        pytest.skip("Keras runs on another backend than JAX")
    keras.utils.set_random_seed(0)
    block = keras.Sequential(
        [
            keras.layers.Conv2D(6, 3, padding="same", name="conv"),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.ReLU(name="relu"),
            keras.layers.MaxPooling2D(name="pool"),
        ],
        name="block",
    )
    model = keras.Sequential(
        [
            keras.Input((SIZE, SIZE, 3)),
            block,
            keras.layers.Dropout(0.5, name="dropout"),
            keras.layers.GlobalAveragePooling2D(name="mean"),
            keras.layers.Dense(CLASSES, name="head"),
        ]
    )
    norm = block.get_layer("norm")
    norm.moving_mean.assign(np.linspace(-0.5, 0.5, 6))
    norm.moving_variance.assign(np.linspace(0.5, 2.0, 6))
    layers = (
        "block/conv", "block/norm", "block/relu", "block/pool", "block", "dropout", "mean", "prob",
    )  # fmt: skip
    return Case(
        model,
        (),
        lambda images: model(images, training=False),
        {"block/conv": lambda images: block.get_layer("conv")(images)},
        layers,
        lambda: [np.asarray(weight).tobytes() for weight in model.get_weights()],
    )


def torch() -> Case:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    torch.manual_seed(0)
    block = torch.nn.Sequential()
    block.add_module("conv", torch.nn.Conv2d(3, 6, 3, padding=1))
    block.add_module("norm", torch.nn.BatchNorm2d(6))
    block.add_module("relu", torch.nn.ReLU(inplace=True))
    block.add_module("pool", torch.nn.MaxPool2d(2))
    module = torch.nn.Sequential()
    module.add_module("block", block)
    module.add_module("dropout", torch.nn.Dropout(0.5))
    module.add_module("mean", torch.nn.AdaptiveAvgPool2d(1))
    module.add_module("flat", torch.nn.Flatten())
    module.add_module("head", torch.nn.Linear(6, CLASSES))
    block.norm.running_mean.copy_(torch.linspace(-0.5, 0.5, 6))
    block.norm.running_var.copy_(torch.linspace(0.5, 2.0, 6))
    module.train()

    def forward(images, part=None):
        part = copy.deepcopy(module if part is None else part).eval()
        with torch.no_grad():
            return part(torch.from_numpy(np.moveaxis(images, -1, 1).copy())).numpy()

    layers = (
        "block.conv", "block.norm", "block.relu", "block.pool", "block", "dropout", "mean", "flat",
        "prob",
    )  # fmt: skip
    return Case(
        module,
        (),
        forward,
        {"block.conv": lambda images: np.moveaxis(forward(images, block.conv), 1, -1)},
        layers,
        lambda: (module.training, {k: v.tolist() for k, v in module.state_dict().items()}),
    )


CASES = {
    "linen": linen,
    "nnx": nnx,
    "equinox": equinox,
    "haiku": haiku,
    "keras": keras,
    "torch": torch,
}


def row(low: float, high: float) -> jax.Array:
    """Statistics of six channels, as arrays of images have them."""
    return jnp.linspace(low, high, 6).reshape(1, 1, 1, 6)


def with_statistics(variables: Any) -> Any:
    """Give a batch norm statistics as training would."""
    statistics = {"mean": jnp.linspace(-0.5, 0.5, 6), "var": jnp.linspace(0.5, 2.0, 6)}
    return {**variables, "batch_stats": {"block": {"norm": statistics}}}
