"""Options of samplers: what is given is used, or refused with what to do instead."""

from __future__ import annotations

from pathlib import Path

import pytest

import pdjax
from pdjax.cli.samplers import make_hidden_sampler, make_sampler
from pdjax.cli.used_options import OF_DRAWS, OF_SAMPLERS, check_used

NOTHING = {"padding": None, "color": None, "images": None, "statistics": None}
COMMON = {"num_samples": 2, "progress": False}
FILE = Path("mine.npz")


def of_image(name, **given):
    return make_sampler(name, 4, image_size=8, **NOTHING | given, **COMMON)


def of_hidden(name, **given):
    net = pdjax.Classifier.from_function(lambda params, images: images, None, image_size=8)
    return make_hidden_sampler(net, "prob", name, 4, **NOTHING | given, **COMMON)


def test_what_is_not_given_has_the_defaults_that_the_help_states():
    sampler = of_image("conditional")
    assert (sampler.padding, sampler.color) == (2, "joint")
    assert of_image("mixture").padding == 2
    sampler = of_image("conditional", padding=0, color="independent")
    assert (sampler.padding, sampler.color) == (0, "independent")


def test_samplers_without_options():
    makers = {"grey": pdjax.Constant, "mean": pdjax.ImageMean, "blur": pdjax.Blur}
    assert {name: type(of_image(name)) for name in makers} == makers
    assert {name for name, options in OF_SAMPLERS.items() if not options} == set(makers)


UNUSED = [
    (of_image, "mixture", {"color": "joint"}, "color='joint'", ", or give --sampler conditional"),
    *(
        (of_image, name, {option: value}, start, end)
        for name in ("marginal", "grey", "mean", "blur")
        for option, value, start, end in (
            ("padding", 0, "padding=0", ", or give --sampler conditional or mixture"),
            ("color", "joint", "color='joint'", ", or give --sampler conditional"),
            ("statistics", FILE, "statistics='mine.npz'", ", or give --sampler conditional or mix"),
        )
    ),
    *(
        (of_image, name, {"images": FILE}, "images='mine.npz'", ", or give --sampler marginal")
        for name in ("conditional", "mixture", "grey", "mean", "blur")
    ),
    (of_hidden, "conditional", {"statistics": FILE}, "statistics='mine.npz'", "$"),
    (of_hidden, "marginal", {"statistics": FILE}, "statistics='mine.npz'", "$"),
    (of_hidden, "marginal", {"padding": 2}, "padding=2", ", or give --sampler conditional$"),
    (of_hidden, "marginal", {"color": "joint"}, "color='joint'", ", or give --sampler cond"),
]


@pytest.mark.parametrize(("make", "name", "given", "start", "end"), UNUSED)
def test_an_option_that_would_do_nothing_is_refused(make, name, given, start, end):
    where = f"--sampler {name}" + (" and --start" if make is of_hidden else "")
    option = next(iter(given))
    message = f"^{start} does nothing with {where}; leave out --{option}{end}"
    with pytest.raises(ValueError, match=message):
        make(name, **given)


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("grey", {"samples": 4}, "samples=4 .* leave out --samples, or give .* or marginal$"),
        ("blur", {"max_passes": 9}, "max_passes=9 does nothing .* leave out --max-passes, or give"),
        ("marginal", {"target_error": 0.1}, "target_error=0.1 .* or give --sampler cond.* mixture"),
    ],
)
def test_a_sampler_is_not_drawn_from_more_often_than_it_can_be(name, given, message):
    assert OF_DRAWS.keys() == OF_SAMPLERS.keys()
    with pytest.raises(ValueError, match=message):
        check_used(OF_DRAWS, name, **given)


@pytest.mark.parametrize(
    ("make", "name", "message"),
    [
        (of_image, "magic", "sampler='magic' is unknown; choose from conditional, mixture, marg"),
        (of_image, "marginal", "sampler=marginal needs other images; give --images FOLDER"),
        (of_hidden, "grey", "sampler='grey' has no hidden form; choose conditional or marginal"),
        (of_hidden, "conditional", "start needs other images .* give --images FOLDER"),
    ],
)
def test_samplers_that_cannot_be_made(make, name, message):
    with pytest.raises(ValueError, match=message):
        make(name)
