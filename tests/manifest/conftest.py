"""A small valid manifest to spoil, one line at a time."""

from __future__ import annotations

from collections.abc import Callable

import pytest

GOOD = """\
schema = 1
name = "tiny"
title = "Tiny pictures"
homepage = "https://example.org/"
licence = "CC0 1.0"
access = "open"
citation = "Nobody: Nothing. 2026."
reader = "idx"
pipeline = "as_is"

[[file]]
name = "images.gz"
addresses = ["https://example.org/images.gz", "http://example.org/images.gz"]
bytes = 100
sha256 = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
[[file.member]]
name = "folder/images"
bytes = 200
md5 = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

[[file]]
name = "labels.gz"
addresses = ["https://example.org/labels.gz"]
sha1 = "cccccccccccccccccccccccccccccccccccccccc"

[split.train]
samples = 20
training = true
files = ["images.gz", "labels.gz"]
[split.train.reader]
image = "images.gz"
deep = { list = [1, [2, "three"]] }

[split.test]
samples = 10
files = ["images.gz"]

[field.image]
dtype = "uint8"
shape = [-1, 4, 3]

[field.label]
dtype = "int64"
shape = []
classes = ["cat", "dog"]
"""


@pytest.fixture(scope="session")
def good() -> str:
    return GOOD


@pytest.fixture
def spoilt() -> Callable[[str, str], bytes]:
    """The good manifest with one piece of its text, which must be there once, replaced."""

    def spoil(old: str, new: str) -> bytes:
        assert GOOD.count(old) == 1, old
        return GOOD.replace(old, new).encode()

    return spoil
