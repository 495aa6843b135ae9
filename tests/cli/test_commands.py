"""The command line as a person meets it: files, words, and one sentence for bad input."""

from __future__ import annotations

import functools
import re
import sys
import types
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pdjax
from pdjax.cli.commands import main
from pdjax.cli.samplers import in_options, make_sampler


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Run a command in an empty folder; return exit status, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)

    def command(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["pdjax", *map(str, arguments)])
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            try:
                main()
                status = 0
            except SystemExit as stop:
                status = stop.code or 0
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return command


@pytest.fixture
def photo(tmp_path) -> Path:
    levels = np.random.default_rng(0).integers(0, 256, (240, 300, 3), np.uint8)
    path = tmp_path / "photo.png"
    Image.fromarray(levels).save(path)
    return path


QUICK = ("--sampler", "grey", "--window", "56", "--stride", "56", "--no-progress")


def test_explain_writes_a_picture_and_the_numbers(run, photo):
    status, out, _ = run("explain", photo, *QUICK, "--classes", "2", "--output", "result.png")
    assert status == 0
    assert "16 windows with 1 sample each, 17 forward passes" in out
    assert Image.open("result.png").size[0] > 500
    explanation = pdjax.Explanation.load("result.npz")
    assert explanation.relevance["prob"].shape == (2, 224, 224)
    assert np.ptp(explanation.relevance["prob"]) > 0
    for title in explanation.titles("prob"):
        assert title in out


def test_plot_draws_a_saved_result_again(run, photo):
    run("explain", photo, *QUICK, "--output", "result.png")
    assert run("plot", "result.npz", "--output", "again.png", "--units", "0")[0] == 0
    assert run("plot", "result.npz", "--output", "page.html", "--mute-uncertain")[0] == 0
    assert Image.open("again.png").size[1] < Image.open("result.png").size[1]
    assert 'type="checkbox" checked>' in Path("page.html").read_text(encoding="utf-8")
    assert run("plot", "result.npz", "--output", "muted.png", "--mute-uncertain")[0] == 0
    assert Image.open("muted.png").size[1] > Image.open("result.png").size[1]


def test_hidden_layers_and_named_classes(run, photo):
    layers = "blocks_0/output,logits"
    classes = "tabby, tabby cat; #7; lynx"
    status, _, _ = run("explain", photo, *QUICK, "--layers", layers, "--classes", classes)
    assert status == 0
    explanation = pdjax.Explanation.load("photo-explained.npz")
    assert explanation.relevance["blocks_0/output"].shape == (16, 224, 224)
    assert explanation.names["logits"] == ("tabby, tabby cat", "cock", "lynx, catamount")


def test_a_small_image_is_enlarged_and_that_is_said(run, tmp_path):
    Image.new("L", (40, 30), 128).save(tmp_path / "small.png")
    status, _, err = run("explain", "small.png", *QUICK)
    assert status == 0
    assert "note" in err
    assert "40 by 30" in err
    assert "enlarged" in err


def test_fit_then_explain(run, photo):
    folder = photo.parent / "photos"
    folder.mkdir()
    photo.rename(folder / "photo.png")
    assert run("fit", folder, "--max-patch", "14", "--output", "mine.npz", "--no-progress")[0] == 0
    assert pdjax.PatchStatistics.load("mine.npz").max_patch == (14, 14)
    status, out, _ = run(
        "explain", folder / "photo.png", "--statistics", "mine.npz", "--window", "12,10",
        "--stride", "10", "--padding", "1", "--samples", "2", "--classes", "1", "--no-progress",
    )  # fmt: skip
    assert status == 0
    assert "529 windows with 2 samples each, 1,059 forward passes" in out
    status, out, _ = run(
        "explain", folder / "photo.png", "--statistics", "mine.npz", "--window", "10",
        "--stride", "10", "--sampling", "sobol", "--no-bias-correction", "--no-progress",
        "--output", "sobol.png",
    )  # fmt: skip
    assert status == 0
    settings = pdjax.Explanation.load("sobol.npz").settings
    assert (settings["sampling"], settings["bias_correction"]) == ("sobol", False)


def test_fit_a_mixture_then_use_it(run, photo, monkeypatch):
    folder = photo.parent / "photos"
    folder.mkdir()
    photo.rename(folder / "photo.png")
    quick = functools.partial(pdjax.PatchMixture.fit, steps=1, textures=1, num_patches=200)
    monkeypatch.setattr(pdjax.PatchMixture, "fit", quick)
    options = ("--patch", "4", "--max-patch", "6", "--output", "mine.npz", "--no-progress")
    status, out, _ = run("fit", folder, "--mixture", *options)
    assert status == 0
    assert "1 images, patches of up to (6, 6) pixels" in out
    settings = {
        "color": None, "images": None, "image_size": 224, "num_samples": 2, "progress": False,
    }  # fmt: skip
    make = functools.partial(make_sampler, "mixture", (2, 3), padding=1, **settings)
    assert make(statistics=Path("mine.npz")).patch == (4, 5)
    assert str(make(statistics=None)).startswith("conditional mixture samples (6 textures")
    run("fit", folder, "--max-patch", "6", "--output", "plain.npz", "--no-progress")
    with pytest.raises(ValueError, match=r"does not hold a mixture .* FOLDER --mixture"):
        make(statistics=Path("plain.npz"))


def test_fit_names_all_unreadable_images_below_the_bar_and_writes_nothing(run, photo):
    folder = photo.parent / "photos"
    folder.mkdir()
    photo.rename(folder / "c.png")
    for name in ("a.png", "b.png", "d.png"):
        (folder / name).write_text("no image")
    status, _, err = run("fit", folder, "--max-patch", "8", "--output", "mine.npz")
    assert status == 2
    assert "fitting: " in err
    last = re.split(r"[\r\n]", err.strip())[-1]
    assert last.startswith("pdjax: error: images: 3 of 4 cannot be used: ")
    assert all(name in last for name in ("a.png", "b.png", "d.png"))
    assert "fitting" not in last
    assert list(Path().iterdir()) == [folder.relative_to(Path.cwd())]


def test_the_time_is_all_that_was_waited_for(run, photo, monkeypatch):
    clock = [0.0]

    def slowly(function, seconds):
        def wrapped(*arguments, **options):
            clock[0] += seconds
            return function(*arguments, **options)

        return wrapped

    monkeypatch.setattr(
        "pdjax.cli.commands.time", types.SimpleNamespace(monotonic=lambda: clock[0])
    )
    for name, seconds in (("pdjax.load_model", 300), ("pdjax.cli.stages.explain", 17)):
        owner, _, attribute = name.rpartition(".")
        function = getattr(sys.modules[owner], attribute)
        monkeypatch.setattr(sys.modules[owner], attribute, slowly(function, seconds))
    status, out, _ = run("explain", photo, *QUICK)
    assert status == 0
    assert "317 s in all; 1 images/s while explaining)" in out


def test_errors_speak_of_what_was_typed(run, photo):
    command = ("explain", photo, *QUICK, "--checkpoint", "run.npz")
    assert "kept" not in run(*command)[1]
    assert "17 forward passes, 16 of them kept from before, " in run(*command)[1]
    status, _, err = run(*command, "--seed", "1")
    assert status == 2
    assert "belongs to another run, differing in --seed; give another" in err


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("differing in rng_key, num_samples; give", "differing in --seed, --samples; give"),
        ("num_samples=7 is more than the 6", "--samples=7 is more than the 6"),
        ("rng_key", "--seed"),
        ("image: 'rng_key.png' and /tmp/rng_key: no", "image: 'rng_key.png' and /tmp/rng_key: no"),
    ],
)
def test_arguments_are_called_by_their_options(message, expected):
    assert in_options(message) == expected


def test_start_from_a_hidden_layer(run, photo):
    folder = photo.parent / "photos"
    folder.mkdir()
    for number, angle in enumerate((0, 90)):
        Image.open(photo).rotate(angle).save(folder / f"{number}.png")
    common = (
        "explain", photo, "--start", "blocks_10/output", "--window", "2", "--stride", "2",
        "--samples", "2", "--images", folder, "--no-progress",
    )  # fmt: skip
    for sampler, options in (("marginal", ()), ("conditional", ("--padding", "0"))):
        chosen = ("--sampler", sampler, *options)
        status, out, _ = run(*common, *chosen, "--output", f"{sampler}.png")
        assert status == 0
        assert "49 windows with 2 samples each" in out
        explanation = pdjax.Explanation.load(f"{sampler}.npz")
        assert explanation.relevance["prob"].shape == (3, 14, 14)
        assert np.ptp(explanation.relevance["prob"]) > 0
    assert run(*common, "--sampler", "grey")[0] == 2


def test_demo(run):
    status, out, _ = run("demo", "--stride", "20", "--samples", "2", "--no-progress")
    assert status == 0
    assert "military uniform" in out
    assert "pdjax demo --window 10 --stride 1 --samples 10" in out
    assert Path("pdjax-demo.png").exists()
    explanation = pdjax.Explanation.load("pdjax-demo.npz")
    assert explanation.names["prob"][0] == "military uniform"
    assert (explanation.standard_error["prob"] > 0).all()


def test_models_are_listed(run):
    status, out, _ = run("models")
    assert status == 0
    assert "efficientnet_lite0" in out
    assert "googlenet" in out


BAD = {
    "missing image": (("explain", "none.jpg"), "no file 'none.jpg'"),
    "not an image": (("explain", "words.txt"), "not a readable image"),
    "empty": (("explain", "empty.png"), "is empty"),
    "unknown model": (("explain", "photo.png", "--model", "gogglenet"), "googlenet"),
    "unknown class": (("explain", "photo.png", *QUICK, "--classes", "tabbie"), "'tabby'"),
    "ambiguous class": (("explain", "photo.png", *QUICK, "--classes", "crane"), "by index"),
    "class out of range": (("explain", "photo.png", *QUICK, "--classes", "#1000"), "0 to 999"),
    "too many classes": (("explain", "photo.png", *QUICK, "--classes", "1001"), "1 and 1000"),
    "unknown layer": (("explain", "photo.png", *QUICK, "--layers", "conv1"), "logits, prob"),
    "window too large": (("explain", "photo.png", "--window", "225"), "smaller window"),
    "window of words": (("explain", "photo.png", "--window", "ten"), "must be an int"),
    "window zero": (("explain", "photo.png", "--window", "0"), "at least 1 pixel"),
    "negative stride": (("explain", "photo.png", "--stride", "-1"), "at least 1 pixel"),
    "stride too large": (("explain", "photo.png", "--stride", "11"), "would be missed"),
    "patch too large": (("explain", "photo.png", "--window", "45"), "fit statistics for larger"),
    "one sample": (("explain", "photo.png", "--samples", "1"), "--samples=1 leaves"),
    "empty batch": (("explain", "photo.png", *QUICK, "--batch-size", "0"), "--batch-size=0 must"),
    "unknown sampler": (
        ("explain", "photo.png", "--sampler", "magic"),
        "conditional, mixture, marginal",
    ),
    "marginal, no images": (("explain", "photo.png", "--sampler", "marginal"), "--images FOLDER"),
    "unused padding": (("explain", "photo.png", *QUICK, "--padding", "2"), "leave out --padding"),
    "unknown colour": (("explain", "photo.png", "--color", "red"), "'joint' or 'independent'"),
    "unknown measure": (("explain", "photo.png", *QUICK, "--measure", "x"), "weight_of_evidence"),
    "unknown engine": (("explain", "photo.png", *QUICK, "--engine", "warp"), "dense"),
    "no error at all": (
        ("explain", "photo.png", "--target-error", "0"),
        "--target-error=0.0 must be above 0",
    ),
    "few passes": (("explain", "photo.png", "--max-passes", "9"), "--max-passes=9 does not suff"),
    "unknown sampling": (("explain", "photo.png", "--sampling", "x"), "independent, sobol, anti"),
    "odd sampling": (
        ("explain", "photo.png", "--sampling", "sobol", "--samples", "5"),
        "--samples=5 does not fit",
    ),
    "sampling of grey": (("explain", "photo.png", *QUICK, "--sampling", "sobol"), "Constant does"),
    "no folder": (("explain", "photo.png", *QUICK, "--output", "no/a.png"), "create it first"),
    "suffix": (("explain", "photo.png", *QUICK, "--output", "a.xyz"), "must end in"),
    "weights": (
        ("explain", "photo.png", "--model", "googlenet", "--weights", "words.txt"),
        "not a file of weights",
    ),
    "statistics": (("explain", "photo.png", "--statistics", "words.txt"), "not a readable .npz"),
    "checkpoint": (
        ("explain", "photo.png", *QUICK, "--checkpoint", "words.txt"),
        "not a readable .npz",
    ),
    "plot of a photo": (("plot", "photo.png"), "not a readable .npz"),
    "fit of nothing": (("fit", "nothing"), "no folder 'nothing'"),
}


@pytest.mark.parametrize(("arguments", "words"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_one_sentence_and_status_2(run, photo, arguments, words):
    Path("words.txt").write_text("hello")
    Path("empty.png").touch()
    before = sorted(Path().iterdir())
    status, _, err = run(*arguments)
    assert status == 2
    message = [line for line in err.splitlines() if line.startswith("pdjax: error: ")]
    assert len(message) == 1
    assert words in message[0]
    assert "Traceback" not in err
    assert sorted(Path().iterdir()) == before
