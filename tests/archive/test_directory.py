"""The directory of a zip, wherever it lies: what Python's own reader finds, in little memory."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile
from unittest import mock

import pytest

from dsets.archive import directory, zipindex
from dsets.errors import DataError


class Held:
    """A zip in memory that counts what is read of it."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.reads: list[int] = []

    def read(self, offset: int, size: int, what: str) -> bytes:
        if offset < 0 or offset + size > len(self.data):
            raise self.error(f"cut short in {what}")
        self.reads.append(size)
        return self.data[offset : offset + size]

    def error(self, what: str, *, expected: object = None, got: object = None) -> DataError:
        return DataError(what, expected=expected, got=got)


def packed(count: int, comment: bytes = b"", large: bool = False) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.comment = comment
        for i in range(count):
            with archive.open(f"f/{i:06}.x", "w", force_zip64=large) as member:
                member.write(b"%d" % i)
    return out.getvalue()


def members(data: bytes, **more: object) -> dict[str, directory.Member]:
    return directory.members(Held(data), len(data), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("comment", [b"", b"about", b"x" * 65535])
@pytest.mark.parametrize("large", [False, True])
def test_members_are_those_that_zipfile_finds(comment: bytes, large: bool) -> None:
    data = packed(40, comment, large)
    found = members(data)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        infos = archive.infolist()
    assert list(found) == [info.filename for info in infos]
    for info, one in zip(infos, found.values(), strict=True):
        facts = (info.header_offset, info.compress_size, info.file_size, info.CRC)
        assert (one.header, one.packed, one.size, one.crc) == facts
        assert bytes(zipindex.read(Held(data), info.filename, one, 99)) == b"%d" % int(
            info.filename[2:8]
        )


def test_zip64_ends_and_sizes() -> None:
    with (
        mock.patch("zipfile.ZIP_FILECOUNT_LIMIT", 3),
        mock.patch("zipfile.ZIP64_LIMIT", 100),
    ):
        data = packed(20)
    assert b"PK\6\6" in data
    assert len(members(data)) == 20
    assert len(members(b"before" + data)) == 20
    spoilt = data.replace(b"PK\6\6", b"PK\6\5")
    with pytest.raises(DataError, match="no zip64 record"):
        members(spoilt)


def test_only_what_is_wanted_is_looked_at() -> None:
    data = packed(3).replace(b"f/000001.x", b"../../../x")
    assert list(members(data, wanted={"f/000002.x", "f/000009.x"})) == ["f/000002.x"]
    with pytest.raises(DataError, match="hostile name"):
        members(data, wanted={"../../../x"})
    with pytest.raises(DataError, match="hostile name"):
        members(data)


def test_a_directory_as_large_as_cocos_takes_little_memory() -> None:
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 118_287 & 0xFFFF, 118_287 & 0xFFFF, 0, 0, 0)
    local = 30 + 20
    entries = b"".join(
        struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 0, 0, 0, 0, 1, 1, 20, 0, 0, 0, 0, 0, at)
        + b"train/%010d.jpg" % number
        for number, at in enumerate(range(0, 118_287 * (local + 1), local + 1))
    )
    body = bytes(118_287 * (local + 1))
    end = end[:12] + struct.pack("<2LH", len(entries), len(body), 0)
    held = Held(body + entries + end)
    wanted = {f"train/{number:010}.jpg" for number in range(0, 118_287, 1000)}
    tracemalloc.start()
    found = directory.members(held, len(held.data), wanted=wanted)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.keys() == wanted
    assert peak < 20_000_000
    assert len(held.reads) <= 4


ENDLESS = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, 0xFFFFFF00, 0, 0)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no end of a central directory"),
        (ENDLESS, "a directory outside of the file"),
        (packed(3)[:-22] + packed(2)[-22:], "overlaps another"),
        (packed(3).replace(b"PK\1\2", b"PK\1\3"), "a directory that is damaged"),
    ],
)
def test_an_end_that_lies(data: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        members(data)


def test_a_directory_that_is_too_long_is_not_read() -> None:
    data = packed(100)
    held = Held(data)
    with pytest.raises(DataError, match="too long; expected at most 1,000 bytes"):
        directory.members(held, len(data), largest=1000)


def test_more_entries_than_it_says_are_refused() -> None:
    data = packed(3)
    at = data.rindex(b"PK\5\6")
    spoilt = data[: at + 8] + struct.pack("<2H", 2, 2) + data[at + 12 :]
    with pytest.raises(DataError, match="expected 2 members, got 3"):
        members(spoilt)
