"""Files of patch statistics that are not to be trusted."""

from __future__ import annotations

import functools
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from pdjax import PatchStatistics

GOOD = {"mean": np.zeros(2), "covariance": np.ones((3, 3, 2, 2)), "num_images": np.array(3)}
HOSTILE = {
    "pickled": GOOD | {"mean": np.array([print, None], object)},
    "words": GOOD | {"mean": np.array(["a", "b"])},
    "missing": {"mean": GOOD["mean"]},
    "surplus": GOOD | {"more": np.zeros(1)},
    "nothing": {},
    "NaN": GOOD | {"mean": np.array([0.5, np.nan])},
    "infinite": GOOD | {"covariance": np.full((3, 3, 2, 2), np.inf)},
    "asymmetric": GOOD | {"covariance": np.arange(36.0).reshape(3, 3, 2, 2)},
    "even": GOOD | {"covariance": np.ones((2, 2, 2, 2))},
    "channels": GOOD | {"covariance": np.ones((3, 3, 1, 1))},
    "no channels": GOOD | {"mean": np.zeros(0), "covariance": np.ones((3, 3, 0, 0))},
    "scalar": GOOD | {"mean": np.array(0.5)},
    "complex": GOOD | {"covariance": np.ones((3, 3, 2, 2), complex)},
    "count": GOOD | {"num_images": np.array([1, 2])},
    "NaN count": GOOD | {"num_images": np.array(np.nan)},
    "matrix": GOOD | {"mean": np.zeros((2, 2, 1)), "covariance": np.ones((3, 3))},
}


def stored(arrays: dict[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=True, **arrays)
    return buffer.getvalue()


def bomb() -> bytes:
    """An archive of a few hundred kilobytes whose one array takes 3 GB."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f8", "fortran_order": False, "shape": (400_000_000,)}
    )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mean.npy", header.getvalue() + bytes(10_000))
        for member in archive.infolist():
            member.file_size = 3_200_000_128  # what the directory at the end will declare
    return buffer.getvalue()


def liar() -> bytes:
    """An array whose own header declares 8 TB, in an archive that declares a kilobyte."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f8", "fortran_order": False, "shape": (10**12,)}
    )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("mean.npy", header.getvalue() + bytes(1000))
    return buffer.getvalue()


FILES = {name: functools.partial(stored, arrays) for name, arrays in HOSTILE.items()} | {
    "truncated": lambda: stored(GOOD)[:-200],
    "half": lambda: stored(GOOD)[: len(stored(GOOD)) // 2],
    "empty": lambda: b"",
    "text": lambda: b"mean = 0.5",
    "npy": lambda: stored(GOOD)[30:],
    "flipped": lambda: stored(GOOD).replace(b"\x00" * 16, b"\xff" * 16, 1),
    "bomb": bomb,
    "liar": liar,
}


@pytest.mark.parametrize("name", FILES)
def test_files_that_hold_something_else_are_refused_in_a_sentence(tmp_path, name) -> None:
    path = tmp_path / "bad.npz"
    path.write_bytes(FILES[name]())
    with pytest.raises(ValueError, match=r"^statistics: '.*bad.npz' (is|does not)") as caught:
        PatchStatistics.load(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_the_good_file_of_that_table_is_read(tmp_path: Path) -> None:
    path = tmp_path / "good.npz"
    path.write_bytes(stored(GOOD))
    assert PatchStatistics.load(path).max_patch == (2, 2)
    with pytest.raises(FileNotFoundError, match="statistics: there is no file"):
        PatchStatistics.load(tmp_path / "missing.npz")
