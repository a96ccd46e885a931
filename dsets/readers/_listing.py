"""A listing: the files of a folder that ``adopt`` accepted, with their sizes and digests.

One line a file, sorted by path, in UTF-8:

    <sha256 in hex>  <bytes>  <path below the folder, with />

The folder of ``train.listing`` is ``train`` beside it, as a rule a link to where the user's files
are. The listing takes the place of walking and stat'ing a million files, and pins every byte.
"""

from __future__ import annotations

import builtins
import errno
import hashlib
import os
import re
import stat
from collections.abc import Iterable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple

from dsets.archive.tarindex import INNER
from dsets.errors import DataError

SUFFIX = ".listing"
_LINE = re.compile(r"([0-9a-f]{64})  (0|[1-9][0-9]{0,18})  ([^\x00-\x1f\x7f]{1,4096})\n")
_LONGEST_BYTES = 1 << 15
REMEDY = "adopt the folder again"


class Entry(NamedTuple):
    """One file: its path below the listing's folder, its size, the digest's 32 bytes."""

    path: str
    bytes: int
    sha256: builtins.bytes


def folder(path: Path) -> Path:
    """The folder that the listing at ``path`` lists."""
    return path.with_name(path.name.removesuffix(SUFFIX))


def entries(path: Path) -> Iterator[Entry]:
    """What the listing at ``path`` lists, in its order, a line at a time.

    Raises:
        DataError: it cannot be read or is no listing.
    """
    if not path.is_file():  # opening a pipe would wait for ever
        raise DataError("no such listing", where=path, remedy=REMEDY)
    before = ""
    try:
        with path.open("rb") as file:
            number = 0
            while data := file.readline(_LONGEST_BYTES):
                number += 1
                text = data.decode("utf-8", "backslashreplace")
                found = _LINE.fullmatch(text)
                if not found or not inside(found[3]) or found[3] <= before:
                    raise DataError(
                        "no line of a listing",
                        where=f"{path}, line {number}",
                        expected="'sha256  bytes  path', sorted by path, each path once and inside",
                        got=ascii(text[:120]),
                        remedy=REMEDY,
                    )
                before = found[3]
                yield Entry(before, int(found[2]), bytes.fromhex(found[1]))
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", where=path) from error


def check_archives(path: Path, places: Iterable[str]) -> None:
    """Prove the tars among the listed ``places``, whose members no line pins, where it is needed.

    Files of another size have. Those that were modified after the listing was written are hashed.

    Raises:
        DataError: one has changed, or it is not there.
    """
    names = {place for place in places if place.lower().endswith(INNER)}
    if not names:
        return
    written = path.stat().st_mtime_ns
    for entry in entries(path):
        if entry.path not in names:
            continue
        archive = folder(path) / entry.path
        try:
            with opened(archive) as file:
                there = os.fstat(file.fileno())
                same = there.st_size == entry.bytes
                if same and there.st_mtime_ns > written:
                    same = hashlib.file_digest(file, "sha256").digest() == entry.sha256
        except OSError as error:
            raise DataError(
                f"cannot be read ({error.strerror})", where=archive, remedy=REMEDY
            ) from error
        if not same:
            raise DataError("not the bytes that were adopted", where=archive, remedy=REMEDY)


def opened(path: Path) -> BufferedReader:
    """A listed file, to be read.

    Raises:
        OSError: as the system says, or because it is no plain file: a pipe would wait for ever.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a plain file")
    return open(descriptor, "rb")


def line(entry: Entry) -> bytes:
    """An entry's line. A listing is sorted by path."""
    return f"{entry.sha256.hex()}  {entry.bytes}  {entry.path}\n".encode()


def listable(path: str) -> bool:
    """True for a path that a listing can have."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False  # bytes that are no UTF-8
    return len(path) <= 4096 and inside(path) and not re.search(r"[\x00-\x1f\x7f]", path)


def inside(path: str) -> bool:
    """True for a relative path that stays within the folder, on every platform."""
    return all(part not in ("", ".", "..") for part in path.split("/")) and "\\" not in path
