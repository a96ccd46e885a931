"""Tar archives from strangers: what Python and GNU write is read, what is hostile is refused."""

from __future__ import annotations

import gzip
import io
import tarfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsets.archive import members, tar
from dsets.archive.stream import Stream
from dsets.errors import DataError

FRESH = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def archive(*infos: tarfile.TarInfo | tuple[str, bytes], kind: str = "gnu") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=FORMATS[kind]) as made:
        for info in infos:
            if isinstance(info, tuple):
                name, content = info
                info = tarfile.TarInfo(name)
                info.size = len(content)
                made.addfile(info, io.BytesIO(content))
            else:
                made.addfile(info)
    return out.getvalue()


def special(name: str, kind: bytes, target: str = "", **pax: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.pax_headers = kind, target, pax
    return info


def header(name: bytes = b"a", size: bytes = b"00000000000", kind: bytes = b"0") -> bytes:
    """A header with a right checksum and whatever else one likes."""
    block = name.ljust(100, b"\0") + b"0000644\0" * 3 + size.ljust(12, b"\0") + b"0" * 11 + b"\0"
    block += b" " * 8 + kind + bytes(100) + b"ustar\x0000" + bytes(247)
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def read(path: Path, content: bytes, limit: int = 1 << 20) -> dict[str, bytes]:
    path.write_bytes(content)
    with Stream(path, limit) as stream:
        return {entry.name: bytes(body.whole()) for entry, body in tar.walk(stream)}


part = st.text("abcxyz_-. é", min_size=1, max_size=60).filter(
    lambda text: text not in (".", "..") and text[1:2] != ":"
)
names = st.lists(part, min_size=1, max_size=4).map("/".join)


@FRESH
@given(
    contents=st.dictionaries(names, st.binary(max_size=1500), max_size=4),
    kind=st.sampled_from(["gnu", "pax"]),
    packed=st.booleans(),
)
def test_what_python_writes_is_read(
    tmp_path: Path, contents: dict[str, bytes], kind: str, packed: bool
) -> None:
    content = archive(*contents.items(), kind=kind)
    assert read(tmp_path / "a", gzip.compress(content) if packed else content) == contents


@FRESH
@given(
    contents=st.dictionaries(names, st.binary(min_size=1, max_size=1500), max_size=4),
    share=st.floats(0, 1),
)
def test_what_is_not_read_of_a_member_is_skipped(
    tmp_path: Path, contents: dict[str, bytes], share: float
) -> None:
    (tmp_path / "a").write_bytes(archive(*contents.items()))
    with Stream(tmp_path / "a", 1 << 20) as stream:
        found = [
            entry
            for number, (entry, body) in enumerate(tar.walk(stream))
            if number % 2 or next(body.chunks(), b"") is not None
        ]
    assert [entry.name for entry in found] == list(contents)
    assert [entry.bytes for entry in found] == [len(content) for content in contents.values()]
    whole = (tmp_path / "a").read_bytes()
    for entry, content in zip(found, contents.values(), strict=True):
        assert whole[entry.offset : entry.offset + entry.bytes] == content


def test_a_long_ustar_name_is_put_together(tmp_path: Path) -> None:
    name = "/".join(["folder" * 5] * 4) + "/file"
    assert read(tmp_path / "a", archive((name, b"x"), kind="ustar")) == {name: b"x"}


def test_folders_are_passed_over_and_dots_are_dropped(tmp_path: Path) -> None:
    content = archive(
        special("./", tarfile.DIRTYPE), special("d", tarfile.DIRTYPE), ("./d/a", b"x")
    )
    assert read(tmp_path / "a", content) == {"d/a": b"x"}


def test_a_binary_size_of_gnu_is_read(tmp_path: Path) -> None:
    size = b"\x80" + (3).to_bytes(11, "big")
    content = header(size=size) + b"abc".ljust(512, b"\0") + bytes(1024)
    assert read(tmp_path / "a", content) == {"a": b"abc"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (archive(("../a", b"x")), "hostile member name"),
        (archive(("a/../../b", b"x")), "hostile member name"),
        (archive(("/etc/passwd", b"x")), "hostile member name"),
        (archive(("..\\a", b"x")), "hostile member name"),
        (archive(("C:/a", b"x")), "hostile member name"),
        (archive(("a\nb", b"x")), "hostile member name"),
        (archive(("a\x1b[2J", b"x")), "hostile member name"),
        (archive(("x" * 5000, b"x")), "hostile member name"),
        (archive(("é/../../" + "x" * 200, b"x"), kind="pax"), "hostile member name"),
        (header(b"") + bytes(1024), "hostile member name"),
        (archive(special("a", tarfile.SYMTYPE, "/etc/passwd")), "member a is a symbolic link"),
        (archive(special("a", tarfile.LNKTYPE, "b")), "member a is a hard link"),
        (archive(special("a", tarfile.SYMTYPE, "x" * 200)), "extension|a link with a long target"),
        (archive(special("a", tarfile.CHRTYPE)), "member a is a character device"),
        (archive(special("a", tarfile.BLKTYPE)), "member a is a block device"),
        (archive(special("a", tarfile.FIFOTYPE)), "member a is a pipe"),
        (header(kind=b"S") + bytes(1024), "member a is a sparse file"),
        (header(kind=b"Z") + bytes(1024), "of unknown type b'Z'"),
        (archive(special("a", tarfile.REGTYPE, **{"GNU.sparse.major": "1"}), kind="pax"), "sparse"),
        (archive(special("a", tarfile.REGTYPE, size="-1"), kind="pax"), "bad size in a pax header"),
        (archive(special("a", tarfile.REGTYPE, size="9" * 19), kind="pax"), "declares too much"),
        (archive(special("a", tarfile.REGTYPE, size="9" * 400), kind="pax"), "bad size"),
        (header(size=b"\xff" * 12) + bytes(1024), "negative size"),
        (header(size=b"\x80" + b"\x7f" * 11) + bytes(1024), "declares too much"),
        (header(size=b"77777777777") + bytes(1024), "declares too much; expected at most"),
        (header(size=b"-0000000001") + bytes(1024), "bad size in a tar header"),
        (header(size=b"9") + bytes(1024), "bad size in a tar header"),
        (header(size=b"1_0") + bytes(1024), "bad size in a tar header"),
        (header(kind=b"L", size=b"00000777777") + bytes(300_000), "extension header is too long"),
        (header(kind=b"x", size=b"00000777777") + bytes(300_000), "extension header is too long"),
        (header(kind=b"x", size=b"5") + b"9 a=b".ljust(512, b"\0") + bytes(1024), "damaged pax"),
        (header(kind=b"x", size=b"5") + b"0 a=b".ljust(512, b"\0") + bytes(1024), "damaged pax"),
        (header(kind=b"g", size=b"13") + b"11 path=ab\n".ljust(512, b"\0"), "every member's path"),
        (header(kind=b"5", size=b"1") + bytes(1536), "folder a has content"),
        (header(size=b"3") + b"ab", "cut short in member a"),
        (header() + bytes(512), "cut short in the end mark"),
        (header(), "cut short in a tar header"),
        (header() + bytes(512) + header(), "after the first zero block"),
        (header() + bytes(2048) + b"x", "foreign bytes after the end"),
        (header()[:-1] + b"x" + bytes(1024), "not a tar archive"),
        (header() + b"x" * 512, "damaged tar header at byte 512"),
        (b"<html>" * 200, "not a tar archive.*a web page saved in its place"),
        (b"PK\3\4" + bytes(600), "not a tar archive"),
        (b"<html>", "not a tar archive.*a web page saved in its place"),
        (b"x", "not a tar archive"),
        (header()[:300], "not a tar archive"),
    ],
)
def test_hostile_and_damaged_archives_are_refused_by_name(
    tmp_path: Path, content: bytes, message: str
) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path / "a", content)
    assert str(caught.value).startswith(str(tmp_path / "a"))
    assert str(caught.value).isprintable()


def test_a_bomb_among_the_members_is_refused(tmp_path: Path) -> None:
    bomb = gzip.compress(archive(("bomb", bytes(50_000_000)), ("a", b"x")))
    with pytest.raises(DataError, match="declares too much; expected at most"):
        read(tmp_path / "a", bomb, limit=1 << 20)


@FRESH
@given(data=st.binary(max_size=1100), headed=st.booleans(), kind=st.sampled_from(b"05LKxgS"))
def test_arbitrary_bytes_raise_nothing_but_data_error(
    tmp_path: Path, data: bytes, headed: bool, kind: int
) -> None:
    size = b"%011o" % len(data)
    with suppress(DataError):
        read(tmp_path / "a", (header(size=size, kind=bytes([kind])) if headed else b"") + data)


@FRESH
@given(at=st.integers(0, 4000), flip=st.integers(1, 255))
def test_a_damaged_archive_raises_nothing_but_data_error(
    tmp_path: Path, at: int, flip: int
) -> None:
    content = bytearray(archive(("é" * 90, b"x" * 700), ("b", b"y"), kind="pax"))
    content[at % len(content)] ^= flip
    with suppress(DataError):
        read(tmp_path / "a", bytes(content))


def test_the_members_of_what_is_no_archive_are_the_file_itself(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(b"abc"))
    with Stream(path, 10) as stream:
        found = {name: b"".join(chunks) for name, chunks in members.chunks(stream)}
    assert found == {"a": b"abc"}


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (512, "member 'a' at byte 0; expected 600 bytes, got 0;"),
        (1000, "member 'a' at byte 0; expected 600 bytes, got 488;"),
        (1536, "a tar header; expected 512 bytes, got 0;"),
    ],
)
def test_an_archive_that_is_cut_is_called_so_whatever_its_limit(
    tmp_path: Path, size: int, message: str
) -> None:
    content = archive(("a", bytes(600)), ("b", b"x"))[:size]
    for limit in (size, 1 << 20):
        with pytest.raises(DataError, match="cut short in "):
            read(tmp_path / "a", content, limit=limit)
    with pytest.raises(DataError, match=f"cut short in {message}"):
        read(tmp_path / "a", content, limit=size)
