"""Manifests written as TOML: what was written is what is read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsets import manifest
from dsets.errors import ManifestError
from dsets.manifest import File, Manifest, Member, Split, parse, render

PRINTABLE = st.text(max_size=12).filter(str.isprintable)
LINES = st.lists(PRINTABLE, max_size=3).map("\n".join)
NUMBERS = st.integers(0, 2**63 - 1)
PLAIN = st.recursive(
    PRINTABLE | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PRINTABLE, inner, max_size=3),
    max_leaves=8,
)


def same(one: Manifest, other: Manifest) -> bool:
    return replace(one, digest="", origin="") == replace(other, digest="", origin="")


@pytest.mark.parametrize("name", manifest.names())
def test_every_shipped_manifest_comes_back(name: str) -> None:
    found = manifest.find(name)
    data = render(found)
    again = parse(data, found.origin)
    assert same(again, found)
    assert render(again) == data


@given(
    options=st.dictionaries(PRINTABLE, PLAIN, max_size=4),
    notes=LINES,
    title=PRINTABLE.filter(str.strip),
    sizes=st.tuples(NUMBERS, NUMBERS),
    unverified=st.booleans(),
)
def test_any_manifest_comes_back(
    options: dict[str, Any], notes: str, title: str, sizes: tuple[int, int], unverified: bool
) -> None:
    found = manifest.find("mnist")
    member = Member("folder/inner 'quoted' \"name\"", sizes[0], sha1="1" * 40, md5="0" * 32)
    file = File(
        "übung #1.gz",
        ("https://example.org/a%20b",),
        sizes[1],
        md5="f" * 32,
        members=(member,),
        unverified=unverified,
        listed_bytes=sizes[0],
        also=("md5:" + "1" * 32, "sha1:" + "2" * 40),
        part="annotations",
        known_as=("other #1.gz",),
    )
    split = Split("extra.v2", 3, ("übung #1.gz",), False, options, ("label",), on_request=True)
    changed = replace(
        found,
        title=title,
        notes=notes,
        files=(*found.files, file),
        splits=(*found.splits, split),
    )
    assert same(parse(render(changed), "here"), changed)


def test_the_marks_of_files_are_read_strictly() -> None:
    data = render(manifest.find("mnist"))
    for line in ('unverified = "yes"', "unverified = 1", "listed_bytes = -1", "listed_bytes = 1.5"):
        changed = data.replace(b"[[file]]\n", b"[[file]]\n" + line.encode() + b"\n", 1)
        with pytest.raises(ManifestError):
            parse(changed, "here")
