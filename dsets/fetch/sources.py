"""Where a file may come from, in the order in which the addresses are tried."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from dsets.errors import UsageError
from dsets.manifest import File

SCHEMES = ("http", "https", "file")
MIRROR = "DSETS_MIRROR"


def bases(mirrors: Sequence[str]) -> tuple[str, ...]:
    """The mirrors given, then ``$DSETS_MIRROR``, as URLs without a closing slash.

    Raises:
        UsageError: a mirror is neither a path nor an http, https or file URL.
    """
    given = (*map(_base, filter(None, mirrors)), *_from_environment())
    return tuple(dict.fromkeys(given))


def check(bases: Sequence[str]) -> None:
    """Refuse a mirror that is a folder, and is not there.

    Raises:
        UsageError: it is one of the given ones, or ``$DSETS_MIRROR``.
    """
    for base in bases:
        if (folder := local(base)) is not None and not folder.is_dir():
            raise UsageError(
                "no such folder to fetch from",
                where=MIRROR if base in _from_environment() else "mirror",
                expected="a folder that is there, or a URL of http, https or file",
                got=printable(str(folder), 300),
            )


def addresses(file: File, bases: Sequence[str], *, official: bool) -> tuple[str, ...]:
    """The file below each base, then, if they may be used, the manifest's own addresses."""
    paths = (*file.below, file.name)
    below = [f"{base}/{quote(path)}" for base in bases for path in paths]
    return tuple(dict.fromkeys([*below, *(file.addresses if official else ())]))


def local(address: str) -> Path | None:
    """The path that a ``file://`` address means; None for any other address."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return None
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def shown(address: str) -> str:
    """The address as it may be printed and stored: without user, password or query."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return printable(address, 300)
    place = parts.netloc.rpartition("@")[2]
    return printable(urlunsplit((parts.scheme, place, parts.path, "", "")), 300)


def printable(text: str, limit: int = 80) -> str:
    """A stranger's text as one short line that cannot steer a terminal."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * limit]).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _from_environment() -> tuple[str, ...]:
    given = os.environ.get(MIRROR)
    return (_base(given),) if given else ()


def _base(mirror: str) -> str:
    scheme, colon, _ = mirror.partition("://")
    if not colon:
        return Path(mirror).expanduser().absolute().as_uri()
    if scheme.lower() not in SCHEMES:
        raise UsageError(
            "cannot fetch from this mirror",
            where=shown(mirror),
            expected="a path, or a URL of http, https or file",
            got=scheme,
        )
    return mirror.rstrip("/")
