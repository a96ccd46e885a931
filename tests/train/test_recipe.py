"""Recipes: what may be written in one, and the learning rate it gives to each step."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsets.errors import UsageError
from dsets.train.recipe import Recipe

PLAIN = Recipe(epochs=2, batch_size=8, rate=0.1)


def test_one_cycle_climbs_to_the_rate_at_the_end_of_the_warm_up_and_falls_towards_nothing() -> None:
    rates = [PLAIN.rate_at(step, 1000) for step in range(1000)]
    assert rates[:200] == sorted(rates[:200])
    assert rates[200:] == sorted(rates[200:], reverse=True)
    assert max(rates) == pytest.approx(0.1, rel=0.01)
    assert rates[0] < 0.001 and rates[-1] < 0.001


def test_a_constant_schedule_gives_the_rate_itself() -> None:
    constant = replace(PLAIN, schedule="constant")
    assert {constant.rate_at(step, 7) for step in range(7)} == {0.1}


@given(steps=st.integers(1, 5000), warm_up=st.floats(0, 0.99), data=st.data())
def test_no_step_of_any_run_gets_a_rate_below_nothing_or_above_the_highest(
    steps: int, warm_up: float, data: Any
) -> None:
    step = data.draw(st.integers(0, steps - 1))
    assert 0 <= replace(PLAIN, warm_up=warm_up).rate_at(step, steps) <= 0.1


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 0},
        {"batch_size": -1},
        {"rate": math.nan},
        {"rate": -0.1},
        {"momentum": 1.5},
        {"weight_decay": math.inf},
        {"warm_up": 1.0},
        {"crop_padding": -1},
        {"log_steps": 0},
        {"schedule": "cosine?"},
    ],
)
def test_a_value_that_cannot_be_meant_is_refused_by_name(change: dict[str, Any]) -> None:
    (name,) = change
    with pytest.raises(UsageError, match=name):
        replace(PLAIN, **change)
