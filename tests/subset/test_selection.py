"""Which images are meant: the same everywhere, whatever the order they come in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsets.errors import UsageError
from dsets.readers import Choice, Picture
from dsets.subset.selection import Selection, labels, ranked

CHOICE = Choice("a", ("a",), ("b",), ("cat", "hot dog", "teddy bear", "dog"), {})


def keys(found: object) -> list[str]:
    return [one.key for one in found]  # type: ignore[attr-defined]


@given(st.sets(st.text(min_size=1), max_size=40), st.integers(0, 50), st.integers(0, 9))
def test_more_only_adds_and_the_order_stays(given: set[str], most: int, seed: int) -> None:
    pictures = [Picture(key, key) for key in sorted(given)]
    few, more = ranked(pictures, most, seed), ranked(pictures, most + 3, seed)
    assert len(few) == min(most, len(pictures))
    assert set(few) <= set(more) <= set(pictures)
    assert [one for one in pictures if one in few] == list(few)
    assert set(ranked(pictures[::-1], most, seed)) == set(few)
    assert ranked(pictures, None, seed) == pictures


def test_the_choice_is_fixed_for_ever() -> None:
    pictures = [Picture(f"{i:03}", f"{i}") for i in range(100)]
    # The five smallest sha256 of "0:000" … "0:099", by an independent program.
    assert keys(ranked(pictures, 5, 0)) == CHOSEN
    assert keys(ranked(pictures, 5, 1)) != CHOSEN


CHOSEN = ["024", "031", "049", "057", "078"]


def test_classes_by_any_spelling() -> None:
    assert labels(
        Selection(
            (
                "Dog",
                " CAT ",
                "cat",
            )
        ),
        CHOICE,
        "x",
    ) == (0, 3)
    assert labels(Selection(("Hot_Dog",)), CHOICE, "x") == (1,)
    assert labels(Selection(), CHOICE, "x") == ()


@pytest.mark.parametrize(
    ("name", "near"), [("catt", "cat"), ("bear", "teddy bear"), ("hotdog", "hot dog")]
)
def test_an_unknown_class_names_those_that_are_near(name: str, near: str) -> None:
    with pytest.raises(UsageError, match=f"no such class.*got '{name}'; did you mean .*{near}"):
        labels(Selection((name,)), CHOICE, "x")


def test_a_class_that_is_like_none_lists_them() -> None:
    with pytest.raises(UsageError, match="one of the 4 classes: cat, hot dog, teddy bear, dog"):
        labels(Selection(("zzzz",)), CHOICE, "x")
    with pytest.raises(UsageError, match="cannot be chosen by class"):
        labels(Selection(("cat",)), Choice("a", ("a",), ("b",), (), {}), "x")


def test_a_class_may_lie_below_several_and_below_itself() -> None:
    below = CHOICE._replace(subclasses={0: (1, 2), 1: (3,), 2: (3, 0)})
    assert labels(Selection((CHOICE.classes[0],), subclasses=True), below, "x") == (0, 1, 2, 3)
    assert labels(Selection((CHOICE.classes[1],), subclasses=True), below, "x") == (1, 3)
    assert labels(Selection((CHOICE.classes[0],)), below, "x") == (0,)
