"""What there is: networks, their layers and classes, versions."""

from __future__ import annotations

import importlib.metadata
import platform

import jax
import pytest

COMPILED = (
    "jax_compilation_cache_dir",
    "jax_compilation_cache_max_size",
    "jax_persistent_cache_min_compile_time_secs",
)


def test_models_are_listed(run, toy):
    ended = run("models")
    assert ended.status == 0
    for name in ("efficientnet_lite0", "googlenet", toy):
        assert name in ended.out


def test_layers_of_a_network_are_listed_with_their_shapes(run, toy):
    *layers, classes = run("models", toy).out.splitlines()
    assert layers[-1].split() == ["prob", "5"]
    assert any(line.endswith("6 x 6 x 4") for line in layers)
    assert classes.startswith("5 classes")


def test_classes_are_searched_for(run, toy):
    found = run("models", "efficientnet_lite0", "--search", "TABBY").out
    assert found.strip() == "281  tabby, tabby cat"
    assert run("models", toy, "--search", "nobody").error.startswith("--search=")
    assert run("models", "--search", "tabby").error.startswith("--search=")
    assert run("models", "nothing").status == 2


def test_versions_and_folders_are_said(run, cache):
    version = importlib.metadata.version("pdjax")
    assert run("--version").out == f"pdjax {version}\n"
    said = run("info").out
    for word in (version, importlib.metadata.version("jax"), "cpu", str(cache)):
        assert word in said


@pytest.mark.parametrize("command", [(), ("explain",), ("plot",), ("weights", "convert")])
def test_help_has_a_short_form(run, command):
    ended = run(*command, "-h")
    assert ended.status == 0
    assert "Usage:" in ended.out


@pytest.mark.parametrize("given", [None, "elsewhere"])
def test_compiled_programs_are_kept_unless_jax_knows_where(run, monkeypatch, cache, given):
    before = {name: getattr(jax.config, name) for name in COMPILED}
    try:
        jax.config.update("jax_compilation_cache_dir", given)
        assert run("models").status == 0
        assert jax.config.jax_compilation_cache_dir == given
        assert run("--keep-compiled", "models").status == 0
        expected = given or str(cache / "compiled" / platform.node())
        assert jax.config.jax_compilation_cache_dir == expected
    finally:
        for name, value in before.items():
            jax.config.update(name, value)
