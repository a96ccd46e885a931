"""JSON from strangers: bounded, without tricks, and every value asked for by type.

An error names the file and the path of the value in it: ``index.json: shards[3].bytes: …``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from dsets.errors import PackError

BYTES = 2**25
LARGEST = 2**63 - 1
T = TypeVar("T")


def load(data: bytes, where: object) -> Table:
    """Parse one JSON object.

    Raises:
        PackError: more than 32 MiB, not UTF-8, not JSON, nested too deeply, a name given twice,
            NaN, or something other than an object.
    """
    if len(data) > BYTES:
        raise PackError("too big", where=where, expected=f"at most {BYTES} bytes", got=len(data))
    try:
        value = json.loads(
            data.decode(), object_pairs_hook=_object, parse_constant=_constant, parse_float=_float
        )
    except (ValueError, RecursionError) as error:
        raise PackError("not acceptable JSON", where=where, got=f"{error!s:.200}") from error
    if not isinstance(value, dict):
        raise PackError("not a JSON object", where=where, got=type(value).__name__)
    return Table(value, str(where))


@dataclass(frozen=True, slots=True)
class Table:
    """A JSON object and where it stands. Each method raises PackError for what isn't as asked."""

    values: Mapping[str, Any]
    where: str

    def table(self, name: str) -> Table:
        value = self._get(name, dict, "an object")
        return Table(value, self._at(name))

    def optional(self, name: str, read: Callable[[str], T]) -> T | None:
        """``read(name)``, or None where the value is null."""
        if name in self.values and self.values[name] is None:
            return None
        return read(name)

    def tables(self, name: str) -> list[Table]:
        """The items of a list of objects."""
        items = self.list(name)
        for number, item in enumerate(items):
            if not isinstance(item, dict):
                raise self.wrong(f"{name}[{number}]", "an object", item)
        return [Table(item, self._at(f"{name}[{number}]")) for number, item in enumerate(items)]

    def list(self, name: str) -> list[Any]:
        items: list[Any] = self._get(name, list, "a list")
        return items

    def integer(self, name: str, low: int = 0, high: int = LARGEST) -> int:
        value: int = self._get(name, int, f"a whole number from {low} to {high}")
        if not low <= value <= high:
            raise self.wrong(name, f"a whole number from {low} to {high}", value)
        return value

    def integers(self, name: str) -> tuple[int, ...]:
        values = self.list(name)
        sizes = all(type(value) is int and 0 <= value <= LARGEST for value in values)
        if len(values) > 16 or not sizes:
            raise self.wrong(name, "a list of at most 16 sizes", values)
        return tuple(values)

    def text(self, name: str, pattern: str = r"(?s).+") -> str:
        """Text that matches a pattern as a whole and can be written as UTF-8."""
        value: str = self._get(name, str, "text")
        if not re.fullmatch(pattern, value) or re.search("[\ud800-\udfff]", value):
            raise self.wrong(name, f"text like {pattern}", value)
        return value

    def sha256(self, name: str) -> str:
        return self.text(name, "[0-9a-f]{64}")

    def wrong(self, name: str, expected: str, got: object) -> PackError:
        return PackError("bad value", where=self._at(name), expected=expected, got=f"{got!r:.80}")

    def _get(self, name: str, kind: type, expected: str) -> Any:
        if name not in self.values:
            raise PackError("missing value", where=self._at(name), expected=expected)
        value = self.values[name]
        if type(value) is not kind:  # exactly: True is no number here
            raise self.wrong(name, expected, value)
        return value

    def _at(self, name: str) -> str:
        return f"{self.where}: {name}" if ": " not in self.where else f"{self.where}.{name}"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("the same name twice in one object")
    return found


def _constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _float(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{text} is no finite number")
    return value
