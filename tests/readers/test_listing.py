"""Listings, from us and from strangers."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsets.errors import DataError
from dsets.readers import _listing
from dsets.readers._listing import Entry

DIGEST = hashlib.sha256(b"").digest()
LINE = f"{DIGEST.hex()}  0  a/b.JPEG\n"


def test_a_listing_is_read_as_it_was_written(tmp_path: Path) -> None:
    entries = [Entry("b/ä 1.JPEG", 2**40, DIGEST), Entry("a.JPEG", 0, DIGEST)]
    path = tmp_path / "train.listing"
    path.write_bytes(b"".join(map(_listing.line, entries[::-1])))
    assert list(_listing.entries(path)) == entries[::-1]
    assert _listing.folder(path) == tmp_path / "train"


@settings(deadline=None)  # a loaded machine is slow
@given(paths=st.lists(st.text(max_size=20), unique=True, max_size=5))
def test_what_may_be_listed_comes_back(
    paths: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    good = [path for path in paths if _listing.listable(path)]
    path = tmp_path_factory.mktemp("some") / "x.listing"
    path.write_bytes(b"".join(_listing.line(Entry(one, 1, DIGEST)) for one in sorted(good)))
    assert [entry.path for entry in _listing.entries(path)] == sorted(good)


@pytest.mark.parametrize(
    "data",
    [
        LINE + LINE,
        LINE.replace("a/b", "../b"),
        LINE.replace("a/b", "/b"),
        LINE.replace("a/b", "a//b"),
        LINE.replace("a/b", "a/./b"),
        LINE.replace("a/b", "a\\b"),
        LINE.replace("a/b", "a\tb"),
        LINE.replace("a/b", "a\rb"),
        LINE.replace("  0  ", " 0 "),
        LINE.replace("  0  ", "  -1  "),
        LINE.replace("  0  ", "  007  "),
        LINE.replace("  0  ", f"  {10**19}  "),
        LINE.upper(),
        LINE.rstrip("\n"),
        "\n",
        LINE.replace("a/b", "x" * 5000),
        LINE.replace("a/b", "c") + LINE,
    ],
)
def test_hostile_listings_are_refused_by_line(tmp_path: Path, data: str) -> None:
    path = tmp_path / "x.listing"
    path.write_bytes(data.encode())
    with pytest.raises(DataError, match=r"line \d: no line of a listing"):
        list(_listing.entries(path))


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.listing"
    path.write_bytes(LINE.encode().replace(b"a/b", b"a/\xff"))
    with pytest.raises(DataError):
        list(_listing.entries(path))
    with pytest.raises(DataError, match="no such listing"):
        list(_listing.entries(tmp_path / "nowhere"))
