"""Both encodings of Caffe models, written by hand here."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.weight_file_makers import blob, field, layer, v1_layer, varint

from pdjax.weights.readers.caffemodel import read_caffemodel

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
    params = read_caffemodel(write(network(encoding, packed=packed, double=double)))
    assert list(params) == ["block/3x3", "block/classifier"]
    np.testing.assert_array_equal(
        params["block/3x3"]["kernel"], CONVOLUTION.transpose(2, 3, 1, 0), strict=True
    )
    np.testing.assert_array_equal(params["block/3x3"]["bias"], BIAS, strict=True)
    np.testing.assert_array_equal(params["block/classifier"]["kernel"], MATRIX.T, strict=True)
    np.testing.assert_array_equal(params["block/classifier"]["bias"], BIAS_3, strict=True)


def test_kernels_are_told_from_matrices_by_type_then_by_shape(write):
    tiny = np.ones((1, 1, 3, 7), np.float32)
    data = v1_layer("convolution", 4, [blob(tiny, tiny.shape, True)])
    data += v1_layer("matrix", None, [blob(tiny, tiny.shape, True)])
    data += v1_layer("untyped", None, [blob(CONVOLUTION, CONVOLUTION.shape, True)])
    params = read_caffemodel(write(data))
    assert params["convolution"]["kernel"].shape == (3, 7, 1, 1)
    assert params["matrix"]["kernel"].shape == (7, 3)
    assert params["untyped"]["kernel"].shape == (5, 2, 3, 4)
    assert params["matrix"].keys() == {"kernel"}


def test_many_unpacked_numbers(write):
    matrix = RNG.standard_normal((50, 200)).astype(np.float32)
    data = layer("fc", "InnerProduct", [blob(matrix, matrix.shape, False, packed=False)])
    np.testing.assert_array_equal(read_caffemodel(write(data))["fc"]["kernel"], matrix.T)


def bad_layer(kernel: bytes, *others: bytes, kind: str = "Convolution") -> bytes:
    return layer("some", kind, [kernel, *others])


KERNEL = blob(CONVOLUTION, CONVOLUTION.shape, False)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"hello, this is not a network at all", "readable Caffe model"),
        (field(1, b"name"), "no layer with weights"),
        (varint(0 << 3) + b"\0", "number 0"),
        (varint(100 << 3 | 3), "wire type 3"),
        (b"\xff" * 30, "more than 10 bytes"),
        (varint(100 << 3 | 2) + varint(2**63), "declares 9223372036854775808 bytes"),
        (varint(1 << 3 | 5) + b"12", "cut off"),
        (layer("", "x" * 5000, [KERNEL]), "5000 bytes"),
        (field(100, field(1, b"\xff\xfe")), "decode"),
        (field(100, field(1, 7)), "not a text"),
        (bad_layer(KERNEL) * 2, "two layers called 'some'"),
        (bad_layer(KERNEL, kind="BatchNorm"), "'BatchNorm' with 1 blobs"),
        (v1_layer("some", 39, [KERNEL]), "'number 39'"),
        (bad_layer(KERNEL, KERNEL, KERNEL), "with 3 blobs"),
        (layer("some", "", [KERNEL] * 40), "40 blobs"),
        (bad_layer(KERNEL, kind="InnerProduct"), "not the shape of a matrix"),
        (bad_layer(blob(MATRIX, (3, 7), False)), "not the shape of a kernel"),
        (bad_layer(KERNEL, blob(BIAS_3, (3,), False)), "3 biases for 4 outputs"),
        (bad_layer(blob(MATRIX, (3, 8), False)), "21 numbers declares the shape"),
        (bad_layer(blob(MATRIX, (2**62, 2**62, 4), False)), "declares the shape"),
        (bad_layer(blob(MATRIX, (2**40, 1, 1, 1), True)), "declares the shape"),
        (bad_layer(blob(MATRIX, (1,) * 33 + (21,), False)), "declares the shape"),
        (bad_layer(field(7, field(1, 0))), "declares the shape"),
        (bad_layer(field(7, field(1, b"\xff"))), "does not end"),
        (bad_layer(field(5, b"12345")), "multiple"),
        (bad_layer(field(5, 1)), "wire type 0"),
        (field(100, field(7, 3)), "wire type 0"),
        (network("layer")[:-30], "readable"),
    ],
)
def test_what_is_no_caffe_model(write, data, reason):
    with pytest.raises(ValueError, match=reason) as info:
        read_caffemodel(write(data))
    assert "network.caffemodel" in str(info.value)
    assert "fetch it again" in str(info.value)


def test_number_of_fields(write, monkeypatch):
    monkeypatch.setattr("pdjax.weights.readers.protobuf.MAX_FIELDS", 100)
    with pytest.raises(ValueError, match="more fields than any network"):
        read_caffemodel(write(b"\x08\x01" * 101))


def test_missing_and_empty_files(tmp_path, write):
    with pytest.raises(FileNotFoundError, match="no file"):
        read_caffemodel(tmp_path / "none.caffemodel")
    with pytest.raises(ValueError, match="empty"):
        read_caffemodel(write(b""))


def test_published_network(shared):
    params = read_caffemodel(shared / "weights/bvlc_googlenet.caffemodel")
    assert len(params) == 58
    assert params["conv1/7x7_s2"]["kernel"].shape == (7, 7, 3, 64)
    assert params["loss3/classifier"]["kernel"].shape == (1024, 1000)
    assert all(parts.keys() == {"kernel", "bias"} for parts in params.values())
