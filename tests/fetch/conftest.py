"""A server, a tiny manifest, and patience that does not wait."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from dsets.fetch import Patience
from dsets.manifest import File, Manifest
from tests.server import Server, serving

DATA = hashlib.shake_128(b"dsets").digest(3_000_000)


def file_of(data: bytes, name: str = "a.bin", **more: object) -> File:
    """A file as a complete manifest would describe it."""
    facts: dict[str, object] = {
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "md5": hashlib.md5(data).hexdigest(),
    }
    return File(name, **(facts | more))  # type: ignore[arg-type]


def manifest_of(*files: File, access: str = "open") -> Manifest:
    return Manifest(
        name="tiny",
        title="Tiny",
        homepage="http://127.0.0.1/home",
        licence="CC0",
        access=access,
        citation="",
        reader="idx",
        pipeline="as_is",
        files=files,
        splits=(),
        fields=(),
        digest="0" * 64,
        origin="here",
    )


@pytest.fixture
def server() -> Iterator[Server]:
    with serving({}) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "raw"


@pytest.fixture
def patience() -> Patience:
    """Tries again at once, and takes a server that is silent for half a second for dead."""
    return Patience(connect_s=5, read_s=0.5, pause_s=0)
