"""The benchmarks run at toy size, and print the rows that their tables promise."""

from __future__ import annotations

import functools
import importlib
import math
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
import scipy.stats

import pdjax

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
OWN_MODULES = (
    "measure",
    "workload",
    "throughput",
    "accuracy",
    "local",
    "networks",
    "framework_networks",
    "onnx_zoo",
    "plain_networks",
    "exactness",
    "parts",
    "lowerings",
    "resnet18",
    "samplers",
    "calibration",
    "blocks",
    "errors",
    "photographs",
    "claims",
    "claim_numbers",
    "figures",
    "keep",
    "photographs",
    "methods",
    "gradient_maps",
    "torch_maps",
    "compare",
    "equal_error",
    "precision",
    "accelerator",
)


@pytest.fixture
def load(monkeypatch):
    """Import a benchmark as the script that it is, and forget it afterwards."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield importlib.import_module
    for name in OWN_MODULES:
        sys.modules.pop(name, None)


def tables(text: str) -> list[dict[str, list[str]]]:
    """Read Markdown tables as rows of cells by the first cell, the header included."""
    found = []
    for block in text.strip().split("\n\n"):
        lines = [line for line in block.splitlines() if line.startswith("|")]
        if not lines:  # a sentence between tables
            continue
        del lines[1]  # the rule under the header
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
        assert len({len(line) for line in lines}) == 1, "columns are not aligned"
        found.append({row[0]: row[1:] for row in rows})
    return found


def test_throughput(load, capsys):
    load("throughput").main(toy=True)
    settings, once, timings = tables(capsys.readouterr().out)
    assert {"network", "windows", "images", "jax", "numpy", "python", "platform", "device"} <= set(
        settings
    )
    assert settings["images"] == ["72"]
    assert all(0 <= float(once[name][0]) < math.inf for name in set(once) - {"once"})
    assert float(once["compiling the bare forward pass"][0]) > 0
    header = timings.pop("per image")
    measured = [name for name, row in timings.items() if row[header.index("from")]]
    assert measured == [
        "explain",
        "bare forward pass",
        "- sampling",
        "- pasting",
        "- reduction",
        "- relevance maps",
    ]
    for name in measured:
        row = dict(zip(header, timings[name], strict=True))
        least, middle, most, rate = (float(row[key]) for key in ("from", "ms", "to", "images/s"))
        assert 0 < least <= middle <= most < math.inf
        assert 0 < rate < math.inf
    share = {name: float(row[-1].rstrip(" %")) for name, row in timings.items()}
    assert share["explain"] == 100
    outside = share["outside the network"]
    assert outside == pytest.approx(100 - share["bare forward pass"], abs=0.11)
    parts = [value for name, value in share.items() if name.startswith("- ")]
    assert outside == pytest.approx(sum(parts), abs=0.4)


@pytest.mark.parametrize(
    ("spatial", "window", "passes", "expected"),
    [
        ((12, 12), 4, 72, (4, 8)),
        ((224, 224), 10, 640, (10, 2)),
        ((224, 224), 10, 462_250, (1, 10)),
    ],
)
def test_plan_comes_near_the_passes_asked_for(load, spatial, window, passes, expected):
    assert load("workload").plan(spatial, window, passes) == expected


def test_local(load, capsys):
    load("local").main(toy=True, repeats=2)
    settings, rates, how = tables(capsys.readouterr().out)
    assert settings["window"] == ["4"]
    row = dict(zip(rates["network"], rates["toy"], strict=True))
    local, dense = (float(row[name].split()[0]) for name in ("local", "dense"))
    assert float(row["over dense"]) == pytest.approx(local / dense, abs=0.01)
    assert float(row["s to compile"]) > 0
    assert "of the arithmetic" in how["toy"][0]


def test_networks(load, capsys):
    load("networks").main(toy=True, repeats=2)
    settings, rows = tables(capsys.readouterr().out)
    assert settings["window"] == ["4"]
    header = rows.pop("network")
    assert set(rows) == {"toy, NHWC", "toy, NCHW"}
    for cells in rows.values():
        row = dict(zip(header, cells, strict=True))
        assert row["lines"] == "1"
        assert float(row["error"]) < 1e-5
        assert float(row["local over dense"]) == pytest.approx(
            float(row["local"]) / float(row["dense"]), rel=0.05
        )
        assert float(row["own"]) > 0


def test_the_networks_of_the_benchmark_can_be_traced(load):
    networks = load("plain_networks")
    for name in networks.NETWORKS:
        f, params = networks.build(name, 224)
        images = jax.ShapeDtypeStruct((2, 224, 224, 3), np.float32)
        assert jax.eval_shape(f, params, images).shape[0] == 2


def test_parts(load, capsys):
    load("parts").main(toy=True, repeats=2)
    _, rows = tables(capsys.readouterr().out)
    header = rows.pop("explained")
    passes = {name: int(row[header.index("passes")]) for name, row in rows.items()}
    assert passes["whole"] > passes["a tenth in the middle"] > passes["a tenth at a corner"] > 1


def test_exactness(load, capsys):
    load("exactness").main(toy=True)
    _, differences = tables(capsys.readouterr().out)
    row = dict(zip(differences.pop("network"), *differences.values(), strict=True))
    assert 0 <= float(row["of probabilities"]) <= float(row["largest difference"]) < 1e-5


def test_lowerings(load, capsys):
    load("lowerings").main(toy=True, repeats=2)
    _, times = tables(capsys.readouterr().out)
    row = dict(zip(times.pop("operation"), *times.values(), strict=True))
    plain, lowered = float(row["as traced, us"]), float(row["lowered, us"])
    assert float(row["ratio"]) == pytest.approx(plain / lowered, rel=0.05)


def test_samplers(load, capsys):
    load("samplers").main(toy=True, progress=False)
    settings, bits = tables(capsys.readouterr().out)
    assert settings["photographs held out"] == ["2"]
    header = bits.pop("model")
    assert list(bits) == [
        "conditional mixture",
        "conditional Gaussian, joint",
        "marginal Gaussian, joint",
        "conditional Gaussian, independent",
        "marginal Gaussian, independent",
    ]
    level = {name: float(row[header.index("bits per number")]) for name, row in bits.items()}
    assert all(0 < value < 8 for value in level.values())
    for color in ("joint", "independent"):
        assert level[f"conditional Gaussian, {color}"] < level[f"marginal Gaussian, {color}"]


def test_the_bits_of_samplers_are_those_of_their_densities(load):
    module = load("samplers")
    table = np.zeros((7, 7, 2, 2))
    table[3, 3] = 0.04 * np.eye(2)
    statistics = pdjax.PatchStatistics(np.full(2, 0.5), table, 1)
    patches = np.random.default_rng(0).random((5, 4, 4, 2))
    inside = patches[:, 1:3, 1:3]
    expected = scipy.stats.norm(0.5, 0.2).logpdf(inside).sum((1, 2, 3))
    for groups in (1, 2):
        for conditional in (True, False):
            density = module._gaussian(statistics, 2, 1, groups, conditional)
            np.testing.assert_allclose(density(patches), expected, rtol=1e-10)


def test_calibration(load, capsys, tmp_path):
    run = functools.partial(load("calibration").main, toy=True, progress=False, keep=tmp_path)
    run()
    said = capsys.readouterr().out
    settings, *classes, summary = tables(said)
    assert settings["photographs held out"] == ["2"]
    for side, table in zip((3, 5), classes, strict=True):
        names = table.pop(f"windows of {side}, by their rings")
        assert names[0] == "mixture"
        assert [name.split()[0] for name in table] == [
            *["contrast"] * 10,
            *["brightness"] * 3,
            "all",
        ]
        for cells in table.values():
            for name, cell in zip(names, cells, strict=True):
                numbers = [float(part) for part in cell.split(",")]
                assert len(numbers) == (1 if name in ("grey", "mean", "blur") else 3)
                assert numbers[0] >= 0
                assert all(0 <= share <= 100 for share in numbers[1:])
        assert {cells[names.index("grey")] for cells in table.values()} == {"0.00"}
    assert {row[-1].split(" of ")[1] for row in list(summary.values())[1:]} == {"13"}
    run()  # from what was kept
    assert capsys.readouterr().out.split("\n\n", 1)[1] == said.split("\n\n", 1)[1]


def test_samples_of_what_they_stand_for_are_calibrated(load):
    module = load("calibration")
    generator = np.random.default_rng(0)
    image = np.clip(generator.normal(0.5, 0.1, (60, 60, 3)), 0, 1)
    origins = np.stack(np.meshgrid(*[np.arange(2, 50, 6)] * 2), -1).reshape(-1, 2)
    for factor in (1.0, 2.0):
        drawn = generator.normal(0.5, 0.1 * factor, (len(origins), 39, 6, 6, 3))
        judged = module._judge(np.clip(drawn, 0, 1), image, origins, 6, False, generator)
        ratio, half, most = module._numbers(judged, np.arange(len(origins)))
        # The rank of a truth x is binomial, each sample being below it with the same probability.
        x = scipy.stats.norm.ppf((np.arange(4000) + 0.5) / 4000)
        rank = scipy.stats.binom(39, scipy.stats.norm.cdf(x / factor))
        expected = [100 * (rank.cdf(39 - out) - rank.cdf(out - 1)).mean() for out in (10, 1)]
        assert ratio == pytest.approx(factor, rel=0.03)
        assert (half, most) == pytest.approx(expected, abs=2)
        if factor == 1:
            assert expected == pytest.approx([50, 95], abs=0.01)


def test_a_sampler_that_knows_a_white_sky_is_right_as_often_as_it_says(load):
    module = load("calibration")
    white, origins = np.ones((40, 40, 3)), np.full((30, 2), 9)
    drawn = np.ones((30, 39, 6, 6, 3))
    judged = module._judge(drawn, white, origins, 6, False, np.random.default_rng(0))
    assert judged.half.mean() == pytest.approx(0.5, abs=0.05)
    assert judged.most.mean() == pytest.approx(0.95, abs=0.03)


def test_accuracy(load, capsys):
    load("accuracy").main(toy=True, progress=False)
    settings, accuracy = tables(capsys.readouterr().out)
    assert settings["images"] == ["4"]
    assert {name: float(row[0]) for name, row in accuracy.items() if name != "accuracy"} == {
        "top-1": 50.0,
        "top-5": 75.0,
    }


def test_accuracy_counts_neither_ties_nor_nan_as_right(load, tmp_path, capsys, monkeypatch):
    module = load("accuracy")
    folder, synsets = module._toy_images(tmp_path)
    for value in (0.5, np.nan):
        monkeypatch.setattr(module, "_scores", lambda net, photos, n, v=value: np.full((4, 6), v))
        module._report(module._toy_network(), folder, synsets, 4, None, False)
        assert tables(capsys.readouterr().out)[1]["top-5"] == ["0.0", "0.0"]


def test_accuracy_names_a_file_without_a_class(load, tmp_path):
    module = load("accuracy")
    folder, synsets = module._toy_images(tmp_path)
    synsets.write_text("n0 red\n", "utf-8")
    with pytest.raises(ValueError, match=r"images: 'n1'"):
        module._report(module._toy_network(), folder, synsets, 4, None, False)


def test_errors(load, capsys):
    load("errors").main(toy=True)
    found = tables(capsys.readouterr().out)
    settings, schemes, rest = found[0], found[-2], found[-1]
    assert settings["blocks"] == ["4 of 4 by 4 windows"]
    header = schemes.pop("photograph")
    assert set(schemes) == {"noise 0", "noise 1", "all"}
    factor = float(schemes["all"][header.index("variance over sobol")])
    assert factor > 1.5
    header = rest.pop("photograph")
    for row in rest.values():
        assert float(row[header.index("bias at 2, bits")]) > 0
        assert int(row[header.index("passes")]) >= 163


def test_claims(load, capsys):
    load("claims").main(toy=True, progress=False)
    settings, claims = tables(capsys.readouterr().out)
    assert settings["photographs"] == ["4"]
    header = claims["sentence"]
    assert len(claims) == 1 + 12
    for row in claims.values():
        assert row[header.index("verdict")] in ("verdict", "holds", "open", "the opposite")
    # The classes of the toy are colours, and the quarters of its mosaics have one each.
    game = claims["Larger windows are easier to read"][header.index("found")]
    assert all(float(part.split("=")[1].split()[1]) > 0.5 for part in game.split("; "))


def test_numbers_of_claims_agree_with_closed_forms(load):
    numbers = load("claim_numbers")
    random = np.random.default_rng(0)
    small = random.standard_normal((6, 6))
    large = 3 * small.reshape(3, 2, 3, 2).mean((1, 3)) + 1
    none = np.zeros_like
    moments = numbers.block_moments((large, none(large)), (small, none(small)), 2)
    assert numbers.explained_variance(moments) == pytest.approx(1)
    noisy = numbers.block_moments(
        (large, np.full_like(large, large.std())), (small, none(small)), 2
    )
    assert noisy[1] == pytest.approx(1 - 1 / 9)
    waves = np.cos(2 * np.pi * 3 * np.arange(16) / 16)[:, None] * np.ones((1, 16))
    assert numbers.frequency(waves) == pytest.approx(3)
    apart = np.eye(3)
    assert numbers.overlap(apart) == pytest.approx(0)
    assert numbers.overlap(np.stack([apart[0], -2 * apart[0]])) == pytest.approx(1)
    assert numbers.flat_share(np.arange(1, 4.0), np.array([0.1, 0.5, 0.9])) == pytest.approx(1 / 6)
    relevance, error = np.array([5.0, 0.1, np.nan, 3.0]), np.ones(4)
    assert numbers.beyond_chance(relevance, error, 1000) == pytest.approx(2 / 3)


def test_what_the_ring_says_of_a_window(load):
    numbers = load("claim_numbers")
    grid = pdjax.WindowGrid((12, 12), 4, 4)
    image = np.full((12, 12, 3), 0.5, np.float32)
    image[5:7, 5:7] = 1
    sampler = pdjax.ConditionalGaussian(pdjax.PatchStatistics.natural_images(), 4)
    contrast = numbers.ring_contrast(image, grid, 2)
    surprise = numbers.surprise(image, grid, sampler)
    assert contrast[1, 1] == pytest.approx(0)
    assert contrast[0, 0] > 0.05
    assert surprise.argmax() == 4


def test_an_interval_over_photographs(load):
    bootstrap = load("photographs").bootstrap
    values = np.random.default_rng(0).standard_normal(400)
    found = bootstrap(np.append(values, np.nan))
    assert found.mean == pytest.approx(values.mean())
    assert found.high - found.low == pytest.approx(2 * 1.96 / 20, rel=0.15)
    ratio = bootstrap(np.stack([2 * values, values], 1), lambda each: each[..., 0] / each[..., 1])
    assert ratio.low == ratio.high == pytest.approx(2)


def test_figures(load, tmp_path):
    load("figures").main(toy=True, output=tmp_path, progress=False)
    for number in range(3, 9):
        pictures = sorted(tmp_path.glob(f"figure{number}-*.png"))
        assert pictures
        assert all(path.stat().st_size <= 150_000 for path in pictures)
        assert all(path.with_suffix(".pdf").exists() for path in pictures)


def test_compare(load, capsys):
    module = load("compare")
    module.main(toy=True, limit=2)
    settings, values, paired = tables(capsys.readouterr().out)
    assert settings["photographs"] == ["4"]
    header = values.pop("method")
    assert {"pdjax, marginal", "occlusion, blur", "Grad-CAM"} <= {
        name.removeprefix("pdjax, ") if "occlusion" in name else name for name in values
    }
    for name, cells in values.items():
        row = dict(zip(header, cells, strict=True))
        assert 0 <= float(row["grid pointing game ↑"].split()[0]) <= 1
        assert 3 <= int(row["passes"]) <= 130, name
    paired.pop("less pdjax, conditional mixture")
    assert set(paired) == set(values) - {"pdjax, conditional mixture"}


def test_compare_goes_on_with_what_is_kept(load, tmp_path, capsys, monkeypatch):
    module = load("compare")
    net = load("photographs").toy_network()
    noise = np.random.default_rng(0).random((6, 40, 40, 3), np.float32)
    setting = module.Setting(net, "scores", "last", module._toy_peer, noise[4:], 6, 100, 4)
    rows = {"Grad-CAM": module.methods(setting)["Grad-CAM"]}
    monkeypatch.setattr(module, "methods", lambda _: rows)
    run = (setting, dict(enumerate(noise[:4])), tmp_path)
    module._run(*run, 1, 0)
    once = capsys.readouterr().out
    rows["Grad-CAM"] = rows["Grad-CAM"]._replace(make=None)
    module._run(*run, 1, 0)
    assert tables(capsys.readouterr().out)[1] == tables(once)[1]
    with pytest.raises(ValueError, match="other settings"):
        module._run(setting, dict(enumerate(noise)), tmp_path, 1, 0)


def test_gradients_of_a_linear_network(load):
    maps = load("gradient_maps")
    weights = np.random.default_rng(0).standard_normal((6, 6, 3, 2)).astype(np.float32)

    def f(params, images):
        features = 2 * images
        scores = jax.numpy.einsum("nhwc,hwck->nk", features, params)
        return {"features": features, "scores": scores, "prob": jax.nn.softmax(scores)}

    net = pdjax.Classifier.from_function(f, weights, image_size=6)
    image = np.random.default_rng(1).random((6, 6, 3), np.float32)
    own = 2 * weights[..., 1]
    some = (net, image, 1, "scores")
    np.testing.assert_allclose(maps.gradient(*some), np.abs(own).max(-1), rtol=1e-5)
    smooth = maps.smooth_grad(*some, rng_key=jax.random.key(0), samples=3)
    np.testing.assert_allclose(smooth, np.abs(own).sum(-1), rtol=1e-5)
    change = maps.integrated_gradients(*some, baseline=np.zeros(3, np.float32), steps=3)
    np.testing.assert_allclose(change, (own * image).sum(-1), rtol=1e-4, atol=1e-6)
    cam = maps.grad_cam(*some, "features")
    np.testing.assert_allclose(cam, np.maximum(image @ own.mean((0, 1)), 0), rtol=1e-5, atol=1e-6)


def test_maps_in_torch_of_a_linear_network(load):
    pytest.importorskip("captum")
    pytest.importorskip("sklearn")
    maps = load("torch_maps")
    import torch

    weights = np.zeros((8, 8, 3), np.float32)
    weights[:4, 4:] = 1  # the second of four squares

    def f(images):
        return (images * torch.from_numpy(weights)).sum((1, 2, 3))[:, None]

    image, colour = np.ones((8, 8, 3), np.float32), np.full(3, 0.5, np.float32)
    loss = 24.0 * (weights[..., 0] > 0)
    some = (f, image, 0, colour)
    np.testing.assert_allclose(maps.occlusion(*some, window=4, stride=4), loss, atol=1e-5)
    np.testing.assert_allclose(maps.feature_ablation(*some, cells=2), loss, atol=1e-5)
    shap = maps.kernel_shap(*some, cells=2, samples=40, seed=0)
    np.testing.assert_allclose(shap, loss, atol=1e-2)
    seen = maps.rise(*some, cells=2, samples=400, seed=0)
    assert np.corrcoef(seen.ravel(), loss.ravel())[0, 1] > 0.5


def test_equal_error(load, capsys):
    load("equal_error").main(toy=True)
    found = tables(capsys.readouterr().out)
    settings, runs, summary = found[0], found[-2], found[-1]
    assert settings["pixels"] == ["4, of all 16 windows on each"]
    header = runs.pop("photograph, run")
    assert {name.split(", ")[1] for name in runs} == {"brute force", "220 passes", "880 passes"}
    for cells in runs.values():
        row = dict(zip(header, cells, strict=True))
        assert 0 < float(row["promised, bits"]) < 1
        assert float(row["seconds"]) > 0
    assert set(summary) == {"photograph", "0", "1"}


def test_passes_of_equal_error_are_interpolated(load):
    module = load("equal_error")
    errors = {100: 0.4, 400: 0.2, 1600: 0.1}
    assert module._interpolated(errors, 0.2) == pytest.approx(400)
    assert module._interpolated(errors, 0.1414213) == pytest.approx(800, rel=1e-4)
    assert module._interpolated(errors, 0.05) is None
    assert module._interpolated(errors, 0.5) == 100


def test_precision(load, capsys):
    load("precision").main(toy=True, limit=1, windows=8)
    _, errors = tables(capsys.readouterr().out)
    assert errors["network"][0] == "products"


def test_accelerator(load, capsys):
    load("accelerator").main(toy=True, repeats=1)
    _, speeds, full, idle = tables(capsys.readouterr().out)
    assert len(speeds) == len(full) == len(idle) == 2
    assert full["toy"][2] == "100%"
