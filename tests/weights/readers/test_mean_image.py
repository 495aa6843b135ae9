"""The mean image that Caffe publishes."""

from __future__ import annotations

import numpy as np
import pytest

from pdjax._checks import ArgumentError
from pdjax.weights.readers.mean_image import read_mean_image


def refused(path) -> None:
    with pytest.raises(ArgumentError) as caught:
        read_mean_image(path)
    assert caught.value.argument == "mean_image"


def test_values(tmp_path):
    mean = np.random.default_rng(0).uniform(50, 200, (3, 256, 256)).astype(np.float32)
    np.save(tmp_path / "mean.npy", mean)
    np.testing.assert_array_equal(read_mean_image(tmp_path / "mean.npy"), mean, strict=True)


MEANS = {
    "shape": np.full((256, 256, 3), 100.0),
    "integers": np.full((3, 256, 256), 100),
    "objects": np.full((3, 256, 256), None),
    "range": np.full((3, 256, 256), 300.0),
    "negative": np.full((3, 256, 256), -1.0),
    "unit": np.full((3, 256, 256), 0.4),
    "nan": np.full((3, 256, 256), np.nan),
}


@pytest.mark.parametrize("mean", MEANS.values(), ids=MEANS)
def test_another_array(tmp_path, mean):
    np.save(tmp_path / "mean.npy", mean, allow_pickle=True)
    refused(tmp_path / "mean.npy")


@pytest.mark.parametrize("length", [5, 100, 1000])
def test_cut_short(tmp_path, length):
    np.save(tmp_path / "mean.npy", np.full((3, 256, 256), 100.0))
    content = (tmp_path / "mean.npy").read_bytes()
    (tmp_path / "mean.npy").write_bytes(content[:length])
    refused(tmp_path / "mean.npy")
