"""Each promise at the top of ``dsets.stream`` names all tests that carry its number, no others."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import dsets.stream

HERE = Path(__file__).parent


def listed(text: str) -> dict[int, set[str]]:
    """By promise, the modules that it names; none for a promise that does not end with its tests.

    Nothing may stand between the promises or behind the last one.
    """
    _, *parts = re.split(r"^(\d+)\. ", text, flags=re.M)
    found: dict[int, set[str]] = {}
    for number, promise in zip(parts[::2], parts[1::2], strict=True):
        words = " ".join(promise.split())
        named = re.search(rf" Tests: test_promise_{number} in ([a-z_, ]+)\.$", words)
        found[int(number)] = set(named[1].split(", ")) if named else set()
    return found


def written(folder: Path) -> dict[int, set[str]]:
    """By number, the modules with tests that carry it, also as in ``test_promises_1_and_3_…``."""
    found: defaultdict[int, set[str]] = defaultdict(set)
    for path in folder.glob("test_*.py"):
        names = re.findall(r"^def test_promises?_(\d+(?:_and_\d+)*)_", path.read_text(), re.M)
        for numbers in names:
            for number in numbers.split("_and_"):
                found[int(number)].add(path.stem)
    return dict(found)


def test_the_promises_name_all_their_tests_and_no_others() -> None:
    found = listed(dsets.stream.__doc__ or "")
    assert list(found) == list(range(1, 9))
    assert found == written(HERE)


def test_a_promise_without_tests_and_one_that_is_not_numbered_show() -> None:
    text = "It.\n\n1. A.\n   Tests: test_promise_1 in test_a,\n   test_b.\n2. B.\n3. C.\n"
    assert listed(text) == {1: {"test_a", "test_b"}, 2: set(), 3: set()}
    last = "1. A.\n   Tests: test_promise_1 in test_a.\n"
    assert listed(last) == {1: {"test_a"}}
    assert listed(f"{last}\nB is promised, too.\n") == {1: set()}


def test_tests_of_one_promise_and_of_several_are_found(tmp_path: Path) -> None:
    (tmp_path / "test_a.py").write_text("def test_promise_12_b() -> None:\n")
    (tmp_path / "test_b.py").write_text("def test_promises_1_and_3_c(n: int) -> None:\n")
    assert written(tmp_path) == {12: {"test_a"}, 1: {"test_b"}, 3: {"test_b"}}
