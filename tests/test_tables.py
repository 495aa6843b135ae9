"""Relevance as tables and as boxes: every row is where it says, masked ones are left out."""

from __future__ import annotations

import csv
import dataclasses

import numpy as np
import pytest
from helpers.explanations import small_explanation
from helpers.refusals import refused

EXPLANATION = small_explanation()


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_table_of_windows(tmp_path):
    EXPLANATION.to_csv(tmp_path / "windows.csv")
    rows = rows_of(tmp_path / "windows.csv")
    values = EXPLANATION.window_relevance["prob"]
    assert len(rows) == values.size
    row = rows[values[0].size + 4]
    place = [int(row[key]) for key in ("row start", "column start", "row stop", "column stop")]
    assert place == [2, 2, 6, 6]
    assert (row["layer"], row["unit"]) == ("prob", "b, bee")
    assert np.float32(row["relevance"]) == values[1, 1, 1]
    assert np.float32(row["standard_error"]) == EXPLANATION.window_standard_error["prob"][1, 1, 1]


def test_a_table_of_pixels_leaves_out_the_masked(tmp_path):
    relevance = EXPLANATION.relevance["prob"].copy()
    relevance[:, :3] = np.nan
    masked = dataclasses.replace(EXPLANATION, relevance={"prob": relevance})
    masked.to_csv(tmp_path / "pixels.csv", of="pixels")
    rows = rows_of(tmp_path / "pixels.csv")
    assert len(rows) == 2 * 5 * 8
    for row in rows[::7]:
        unit = EXPLANATION.names["prob"].index(row["unit"])
        place = int(row["row"]), int(row["column"])
        assert np.float32(row["relevance"]) == relevance[(unit, *place)]


def test_a_data_frame_has_the_same_rows(tmp_path):
    pytest.importorskip("pandas")
    frame = EXPLANATION.to_dataframe("prob")
    EXPLANATION.to_csv(tmp_path / "windows.csv")
    rows = rows_of(tmp_path / "windows.csv")
    assert list(frame.columns) == list(rows[0])
    np.testing.assert_allclose(frame["relevance"], [float(row["relevance"]) for row in rows])


@pytest.mark.parametrize("size", [(9,), (8, 8), (6, 8, 7)])
def test_the_strongest_windows_do_not_overlap(size):
    explanation = small_explanation(size=size)
    boxes = explanation.strongest(100, unit=1)
    values = explanation.window_relevance["prob"][1]
    assert abs(boxes[0].relevance) == np.abs(values).max()
    strengths = [abs(box.relevance) for box in boxes]
    assert strengths == sorted(strengths, reverse=True)
    taken = np.zeros(size, int)
    for box in boxes:
        taken[box.slices] += 1
        assert [stop - start for start, stop in zip(box.start, box.stop, strict=True)] == [4] * len(
            size
        )
        assert box.standard_error > 0
    assert taken.max() == 1
    first = np.unravel_index(np.abs(values).argmax(), values.shape)
    assert boxes[0].start[0] == min(2 * first[0], size[0] - 4)
    against = explanation.strongest(1, sign="negative")
    assert against[0].relevance == explanation.window_relevance["prob"][0].min()


def test_bad_input_is_refused(tmp_path):
    for argument, options in (
        ("count", {"count": 0}),
        ("unit", {"unit": 2}),
        ("layer", {"layer": "no"}),
        ("sign", {"sign": "for"}),
    ):
        with refused(argument):
            EXPLANATION.strongest(**options)
    with refused("of"):
        EXPLANATION.to_csv(tmp_path / "table.csv", of="rows")
    assert not list(tmp_path.iterdir())
