"""From files to classifiers: every network, what is refused, and the conversion to one form."""

from __future__ import annotations

import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from weight_file_makers import FILES, field, mapping, old_pth, tensor

import pdjax
from pdjax import cli
from pdjax.models import NETWORKS, find_network
from pdjax.weights import convert as conversion
from pdjax.weights import load
from pdjax.weights.caffe_names import FROM_CAFFE
from pdjax.weights.download import fetch
from pdjax.weights.registry import PublishedFile
from pdjax.weights.safetensors import write_safetensors
from pdjax.weights.torch_names import FROM_TORCH

RNG = np.random.default_rng(0)


def flat(params) -> dict[str, np.ndarray]:
    return {
        f"{layer}.{part}": np.asarray(array)
        for layer, parts in params.items()
        for part, array in parts.items()
    }


def equal(params, others) -> bool:
    one, other = flat(params), flat(others)
    return one.keys() == other.keys() and all(np.array_equal(one[key], other[key]) for key in one)


def checkpoint() -> dict[str, np.ndarray]:
    """Return the installed checkpoint of EfficientNet-Lite0."""
    return load.read_weights(fetch("efficientnet_lite0")).arrays


def torchvision_googlenet() -> dict[str, np.ndarray]:
    """Return a checkpoint as torchvision's, with its auxiliary classifiers."""
    state = {"fc.weight": RNG.normal(size=(1000, 1024)), "fc.bias": RNG.normal(size=1000)}
    for layer, parts in NETWORKS["torchvision_googlenet"].param_shapes.items():
        if layer != "fc":
            kernel = parts["kernel"].shape
            state[f"{layer}.conv.weight"] = RNG.normal(size=[kernel[i] for i in (3, 2, 0, 1)])
            for part in ("weight", "bias", "running_mean", "running_var"):
                state[f"{layer}.bn.{part}"] = RNG.uniform(0.5, 1.0, kernel[3])
            state[f"{layer}.bn.num_batches_tracked"] = np.asarray(0)
    for name in ("aux1.conv.conv.weight", "aux1.fc1.bias", "aux2.fc2.weight"):
        state[name] = RNG.normal(size=3)
    return state


def write(path: Path, arrays) -> Path:
    write_safetensors(path, arrays)
    return path


@pytest.fixture(scope="module")
def googlenet():
    return pdjax.load_model("googlenet", weights="random")


@pytest.fixture(scope="module")
def converted(googlenet, tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("weights") / "googlenet.bin", flat(googlenet.params))


# Loading


def test_every_network_has_a_conversion():
    assert FROM_CAFFE.keys() | FROM_TORCH.keys() == NETWORKS.keys()
    assert not FROM_CAFFE.keys() & FROM_TORCH.keys()


def test_installed_weights():
    net = pdjax.load_model()
    assert net.name == "efficientnet_lite0"
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(net.params))


def test_published_file_is_fetched(googlenet, converted, monkeypatch):
    asked = []

    def answer(name, *, progress):
        asked.append((name, progress))
        return converted

    monkeypatch.setattr(load, "fetch", answer)
    net = pdjax.load_model("googlenet", progress=False)
    assert asked == [("bvlc_googlenet", False)]
    assert equal(net.params, googlenet.params)


def test_published_caffe_file(shared):
    net = pdjax.load_model("googlenet", shared / "weights" / "bvlc_googlenet.caffemodel")
    expected = np.load(shared / "expected" / "googlenet.npz")
    prob = net(expected["images"][:1])["prob"]
    np.testing.assert_allclose(prob, expected["prob"][:1], atol=1e-4)


def test_auxiliary_classifiers_are_left_out(tmp_path):
    path = write(tmp_path / "x.safetensors", torchvision_googlenet())
    net = pdjax.load_model("torchvision_googlenet", path)
    assert not any("aux" in layer for layer in net.params)


def test_anything_else_is_not(tmp_path):
    state = {**torchvision_googlenet(), "aux3.fc.bias": RNG.normal(size=3)}
    path = write(tmp_path / "x.safetensors", state)
    with pytest.raises(ValueError, match=r"1 surplus in it: aux3.fc.bias \(array\)\. Give"):
        pdjax.load_model("torchvision_googlenet", path)


def test_another_networks_file_says_what_is_missing_and_surplus(converted):
    with pytest.raises(ValueError, match="to another network") as caught:
        pdjax.load_model("vgg16", converted)
    message = str(caught.value)
    assert "32 missing from it: conv1_1 (bias)" in message
    assert "116 surplus in it: conv1/7x7_s2 (kernel)" in message


BAD_ARGUMENTS = {
    "unknown": ({"name": "gogglenet"}, ValueError, "did you mean 'googlenet'"),
    "no file": ({"weights": "no/such.pth"}, FileNotFoundError, "there is no file 'no/such.pth'"),
    "a folder": ({"weights": "."}, ValueError, "'.' is not a file"),
    "a number": ({"weights": 3}, TypeError, "weights=3 must be the path of a file"),
    "mean colour": ({"mean_image": "x.npy"}, ValueError, "leave mean_image out"),
    "no mean": (
        {"name": "alexnet", "weights": "random", "mean_image": "no.npy"},
        FileNotFoundError,
        "mean_image: there is no file 'no.npy'",
    ),
}


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize(("arguments", "error", "text"), BAD_ARGUMENTS.values(), ids=BAD_ARGUMENTS)
def test_bad_arguments(arguments, error, text):
    with pytest.raises(error, match=text):
        pdjax.load_model(**arguments)


@pytest.mark.parametrize(
    ("name", "kind", "text"),
    [
        ("vgg16", "caffemodel", r"published as a PyTorch checkpoint \(.pth\)"),
        ("vgg16", "pth", "the checkpoint has no 'features.0.weight'"),
        ("bvlc_alexnet", "pth", r"published as a Caffe model \(.caffemodel\)"),
        ("bvlc_alexnet", "safetensors", r"published as a Caffe model \(.caffemodel\)"),
        ("bvlc_googlenet", "caffemodel", "surplus in it: x"),
        ("efficientnet_lite0", "onnx", "the checkpoint has no '_conv_stem.weight'"),
    ],
)
def test_file_of_another_network_or_kind(tmp_path, name, kind, text):
    path = tmp_path / f"x.{kind}"
    path.write_bytes(FILES[kind])
    with pytest.raises(ValueError, match=text) as caught:
        pdjax.load_model(name, path)
    assert repr(str(path)) in str(caught.value) or str(path) in str(caught.value)


# The mean image


def test_mean_image(tmp_path):
    mean = RNG.uniform(50, 200, (3, 256, 256)).astype(np.float32)
    np.save(tmp_path / "mean.npy", mean)
    net = pdjax.load_model("alexnet", "random", mean_image=tmp_path / "mean.npy")
    middle = mean[:, 14:241, 14:241].transpose(1, 2, 0)
    np.testing.assert_array_equal(net.params["data"]["mean"], middle)


MEANS = {
    "shape": (np.full((256, 256, 3), 100.0), r"of shape \(256, 256, 3\) instead of"),
    "integers": (np.full((3, 256, 256), 100), "int64"),
    "objects": (np.full((3, 256, 256), None), "not a .npy file of numbers"),
    "range": (np.full((3, 256, 256), 300.0), "from 300 to 300"),
    "negative": (np.full((3, 256, 256), -1.0), "from -1 to -1"),
    "unit": (np.full((3, 256, 256), 0.4), r"give BGR values in \[0, 255\]"),
    "nan": (np.full((3, 256, 256), np.nan), "from nan to nan"),
}


@pytest.mark.parametrize(("mean", "text"), MEANS.values(), ids=MEANS)
def test_bad_mean_image(tmp_path, mean, text):
    np.save(tmp_path / "mean.npy", mean, allow_pickle=True)
    with pytest.raises(ValueError, match=text):
        pdjax.load_model("alexnet", "random", mean_image=tmp_path / "mean.npy")


def test_mean_image_cut_short(tmp_path):
    np.save(tmp_path / "mean.npy", np.full((3, 256, 256), 100.0))
    content = (tmp_path / "mean.npy").read_bytes()
    for length in (5, 100, 1000):
        (tmp_path / "mean.npy").write_bytes(content[:length])
        with pytest.raises(ValueError, match="not a .npy file"):
            pdjax.load_model("alexnet", "random", mean_image=tmp_path / "mean.npy")


# Conversion


def test_round_trip(googlenet, converted, tmp_path):
    target = tmp_path / "out.safetensors"
    conversion.convert(converted, target, "googlenet")
    again = pdjax.load_model("googlenet", weights=target)
    assert equal(again.params, googlenet.params)
    assert list(again.params) == list(find_network("googlenet").param_shapes)


def test_round_trip_of_a_checkpoint(tmp_path):
    target = tmp_path / "out.safetensors"
    conversion.convert(fetch("efficientnet_lite0"), target, "efficientnet_lite0")
    again = pdjax.load_model("efficientnet_lite0", weights=target)
    assert equal(again.params, pdjax.load_model().params)


def test_checkpoint_in_another_container(tmp_path):
    path = write(tmp_path / "x.safetensors", checkpoint())
    assert equal(pdjax.load_model(weights=path).params, pdjax.load_model().params)


def test_bad_targets(converted, tmp_path):
    with pytest.raises(ValueError, match="must end in .safetensors"):
        conversion.convert(converted, tmp_path / "out.npz", "googlenet")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        conversion.convert(converted, tmp_path / "no" / "out.safetensors", "googlenet")


def test_inspect(tmp_path):
    (tmp_path / "x.caffemodel").write_bytes(FILES["caffemodel"])
    contents = conversion.inspect(tmp_path / "x.caffemodel")
    assert contents == ("caffemodel", (("x.kernel", (3, 2), "float32"),), 6)


# The command line


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a command; return its exit status, output and errors."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["pdjax", *map(str, arguments)])
        monkeypatch.setattr("warnings.showwarning", None)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return ended.value.code, printed.out, printed.err

    return run


def test_command_inspect(run, tmp_path):
    numbers = {"0": np.arange(6, dtype=np.float32)}
    state = mapping({"a.weight": tensor((2, 3), (3, 1)), "b\x1b[2J": tensor((), ())})
    (tmp_path / "x.pth").write_bytes(old_pth(state, numbers))
    status, output, _ = run("weights", "inspect", tmp_path / "x.pth")
    assert status == 0
    assert output.splitlines() == [
        "a.weight     2x3  float32",
        "'b\\x1b[2J'    -  float32",
        "pth: 2 arrays, 7 numbers",
    ]


def test_command_inspect_shortens_names(run, tmp_path):
    path = write(tmp_path / "x.safetensors", {"n" * 500: np.zeros(1)})
    _, output, _ = run("weights", "inspect", path)
    assert max(map(len, output.splitlines())) < 100


def test_command_convert(run, converted, googlenet, tmp_path):
    target = tmp_path / "out.safetensors"
    status, output, _ = run("weights", "convert", converted, target, "--model", "googlenet")
    assert (status, output) == (0, f"{target}\n")
    assert equal(pdjax.load_model("googlenet", target).params, googlenet.params)


def test_command_fetch(run, monkeypatch, tmp_path):
    status, output, _ = run("weights", "fetch", "efficientnet_lite0")
    assert (status, output) == (0, f"{fetch('efficientnet_lite0')}\n")
    monkeypatch.setenv("PDJAX_CACHE", str(tmp_path))
    empty = "sha1:da39a3ee5e6b4b0d3255bfef95601890afd80709"
    published = {"vgg16": PublishedFile("http://127.0.0.1:1/vgg16.pth", empty)}
    monkeypatch.setattr("pdjax.weights.download.PUBLISHED", published)
    (tmp_path / "vgg16.pth").touch()
    assert run("weights", "fetch", "vgg16")[:2] == (0, f"{tmp_path / 'vgg16.pth'}\n")


BAD_COMMANDS = {
    "unknown network": (["fetch", "vgg61"], "did you mean 'vgg16'"),
    "no file": (["inspect", "no/such/file"], "there is no file"),
    "not weights": (["inspect", __file__], "is not a file of weights of any known kind"),
    "no source": (["convert", "no", "x.safetensors", "--model", "vgg16"], "there is no file"),
    "bad suffix": (["convert", "no", "x.pth", "--model", "vgg16"], "must end in .safetensors"),
}


@pytest.mark.parametrize(("arguments", "text"), BAD_COMMANDS.values(), ids=BAD_COMMANDS)
def test_bad_commands(run, arguments, text):
    status, output, errors = run("weights", *arguments)
    assert (status, output) == (2, "")
    assert errors.startswith("pdjax: error: ")
    assert text in errors
    assert errors.count("\n") == 1
    assert "Traceback" not in errors


def test_unreachable_server(run, monkeypatch, tmp_path):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("PDJAX_CACHE", str(tmp_path))
    monkeypatch.setattr("pdjax.weights.transfer.ATTEMPTS", 1)
    published = {"vgg16": PublishedFile("http://127.0.0.1:1/vgg16.pth", f"sha1:{'0' * 40}")}
    monkeypatch.setattr("pdjax.weights.download.PUBLISHED", published)
    status, _, errors = run("explain", "no.jpg", "--model", "vgg16")
    assert status == 2
    assert "could not fetch http://127.0.0.1:1/vgg16.pth" in errors
    assert "Traceback" not in errors


def test_a_protocol_buffer_without_weights(tmp_path):
    (tmp_path / "x.caffemodel").write_bytes(field(1, b"name"))
    with pytest.raises(ValueError, match="not a file of weights"):
        pdjax.load_model("googlenet", tmp_path / "x.caffemodel")
