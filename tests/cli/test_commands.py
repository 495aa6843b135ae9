"""The command line as a person meets it: files, words, and one sentence for bad input."""

from __future__ import annotations

import dataclasses
import functools
import re
from pathlib import Path
from unittest import mock

import jax
import numpy as np
import pytest
from helpers.interruption import passing_time, watching
from PIL import Image

import pdjax
from pdjax import WindowGrid
from pdjax._explain.request import PreviewRequest, Request
from pdjax.method.schemes import Scheme


def test_explain_writes_a_picture_and_the_numbers(explain):
    ended = explain("--top", "2", "--output", "result.png")
    assert ended.status == 0
    assert "9 windows with 1 sample each, 10 forward passes" in ended.out
    assert Image.open("result.png").size[0] > 500
    explanation = pdjax.Explanation.load("result.npz")
    assert explanation.relevance["prob"].shape == (2, 6, 6)
    assert np.ptp(explanation.relevance["prob"]) > 0
    for title in explanation.titles("prob"):
        assert title in ended.out


def test_plot_draws_a_saved_result_again(run, explain):
    explain("--output", "result.png")
    assert run("plot", "result.npz", "--output", "again.png", "--units", "0").status == 0
    assert run("plot", "result.npz", "--output", "page.html", "--mute-uncertain").status == 0
    assert run("plot", "result.npz", "--output", "muted.png", "--mute-uncertain").status == 0
    assert Image.open("again.png").size[1] < Image.open("result.png").size[1]
    assert Image.open("muted.png").size[1] > Image.open("result.png").size[1]
    assert 'type="checkbox" checked>' in Path("page.html").read_text(encoding="utf-8")


def test_a_page_has_the_photo_s_name_and_what_was_put_into_windows(explain):
    assert explain("--output", "page.html", "--window", "3").status == 0
    page = Path("page.html").read_text(encoding="utf-8")
    assert "<figcaption>photo.png</figcaption>" in page
    assert '"fills": ["data:image/jpeg' in page
    assert "left out" not in page


def test_hidden_layers_and_named_classes(explain):
    layers, classes = "conv, scores", "cat; #0; DOG"
    assert explain("--layers", layers, "--classes", classes).status == 0
    explanation = pdjax.Explanation.load("photo-explained.npz")
    assert explanation.relevance["conv"].shape == (4, 6, 6)
    assert explanation.names["scores"] == ("cat", "ant", "dog")


def test_a_small_image_is_enlarged_and_that_is_said(explain, photo):
    Image.new("L", (5, 4), 128).save(photo)
    ended = explain()
    assert ended.status == 0
    (said,) = (line for line in ended.err.splitlines() if line.startswith("pdjax: warning: "))
    assert "5 by 4" in said
    assert "enlarged" in said


@pytest.fixture
def folder(photo) -> Path:
    """A folder with the photograph and others made of it."""
    folder = photo.parent / "photos"
    folder.mkdir()
    for angle in (0, 90, 180, 270):
        Image.open(photo).rotate(angle, expand=True).save(folder / f"{angle}.png")
    return folder


FIT = ("--size", 6, "--no-progress", "--output", "mine.npz")


def test_fit_then_explain(run, explain, folder):
    assert run("fit", folder, "--max-patch", 5, *FIT).status == 0
    assert pdjax.PatchStatistics.load("mine.npz").max_patch == (5, 5)
    chosen = ("--sampler", "conditional", "--statistics", "mine.npz", "--padding", 1)
    ended = explain(*chosen, "--window", "3,2", "--samples", 2, "--top", 1)
    assert ended.status == 0
    assert "9 windows with 2 samples each, 19 forward passes" in ended.out
    ended = explain(*chosen, "--sampling", "antithetic", "--no-bias-correction", "--overwrite")
    assert "9 windows with 4 samples each, 37 forward passes" in ended.out
    settings = pdjax.Explanation.load("photo-explained.npz").settings
    assert (settings["sampling"], settings["bias_correction"]) == ("antithetic", False)


def test_fit_patches_of_one_size(run, folder):
    assert run("fit", folder, "--patch", 2, *FIT).status == 0
    fitted = pdjax.PatchStatistics.load("mine.npz")
    assert not fitted.stationary
    assert fitted.max_patch == (2, 2)


def test_fit_a_mixture_then_use_it(run, explain, folder, monkeypatch):
    quick = functools.partial(pdjax.PatchMixture.fit, steps=1, textures=1, num_patches=200)
    monkeypatch.setattr(pdjax.PatchMixture, "fit", quick)
    ended = run("fit", folder, "--mixture", "--patch", 3, "--max-patch", 4, *FIT)
    assert ended.status == 0
    assert "4 images" in ended.out
    chosen = ("--sampler", "mixture", "--padding", 1, "--samples", 2, "--statistics")
    assert explain(*chosen, "mine.npz").status == 0
    caption = pdjax.Explanation.load("photo-explained.npz").caption
    assert "mixture samples (1 texture" in caption
    run("fit", folder, "--max-patch", 4, "--overwrite", *FIT)
    assert explain(*chosen, "mine.npz").error.startswith("--statistics='mine.npz' ")


def test_fit_leaves_unreadable_images_out_and_names_them(run, folder):
    for name in ("a.png", "b.png", "d.png"):
        (folder / name).write_text("no image")
    ended = run("fit", folder, "--size", 6, "--max-patch", 4, "--output", "mine.npz")
    assert ended.status == 0
    assert all(name in ended.err + ended.out for name in ("a.png", "b.png", "d.png"))
    assert Path("mine.npz").exists()


def test_the_time_is_all_that_was_waited_for(explain, monkeypatch):
    load = pdjax.load_model

    with passing_time() as wait, watching(each=lambda: wait(3)):

        def slowly(*arguments, **options):
            wait(300)
            return load(*arguments, **options)

        monkeypatch.setattr(pdjax, "load_model", slowly)
        ended = explain()
    assert ended.status == 0
    assert "303 s in all; 3 images/s" in ended.out


def test_a_checkpoint_is_gone_on_from_by_the_same_command_only(explain):
    checkpoint = ("--checkpoint", "run.npz")
    assert "kept" not in explain(*checkpoint).out
    assert "10 forward passes, 9 of them kept from before, " in explain(*checkpoint).out
    error = explain(*checkpoint, "--seed", 1).error
    assert error.startswith("--checkpoint='run.npz' ")
    assert "rng_key" in error


@pytest.mark.parametrize("checkpoint", [(), ("--checkpoint", "run.npz")])
def test_an_interrupted_run_says_what_is_kept(explain, checkpoint):
    with watching(patience=1):
        ended = explain(*checkpoint)
    assert ended.status == 130
    assert ("run.npz" in ended.err) == bool(checkpoint) == Path("run.npz").exists()
    assert "--checkpoint" in ended.err or checkpoint
    assert not Path("photo-explained.npz").exists()


@pytest.mark.parametrize("sampler", ["marginal", "conditional"])
def test_start_from_a_hidden_layer(explain, folder, sampler):
    options = ("--padding", 0) if sampler == "conditional" else ()
    start = ("--start", "conv", "--images", folder, "--samples", 2)
    ended = explain("--sampler", sampler, *start, *options)
    assert ended.status == 0
    assert "9 windows with 2 samples each" in ended.out
    explanation = pdjax.Explanation.load("photo-explained.npz")
    assert explanation.settings["start"] == "conv"
    assert np.ptp(explanation.relevance["prob"]) > 0


def test_a_preview_ends_with_the_plain_run(explain):
    strides = ("--window", 4, "--stride", 1)
    preview = explain(*strides, "--preview", "--output", "preview.png")
    assert "stride 4, 5 forward passes so far: preview.png" in preview.out
    assert "stride 1, 10 forward passes so far: preview.png" in preview.out
    explain(*strides, "--output", "plain.png")
    one, two = (pdjax.Explanation.load(f"{name}.npz") for name in ("preview", "plain"))
    np.testing.assert_allclose(one.relevance["prob"], two.relevance["prob"], atol=1e-4)
    assert one.settings["passes"] == two.settings["passes"] == 10


def test_everything_is_checked_once(explain):
    def counting(owner, name):
        return mock.patch.object(owner, name, autospec=True, side_effect=getattr(owner, name))

    with (
        counting(WindowGrid, "__init__") as grids,
        counting(Scheme, "check") as schemes,
        counting(pdjax.Constant, "check") as samplers,
    ):
        assert explain().status == 0
    assert [each.call_count for each in (grids, schemes, samplers)] == [1, 1, 1]


def test_a_sampler_is_asked_whether_it_fits_once_it_is_made(explain, folder):
    few = ("--sampler", "marginal", "--images", folder, "--samples", 9)
    assert explain(*few).error.startswith("--samples=9 ")


class Asked(Exception):
    """Enough has been seen of a request."""


def asked_for(call) -> Request:
    """Return the request that a call makes, and stop there."""
    seen = []

    def check(request) -> None:
        seen.append(request)
        raise Asked

    with mock.patch.object(Request, "check", check), pytest.raises(Asked):
        call()
    return seen[0]


@pytest.mark.parametrize("preview", [False, True])
def test_the_same_words_ask_for_the_same_as_in_python(explain, toy, photo, preview):
    words = (
        *("--sampler", "conditional", "--seed", 3, "--samples", 6, "--sampling", "sobol"),
        *("--classes", "cat; #0", "--layers", "scores,prob", "--measure", "probability_difference"),
        *("--engine", "dense", "--batch-size", 7, "--no-bias-correction", "--stride", 2),
        *("--checkpoint", "run.npz", "--start", "conv", *["--preview"] * preview),
    )
    typed = asked_for(lambda: explain(*words))
    net = pdjax.load_model(toy, "random")
    function = pdjax.preview if preview else pdjax.explain
    called = asked_for(
        lambda: function(
            net,
            pdjax.load_image(photo, size=6),
            pdjax.ConditionalGaussian(pdjax.PatchStatistics.natural_images(), (2, 2), 1),
            rng_key=jax.random.key(3),
            num_samples=6,
            sampling="sobol",
            classes=["cat", 0],
            layers=["scores", "prob"],
            measure="probability_difference",
            engine="dense",
            batch_size=7,
            bias_correction=False,
            stride=2,
            checkpoint=Path("run.npz"),
            start="conv",
        )
    )
    assert type(typed) is type(called) is (PreviewRequest if preview else Request)
    for field in dataclasses.fields(Request):
        one, two = getattr(typed, field.name), getattr(called, field.name)
        if field.name == "net":
            assert (one.name, one.predict, one.layers) == (two.name, two.predict, two.layers)
            jax.tree.map(np.testing.assert_array_equal, one.params, two.params)
        elif field.name == "sampler":
            assert (one.window, one.constant) == (two.window, two.constant)
        elif field.name == "rng_key":
            assert (one == two).all()
        elif field.name == "image":
            np.testing.assert_array_equal(one, two)
        else:
            assert one == two, field.name


BAD = {
    "missing image": ("image", ("none.jpg",), "none.jpg"),
    "not an image": ("image", ("words.jpg",), "words.jpg"),
    "unknown model": ("--model", ("--model", "gogglenet"), "'googlenet'"),
    "weights": ("--weights", ("--weights", "words.txt"), "words.txt"),
    "unknown class": ("--classes", ("--classes", "ante"), "'ant'"),
    "class out of range": ("--classes", ("--classes", "#5"), "0 to 4"),
    "too many classes": ("--top", ("--top", "6"), "5"),
    "classes twice": ("--top", ("--top", "2", "--classes", "cat"), "one of"),
    "unknown layer": ("--layers", ("--layers", "score"), "'scores'"),
    "unknown start": ("--start", ("--sampler", "marginal", "--start", "cov"), "'conv'"),
    "window too large": ("--window", ("--window", "7"), "6 by 6"),
    "window of words": ("--window", ("--window", "ten"), "'ten'"),
    "window of three": ("--window", ("--window", "2,2,2"), "2,2,2"),
    "window zero": ("--window", ("--window", "0"), "0"),
    "stride too large": ("--stride", ("--stride", "3"), "2 by 2"),
    "one sample": ("--samples", ("--sampler", "conditional", "--samples", "1"), "2"),
    "odd sampling": (
        "--samples",
        ("--sampler", "conditional", "--sampling", "sobol", "--samples", "5"),
        "6",
    ),
    "sampling of grey": ("--sampling", ("--sampling", "sobol"), "normal numbers"),
    "marginal, no images": ("--sampler", ("--sampler", "marginal"), "--images"),
    "start, no images": ("--start", ("--sampler", "marginal", "--start", "conv"), "--images"),
    "start of grey": ("--sampler", ("--start", "conv"), "marginal"),
    "unused padding": ("--padding", ("--padding", "2"), "mixture or conditional"),
    "no error at all": ("--target-error", ("--sampler", "mixture", "--target-error", "0"), "0.02"),
    "few passes": ("--max-passes", ("--sampler", "mixture", "--max-passes", "9"), "19"),
    "budget of a preview": (
        "--preview",
        ("--sampler", "mixture", "--max-passes", "900", "--preview"),
        "budget",
    ),
    "preview of one stage": ("--preview", ("--preview",), "one stage"),
    "errors of a page": ("--show-error", ("--show-error", "-o", "a.html"), "page"),
    "patch too large": ("image", ("--sampler", "conditional", "--padding", "3"), "6"),
    "no folder": ("--output", ("--output", "no/a.png"), "no"),
    "suffix": ("--output", ("--output", "a.xyz"), ".png"),
    "statistics": (
        "--statistics",
        ("--sampler", "conditional", "--statistics", "words.txt"),
        "words.txt",
    ),
    "checkpoint": ("--checkpoint", ("--checkpoint", "words.txt"), "words.txt"),
    "checkpoint nowhere": ("--checkpoint", ("--checkpoint", "no/run.npz"), "no"),
}


@pytest.mark.parametrize(("name", "words", "told"), BAD.values(), ids=BAD)
def test_bad_input_is_one_sentence_about_what_was_typed(explain, run, name, words, told):
    for file in ("words.txt", "words.jpg"):
        Path(file).write_text("hello")
    before = sorted(Path().iterdir())
    ended = explain(*words) if words[0].startswith("--") else run("explain", *words)
    assert re.match(rf"{name}\b", ended.error)
    assert told in ended.error
    assert sorted(Path().iterdir()) == before


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("result", ("plot", "photo.png")),
        ("--output", ("plot", "result.npz", "--output", "a.xyz")),
        ("--output", ("plot", "result.npz", "--output", "no/a.png")),
        ("--layer", ("plot", "result.npz", "--layer", "score")),
        ("--units", ("plot", "result.npz", "--units", "9")),
        ("--units", ("plot", "result.npz", "--units", "all")),
        ("folder", ("fit", "nothing")),
        ("--output", ("fit", ".", "--output", "no/mine.npz")),
    ],
    ids=str,
)
def test_other_commands_speak_of_what_was_typed_too(run, explain, name, words):
    explain("--output", "result.png")
    assert re.match(rf"{name}\b", run(*words).error)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("--classes", ("--classes", "ante")),
        ("--layers", ("--layers", "score")),
        ("--stride", ("--stride", "3")),
        ("--max-passes", ("--max-passes", "9")),
        ("--output", ("--output", "no/a.png")),
    ],
    ids=str,
)
def test_everything_is_checked_before_the_sampler_is_made(explain, monkeypatch, name, words):
    monkeypatch.setattr(pdjax.Classifier, "activations", lambda *_: pytest.fail("the network ran"))
    broken = ("--sampler", "conditional", "--padding", 1, "--statistics", "none.npz")
    assert explain(*broken).error.startswith("--statistics")
    assert explain(*broken, *words).error.startswith(name)


def test_a_second_result_is_numbered_and_an_input_never_written_to(explain, run, photo):
    before = photo.read_bytes()
    assert explain("--output", photo).error.startswith("--output='")
    assert explain("-o", photo, "--overwrite").error.startswith("--output='")
    assert photo.read_bytes() == before
    assert "cat-2.png" not in explain("-o", "cat.png").out
    kept = Path("cat.npz").read_bytes()
    assert "cat-2.png and cat-2.npz" in explain("-o", "cat.png").out
    assert Path("cat.npz").read_bytes() == kept
    assert "cat-2.png" not in explain("-o", "cat.png", "--overwrite").out
    assert Path("cat.npz").read_bytes() != kept
    assert run("plot", "cat.npz").out.strip() == "cat-3.png"
    settings = pdjax.Explanation.load("cat-2.npz").settings
    assert settings["photo"] == "photo.png"
    assert settings["versions"].keys() == {"pdjax", "jax"}


@pytest.mark.parametrize(
    ("fit", "words"),
    [("crop", "the middle of it"), ("pad", "padded to 6 by 6"), ("squash", "squashed to 6 by 6")],
)
def test_what_becomes_of_the_photo_and_the_prediction_are_said_first(explain, fit, words):
    ended = explain("--fit", fit, "--top", 1)
    photo, seen, prediction, passes = ended.out.splitlines()[:4]
    assert photo.startswith("photo.png: 9 by 12 pixels, ")
    assert words in photo
    assert seen.endswith(" sees")
    assert "prob = " in prediction or "p = " in prediction
    assert "forward passes" in passes


def test_rows_are_drawn_by_name(explain, run):
    explain("--top", 5, "-o", "all.png")
    first = pdjax.Explanation.load("all.npz").names["prob"][3]
    assert run("plot", "all.npz", "--units", f"{first}; 0", "-o", "some.png").status == 0
    assert run("plot", "all.npz", "--units", "nobody").error.startswith("--units ")
    assert run("plot", "all.npz", "--units", "7").error.startswith("--units ")


def test_an_interruption_before_the_run_is_one_line(explain, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("pdjax.cli.explain.Target.of", stop)
    ended = explain()
    assert (ended.status, ended.err) == (130, "pdjax: interrupted\n")
