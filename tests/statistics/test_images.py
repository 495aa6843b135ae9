"""Images to fit statistics to, of which some cannot be used: all are named at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pdjax import ImageFolder, PatchStatistics
from pdjax._checks import ArgumentError
from pdjax.statistics.images import ImageSource

GOOD = np.random.default_rng(0).integers(0, 256, (20, 24, 3), np.uint8)


def folder_of(path: Path, count: int, bad: dict[int, bytes]) -> ImageFolder:
    for number in range(count):
        file = path / f"{number:02}.png"
        Image.fromarray(GOOD).save(file)
        if number in bad:
            file.write_bytes(bad[number])
    (path / "good").mkdir()
    for number in set(range(count)) - set(bad):
        Image.fromarray(GOOD).save(path / "good" / f"{number:02}.png")
    folder = ImageFolder(path)
    folder.paths = [file for file in folder.paths if file.parent == path]
    return folder


def fit(images) -> PatchStatistics:
    return PatchStatistics.fit(images, max_patch=4)


def fit_patches(images) -> PatchStatistics:
    return PatchStatistics.fit_patches(images, 2, num_patches=900)


fits = pytest.mark.parametrize("fit", [fit, fit_patches])


def problem_of(fit, images) -> ArgumentError:
    with pytest.raises(ArgumentError) as caught:
        fit(images)
    assert "\n" not in str(caught.value)
    return caught.value


@fits
@pytest.mark.parametrize("first", [0, 1])
def test_all_unreadable_images_are_left_out_and_named_once(tmp_path, fit, first) -> None:
    images = folder_of(tmp_path, 6, {first: b"words", 3: b"", 4: b"\x89PNG"})
    with pytest.warns(UserWarning, match="3 of 6 are left out") as caught:
        fitted = fit(images)
    assert len(caught) == 1
    said = str(caught[0].message)
    assert [number for number in range(6) if f"{number:02}.png" in said] == [first, 3, 4]
    assert "\n" not in said
    # What to do about each of them would be said three times.
    assert "give a whole" not in said
    good = fit(ImageFolder(tmp_path / "good"))
    assert fitted.num_images == good.num_images == 3
    if fitted.stationary:
        np.testing.assert_allclose(fitted.mean, good.mean, atol=1e-12)


@fits
def test_of_many_the_first_few_are_named_and_the_others_counted(tmp_path, fit) -> None:
    images = folder_of(tmp_path, 9, dict.fromkeys(range(8), b"words"))
    with pytest.warns(UserWarning, match="8 of 9") as caught:
        assert fit(images).num_images == 1
    said = str(caught[0].message)
    assert said.endswith("and 3 more")
    assert said.count(".png") == 5


@fits
def test_a_folder_without_a_readable_image_is_one_sentence(tmp_path, fit) -> None:
    error = problem_of(fit, folder_of(tmp_path, 2, {0: b"words", 1: b"words"}))
    assert "2 of 2" in error.problem
    assert error.problem.count(".png") == 2


@fits
def test_arrays_of_other_kinds_are_named_by_number(fit) -> None:
    images = [
        np.zeros((8, 8, 3)),
        np.zeros((8, 8, 1)),
        np.full((8, 8, 3), 2.0),
        np.zeros((1, 9, 3)),
    ]
    error = problem_of(fit, images)
    assert [number for number in range(4) if f"images[{number}]" in error.problem] == [1, 2, 3]


@pytest.mark.parametrize(
    "bad",
    [
        np.full((8, 8, 1), 2.0),
        np.full((8, 8, 1), np.nan),
        np.ones((8, 1, 1)),
        np.ones((8, 8, 3)),
        np.ones((8, 8)),
    ],
    ids=["values", "NaN", "small", "channels", "axes"],
)
def test_one_bad_array_is_named_by_its_number(bad) -> None:
    assert problem_of(fit, [np.ones((8, 8, 1)), bad]).argument == "images[1]"


def test_arrays_without_a_channel_axis_are_named() -> None:
    assert problem_of(fit, [np.ones(8)]).argument == "images[0]"


class Broken:
    """Images on a disk that fails."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> np.ndarray:
        raise OSError(f"[Errno 5] Input/output error: number {index}; unplugged")


@fits
def test_errors_of_other_kinds_are_kept_as_they_are(fit) -> None:
    error = problem_of(fit, Broken())
    assert "3 of 3" in error.problem
    assert "[Errno 5] Input/output error: number 2; unplugged" in error.problem


@pytest.mark.parametrize(
    ("argument", "images", "bounds"),
    [("images", [], (0.0, 1.0)), ("bounds", [np.ones((4, 4, 1))], (1.0, 0.0))],
)
def test_bad_inputs_are_named(argument, images, bounds) -> None:
    with pytest.raises(ArgumentError) as caught:
        ImageSource(images, bounds)
    assert caught.value.argument == argument


def test_patches_are_equally_many_of_each_image() -> None:
    images = [np.full((6, 7, 1), value) for value in (0.0, 0.5, 1.0)]
    source = ImageSource(images)
    with source.bar() as bar:
        patches = list(source.random_patches((2, 3), 7, 0, bar))
    assert [part.shape for part in patches] == [(3, 6, 1)] * 3
    assert [part.mean() for part in patches] == [0.0, 0.5, 1.0]
