"""The form of errors, and the checks that everyone shares."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.refusals import refused

import pdjax
from pdjax._checks import (
    ArgumentError,
    ArgumentFileError,
    ArgumentTypeError,
    ArgumentValueError,
    MissingFileError,
    by_sides,
    check_choice,
    check_count,
    check_image,
    check_key,
    check_pair,
    check_sampler,
    check_values,
    is_integer,
    nearest,
    per_axis,
)

KINDS = {
    ArgumentValueError: ValueError,
    ArgumentTypeError: TypeError,
    ArgumentFileError: OSError,
    MissingFileError: FileNotFoundError,
}
kinds = pytest.mark.parametrize("kind", KINDS)


@kinds
def test_an_error_is_a_sentence_and_its_parts(kind) -> None:
    error = kind("num_samples", "must be even", "take 4", value=3)
    assert isinstance(error, KINDS[kind])
    assert (error.argument, error.problem, error.remedy) == (
        "num_samples",
        "must be even",
        "take 4",
    )
    assert str(error) == "num_samples=3 must be even; take 4"
    assert error.sentence("--samples") == "--samples=3 must be even; take 4"
    assert str(kind("image", "is empty")) == "image is empty"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "a=None "),
        ("x\ny", r"a='x\ny' "),
        (Path("some") / "where", f"a={str(Path('some/where'))!r} "),
        (np.zeros((2, 2)), "a=array([[0., 0.], [0., 0.]]) "),
    ],
    ids=["none", "text", "path", "array"],
)
def test_a_value_is_shown_in_one_line(value, shown) -> None:
    assert str(ArgumentValueError("a", "is wrong", value=value)).startswith(shown)


def test_a_long_value_is_cut_but_no_name_of_a_file() -> None:
    path = "folder/" * 100
    assert path in str(ArgumentValueError("a", "is wrong", value=path))
    assert len(str(ArgumentValueError("a", "is wrong", value=list(range(10_000))))) < 300


@kinds
def test_errors_can_be_copied_and_pickled(kind) -> None:
    error = kind("stride", "is too large", "take less", value=(4, 4))
    error.add_note("seen in stage 2")
    protocols = range(pickle.HIGHEST_PROTOCOL + 1)
    pickles = [pickle.loads(pickle.dumps(error, protocol)) for protocol in protocols]
    for twin in (copy.copy(error), copy.deepcopy(error), *pickles):
        assert type(twin) is kind
        assert str(twin) == str(error)
        assert twin.sentence("--stride") == error.sentence("--stride")
        assert vars(twin) == vars(error)


# Each check with what it accepts and what it makes of it, and what it refuses.


@pytest.mark.parametrize("value", [1, 7, np.int64(3), np.uint8(2)])
def test_counts(value) -> None:
    count = check_count("batch_size", value)
    assert type(count) is int
    assert count == value
    assert is_integer(value)
    assert check_count("padding", 0, least=0) == 0


@pytest.mark.parametrize("value", [0, -1, 2.0, True, "3", None, np.nan, np.float32(3)], ids=repr)
def test_other_counts(value) -> None:
    with refused("batch_size"):
        check_count("batch_size", value)


def test_choices() -> None:
    assert check_choice("engine", "dense", ("local", "dense")) == "dense"


@pytest.mark.parametrize(
    "value", ["fast", None, 3, ["local"], np.array(["local", "dense"])], ids=str
)
def test_other_choices(value) -> None:
    with refused("engine") as caught:
        check_choice("engine", value, ("local", "dense"))
    assert "local, dense" in str(caught.value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ((0, 1), (0.0, 1.0)),
        ([-2.5, 3], (-2.5, 3.0)),
        (np.array([0.0, np.inf]), (0.0, np.inf)),
    ],
    ids=str,
)
def test_pairs(value, expected) -> None:
    assert check_pair("clip", value) == expected


@pytest.mark.parametrize(
    "value", [(1, 0), (1, 1), 3, "ab", (0, 1, 2), (np.nan, 1), ("a", "b"), (None, 1)], ids=str
)
def test_other_pairs(value) -> None:
    with refused("clip"):
        check_pair("clip", value)


@pytest.mark.parametrize(
    ("value", "dimensions", "expected"),
    [
        (3, None, (3, 3)),
        (3, 1, (3,)),
        ((4, 3, 2), None, (4, 3, 2)),
        ([4, 3], 2, (4, 3)),
        (np.array([4, 3]), 2, (4, 3)),
        (np.int32(5), 3, (5, 5, 5)),
    ],
    ids=str,
)
def test_sizes_per_axis(value, dimensions, expected) -> None:
    found = per_axis(value, dimensions, "window")
    assert found == expected
    assert {type(size) for size in found} == {int}


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (0, ValueError),
        ((2, -1), ValueError),
        ((2, 2, 2), ValueError),
        ((), ValueError),
        (2.0, TypeError),
        ((2, 2.0), TypeError),
        (True, TypeError),
        ("ab", TypeError),
        (None, TypeError),
    ],
    ids=str,
)
def test_other_sizes(value, kind) -> None:
    with refused("window", kind):
        per_axis(value, 2, "window")


class Own:
    """A sampler of somebody else's, in the fewest lines."""

    window, constant = (3, 3), False

    def check(self, image_shape, num_samples) -> None: ...

    def sample(self, rng_key, image, origin, num_samples): ...


@pytest.mark.parametrize(
    "sampler", [Own(), pdjax.Constant(0.5, 3), pdjax.Blur(3)], ids=["own", "constant", "blur"]
)
def test_samplers(sampler) -> None:
    assert check_sampler(sampler) is sampler


@pytest.mark.parametrize(
    "value",
    ["grey", None, pdjax.Constant, np.zeros((2, 2)), lambda: 3],
    ids=["text", "none", "class", "array", "function"],
)
def test_what_is_no_sampler(value) -> None:
    with refused("sampler", TypeError):
        check_sampler(value)


@pytest.mark.parametrize("make", [jax.random.key, jax.random.PRNGKey])
def test_keys(make) -> None:
    key = make(0)
    assert check_key(key) is key


@pytest.mark.parametrize("make", [jax.random.key, jax.random.PRNGKey])
def test_keys_that_are_mapped_over(make) -> None:
    keys = jnp.stack([make(0), make(1)])
    assert jax.jit(jax.vmap(lambda key: jax.random.uniform(check_key(key))))(keys).shape == (2,)


@pytest.mark.parametrize(
    "value",
    [
        0,
        None,
        "key",
        np.zeros(2, np.uint32),
        jnp.zeros(2),
        jax.random.split(jax.random.key(0)),
        jax.random.split(jax.random.PRNGKey(0)),
    ],
    ids=str,
)
def test_what_is_no_key(value) -> None:
    with refused("rng_key", TypeError):
        check_key(value)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 5, 3), np.float32),
        np.ones((7, 1)),
        jnp.full((2, 3, 4, 1), 0.5),
        [[0.0], [1.0]],
    ],
    ids=np.shape,
)
def test_images(image) -> None:
    found = check_image(image)
    assert isinstance(found, np.ndarray)
    np.testing.assert_array_equal(found, image)


IMAGE = np.full((4, 4, 3), 0.5, np.float32)


@pytest.mark.parametrize(
    ("image", "kind"),
    [
        (IMAGE[:, 0, 0], ValueError),
        (0.5, ValueError),
        (IMAGE[:0], ValueError),
        (np.uint8(255 * IMAGE), TypeError),
        (IMAGE > 0.2, TypeError),
        (IMAGE.astype(str), TypeError),
        (IMAGE * np.nan, ValueError),
        (IMAGE + np.inf, ValueError),
        (IMAGE * 255, ValueError),
        (IMAGE - 1, ValueError),
    ],
)
def test_other_images(image, kind) -> None:
    with refused("photo", kind):
        check_image(image, "photo")


def test_values() -> None:
    check_values(np.array([0.0, 1.0]), (0.0, 1.0), "images")
    check_values(np.array([-7.0, 300.0]), None, "images")
    check_values(np.zeros((0, 3)), (0.0, 1.0), "images")


@pytest.mark.parametrize("bounds", [None, (0.0, 1.0)])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite(value, bounds) -> None:
    with refused("images"):
        check_values(np.array([0.0, value]), bounds, "images")


def test_values_outside_their_range_are_told() -> None:
    with refused("images") as caught:
        check_values(np.array([-0.25, 3.0]), (0.0, 1.0), "images")
    assert "-0.25 to 3" in str(caught.value)


def test_words() -> None:
    assert nearest("googlent", ["vgg16", "googlenet"]) == "did you mean 'googlenet'? "
    assert nearest("xyz", ["vgg16", "googlenet"]) == ""
    assert by_sides((10, 12)) == "10 by 12"


def test_anything_wrong_with_an_argument_is_caught_as_one() -> None:
    for kind in KINDS:
        with pytest.raises(ArgumentError):
            raise kind("a", "is wrong")
