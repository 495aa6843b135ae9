"""A request: every argument in one place, checked before anything runs or is made."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import re
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.refusals import refused

import pdjax
from pdjax import Classifier, Constant, Marginal, WindowGrid
from pdjax._explain.request import PreviewRequest, Request
from pdjax.method.measures import ACTIVATION_DIFFERENCE
from pdjax.method.schemes import Scheme
from pdjax.method.windows import coarse_to_fine

LABELS = ("tabby, tabby cat", "crane, bird", "crane, machine", "Egyptian cat", "fox")
IMAGE = np.random.default_rng(0).random((10, 8, 3), np.float32)
PARAMS = jnp.array(np.random.default_rng(1).standard_normal((240, 5)), jnp.float32)
OTHERS = np.random.default_rng(2).random((6, 10, 8, 3), np.float32)


def network(params, images):
    hidden = jnp.tanh(images)
    scores = hidden.reshape(len(images), -1) @ params
    return {"features": hidden, "scores": scores, "prob": jax.nn.softmax(scores)}


NET = Classifier.from_function(network, PARAMS, image_size=(10, 8), labels=LABELS)
DEFAULTS = {"rng_key": jax.random.key(0), "num_samples": 4}


def parameters(function) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(function).parameters)


def documented(function) -> list[str]:
    """Names in the section on parameters of a docstring."""
    _, _, section = inspect.getdoc(function).partition("\nParameters\n----------\n")
    return re.findall(r"^(\w+) : ", section.partition("\n\n")[0], re.MULTILINE)


def test_a_request_has_the_arguments_of_explain_and_their_defaults() -> None:
    fields = {field.name: field for field in dataclasses.fields(Request)}
    signature = parameters(pdjax.explain)
    assert list(signature) == list(fields) == documented(pdjax.explain)
    for name, parameter in signature.items():
        default = fields[name].default
        assert parameter.default == (
            inspect.Parameter.empty if default is dataclasses.MISSING else default
        )
        first_three = name in ("net", "image", "sampler")
        assert (parameter.kind is parameter.KEYWORD_ONLY) is not first_three
    assert inspect.signature(pdjax.explain).return_annotation == "Explanation"


def test_a_preview_takes_what_explain_takes_and_strides() -> None:
    assert parameters(pdjax.preview) == parameters(pdjax.explain) | {
        "strides": parameters(pdjax.preview)["strides"]
    }
    assert documented(pdjax.preview)[-1] == "strides"


@pytest.mark.parametrize("function", [pdjax.explain, pdjax.preview])
def test_a_call_that_cannot_be_names_the_function(function) -> None:
    name = function.__name__
    for arguments, options in (
        ((NET, IMAGE), {"rng_key": DEFAULTS["rng_key"]}),
        ((NET, IMAGE, Constant(0.5, 3)), {}),
        ((NET, IMAGE, Constant(0.5, 3)), {"rng_key": DEFAULTS["rng_key"], "samples": 3}),
        ((NET, IMAGE, Constant(0.5, 3), DEFAULTS["rng_key"]), {}),
    ):
        with pytest.raises(TypeError, match=rf"^{name}\(\) "):
            function(*arguments, **options)


@pytest.fixture
def uncalled(monkeypatch) -> None:
    """A network can be described, but must not run."""

    def run(*arguments: object) -> None:
        raise AssertionError("the network ran")

    monkeypatch.setattr(Classifier, "activations", run)


class Refusing:
    """As a tensor that is tracked for gradients does."""

    def __array__(self, *arguments: object, **options: object) -> np.ndarray:
        raise RuntimeError("detach it first")


def image_of_nan() -> np.ndarray:
    return np.where(IMAGE > 0.9, np.nan, IMAGE)


BAD = {
    "image of NaN": ("image", ValueError, lambda: {"image": image_of_nan()}),
    "image of bytes": ("image", TypeError, lambda: {"image": np.uint8(255 * IMAGE)}),
    "image of another size": ("image", ValueError, lambda: {"image": IMAGE[:8]}),
    "image of other channels": ("image", ValueError, lambda: {"image": IMAGE[..., :1]}),
    "no image": ("image", TypeError, lambda: {"image": None}),
    "name of a file": ("image", TypeError, lambda: {"image": "cat.jpg"}),
    "image that refuses": ("image", TypeError, lambda: {"image": Refusing()}),
    "batch of one image": ("image", ValueError, lambda: {"image": IMAGE[None]}),
    "opacity": (
        "image",
        ValueError,
        lambda: {"image": np.concatenate([IMAGE, IMAGE[..., :1]], -1)},
    ),
    "grey image": ("image", ValueError, lambda: {"image": IMAGE[..., 0]}),
    "unknown class": ("classes", ValueError, lambda: {"classes": ["tiger"]}),
    "no class at all": ("classes", TypeError, lambda: {"classes": [1.5]}),
    "classes that are gone when read": ("classes", TypeError, lambda: {"classes": iter([1])}),
    "an array of half a class": ("classes", TypeError, lambda: {"classes": np.array(0.5)}),
    "too many classes": ("classes", ValueError, lambda: {"classes": 6}),
    "no sampler": ("sampler", TypeError, lambda: {"sampler": "grey"}),
    "no key": ("rng_key", TypeError, lambda: {"rng_key": 0}),
    "unknown layer": ("layers", ValueError, lambda: {"layers": ("score",)}),
    "no layers": ("layers", TypeError, lambda: {"layers": ()}),
    "no names of layers": ("layers", TypeError, lambda: {"layers": 3}),
    "a number for a layer": ("layers", ValueError, lambda: {"layers": [3]}),
    "no mapping of units": ("units", TypeError, lambda: {"units": [3]}),
    "unknown engine": ("engine", ValueError, lambda: {"engine": "quick"}),
    "unknown measure": ("measure", ValueError, lambda: {"measure": "bits"}),
    "no measure": ("measure", TypeError, lambda: {"measure": ACTIVATION_DIFFERENCE}),
    "no samples": ("num_samples", ValueError, lambda: {"num_samples": 0}),
    "one sample": ("num_samples", ValueError, lambda: {"num_samples": 1}),
    "too many samples": ("num_samples", ValueError, lambda: {"num_samples": 7}),
    "unknown sampling": ("sampling", ValueError, lambda: {"sampling": "halton"}),
    "sampling of images": ("sampling", ValueError, lambda: {"sampling": "sobol"}),
    "empty batch": ("batch_size", ValueError, lambda: {"batch_size": 0}),
    "stride too large": ("stride", ValueError, lambda: {"stride": 4}),
    "stride of half": ("stride", TypeError, lambda: {"stride": 1.5}),
    "window too large": ("window", ValueError, lambda: {"sampler": Marginal(OTHERS, 9)}),
    "window of one axis": ("image", ValueError, lambda: {"sampler": Constant(0.5, (3,))}),
    "images of another size": (
        "images",
        ValueError,
        lambda: {"sampler": Marginal(OTHERS[:, :9], 3)},
    ),
    "error too large": ("target_error", ValueError, lambda: {"target_error": 5}),
    "no passes": ("max_passes", ValueError, lambda: {"max_passes": 0}),
    "unknown start": ("start", ValueError, lambda: {"start": "third"}),
    "start without axes": ("start", ValueError, lambda: {"start": "scores"}),
    "start of a callable": (
        "start",
        ValueError,
        lambda: {"start": "features", "engine": "callable"},
    ),
    "no classifier": ("net", TypeError, lambda: {"net": network}),
    "no folder": ("checkpoint", FileNotFoundError, lambda: {"checkpoint": "no/such/run.npz"}),
}


@jax.tree_util.register_static
class Random:
    """A sampler that can be drawn from again."""

    window, constant = (3, 3), False

    def check(self, image_shape, num_samples) -> None:
        pass

    def sample(self, rng_key, image, origin, num_samples):
        return jax.random.uniform(rng_key, (num_samples, 3, 3, 3), image.dtype)


@pytest.mark.usefixtures("untyped", "uncalled")
@pytest.mark.parametrize(("argument", "kind", "options"), BAD.values(), ids=BAD)
def test_bad_input_is_named_before_the_network_runs(argument, kind, options) -> None:
    defaults = {"net": NET, "image": IMAGE, "sampler": Marginal(OTHERS, 3)} | DEFAULTS
    for function in (pdjax.explain, pdjax.preview):
        with refused(argument, kind):
            function(**defaults | options())


@pytest.mark.usefixtures("uncalled")
@pytest.mark.parametrize(
    ("argument", "options"),
    [
        ("target_error", {"target_error": 0.1, "sampler": Marginal(OTHERS, 3)}),
        ("max_passes", {"max_passes": 9}),
    ],
    ids=str,
)
def test_bad_budgets_are_named_before_the_network_runs(argument, options) -> None:
    with refused(argument):
        pdjax.explain(NET, IMAGE, **{"sampler": Random()} | DEFAULTS | options)


@pytest.mark.usefixtures("uncalled")
@pytest.mark.parametrize(
    ("argument", "options"),
    [
        ("strides", {"strides": ()}),
        ("stride", {"strides": (3, 2)}),
        ("stride", {"strides": (4, 2)}),
        ("preview", {"target_error": 0.1}),
        ("preview", {"max_passes": 1000}),
    ],
    ids=str,
)
def test_bad_previews_are_named_before_the_network_runs(argument, options) -> None:
    with refused(argument):
        pdjax.preview(NET, IMAGE, Random(), **DEFAULTS | options)


def test_near_names_and_ways_out_are_told() -> None:
    for options, told in (
        ({"classes": ["tabbi"]}, "'tabby'"),
        ({"layers": ("score",)}, "did you mean 'scores'"),
        ({"image": IMAGE[:8]}, "load_image"),
        ({"image": IMAGE[None]}, r"image\[0\]$"),
        ({"image": np.moveaxis(IMAGE, -1, 0)}, "moveaxis"),
        ({"image": np.moveaxis(IMAGE, -1, 0)[None]}, r"moveaxis\(image\[0\], 0, -1\)"),
        ({"image": IMAGE[..., 0]}, r"repeat\(image\[\.\.\., None\], 3, -1\)"),
        ({"image": IMAGE[..., :1]}, r"repeat\(image, 3, -1\)"),
        ({"image": np.concatenate([IMAGE, IMAGE[..., :1]], -1)}, "opacity"),
    ):
        with pytest.raises(ValueError, match=told):
            pdjax.explain(NET, options.pop("image", IMAGE), Random(), **DEFAULTS | options)


def test_defaults_follow_the_sampler_and_the_budget() -> None:
    def scheme(sampler, **options) -> Scheme:
        return Request(NET, IMAGE, sampler, rng_key=DEFAULTS["rng_key"], **options).scheme

    assert scheme(Constant(0.5, 3)).num_samples == 1
    assert scheme(Random()).num_samples == 10
    assert scheme(Random(), target_error=0.1).num_samples == 2
    assert scheme(Random(), max_passes=1000, sampling="sobol").num_samples == 4
    assert scheme(Random(), max_passes=1000, num_samples=6).num_samples == 6
    # Refused for what it is, and not for a number of samples that nobody asked for.
    with refused("sampling"):
        pdjax.explain(NET, IMAGE, Constant(0.5, 3), rng_key=DEFAULTS["rng_key"], sampling="sobol")


@pytest.mark.usefixtures("untyped")
def test_numbers_of_numpy_and_single_names_will_do(tmp_path) -> None:
    numbers = {"num_samples": 2, "max_passes": 200, "batch_size": 64, "stride": 3, "classes": 2}
    options = {"rng_key": DEFAULTS["rng_key"], "engine": "dense"}
    plain = pdjax.explain(NET, IMAGE, Random(), layers=("prob",), **options | numbers)
    of_numpy = {name: np.int64(number) for name, number in numbers.items()}
    found = pdjax.explain(NET, IMAGE, Random(), layers="prob", **options | of_numpy)
    assert found.settings == plain.settings
    stages = pdjax.preview(NET, IMAGE, Random(), num_samples=2, stride=np.int64(1), **options)
    assert [stage.settings["stride"] for stage in stages] == [[2, 2], [1, 1]]
    found.save(tmp_path / "result.npz")
    saved = pdjax.Explanation.load(tmp_path / "result.npz").settings
    assert saved | plain.settings == saved


def test_strides_of_a_preview() -> None:
    options = {"rng_key": DEFAULTS["rng_key"]}
    assert PreviewRequest(NET, IMAGE, Random(), strides=(3, 1), **options).stages == (3, 1)
    assert PreviewRequest(NET, IMAGE, Random(), **options).stages == (2, 1)
    assert coarse_to_fine((2, 1), (8, 8)) == ((2, 1),)
    assert coarse_to_fine(3, (6, 30)) == (6, 3)


def counting(owner: type, name: str) -> contextlib.AbstractContextManager[mock.Mock]:
    """Count the calls of a method of a public class."""
    return mock.patch.object(owner, name, autospec=True, side_effect=getattr(owner, name))


def test_everything_is_checked_once() -> None:
    with (
        counting(WindowGrid, "__init__") as grids,
        counting(Scheme, "__init__") as schemes,
        counting(Scheme, "check") as schemes_checked,
        counting(Random, "check") as samplers_checked,
    ):
        pdjax.explain(NET, IMAGE, Random(), engine="dense", **DEFAULTS)
    calls = (grids, schemes, schemes_checked, samplers_checked)
    assert [each.call_count for each in calls] == [1, 1, 1, 1]


def test_a_sampler_that_was_still_to_be_made_is_checked_then() -> None:
    request = Request(NET, IMAGE, Random(), **DEFAULTS)
    request.check()
    assert request.with_sampler(Marginal(OTHERS, 3)).grid is request.grid
    with refused("num_samples"):
        request.with_sampler(Marginal(OTHERS[:3], 3))
