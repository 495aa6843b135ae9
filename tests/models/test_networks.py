"""Every network: its layers, parameters and dtypes; two of them against published values."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pdjax
from pdjax._checks import ArgumentError
from pdjax.models import NETWORKS, Network, find_network
from pdjax.models.alexnet import with_mean_image

# Of some networks: first layers, scores, number of layers, and published parameters. With batch
# norm folded, a convolution has one number a channel less than published: 21008 and 7280 of them.
FACTS = {
    "bvlc_alexnet": (("conv1", "norm1", "pool1"), "fc8", 14, 60_965_224),
    "bvlc_googlenet": (("conv1/7x7_s2", "pool1/3x3_s2"), "loss3/classifier", 84, 6_998_552),
    "efficientnet_lite0": (("stem", "blocks_0/depthwise"), "logits", 68, 4_652_008 - 21_008),
    "torchvision_alexnet": (("conv1", "pool1", "conv2"), "fc8", 12, 61_100_840),
    "torchvision_googlenet": (("conv1", "maxpool1", "conv2"), "fc", 82, 6_624_904 - 7_280),
    "vgg16": (("conv1_1", "conv1_2", "pool1"), "fc8", 22, 138_357_544),
}
networks = pytest.mark.parametrize("network", NETWORKS.values(), ids=lambda network: network.name)


def shapes_of(network: Network, dtype: str) -> dict[str, jax.ShapeDtypeStruct]:
    size = network.image_size
    images = jax.ShapeDtypeStruct((2, size, size, 3), dtype)
    return jax.eval_shape(network.module.apply, {"params": network.param_shapes}, images)


@networks
def test_layers_and_shapes(network):
    layers = network.layers
    assert len(layers) == len(set(layers))
    assert set(network.outputs) <= set(layers)
    shapes = shapes_of(network, "float32")
    assert set(shapes) == set(layers)
    labels = network.with_params({}).labels
    assert shapes[layers[-1]].shape == shapes[layers[-2]].shape == (2, len(labels))
    for shape in shapes.values():
        assert shape.shape[0] == 2
        assert len(shape.shape) in (2, 4)
        assert shape.dtype == jnp.float32
    sides = [shapes[layer].shape[1] for layer in layers if len(shapes[layer].shape) == 4]
    assert sides == sorted(sides, reverse=True)


@networks
def test_parameters(network):
    params = network.param_shapes
    assert set(params) <= set(network.layers)
    assert all(set(parts) == {"kernel", "bias"} for parts in params.values())


@pytest.mark.parametrize("name", FACTS)
def test_published_facts(name):
    first, scores, count, numbers = FACTS[name]
    network = NETWORKS[name]
    assert network.layers[: len(first)] == first
    assert network.layers[-2:] == (scores, "prob")
    assert len(network.layers) == count
    assert sum(leaf.size for leaf in jax.tree.leaves(network.param_shapes)) == numbers


@networks
def test_dtype_is_that_of_the_images(network, x64):
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(network.param_shapes))
    assert {shape.dtype for shape in shapes_of(network, "float64").values()} == {jnp.dtype("f8")}


@networks
def test_grouped_convolutions_stay_convolutions_on_accelerators(network):
    size = network.image_size
    images = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    exported = jax.export.export(jax.jit(network.module.apply), platforms=("cuda",))(
        {"params": network.param_shapes}, images
    )
    text = exported.mlir_module()
    names = [name for name, parts in network.param_shapes.items() if parts["kernel"].ndim == 4]
    assert text.count("stablehlo.convolution") == len(names)


def test_googlenet_blobs_of_a_module():
    layers = NETWORKS["bvlc_googlenet"].layers
    first = layers.index("inception_3a/1x1")
    parts = ("1x1", "3x3_reduce", "3x3", "5x5_reduce", "5x5", "pool", "pool_proj", "output")
    assert layers[first : first + 8] == tuple(f"inception_3a/{part}" for part in parts)
    shapes = shapes_of(NETWORKS["bvlc_googlenet"], "float32")
    assert shapes["inception_3a/output"].shape == (2, 28, 28, 256)
    assert shapes["pool5/7x7_s1"].shape == (2, 1, 1, 1024)


def test_googlenet_agrees_with_published_values(shared):
    net = pdjax.load_model("googlenet", shared / "weights/bvlc_googlenet.caffemodel")
    expected = np.load(shared / "expected/googlenet.npz")
    images = jnp.asarray(expected["images"], jnp.float32) / 255
    means = ("conv1/7x7_s2", "inception_3a/output", "inception_5b/output")
    outputs = net(images, (*means, "loss3/classifier", "prob"))
    for layer in means:
        want = expected[layer.replace("/", "|")]
        got = np.asarray(outputs[layer]).mean((1, 2))
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-4 * want.max())
    np.testing.assert_allclose(outputs["loss3/classifier"], expected["scores"], rtol=0, atol=2e-3)
    np.testing.assert_allclose(outputs["prob"], expected["prob"], rtol=0, atol=1e-4)


@pytest.fixture(scope="module")
def efficientnet():
    return pdjax.load_model("efficientnet_lite0")


def test_efficientnet_recognises_photographs(efficientnet, shared):
    from pdjax.image import ImageFolder

    synsets = (shared / "imagenet/synset_words.txt").read_text("utf-8")
    wnids = [line.split()[0] for line in synsets.splitlines()]
    folder = ImageFolder(shared / "imagenet/images", size=224)
    chosen = range(0, len(folder), 19)
    truth = [wnids.index(folder.paths[index].name[:9]) for index in chosen]
    images = jnp.stack([folder[index] for index in chosen])
    outputs = efficientnet(images, ("logits", "prob"))
    order = np.argsort(-np.asarray(outputs["logits"]), axis=-1)
    assert np.mean(order[:, 0] == truth) >= 0.7
    assert np.mean([label in row[:5] for label, row in zip(truth, order, strict=True)]) >= 0.9
    np.testing.assert_allclose(np.asarray(outputs["prob"]).sum(-1), 1, rtol=1e-5)


def test_vmap_and_capture(efficientnet):
    images = jax.random.uniform(jax.random.key(0), (2, 224, 224, 3))
    capture = ("stem", "blocks_1/output")
    batch = efficientnet(images, capture)
    assert set(batch) == set(capture)

    @jax.jit
    def one_by_one(params, images):
        return jax.vmap(lambda image: efficientnet.predict(params, image[None], capture))(images)

    for layer, values in one_by_one(efficientnet.params, images).items():
        # Calling the network takes other forms of its operations than tracing it does.
        scale = float(abs(batch[layer]).max())
        np.testing.assert_allclose(values[:, 0], batch[layer], rtol=0, atol=2e-6 * scale)


def test_find_network():
    assert find_network("alexnet") is NETWORKS["bvlc_alexnet"]
    assert find_network("vgg16") is NETWORKS["vgg16"]


@pytest.mark.parametrize(
    ("name", "near"),
    [("googelnet", "'googlenet'"), ("VGG", "'vgg16'"), ("?", ""), (3, "")],
)
@pytest.mark.usefixtures("untyped")
def test_find_network_suggests(name, near):
    with pytest.raises(ArgumentError) as caught:
        find_network(name)
    assert caught.value.argument == "name"
    assert near in caught.value.remedy


def test_mean_image():
    mean = np.arange(3 * 229 * 231, dtype=np.float32).reshape(3, 229, 231)
    params = with_mean_image({"conv1": {}}, mean)
    assert set(params) == {"conv1", "data"}
    np.testing.assert_array_equal(params["data"]["mean"][0, 0], mean[:, 1, 2])
    assert params["data"]["mean"].shape == (227, 227, 3)


@pytest.mark.parametrize("shape", [(256, 256, 3), (3, 226, 256), (3, 256)])
def test_mean_image_of_another_shape(shape):
    with pytest.raises(ArgumentError) as caught:
        with_mean_image({}, np.zeros(shape, np.float32))
    assert caught.value.argument == "mean"
