"""Statistics of folders in which some images cannot be used: all are named at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pdjax import ImageFolder, PatchStatistics

GOOD = np.random.default_rng(0).integers(0, 256, (20, 24, 3), np.uint8)


def folder_of(path: Path, count: int, bad: dict[int, bytes]) -> ImageFolder:
    for number in range(count):
        file = path / f"{number:02}.png"
        Image.fromarray(GOOD).save(file)
        if number in bad:
            file.write_bytes(bad[number])
    return ImageFolder(path)


def fit(images) -> None:
    PatchStatistics.fit(images, max_patch=4)


def fit_patches(images) -> None:
    PatchStatistics.fit_patches(images, 2, num_patches=100)


fits = pytest.mark.parametrize("fit", [fit, fit_patches])


@fits
@pytest.mark.parametrize("first", [0, 1])
def test_all_unreadable_images_are_named_in_one_sentence(tmp_path, fit, first) -> None:
    images = folder_of(tmp_path, 6, {first: b"words", 3: b"", 4: b"\x89PNG"})
    with pytest.raises(ValueError, match=r"^images: 3 of 6 cannot be used: ") as caught:
        fit(images)
    message = str(caught.value)
    assert f"{first:02}.png' is not a readable image (its format is unknown)" in message
    assert "03.png' is empty" in message
    assert "04.png' is not a readable image" in message
    assert "02.png" not in message
    assert message.endswith("; replace them or leave them out")
    assert "\n" not in message


@fits
def test_of_many_the_first_few_are_named_and_the_others_counted(tmp_path, fit) -> None:
    images = folder_of(tmp_path, 9, dict.fromkeys(range(8), b"words"))
    with pytest.raises(ValueError, match=r"8 of 9 cannot be used: .* and 3 more; ") as caught:
        fit(images)
    assert str(caught.value).count("not a readable image") == 5


@fits
def test_a_folder_without_a_readable_image_is_one_sentence(tmp_path, fit) -> None:
    with pytest.raises(ValueError, match=r"^images: 2 of 2 cannot be used: .*00.png.*01.png"):
        fit(folder_of(tmp_path, 2, {0: b"words", 1: b"words"}))


@fits
def test_the_only_problem_is_named_with_its_remedy(tmp_path, fit) -> None:
    images = folder_of(tmp_path, 3, {1: b"words"})
    with pytest.raises(ValueError, match=r"^image: .*01.png' is not a readable.*; give a whole"):
        fit(images)


@fits
def test_arrays_of_other_kinds_are_named_by_number(fit) -> None:
    images = [
        np.zeros((8, 8, 3)),
        np.zeros((8, 8, 1)),
        np.full((8, 8, 3), 2.0),
        np.zeros((1, 9, 3)),
    ]
    with pytest.raises(ValueError, match=r"^images: 3 of 4 cannot be used: number 1 .*; number 2 "):
        fit(images)


class Broken:
    """Images on a disk that fails."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> np.ndarray:
        raise OSError(f"[Errno 5] Input/output error: number {index}")


@fits
def test_errors_in_words_of_their_own_are_kept(fit) -> None:
    with pytest.raises(ValueError, match=r"3 of 3 .*: \[Errno 5\] Input/output error: number 0; "):
        fit(Broken())
