"""A listing: the files of a folder that ``adopt`` accepted, with their sizes and digests.

One line a file, sorted by path, in UTF-8:

    <sha256 in hex>  <bytes>  <path below the folder, with />

The folder of ``train.listing`` is ``train`` beside it, as a rule a link to where the user's files
are. The listing takes the place of walking and stat'ing a million files, and pins every byte.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from dsets.errors import DataError

SUFFIX = ".listing"
_LINE = re.compile(r"([0-9a-f]{64})  (0|[1-9][0-9]{0,18})  ([^\x00-\x1f\x7f]+)")
_REMEDY = "adopt the folder again"


class Entry(NamedTuple):
    """One file. ``path`` is below the listing's folder."""

    sha256: str
    bytes: int
    path: str


def folder(path: Path) -> Path:
    """The folder that the listing at ``path`` lists."""
    return path.with_name(path.name.removesuffix(SUFFIX))


def read(path: Path) -> list[Entry]:
    """What the listing at ``path`` lists, in its order.

    Raises:
        DataError: it cannot be read or is no listing.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", where=path) from error
    try:
        lines = data.decode().split("\n")
    except UnicodeDecodeError as error:
        raise DataError("not text in UTF-8", where=path, remedy=_REMEDY) from error
    if lines.pop():
        raise DataError("cut short: the last line has no end", where=path, remedy=_REMEDY)
    entries = []
    before = ""
    for number, line in enumerate(lines, 1):
        found = _LINE.fullmatch(line)
        if not found or not inside(found[3]) or found[3] <= before:
            raise DataError(
                "no line of a listing",
                where=f"{path}, line {number}",
                expected="'sha256  bytes  path', sorted by path, no path twice or leading outside",
                got=ascii(line[:120]),
                remedy=_REMEDY,
            )
        before = found[3]
        entries.append(Entry(found[1], int(found[2]), before))
    return entries


def render(entries: Iterable[Entry]) -> bytes:
    """The bytes of a listing, the same for the same files in any order."""
    lines = sorted(entries, key=lambda entry: entry.path)
    return "".join(f"{one.sha256}  {one.bytes}  {one.path}\n" for one in lines).encode()


def inside(path: str) -> bool:
    """True for a path that a listing may have: relative, within the folder, printable enough."""
    parts = path.split("/")
    return all(part not in ("", ".", "..") for part in parts) and "\\" not in path
