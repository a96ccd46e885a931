"""A server, a tiny manifest, and patience that does not wait."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dsets import fetch
from dsets.errors import FetchError
from dsets.fetch import Patience
from dsets.manifest import File, Manifest
from dsets.progress import Event
from tests.server import Server, serving

DATA = hashlib.shake_128(b"dsets").digest(3_000_000)
Get = Callable[..., Path]


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


@pytest.fixture
def get(server: Server, folder: Path, patience: Patience) -> Get:
    """Fetch one file from the server's ``/a.bin``, or from the paths given."""

    def fetched(file: File, *paths: str, events: list[Event] | None = None) -> Path:
        manifest = manifest_of(File(**_facts(file, server, paths or ("/a.bin",))))
        plan = fetch.plan(manifest, folder)
        told = [] if events is None else events
        (path,) = fetch.files(plan, patience=patience, progress=told.append)
        assert not list(folder.glob("*.part*")), "a finished file leaves no part"
        return path

    return fetched


def _facts(file: File, server: Server, paths: tuple[str, ...]) -> dict[str, object]:
    facts = {name: getattr(file, name) for name in ("name", "bytes", "sha256", "sha1", "md5")}
    return facts | {"addresses": tuple(server.url + path for path in paths)}


def failure(get: Get, file: File, *paths: str, folder: Path) -> str:
    with pytest.raises(FetchError) as caught:
        get(file, *paths)
    assert not (folder / file.name).exists(), "nothing wrong has the final name"
    return str(caught.value)


def leave_part(folder: Path, data: bytes, origin: dict[str, object] | None = None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "a.bin.part").write_bytes(data)
    if origin:
        (folder / ".a.bin.part.json").write_text(json.dumps(origin))
