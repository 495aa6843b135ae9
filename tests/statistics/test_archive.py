"""Files of statistics: what is written is read again, and what is not to be trusted is refused."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from pdjax import PatchMixture, PatchStatistics
from pdjax._checks import ArgumentError, MissingFileError

STATISTICS = {"mean": np.zeros(2), "covariance": np.ones((3, 3, 2, 2)), "num_images": np.array(3)}
MIXTURE = {
    "weights": np.array([[0.25, 0.75]]),
    "scales": np.array([[0.1, 1.0]]),
    "half": np.array([[0.1, 0.2, 0.1], [0.2, 1.0, 0.2]]).reshape(1, 2, 3, 1, 1),
    "num_images": np.array(3),
}


def stored(arrays) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=True, **arrays)
    return buffer.getvalue()


def header(count: int) -> bytes:
    buffer = io.BytesIO()
    description = {"descr": "<f8", "fortran_order": False, "shape": (count,)}
    np.lib.format.write_array_header_1_0(buffer, description)
    return buffer.getvalue()


def bomb() -> bytes:
    """An archive of a few hundred bytes whose one array takes 3 GB."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mean.npy", header(400_000_000) + bytes(10_000))
        for member in archive.infolist():
            member.file_size = 3_200_000_128  # what the directory at the end will declare
    return buffer.getvalue()


def liar() -> bytes:
    """An array whose own header declares 8 TB, in an archive that declares a kilobyte."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("mean.npy", header(10**12) + bytes(1000))
    return buffer.getvalue()


DAMAGED = {
    "truncated": stored(STATISTICS)[:-200],
    "half": stored(STATISTICS)[: len(stored(STATISTICS)) // 2],
    "empty": b"",
    "text": b"mean = 0.5",
    "npy": stored(STATISTICS)[30:],
    "flipped": stored(STATISTICS).replace(b"\x00" * 16, b"\xff" * 16, 1),
    "bomb": bomb(),
    "liar": liar(),
}
OF_STATISTICS = {
    "pickled": {"mean": np.array([print, None], object)},
    "words": {"mean": np.array(["a", "b"])},
    "surplus": {"more": np.zeros(1)},
    "NaN": {"mean": np.array([0.5, np.nan])},
    "infinite": {"covariance": np.full((3, 3, 2, 2), np.inf)},
    "complex": {"covariance": np.ones((3, 3, 2, 2), complex)},
    "count": {"num_images": np.array([1, 2])},
    "NaN count": {"num_images": np.array(np.nan)},
    "asymmetric": {"covariance": np.arange(36.0).reshape(3, 3, 2, 2)},
    "even": {"covariance": np.ones((2, 2, 2, 2))},
    "channels": {"covariance": np.ones((3, 3, 1, 1))},
    "no channels": {"mean": np.zeros(0), "covariance": np.ones((3, 3, 0, 0))},
    "scalar": {"mean": np.array(0.5)},
    "matrix": {"mean": np.zeros((2, 2, 1)), "covariance": np.ones((3, 3))},
}
OF_MIXTURE = {
    "negative weight": {"weights": np.array([[-0.25, 1.25]])},
    "weights of two": {"weights": np.array([[1.0, 1.0]])},
    "no scale": {"scales": np.array([[0.0, 1.0]])},
    "other shape": {"scales": np.ones((2, 1))},
    "flat": {"weights": np.ones(1), "scales": np.ones(1)},
    "asymmetric": {"half": np.arange(6.0).reshape(1, 2, 3, 1, 1)},
    "even": {"half": np.ones((1, 2, 2, 1, 1))},
    "channels": {"half": np.ones((1, 2, 3, 1, 2))},
    "textures": {"half": np.ones((2, 2, 3, 1, 1))},
    "empty": {"half": np.ones((1, 2, 3, 0, 0))},
    "no offsets": {"half": np.ones((1, 0, 3, 1, 1))},
    "no texture": {"weights": np.ones((0, 2)), "scales": np.ones((0, 2))},
    "no variance": {"half": np.zeros((1, 2, 3, 1, 1))},
}
HOSTILE = [
    *(pytest.param(PatchStatistics, content, id=name) for name, content in DAMAGED.items()),
    pytest.param(PatchStatistics, stored({}), id="nothing"),
    pytest.param(PatchStatistics, stored({"mean": np.zeros(2)}), id="missing"),
    pytest.param(PatchStatistics, stored(MIXTURE), id="a mixture"),
    pytest.param(PatchMixture, stored(STATISTICS), id="statistics"),
    *(
        pytest.param(PatchStatistics, stored(STATISTICS | changes), id=f"statistics, {name}")
        for name, changes in OF_STATISTICS.items()
    ),
    *(
        pytest.param(PatchMixture, stored(MIXTURE | changes), id=f"mixture, {name}")
        for name, changes in OF_MIXTURE.items()
    ),
]
NAMES = {PatchStatistics: "statistics", PatchMixture: "mixture"}


@pytest.mark.parametrize(("kind", "content"), HOSTILE)
def test_files_that_hold_something_else_are_refused_in_a_sentence(tmp_path, kind, content) -> None:
    path = tmp_path / "bad.npz"
    path.write_bytes(content)
    with pytest.raises(ArgumentError) as caught:
        kind.load(path)
    assert caught.value.argument == NAMES[kind]
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("kind", "arrays"), [(PatchStatistics, STATISTICS), (PatchMixture, MIXTURE)]
)
def test_the_good_files_of_these_tables_are_read(tmp_path: Path, kind, arrays) -> None:
    path = tmp_path / "good.npz"
    path.write_bytes(stored(arrays))
    read = kind.load(path)
    assert (read.max_patch, read.num_images) == ((2, 2), 3)
    with pytest.raises(MissingFileError) as caught:
        kind.load(tmp_path / "missing.npz")
    assert caught.value.argument == NAMES[kind]


def test_the_other_half_of_a_mixture_is_its_mirror_image(tmp_path: Path) -> None:
    path = tmp_path / "good.npz"
    path.write_bytes(stored(MIXTURE))
    table = PatchMixture.load(path).covariance[0, :, :, 0, 0]
    np.testing.assert_array_equal(table, [[0.1, 0.2, 0.1], [0.2, 1, 0.2], [0.1, 0.2, 0.1]])
