"""What a server's answer is worth, judged by its headers and first bytes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from dsets.fetch.part import Origin
from dsets.fetch.sources import printable, shown
from dsets.manifest import File

PAGES = (".html", ".htm", ".xhtml")
PAGE = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype\s+html|html|head|body)\b", re.I)
TITLE = re.compile(rb"<title[^>]*>\s*(.{1,200}?)\s*</title", re.I | re.S)
STRONG_AFTER = timedelta(seconds=60)


class Refused(Exception):
    """This address does not give the file; another may. ``later``: so may this one, another day."""

    def __init__(self, reason: str, *, later: bool = False) -> None:
        super().__init__(reason)
        self.later = later


class Cut(Exception):
    """It went wrong this time. ``retry_after``: seconds that the server asks for, if it does.

    ``slow``: only patience ended it. ``here``: the same address is to be asked again at once.
    """

    def __init__(
        self,
        reason: str,
        retry_after: float | None = None,
        *,
        slow: bool = False,
        here: bool = False,
    ) -> None:
        super().__init__(reason)
        self.retry_after = 0.0 if here else retry_after
        self.slow = slow
        self.here = here


class Misplaced(Cut):
    """No range came as it was asked for; the whole file may."""


def length(headers: Mapping[str, str]) -> int | None:
    """Content-Length, if there is one that is a number and counts.

    A transfer coding overrides it (RFC 9112, section 6.3).
    """
    if "Transfer-Encoding" in headers:
        return None
    value = headers.get("Content-Length", "").strip()
    return int(value) if value.isascii() and value.isdigit() and len(value) < 20 else None


def tells_end(headers: Mapping[str, str]) -> bool:
    """Whether a body that was cut can be told from a whole one."""
    chunked = "chunked" in headers.get("Transfer-Encoding", "").lower()
    return chunked or length(headers) is not None


def check_length(file: File, total: int) -> None:
    if file.bytes is not None and total != file.bytes:
        raise Refused(f"has {total} bytes, {file.stated_by} says {file.bytes}")


def check_range(file: File, start: int, headers: Mapping[str, str]) -> int | None:
    """The whole file's size according to a 206 answer, or None where it does not say.

    Raises:
        Misplaced: it is another range, or one of another file.
    """
    value = headers.get("Content-Range", "")
    match = re.fullmatch(r"\s*bytes\s+(\d{1,19})-(\d{1,19})/(\d{1,19}|\*)\s*", value)
    if not match or int(match[1]) != start:
        raise Misplaced(f"sent another range ({printable(value) or 'unnamed'}) than {start}-")
    if match[3] == "*":
        return None
    try:
        if int(match[2]) >= int(match[3]):
            raise Refused(f"sent a range that cannot be ({printable(value)})")
        check_length(file, int(match[3]))
    except Refused as error:  # some name what is left, or no true number
        raise Misplaced(str(error)) from None
    return int(match[3])


def check_unasked(file: File, headers: Mapping[str, str]) -> int:
    """The file's size according to a 206 answer to a request for all of it, which it must be."""
    value = headers.get("Content-Range", "")
    match = re.fullmatch(r"\s*bytes\s+0-(\d{1,19})/(\d{1,19})\s*", value)
    if not match or int(match[1]) + 1 != int(match[2]):
        raise Refused(f"sent a range ({printable(value) or 'unnamed'}) instead of the whole file")
    check_length(file, int(match[2]))
    return int(match[2])


def check_span(start: int, end: int, total: int, headers: Mapping[str, str]) -> None:
    """Refuse a 206 answer that is not exactly bytes ``start`` to ``end`` of a file of ``total``."""
    value = headers.get("Content-Range", "")
    named = re.fullmatch(r"\s*bytes\s+(\d{1,19})-(\d{1,19})/(\d{1,19})\s*", value)
    wanted = (start, end - 1, total)
    if not named or tuple(map(int, named.groups())) != wanted:
        raise Refused(
            f"sent another range ({printable(value) or 'unnamed'}) than {start}-{end - 1}/{total}"
        )
    if length(headers) not in (None, end - start):
        raise Refused(f"sent {length(headers)} bytes for a range of {end - start}")


def ends_at(size: int, headers: Mapping[str, str]) -> bool:
    """Whether a 416 answer says that the file has exactly the bytes that are here."""
    return headers.get("Content-Range", "").replace(" ", "") == f"bytes*/{size}"


def check_type(file: File, headers: Mapping[str, str], total: int | None) -> None:
    """Refuse a page by its type, unless it has the very size of the file: then bytes decide."""
    kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    exact = total is not None and total == file.bytes
    if kind in ("text/html", "application/xhtml+xml") and not exact and not _is_page(file):
        raise Refused("sent an HTML page instead of the file")


def check_head(file: File, head: bytes) -> None:
    """Refuse a page by its first bytes."""
    if PAGE.match(head) and not _is_page(file):
        title = TITLE.search(head)
        named = f" ({printable(title[1].decode('utf-8', 'replace'))!r})" if title else ""
        raise Refused(f"sent an HTML page{named} instead of the file")


def encoded(file: File, headers: Mapping[str, str]) -> bool:
    """Whether the body must be decompressed to be the file.

    We ask for none, but some servers compress all the same, and others call a ``.gz`` file, sent as
    it is, gzip-encoded.
    """
    encoding = headers.get("Content-Encoding", "identity").strip().lower()
    if encoding in ("", "identity"):
        return False
    if file.bytes is not None and length(headers) == file.bytes:
        return False
    if file.name.lower().endswith((".gz", ".tgz")):
        return False
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise Refused(f"sent the file encoded as {printable(encoding)}")
    return True


def validator(headers: Mapping[str, str]) -> str | None:
    """What If-Range may carry: a strong ETag, or a date that was old enough to be strong.

    RFC 9110, sections 8.8.2.2 and 13.1.5; a file changed within the minute may change again.
    """
    etag = headers.get("ETag", "").strip()
    if re.fullmatch(r'"[\x21\x23-\x7e]*"', etag):
        return etag
    modified, now = (_date(headers.get(name, "")) for name in ("Last-Modified", "Date"))
    if modified and now and now - modified >= STRONG_AFTER:
        return headers["Last-Modified"].strip()
    return None


def changed(
    origin: Origin | None, address: str, headers: Mapping[str, str], total: int | None
) -> bool:
    """Whether a server that answers a range speaks of another file than the part is of.

    It names another size of the whole, or another ETag or date than the part was begun under.
    """
    if origin is None or origin.address != shown(address):
        return False
    if None not in (total, origin.bytes) and total != origin.bytes:
        return True
    name = "ETag" if origin.validator.startswith('"') else "Last-Modified"
    return name in headers and headers[name].strip() != origin.validator


def retry_after(value: str | None) -> float | None:
    """Retry-After in seconds from now, given as seconds or as a date."""
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    date = _date(text)
    return max((date - datetime.now(UTC)).total_seconds(), 0.0) if date else None


def refusal(status: int, reason: str) -> str:
    hint = {401: "; it wants a login", 403: "; it may want a login"}.get(status, "")
    return f"answered {status} {printable(reason)}".rstrip() + hint


def _is_page(file: File) -> bool:
    return file.name.lower().endswith(PAGES)


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
