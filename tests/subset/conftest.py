"""Servers that have tiny datasets, and manifests that name them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dsets.fetch import Patience
from dsets.readers import _coco_index
from tests.server import Route, Server, serving
from tests.subset import tiny, tiny_openimages


@pytest.fixture(scope="session")
def contents() -> dict[str, bytes]:
    return tiny.files()


@pytest.fixture
def server(
    contents: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Server]:
    with serving({f"/{name}": Route(data) for name, data in contents.items()}) as running:
        manifests = tiny.catalogue(tmp_path / "manifests", contents, running.url)
        monkeypatch.setenv("DSETS_MANIFESTS", str(manifests))
        _coco_index._OPEN.clear()
        yield running


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Open Images' tables of 30 pictures, and these one by one."""
    files = tiny_openimages.files()
    with serving({f"/{name}": Route(data) for name, data in files.items()}) as running:
        for i in range(30):
            running.routes[f"/train/{tiny_openimages.key(i)}.jpg"] = Route(tiny.picture(i))
        folder = tiny_openimages.catalogue(tmp_path / "manifests", files, running.url)
        monkeypatch.setenv("DSETS_MANIFESTS", str(folder))
        yield running


@pytest.fixture
def patience() -> Patience:
    """Tries again at once, and takes a server that is silent for half a second for dead."""
    return Patience(connect_s=5, read_s=0.5, pause_s=0)
