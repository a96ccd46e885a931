"""Meters: means over valid rows, and nothing flattering about a broken model."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dsets.train.meters import Figures, Meter


@given(seed=st.integers(0, 2**32 - 1), cuts=st.lists(st.integers(1, 30), max_size=3))
def test_figures_are_those_of_all_valid_rows_however_they_were_batched(
    seed: int, cuts: list[int]
) -> None:
    random = np.random.default_rng(seed)
    logits, losses = random.normal(size=(31, 7)), random.exponential(size=31)
    labels, valid = random.integers(0, 7, 31), random.random(31) < 0.7
    meter = Meter(7, "cpu")
    for rows in np.split(np.arange(31), sorted(cuts)):
        meter.add(*(torch.from_numpy(part[rows]) for part in (logits, labels, losses, valid)))
    figures = meter.figures()

    places = (logits > logits[np.arange(31), labels][:, None]).sum(axis=1)  # 0: the best
    count = max(1, valid.sum())
    assert figures.images == valid.sum()
    assert figures.loss == pytest.approx(losses[valid].sum() / count)
    assert figures.top1 == pytest.approx((places[valid] == 0).sum() / count)
    assert figures.top5 == pytest.approx((places[valid] < 5).sum() / count)


@pytest.mark.parametrize("value", [math.nan, 0.0])
def test_a_model_that_says_the_same_of_every_class_is_not_called_right(value: float) -> None:
    meter = Meter(10, "cpu")
    labels = torch.arange(10)
    meter.add(torch.full((10, 10), value), labels, torch.zeros(10), torch.ones(10).bool())
    assert meter.figures().top1 <= 0.1
    assert (meter.figures().top5 or 0) <= 0.5


@pytest.mark.parametrize("classes", [2, 5])
def test_there_is_no_top_5_where_it_would_always_be_1(classes: int) -> None:
    meter = Meter(classes, "cpu")
    meter.add(
        torch.eye(classes), torch.arange(classes), torch.ones(classes), torch.ones(classes) > 0
    )
    assert meter.figures() == Figures(classes, 1.0, 1.0, None)
    assert "top5" not in meter.figures().plain()


def test_a_meter_goes_on_from_its_state_to_the_bit() -> None:
    parts = [torch.rand(9) for _ in range(4)]

    def add(meter: Meter, losses: torch.Tensor) -> None:
        meter.add(torch.rand(9, 10), torch.zeros(9, dtype=torch.int64), losses, losses >= 0)

    whole, first, second = (Meter(10, "cpu") for _ in range(3))
    for part in parts:
        add(whole, part)
    for part in parts[:2]:
        add(first, part)
    second.load(first.state())
    for part in parts[2:]:
        add(second, part)
    assert second.figures().loss == whole.figures().loss


def test_a_reset_meter_has_seen_nothing() -> None:
    meter = Meter(10, "cpu")
    meter.add(torch.rand(3, 10), torch.zeros(3).long(), torch.ones(3), torch.ones(3).bool())
    meter.reset()
    assert meter.figures() == Figures(0, 0.0, 0.0, 0.0)
