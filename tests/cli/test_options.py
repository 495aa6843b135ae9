"""Options: what can be chosen, from which range, and how text is read."""

from __future__ import annotations

import inspect
import typing

import pytest
from helpers.refusals import refused

import pdjax
from pdjax.cli import commands, options
from pdjax.cli.samplers import SAMPLERS
from pdjax.method.evaluation import ENGINES
from pdjax.method.measures import MEASURES
from pdjax.method.schemes import SCHEMES
from pdjax.samplers.gaussian import COLORS


@pytest.mark.parametrize(
    ("option", "known"),
    [
        (options.SamplerName, SAMPLERS),
        (options.MeasureName, MEASURES),
        (options.EngineName, ENGINES),
        (options.Sampling, SCHEMES),
        (options.Color, COLORS),
    ],
    ids=["sampler", "measure", "engine", "sampling", "color"],
)
def test_choices_are_those_of_the_package(option, known):
    kinds = [option.__origin__, *typing.get_args(option.__origin__)]
    (literal,) = (kind for kind in kinds if typing.get_origin(kind) is typing.Literal)
    assert typing.get_args(literal) == tuple(known)


@pytest.mark.parametrize("name", ["measure", "engine", "sampling", "bias_correction"])
def test_defaults_are_those_of_the_package(name):
    typed, called = (inspect.signature(f).parameters for f in (commands.explain, pdjax.explain))
    assert typed[name].default == called[name].default


REFUSED = {
    "--stride": ("0", "-1", "x"),
    "--samples": ("0", "1.5"),
    "--max-passes": ("0",),
    "--batch-size": ("0",),
    "--padding": ("-1",),
    "--target-error": ("little",),
    "--seed": ("x",),
    "--sampler": ("magic",),
    "--measure": ("bits",),
    "--engine": ("warp", "callable"),
    "--sampling": ("halton",),
    "--color": ("red",),
    "--nonsense": ("1",),
}


@pytest.mark.parametrize(
    ("option", "value"), [(option, value) for option in REFUSED for value in REFUSED[option]]
)
def test_what_an_option_does_not_take_is_refused_with_its_name(run, photo, option, value):
    ended = run("explain", photo, option, value)
    assert ended.status == 2
    assert option in ended.err
    assert "Traceback" not in ended.err


def test_text_is_read_as_what_it_stands_for():
    labels = ["tabby, tabby cat", "fox"]
    assert options.parse_classes(" 12 ", labels) == [12]
    assert options.parse_classes("fox, 0", labels) == ["fox", 0]
    assert options.parse_classes("Tabby, tabby cat", labels) == ["Tabby, tabby cat"]
    several = options.parse_classes("fox;; #3 ;tabby, tabby cat;", labels)
    assert several == ["fox", 3, "tabby, tabby cat"]
    assert options.parse_names(None) is None
    assert options.parse_names("conv1, prob,") == ["conv1", "prob"]
    assert options.parse_ints("0,2", "units") == (0, 2)
    assert options.parse_window("10") == (10, 10)
    assert options.parse_window("12,8") == (12, 8)


@pytest.mark.parametrize("text", ["", "ten", "1.5", "3,", "1,2,3"])
def test_text_that_is_no_window(text):
    with refused("window"):
        options.parse_window(text)
