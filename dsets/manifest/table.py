"""One table of a stranger's TOML, read strictly: every error names file, key, expected, got."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dsets.errors import ManifestError
from dsets.near import meant

_KINDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "a table",
}
_LONGEST_TEXT = 10_000


def shown(value: object) -> str:
    """A value for an error message: short, and harmless on a terminal."""
    if isinstance(value, (dict, list)):
        return f"{_KINDS[type(value)]} of {len(value)}"
    text = ascii(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


class Table:
    """A table at the key ``path`` of the manifest ``origin``."""

    def __init__(self, values: Mapping[str, Any], origin: str, path: str = "") -> None:
        self.values = values
        self.origin = origin
        self.path = path

    def at(self, key: str) -> str:
        """The path of a key of this table, ``file[2].sha256``; of the table itself for no key."""
        safe = key if key.isprintable() and len(key) <= 80 else shown(key)
        return ".".join(part for part in (self.path, safe) if part)

    def error(self, key: str, what: str, expected: str, got: object) -> ManifestError:
        """The error to raise about a key's value."""
        where = f"{self.origin}: {self.at(key)}"
        return ManifestError(what, where=where, expected=expected, got=shown(got))

    def only(self, *keys: str) -> None:
        """Refuse every other key, with a guess at the one that was meant."""
        for key in self.values:
            if key not in keys:
                raise ManifestError(
                    "unknown key",
                    where=f"{self.origin}: {self.at(key)}",
                    expected=f"one of {', '.join(keys)}",
                    remedy=meant(key, keys),
                )

    def _take(self, key: str, kind: type, *, needed: bool) -> Any:
        """The value of a key if it is of that type; True is no number here."""
        value = self.values.get(key)
        if value is None:
            if needed:
                where = f"{self.origin}: {self.at(key)}"
                raise ManifestError("missing key", where=where, expected=_KINDS[kind])
        elif type(value) is not kind:
            raise self.error(key, "wrong type", _KINDS[kind], value)
        return value

    def text(self, key: str, *, lines: bool = False) -> str:
        """Text that is safe to print: no control characters, no newline unless ``lines``."""
        value: str = self._take(key, str, needed=True)
        return self._printable(key, value, lines=lines)

    def _printable(self, key: str, value: str, *, lines: bool = False) -> str:
        plain = value.replace("\n", "") if lines else value
        if not plain.isprintable():
            expected = "printable characters" + ("" if lines else " on one line")
            raise self.error(key, "bad text", expected, value)
        if len(value) > _LONGEST_TEXT:
            raise self.error(key, "bad text", f"at most {_LONGEST_TEXT} characters", value)
        return value

    def number(self, key: str, least: int) -> int:
        """A whole number from ``least`` to 2**63 - 1."""
        value: int = self._take(key, int, needed=True)
        if not least <= value < 2**63:
            raise self.error(key, "bad number", f"from {least} to 2**63 - 1", value)
        return value

    def decimal(self, key: str) -> float:
        """A number, whole or not, and finite."""
        value = self.values.get(key)
        if type(value) not in (int, float):
            self._take(key, float, needed=True)
        if not abs(value) < 1e300:  # type: ignore[arg-type]  # a number, as it was just found
            raise self.error(key, "bad number", "a finite number, below 1e300", value)
        return float(value)  # type: ignore[arg-type]

    def size(self, key: str) -> int | None:
        """A number of bytes; None when absent."""
        return self.number(key, 0) if key in self.values else None

    def flag(self, key: str) -> bool:
        """True or false; false when absent."""
        return self._take(key, bool, needed=False) is True

    def texts(self, key: str, *, needed: bool = False) -> tuple[str, ...]:
        """A list of different texts, none of them empty; the list itself only if not ``needed``."""
        values: list[Any] = self._take(key, list, needed=needed) or []
        if needed and not values:
            raise self.error(key, "empty list", "at least one", values)
        seen: dict[str, None] = {}
        for i, value in enumerate(values):
            if type(value) is not str:
                raise self.error(f"{key}[{i}]", "wrong type", "text", value)
            if not value or value in seen:
                raise self.error(f"{key}[{i}]", "bad text", "something, once", value)
            seen[self._printable(f"{key}[{i}]", value)] = None
        return tuple(seen)

    def numbers(self, key: str) -> tuple[int, ...]:
        """A list of whole numbers."""
        values: list[Any] = self._take(key, list, needed=True)
        for i, value in enumerate(values):
            if type(value) is not int:
                raise self.error(f"{key}[{i}]", "wrong type", "a whole number", value)
        return tuple(values)

    def table(self, key: str) -> Table:
        """The table below a key; an empty one when absent."""
        return Table(self._take(key, dict, needed=False) or {}, self.origin, self.at(key))

    def tables(self, key: str) -> list[Table]:
        """The tables ``[[key]]``; none when absent."""
        values: list[Any] = self._take(key, list, needed=False) or []
        for i, value in enumerate(values):
            if type(value) is not dict:
                raise self.error(f"{key}[{i}]", "wrong type", "a table", value)
        return [Table(v, self.origin, self.at(f"{key}[{i}]")) for i, v in enumerate(values)]

    def named(self, key: str) -> dict[str, Table]:
        """The tables ``[key.NAME]`` by name, in the order written; none when absent."""
        inner = self.table(key)
        for name in inner.values:
            inner._take(name, dict, needed=True)
        return {name: inner.table(name) for name in inner.values}

    def plain(self) -> dict[str, Any]:
        """The whole table, when it holds nothing but text, numbers, lists and tables of these."""
        for key, value in self.values.items():
            self._check_plain(key, value)
        return dict(self.values)

    def _check_plain(self, key: str, value: object) -> None:
        if isinstance(value, dict):
            Table(value, self.origin, self.at(key)).plain()
        elif isinstance(value, list):
            for i, inner in enumerate(value):
                self._check_plain(f"{key}[{i}]", inner)
        elif isinstance(value, str):
            self._printable(key, value)
        elif not isinstance(value, (int, float)):
            raise self.error(key, "wrong type", "text, a number, a list or a table", value)
