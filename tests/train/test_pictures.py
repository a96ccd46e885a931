"""Pictures of runs: what stands where, not how it looks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dsets.errors import TrainError, UsageError
from dsets.train import chart, pictures
from dsets.train.chart import Line, Panel

#: Where the cells of a confusion matrix begin, and how long their sides are.
TOP, LEFT, SIDE = 22 + pictures._NAME, pictures._NAME, pictures._CELL


@given(low=st.floats(-1e6, 1e6), width=st.floats(1e-3, 1e6))
def test_ticks_lie_within_at_equal_steps_and_are_few(low: float, width: float) -> None:
    found = chart.ticks(low, low + width)
    slack = 1e-6 * max(1.0, width)
    assert 2 <= len(found) <= 10
    assert low - slack <= found[0] and found[-1] <= low + width + slack
    steps = np.diff(found)
    assert steps.max() - steps.min() <= 1e-6 * max(abs(low) + width, 1)


def test_a_line_is_drawn_from_corner_to_corner() -> None:
    picture = chart.draw([Panel("t", "x", [Line("", [0, 1], [0, 1])])])
    assert picture.shape == (chart.HEIGHT, chart.WIDTH, 3)
    blue = (picture == (0, 114, 178)).all(axis=2)
    blue[:24] = False  # the legend's stroke
    rows, columns = blue.nonzero()
    assert rows[columns.argmin()] > 150 > 80 > rows[columns.argmax()]
    assert columns.max() - columns.min() > 500


def test_numbers_that_are_none_and_lines_of_nothing_are_left_out() -> None:
    lines = [
        Line("a", [0, 1, 2], [float("nan"), float("inf"), 1]),
        Line("b", [], []),
        Line("c", [1, 2], [0, -1]),
    ]
    for logarithmic in (False, True):
        assert chart.draw([Panel("t", "x", lines, logarithmic)] * 2).shape[0] == 2 * chart.HEIGHT
    with pytest.raises(UsageError, match="nothing to draw"):
        chart.draw([])


def test_each_filter_has_its_place_and_its_own_scale() -> None:
    kernels = np.zeros((6, 3, 11, 11), np.float32)
    kernels[4, 1, 0, 0] = 0.5  # the only weight that isn't 0: green, at the top left
    sheet = pictures.filters(kernels)
    tile = 33 + pictures.GAP
    rows, columns = (side // tile for side in sheet.shape[:2])
    assert rows * columns == 6 and sheet.shape[2] == 3
    row, column = divmod(4, columns)
    y, x = (pictures.GAP + place * tile for place in (row, column))
    assert (sheet[y : y + 3, x : x + 3] == (0, 255, 0)).all()
    assert (sheet[y + 3 : y + 33, x : x + 33] == 0).all()
    assert (sheet[0] == 255).all() and (sheet[:, -1] == 255).all()


def test_filters_of_one_channel_are_grey() -> None:
    assert pictures.filters(np.zeros((20, 1, 5, 5), np.float32)).shape[2] == 1


def test_the_confusion_matrix_is_dark_where_much_is_counted() -> None:
    many = pictures.confusion(np.eye(100, dtype=np.int64) * 7, ["x"] * 100)
    assert many.shape == (100, 100, 3)
    assert (many[3, 3] == (0, 68, 136)).all() and (many[3, 4] == 255).all()
    few = pictures.confusion(np.array([[3, 1], [0, 4]]), ["a name of many letters", "\u0416"])
    corners = few[TOP + 1 :: SIDE, LEFT + 1 :: SIDE][:2, :2]
    assert (corners[1] == [(255, 255, 255), (0, 68, 136)]).all()
    assert corners[1, 1].sum() < corners[0, 0].sum() < corners[0, 1].sum() < corners[1, 0].sum()


@pytest.mark.parametrize("counts", [np.array([[3, 1], [0, 4]]), np.zeros((2, 2), np.int64)])
def test_each_row_and_column_has_its_name_and_each_cell_its_number(
    counts: NDArray[np.int64],
) -> None:
    picture = pictures.confusion(counts, ["a name of many letters", "\u0416"])
    assert picture.shape == (TOP + 2 * SIDE + pictures._EDGE, LEFT + 2 * SIDE + pictures._EDGE, 3)
    for place in (slice(at, at + SIDE) for at in (0, SIDE)):
        rows, columns = picture[TOP:], picture[:, LEFT:]
        assert rows[place, :LEFT].std() > 0  # a name; the border stays free
        assert columns[TOP - pictures._NAME : TOP, place].std() > 0
        for other in (slice(at, at + SIDE) for at in (0, SIDE)):
            assert columns[TOP:][place, other].std() > 0


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"kind": "train"}', '{"kind": "train", "step": [], "loss": 1, "top1": 1}']
)
def test_a_log_that_is_none_is_an_error_of_ours(tmp_path: Path, text: str) -> None:
    log = tmp_path / "log.jsonl"
    with pytest.raises(TrainError, match="cannot read the log"):
        pictures.curves(log)
    log.write_text(text)
    with pytest.raises(TrainError, match=r"not a run's log: line 1 .*; put the log back"):
        pictures.curves(log)


def test_curves_have_a_panel_for_each_figure(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    lines = [{"kind": "environment", "step": 0}]
    for step in (1, 2):
        lines.append({"kind": "train", "step": step, "rate": 0.1, "loss": 1.0, "top1": 0.5})  # type: ignore[dict-item]
    lines.append({"kind": "evaluation", "step": 2, "loss": 1.0, "top1": 0.5, "top5": 0.9})  # type: ignore[dict-item]
    log.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    whole = pictures.curves(log)
    assert whole.shape[0] == 4 * chart.HEIGHT
    with log.open("a") as file:
        file.write('{"kind": "tra')  # as a kill leaves it
    assert np.array_equal(pictures.curves(log), whole)


def test_a_columns_name_is_told_beyond_its_sixth_letter() -> None:
    drawn = [pictures.confusion(np.eye(2, dtype=np.int64), [f"letter{n}", "b"]) for n in "XY"]
    columns = [picture[TOP - pictures._NAME : TOP, LEFT : LEFT + SIDE] for picture in drawn]
    assert (columns[0] != columns[1]).any()
