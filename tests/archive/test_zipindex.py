"""Zips by offset: what is read is what was packed, and what lies is refused."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsets.archive import zipindex
from dsets.archive.blobs import Blobs
from dsets.errors import DataError

FRESH = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def packed(contents: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return out.getvalue()


def unpacked(path: Path, limit: int = 1 << 24, **part: int) -> dict[str, bytes]:
    found = zipindex.members(path, **part)
    with Blobs(path, "fetch it again") as blobs:
        return {name: bytes(zipindex.read(blobs, name, one, limit)) for name, one in found.items()}


@FRESH
@given(
    st.dictionaries(st.from_regex(r"[a-z]{1,8}(/[a-z]{1,8})?\.x", fullmatch=True), st.binary()),
    st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]),
    st.binary(max_size=40),
)
def test_what_was_packed_is_read_from_anywhere_in_a_file(
    tmp_path: Path, contents: dict[str, bytes], method: int, before: bytes
) -> None:
    path, data = tmp_path / "a.zip", packed(contents, method)
    path.write_bytes(data)
    assert unpacked(path) == contents
    path.write_bytes(before + data + before)
    assert unpacked(path, start=len(before), size=len(data)) == contents


def test_a_large_member_and_folders(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    content = bytes(range(256)) * 20_000
    path.write_bytes(packed({"folder/": b"", "folder/a": content}))
    assert unpacked(path) == {"folder/a": content}


def test_damage_of_one_member_is_told_from_that_of_the_archive(tmp_path: Path) -> None:
    path, data = tmp_path / "a.zip", packed({"a": b"first", "b": b"second"}, zipfile.ZIP_STORED)
    path.write_bytes(data.replace(b"first", b"worst", 1))
    first, second = zipindex.members(path).values()
    with Blobs(path, "fetch it again") as blobs:
        found = zipindex.alone(blobs, "a", first, 10)
        assert isinstance(found, DataError) and found.what == "the zip member is damaged"
        assert "expected 5 bytes of CRC-32" in str(found) and str(path) in str(found)
        assert zipindex.alone(blobs, "b", second, 10) == b"second"
        long = zipindex.alone(blobs, "b", second, 5)
        assert isinstance(long, DataError) and long.what == found.what
        path.write_bytes(data[: second.end - 1])
        with pytest.raises(DataError, match="cut short in b"):
            zipindex.alone(blobs, "b", second, 10)


def changed(data: bytes, signature: bytes, offset: int, value: bytes, which: int = 0) -> bytes:
    """The zip with bytes of a header replaced."""
    at = -1
    for _ in range(which + 1):
        at = data.index(signature, at + 1)
    return data[: at + offset] + value + data[at + offset + len(value) :]


LOCAL, CENTRAL = b"PK\3\4", b"PK\1\2"
TWO = packed({"aaaa": b"a" * 3000, "bbbb": b"b" * 3000})
HOSTILE = {
    "not a zip": (b"<html>not found</html>", "not a sound zip"),
    "cut short": (TWO[:-30], "not a sound zip"),
    "escape": (TWO.replace(b"aaaa", b"../a"), "hostile name"),
    "absolute": (TWO.replace(b"aaaa", b"/aaa"), "hostile name"),
    "twice": (TWO.replace(b"bbbb", b"aaaa"), "there twice"),
    "overlap": (changed(TWO, CENTRAL, 42, struct.pack("<I", 0), 1), "overlaps another one"),
    "beyond": (changed(TWO, CENTRAL, 20, struct.pack("<I", 9999), 1), "overlaps another one"),
    "too much": (changed(TWO, CENTRAL, 24, struct.pack("<I", 1 << 31)), "cannot be"),
    "encrypted": (changed(TWO, CENTRAL, 8, b"\1\0"), "encrypted"),
    "method": (changed(TWO, CENTRAL, 10, struct.pack("<H", 14)), "method 14"),
    "link": (changed(TWO, CENTRAL, 38, struct.pack("<I", 0o120777 << 16)), "symbolic link"),
    "crc": (changed(TWO, CENTRAL, 16, b"abcd"), "is damaged"),
    "longer": (changed(TWO, CENTRAL, 24, struct.pack("<I", 2999)), "longer than it says"),
    "shorter": (changed(TWO, CENTRAL, 24, struct.pack("<I", 3001)), "is damaged"),
    "local": (changed(TWO, LOCAL, 0, b"PK\3\5"), "is not what the directory says"),
    "local name": (changed(TWO, LOCAL, 26, struct.pack("<H", 9000)), "not what the directory says"),
    "deflate": (changed(TWO, LOCAL, 34, b"\xff\xff"), "damaged"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_zip_that_lies_is_refused(tmp_path: Path, case: str) -> None:
    data, message = HOSTILE[case]
    path = tmp_path / "a.zip"
    path.write_bytes(data)
    with pytest.raises(DataError, match=message):
        unpacked(path)


def test_a_bomb_costs_neither_time_nor_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(packed({"a": bytes(50_000_000)}))
    with pytest.raises(DataError, match="too long; expected at most 1,000 bytes, got 50,000,000"):
        unpacked(path, 1000)
    path.write_bytes(changed(path.read_bytes(), CENTRAL, 24, struct.pack("<I", 500)))
    tracemalloc.start()
    with pytest.raises(DataError, match="longer than it says"):
        unpacked(path, 1000)
    assert tracemalloc.get_traced_memory()[1] < 8_000_000
    tracemalloc.stop()


def test_a_truncated_member(tmp_path: Path) -> None:
    raw = zlib.compress(b"a" * 3000)[2:-4]
    assert raw in TWO
    path = tmp_path / "a.zip"
    path.write_bytes(TWO.replace(raw, raw[:-2] + b"\0\0"))
    with pytest.raises(DataError, match=r"damaged|longer than it says"):
        unpacked(path)
