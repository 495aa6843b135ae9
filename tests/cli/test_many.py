"""Many photographs: one bad one harms no other, and what is done is not done again."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from helpers.refusals import refused
from PIL import Image

import pdjax
from pdjax.cli import many
from pdjax.cli.many import find_photos

BAD = {
    "empty.jpg": b"",
    "text.png": b"this is no image",
    "cut.png": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR",
}


@pytest.fixture
def photos(tmp_path) -> Path:
    """Two whole photographs in folders of classes, and bad ones."""
    folder = tmp_path / "photos"
    for number, name in enumerate(("cats/a.png", "dogs/a.png")):
        path = folder / name
        path.parent.mkdir(parents=True)
        levels = np.random.default_rng(number).integers(0, 256, (9, 8, 3), np.uint8)
        Image.fromarray(levels).save(path)
    for name, content in BAD.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def explain_many(run, toy):
    words = (
        *("--model", toy, "--weights", "random", "--sampler", "grey"),
        *("--window", 2, "--stride", 2, "--no-progress", "-o", "out"),
    )
    return lambda photos, *more: run("explain", photos, *words, *more)


def rows() -> dict[str, dict[str, str]]:
    with Path("out/table.csv").open(encoding="utf-8") as file:
        return {Path(row["file"]).name: row for row in csv.DictReader(file)}


def test_a_folder_gives_results_a_table_and_a_page(explain_many, photos):
    ended = explain_many(photos)
    assert ended.status == 1
    assert "2 explained, 3 failed" in ended.out
    for name in ("cats/a", "dogs/a"):
        assert pdjax.Explanation.load(f"out/{name}.npz").settings["photo"] == "a.png"
        assert Image.open(f"out/{name}.png").width > 300
        assert Image.open(f"out/thumbnails/{name}.jpg").size == (6, 6)
    table = rows()
    for name in BAD:
        assert table[name]["problem"]
        assert table[name]["class"] == ""
    assert table["a.png"]["problem"] == ""
    assert 0 < float(table["a.png"]["probability"]) < 1
    assert table["a.png"]["passes"] == "10"
    page = Path("out/index.html").read_text("utf-8")
    assert page.count("<tr>") == 1 + 5
    assert 'src="thumbnails/dogs/a.jpg"' in page


def test_each_photo_has_a_key_of_its_name_and_the_same_result_alone(explain_many, photos):
    sampled = ("--sampler", "conditional", "--padding", 1, "--samples", 2)
    explain_many(photos, *sampled)
    both = [pdjax.Explanation.load(f"out/{name}.npz") for name in ("cats/a", "dogs/a")]
    assert both[0].settings["rng_key"] != both[1].settings["rng_key"]
    Path("out").rename("before")
    (photos / "cats" / "a.png").unlink()
    explain_many(photos, *sampled)
    alone = pdjax.Explanation.load("out/dogs/a.npz")
    assert set(rows()) == {"a.png", *BAD}
    np.testing.assert_array_equal(alone.relevance["prob"], both[1].relevance["prob"])


def test_what_is_done_is_kept_and_the_rest_made(explain_many, photos, monkeypatch):
    explain_many(photos)
    kept = Path("out/cats/a.npz").read_bytes()
    with Path("out/journal.jsonl").open("a") as journal:
        journal.write('{"name": "cats/')  # a line that was cut off
    Path("out/dogs/a.png").unlink()
    (photos / "text.png").unlink()
    Image.new("RGB", (6, 6)).save(photos / "text.png")
    asked = []
    original = many.ManyPhotos._explained

    def explained(self, name, *rest):
        asked.append(name)
        return original(self, name, *rest)

    monkeypatch.setattr(many.ManyPhotos, "_explained", explained)
    ended = explain_many(photos)
    assert sorted(asked) == ["dogs/a", "text"]
    assert "3 explained, 2 failed" in ended.out
    assert Path("out/cats/a.npz").read_bytes() == kept
    (photos / "empty.jpg").unlink()
    (photos / "cut.png").unlink()
    assert explain_many(photos).status == 0


def test_other_settings_need_another_folder(explain_many, photos):
    explain_many(photos)
    error = explain_many(photos, "--stride", 1).error
    assert error.startswith("--output=")
    assert "stride was 2, not 1" in error
    Path("out/settings.json").write_text("{")
    assert "damaged" in explain_many(photos).error


def test_what_no_photo_could_change_is_said_once_before_any(explain_many, photos):
    assert explain_many(photos, "--stride", 3).error.startswith("--stride=3")
    assert explain_many(photos, "--preview").error.startswith("--preview")
    assert explain_many(photos, "--checkpoint", "state.npz").error.startswith("--checkpoint")
    assert not list(Path("out").glob("**/*.npz"))


def test_lists_and_patterns(photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out = Path("out")
    listed = tmp_path / "list.txt"
    listed.write_text("photos/cats/a.png\n\nphotos/dogs/a.png\n/no/b.jpg\n")
    assert list(find_photos(listed, out)) == ["a.png", "a.png-2", "b"]
    assert list(find_photos(Path("photos/*/a.png"), out)) == ["a.png", "a.png-2"]
    assert set(find_photos(photos, out)) == {"cats/a", "dogs/a", "cut", "empty", "text"}
    assert set(find_photos(photos, photos / "dogs")) == {"cats/a", "cut", "empty", "text"}
    with refused("image"):
        find_photos(Path("photos/*.gif"), out)
    with refused("image", FileNotFoundError):
        find_photos(tmp_path / "none.txt", out)
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00\xff")
    with refused("image"):
        find_photos(tmp_path / "binary.txt", out)


def test_an_interrupted_run_says_what_is_kept_and_goes_on(explain_many, photos, monkeypatch):
    original = many.ManyPhotos._explained

    def stop(self, name, *rest):
        if name == "dogs/a":
            raise KeyboardInterrupt
        return original(self, name, *rest)

    monkeypatch.setattr(many.ManyPhotos, "_explained", stop)
    assert explain_many(photos).status == 130
    assert Path("out/cats/a.npz").exists()
    assert json.loads(Path("out/journal.jsonl").read_text().splitlines()[0])["name"] == "cats/a"
    monkeypatch.undo()
