"""Both encodings of Caffe models, written by hand here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.weight_file_makers import blob, field, layer, v1_layer, varint

from pdjax._checks import ArgumentError
from pdjax.weights.readers.caffemodel import read_caffemodel
from pdjax.weights.readers.protobuf import Walk

RNG = np.random.default_rng(0)
CONVOLUTION = RNG.standard_normal((4, 3, 5, 2)).astype(np.float32)
BIAS = RNG.standard_normal(4).astype(np.float32)
MATRIX = RNG.standard_normal((3, 7)).astype(np.float32)
BIAS_3 = RNG.standard_normal(3).astype(np.float32)


def network(encoding: str, **options: bool) -> bytes:
    """Two layers with weights and one without, between fields that mean nothing here."""
    if encoding == "layers":
        convolution = [
            blob(CONVOLUTION, CONVOLUTION.shape, True, **options),
            blob(BIAS, (1, 1, 1, 4), True, **options),
        ]
        matrix = [
            blob(MATRIX, (1, 1, 3, 7), True, **options),
            blob(BIAS_3, (1, 1, 1, 3), True, **options),
        ]
        content = v1_layer("block/3x3", 4, convolution) + v1_layer("relu", 18, [])
        content += v1_layer("block/classifier", 14, matrix)
    else:
        convolution = [
            blob(CONVOLUTION, CONVOLUTION.shape, False, **options),
            blob(BIAS, (4,), False, **options),
        ]
        matrix = [
            blob(MATRIX, (3, 7), False, **options),
            blob(BIAS_3, (3,), False, **options),
        ]
        content = layer("block/3x3", "Convolution", convolution) + layer("relu", "ReLU", [])
        content += layer("block/classifier", "InnerProduct", matrix)
    return field(1, b"name") + field(7, 1) + content + varint(9 << 3 | 5) + b"1234"


@pytest.fixture
def write(tmp_path):
    def write(data: bytes):
        path = tmp_path / "network.caffemodel"
        path.write_bytes(data)
        return path

    return write


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("encoding", ["layers", "layer"])
def test_both_encodings(write, encoding, packed, double):
    arrays = read_caffemodel(write(network(encoding, packed=packed, double=double)))
    assert [name.rpartition(".")[0] for name in arrays] == 2 * ["block/3x3"] + 2 * [
        "block/classifier"
    ]
    np.testing.assert_array_equal(
        arrays["block/3x3.kernel"], CONVOLUTION.transpose(2, 3, 1, 0), strict=True
    )
    np.testing.assert_array_equal(arrays["block/3x3.bias"], BIAS, strict=True)
    np.testing.assert_array_equal(arrays["block/classifier.kernel"], MATRIX.T, strict=True)
    np.testing.assert_array_equal(arrays["block/classifier.bias"], BIAS_3, strict=True)


def test_kernels_are_told_from_matrices_by_type_then_by_shape(write):
    tiny = np.ones((1, 1, 3, 7), np.float32)
    data = v1_layer("convolution", 4, [blob(tiny, tiny.shape, True)])
    data += v1_layer("matrix", None, [blob(tiny, tiny.shape, True)])
    data += v1_layer("untyped", None, [blob(CONVOLUTION, CONVOLUTION.shape, True)])
    arrays = read_caffemodel(write(data))
    assert arrays["convolution.kernel"].shape == (3, 7, 1, 1)
    assert arrays["matrix.kernel"].shape == (7, 3)
    assert arrays["untyped.kernel"].shape == (5, 2, 3, 4)
    assert "matrix.bias" not in arrays


def test_many_unpacked_numbers(write):
    matrix = RNG.standard_normal((50, 200)).astype(np.float32)
    data = layer("fc", "InnerProduct", [blob(matrix, matrix.shape, False, packed=False)])
    np.testing.assert_array_equal(read_caffemodel(write(data))["fc.kernel"], matrix.T)


def refused(path: Path) -> None:
    with pytest.raises(ArgumentError) as caught:
        read_caffemodel(path)
    assert caught.value.argument == "weights"
    assert path.name in str(caught.value)


def bad_layer(kernel: bytes, *others: bytes, kind: str = "Convolution") -> bytes:
    return layer("some", kind, [kernel, *others])


KERNEL = blob(CONVOLUTION, CONVOLUTION.shape, False)


NO_CAFFE_MODELS = {
    "readable Caffe model": b"hello, this is not a network at all",
    "no layer with weights": field(1, b"name"),
    "number 0": varint(0 << 3) + b"\0",
    "wire type 3": varint(100 << 3 | 3),
    "more than 10 bytes": b"\xff" * 30,
    "declares 9223372036854775808 bytes": varint(100 << 3 | 2) + varint(2**63),
    "cut off": varint(1 << 3 | 5) + b"12",
    "5000 bytes": layer("", "x" * 5000, [KERNEL]),
    "decode": field(100, field(1, b"\xff\xfe")),
    "not a text": field(100, field(1, 7)),
    "two layers called 'some": bad_layer(KERNEL) * 2,
    "BatchNorm' with 1 blobs": bad_layer(KERNEL, kind="BatchNorm"),
    "number 39": v1_layer("some", 39, [KERNEL]),
    "with 3 blobs": bad_layer(KERNEL, KERNEL, KERNEL),
    "40 blobs": layer("some", "", [KERNEL] * 40),
    "not the shape of a matrix": bad_layer(KERNEL, kind="InnerProduct"),
    "not the shape of a kernel": bad_layer(blob(MATRIX, (3, 7), False)),
    "3 biases for 4 outputs": bad_layer(KERNEL, blob(BIAS_3, (3,), False)),
    "21 numbers declares the shape": bad_layer(blob(MATRIX, (3, 8), False)),
    "declares the shape": bad_layer(blob(MATRIX, (2**62, 2**62, 4), False)),
    "declares the shape (2)": bad_layer(blob(MATRIX, (2**40, 1, 1, 1), True)),
    "declares the shape (3)": bad_layer(blob(MATRIX, (1,) * 33 + (21,), False)),
    "declares the shape (4)": bad_layer(field(7, field(1, 0))),
    "does not end": bad_layer(field(7, field(1, b"\xff"))),
    "multiple": bad_layer(field(5, b"12345")),
    "wire type 0": bad_layer(field(5, 1)),
    "wire type 0 (2)": field(100, field(7, 3)),
    "readable": network("layer")[:-30],
}


@pytest.mark.parametrize("data", NO_CAFFE_MODELS.values(), ids=NO_CAFFE_MODELS)
def test_what_is_no_caffe_model(write, data):
    refused(write(data))


def test_number_of_fields():
    message = memoryview(b"\x08\x01" * 101)
    assert len(list(Walk(max_fields=101).fields(message))) == 101
    with pytest.raises(ValueError, match="fields"):
        list(Walk(max_fields=100).fields(message))


def test_published_network(shared):
    arrays = read_caffemodel(shared / "weights/bvlc_googlenet.caffemodel")
    assert len(arrays) == 2 * 58
    assert arrays["conv1/7x7_s2.kernel"].shape == (7, 7, 3, 64)
    assert arrays["loss3/classifier.kernel"].shape == (1024, 1000)
