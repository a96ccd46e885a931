"""Where members of tars, and of tars of tars, lie: found without reading or unpacking them."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsets.archive import tarindex
from dsets.archive.stream import Section, Stream
from dsets.errors import DataError

FRESH = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def archive(*members: tuple[str, bytes], kind: int = tarfile.USTAR_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=kind) as made:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            made.addfile(info, io.BytesIO(content))
    return out.getvalue()


def indexed(path: Path, *, nested: bool = True) -> list[tuple[str, str, bytes]]:
    """(archive, name, bytes at the offset) of every member, read by its offset alone."""
    found = []
    with path.open("rb") as file:
        for members in tarindex.walk(path, nested=nested):
            rows = zip(members.names, members.offsets, members.bytes, strict=True)
            for name, offset, size in rows:
                found.append((members.archive, name, os.pread(file.fileno(), size, offset)))
    return found


contents = st.lists(st.binary(max_size=1500), max_size=6)


@FRESH
@given(
    inner=st.lists(contents, max_size=4),
    loose=contents,
    kind=st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
    batch=st.integers(1, 4),
)
def test_the_bytes_at_the_offsets_are_the_members(
    tmp_path: Path, inner: list[list[bytes]], loose: list[bytes], kind: int, batch: int
) -> None:
    long = "a-folder-with-a-long-name/" * 5
    members = [(f"./loose/{i}.jpg", data) for i, data in enumerate(loose)]
    expected = [("", f"loose/{i}.jpg", data) for i, data in enumerate(loose)]
    for number, group in enumerate(inner):
        named = [(f"{long}é{i}.jpg", data) for i, data in enumerate(group)]
        # ustar cannot hold so long a name; the others have extension headers for it
        if kind == tarfile.USTAR_FORMAT:
            named = [(f"x/{i}.jpg", data) for i, data in enumerate(group)]
        members.append((f"in/{number}.tar", archive(*named, kind=kind)))
        expected += [(f"in/{number}.tar", name, data) for name, data in named]
    path = tmp_path / "outer.tar"
    path.write_bytes(archive(*members, kind=kind))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tarindex, "BATCH", batch)
        assert indexed(path) == expected


def test_without_nesting_an_inner_archive_is_a_member_like_any(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    inner = archive(("x", b"x"))
    path.write_bytes(archive(("b.tar", inner)))
    assert indexed(path, nested=False) == [("", "b.tar", inner)]


def test_no_more_than_headers_is_read(tmp_path: Path) -> None:
    path = tmp_path / "large.tar"
    info = tarfile.TarInfo("hole")
    info.size = 1 << 40
    with path.open("wb") as file:
        file.write(info.tobuf(tarfile.GNU_FORMAT))
        file.truncate(512 + (1 << 40) + 1024)
    (members,) = tarindex.walk(path, nested=True)  # a terabyte of zeros, in no time
    assert members.offsets.tolist() == [512] and members.bytes.tolist() == [1 << 40]


@pytest.mark.parametrize(
    ("inner", "message"),
    [
        (b"<html>not found</html>".ljust(600), "not a tar archive.*web page"),
        (b"", "empty file"),
        (archive(("a", b"x" * 600))[:700], "cut short in member a"),
        (archive(("a", b"x"))[:1024], "cut short in a tar header"),
        (archive(("../a", b"x")), "hostile member name"),
        (archive(("a", b"x")) + b"more".ljust(512), "foreign bytes after the end"),
        (gzip.compress(archive(("a", b"x"))), "not a tar archive"),
    ],
)
def test_a_damaged_or_hostile_inner_archive_is_refused_by_name(
    tmp_path: Path, inner: bytes, message: str
) -> None:
    path = tmp_path / "outer.tar"
    path.write_bytes(archive(("good.tar", archive(("x", b"1"))), ("n0.tar", inner)))
    with pytest.raises(DataError, match=message) as raised:
        indexed(path)
    assert str(raised.value.where).startswith(f"{path}: n0.tar")


def test_an_inner_archive_cannot_reach_beyond_its_end(tmp_path: Path) -> None:
    info = tarfile.TarInfo("a")
    info.size = 4096
    path = tmp_path / "outer.tar"
    path.write_bytes(archive(("n0.tar", info.tobuf()), ("secret", b"s" * 4096)))
    with pytest.raises(DataError, match=r"cut short in member a; expected 4,096 bytes, got 0"):
        indexed(path)


def test_a_compressed_archive_is_refused_since_it_has_no_offsets(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(gzip.compress(archive(("a", b"x"))))
    with pytest.raises(DataError, match="cannot be read by offset"):
        indexed(path)


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    whole = archive(("a.tar", archive(("x", b"1" * 600))), ("b", b"2"))
    end = 512 + len(archive(("x", b"1" * 600))) + 1024 + 1024
    for size in range(0, end, 101):
        path.write_bytes(whole[:size])
        with pytest.raises(DataError):
            indexed(path)


@FRESH
@given(
    data=st.binary(min_size=1, max_size=300),
    start=st.integers(0, 310),
    size=st.integers(0, 310),
    steps=st.lists(st.tuples(st.sampled_from("rsp"), st.integers(0, 120))),
)
def test_a_section_reads_and_skips_like_the_bytes_it_is(
    tmp_path: Path, data: bytes, start: int, size: int, steps: list[tuple[str, int]]
) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    section = data[start : start + size]
    if not section:
        with pytest.raises(DataError, match="empty file"):
            Stream(path, 1000, section=Section("part", start, size))
        return
    with Stream(path, 1000, section=Section("part", start, size)) as stream:
        at = 0
        for step, count in steps:
            left = section[at:]
            if step == "p":
                assert stream.peek(count) == left[:count] or len(stream.peek(0)) <= len(left)
            elif count > len(left):
                with pytest.raises(DataError, match="part: cut short"):
                    stream.skip(count, "it") if step == "s" else stream.exactly(count, "it")
                return
            else:
                if step == "s":
                    stream.skip(count, "it")
                else:
                    assert stream.exactly(count, "it") == left[:count]
                at += count
            assert stream.offset == at
        assert bytes(stream.exactly(len(section) - at, "the rest")) == section[at:]
        stream.finish()
