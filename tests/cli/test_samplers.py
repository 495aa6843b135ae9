"""Options of samplers: what is given is used, or refused with what to do instead."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
from helpers.refusals import refused

import pdjax
from pdjax._types import NormalSampler, Sampler
from pdjax.cli.samplers import HIDDEN_SAMPLERS, SAMPLERS, Choice, Setting, default_sampler

NET = pdjax.Classifier.from_function(lambda params, images: images, None, image_size=8, outputs={})
FILE = Path("mine.npz")
OPTIONS = {"padding": 0, "color": "joint", "images": FILE, "statistics": FILE}
DRAWS = {"samples": 4, "target_error": 0.1, "max_passes": 9}
USED = {
    False: {
        "conditional": {"padding", "color", "statistics", *DRAWS},
        "mixture": {"padding", "statistics", *DRAWS},
        "marginal": {"images", "samples"},
        "grey": set(),
        "mean": set(),
        "blur": set(),
    },
    True: {
        "conditional": {"padding", "color", "images", *DRAWS},
        "marginal": {"images", "samples"},
    },
}
TABLES = {False: SAMPLERS, True: HIDDEN_SAMPLERS}
EVERY = [
    (hidden, name, option)
    for hidden, samplers in USED.items()
    for name in samplers
    for option in (*OPTIONS, *DRAWS)
]


def choice(name: str, hidden: bool = False, **given) -> Choice:
    options, draws = ({key: given.get(key) for key in known} for known in (OPTIONS, DRAWS))
    return Choice(name, hidden, options, draws)


def make(name: str, **given) -> Sampler:
    return choice(name, **given).make(Setting(NET, (4, 4), 2, False))


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, cache):
    monkeypatch.setenv("PDJAX_CACHE", str(cache))


@pytest.mark.parametrize("hidden", [False, True])
def test_options_are_the_keywords_of_what_makes_a_sampler(hidden):
    assert USED[hidden].keys() == TABLES[hidden].keys()
    for name, (_, maker) in TABLES[hidden].items():
        assert set(inspect.signature(maker).parameters) - {"setting"} == USED[hidden][name] - {
            *DRAWS
        }


@pytest.mark.parametrize(("hidden", "name", "option"), EVERY)
def test_an_option_is_used_or_refused(hidden, name, option):
    value = (OPTIONS | DRAWS)[option]
    if option in USED[hidden][name]:
        choice(name, hidden, **{option: value})
        return
    with refused(option) as caught:
        choice(name, hidden, **{option: value})
    users = [other for other in USED[hidden] if option in USED[hidden][other]]
    for user in users:
        assert user in caught.value.remedy
    assert ("--sampler" in caught.value.remedy) == bool(users)
    assert ("--start" in caught.value.problem) == hidden


def test_the_mixture_is_the_default_where_it_can_do_what_is_asked(tmp_path):
    plain = {"hidden": False, "color": None, "sampling": "independent", "statistics": None}
    assert default_sampler(**plain) == "mixture"
    for name, fitted in (
        ("mixture", pdjax.PatchMixture.natural_images()),
        ("conditional", pdjax.PatchStatistics.natural_images()),
    ):
        fitted.save(tmp_path / "mine.npz")
        assert default_sampler(**plain | {"statistics": tmp_path / "mine.npz"}) == name
    for asked in ({"hidden": True}, {"color": "joint"}, {"sampling": "sobol"}):
        assert default_sampler(**plain | asked) == "conditional"


def test_only_the_places_of_the_windows_are_set_up():
    net = pdjax.Classifier.from_function(
        lambda params, images: images, None, image_size=60, outputs={}
    )
    grid = pdjax.WindowGrid((60, 60), 4, 4)
    for name in ("mixture", "conditional"):
        sampler = choice(name).make(Setting(net, (4, 4), 2, False, grid=grid))
        assert len(sampler.places) == 9
        sampler.check_grid(grid)


def test_what_is_not_given_has_the_defaults_that_the_help_states():
    sampler = make("conditional")
    assert (sampler.padding, sampler.color) == (2, "joint")
    sampler = make("conditional", padding=0, color="independent")
    assert (sampler.padding, sampler.color) == (0, "independent")
    assert make("mixture").padding == 2


@pytest.mark.parametrize("name", SAMPLERS)
def test_what_stands_in_for_a_sampler_is_asked_the_same(name):
    kind, _ = SAMPLERS[name]
    planned = choice(name).planned((4, 3))
    assert isinstance(planned, Sampler)
    assert isinstance(planned, NormalSampler) == (name == "conditional")
    assert (planned.window, planned.constant) == ((4, 3), kind.constant)
    if name != "marginal":
        made = make(name)
        assert type(made) is kind
        assert isinstance(made, NormalSampler) == isinstance(planned, NormalSampler)


@pytest.mark.parametrize(
    ("argument", "name", "hidden"),
    [("sampler", "marginal", False), ("start", "marginal", True), ("start", "conditional", True)],
)
def test_what_learns_from_images_needs_them(argument, name, hidden):
    setting = Setting(NET, (4, 4), 2, False, "prob" if hidden else None)
    with refused(argument) as caught:
        choice(name, hidden).make(setting)
    assert "--images" in caught.value.remedy


@pytest.mark.parametrize("name", sorted(SAMPLERS.keys() - HIDDEN_SAMPLERS.keys()))
def test_samplers_without_a_form_for_hidden_layers(name):
    with refused("sampler") as caught:
        choice(name, hidden=True)
    assert all(other in caught.value.remedy for other in HIDDEN_SAMPLERS)
