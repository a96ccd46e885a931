"""Each promise at the top of ``dsets.stream`` names tests that carry its number."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import dsets.stream

HERE = Path(__file__).parent


@pytest.mark.parametrize("number", range(1, 8))
def test_each_promise_has_the_tests_that_it_names(number: int) -> None:
    text = " ".join((dsets.stream.__doc__ or "").split())
    named = re.search(rf" Tests: test_promise_{number} in ([a-z_, ]+)\.", text)
    assert named
    for module in named[1].split(", "):
        code = (HERE / f"{module}.py").read_text()
        assert f"def test_promise_{number}_" in code


def test_there_are_seven() -> None:
    assert re.findall(r"^(\d)\. ", dsets.stream.__doc__ or "", re.M) == list("1234567")
