"""``[[family]]`` in a manifest, read strictly; and the files of a family."""

from __future__ import annotations

import re
from collections.abc import Iterator, Set
from itertools import pairwise

from dsets.manifest.family import Family
from dsets.manifest.places import addresses_of, file_name
from dsets.manifest.schema import File
from dsets.manifest.table import Table

MOST = 100_000  # files in one manifest; each is an object of its own
_ALPHABET = re.compile(r"[A-Za-z0-9]{2,62}")


def families_of(top: Table, files: Set[str]) -> tuple[Family, ...]:
    """The families of a manifest whose other files are ``files``.

    Raises:
        ManifestError: a key is missing, unknown or wrong.
    """
    families = tuple(_family(table, files) for table in top.tables("family"))
    count = sum(family.count for family in families)
    if count > MOST:
        raise top.error("family", "too many files", f"at most {MOST:,}", count)
    return families


def files_of(family: Family) -> Iterator[File]:
    """The files of a family that there are, in order."""
    for number in family.present:
        yield File(
            name=family.file_name(number),
            addresses=family.addresses(number),
            below=family.below(number),
            family=family.name,
        )


def _family(table: Table, files: Set[str]) -> Family:
    table.only(
        *("name", "count", "published", "alphabet", "called", "folders", "listing"),
        *("about_bytes", "numbers"),
    )
    count = table.number("count", 1)
    if count > MOST:
        raise table.error("count", "bad number", f"from 1 to {MOST:,}", count)
    alphabet = table.text("alphabet")
    if not _ALPHABET.fullmatch(alphabet) or len(set(alphabet)) < len(alphabet):
        raise table.error(
            "alphabet", "bad alphabet", "2 to 62 different letters or digits", alphabet
        )
    listing = table.text("listing") if "listing" in table.values else ""
    if listing and listing not in files:
        raise table.error("listing", "no such file", "one of the names under [[file]]", listing)
    folders = addresses_of(table, "folders")
    for i, folder in enumerate(folders):
        if not folder.endswith("/"):
            raise table.error(f"folders[{i}]", "bad address", "a folder, which ends with /", folder)
    return Family(
        name=_template(table, "name", "{number}"),
        count=count,
        published=_template(table, "published", "{code}"),
        alphabet=alphabet,
        called=table.text("called") if "called" in table.values else "",
        folders=folders,
        listing=listing,
        about_bytes=table.size("about_bytes"),
        numbers=_numbers(table, count),
    )


def _template(table: Table, key: str, mark: str) -> str:
    text = file_name(table, key)
    rest = text.replace(mark, "", 1)
    if text.count(mark) != 1 or "{" in rest or "}" in rest or rest.startswith("."):
        raise table.error(key, "bad file name", f"a plain name with {mark} in it, once", text)
    return text


def _numbers(table: Table, count: int) -> tuple[int, ...] | None:
    if "numbers" not in table.values:
        return None
    numbers = table.numbers("numbers")
    rising = all(a < b for a, b in pairwise(numbers))
    if not rising or not all(0 <= number < count for number in numbers):
        raise table.error("numbers", "bad numbers", f"rising, from 0 to {count - 1}", list(numbers))
    return numbers
