from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from dsets import remote
from dsets.errors import FetchError, MissingLibraryError, OfflineError
from dsets.pack import Pack
from dsets.stream import Window, batches
from tests.remote.conftest import QUICK

s3fs = pytest.importorskip("s3fs", reason="s3fs is not installed")
pytest.importorskip("moto.server", reason="moto[server] is not installed")


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """A real S3 server in a process of its own."""
    command = [sys.executable, "-u", "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            found = (re.search(r"http://127\.0\.0\.1:\d+", line) for line in process.stderr)
            match = next(filter(None, found))
            yield match[0]
        finally:
            process.kill()


@pytest.fixture
def store(endpoint: str, local: Pack, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    s3fs.S3FileSystem.clear_instance_cache()
    files = s3fs.S3FileSystem()
    if not files.exists("bucket"):
        files.mkdir("bucket")
    for path in local.path.iterdir():
        files.put_file(str(path), f"bucket/train/{path.name}")
    yield files
    s3fs.S3FileSystem.clear_instance_cache()


def test_a_pack_in_a_bucket_streams_and_then_works_offline(
    local: Pack, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = Window(2, 4)
    with Pack.open("s3://bucket/train") as pack:
        assert pack[33]["key"] == "k33"
        with batches(pack, 8, shuffle=window) as far, batches(local, 8, shuffle=window) as near:
            for one, other in zip(far, near, strict=True):
                assert np.array_equal(one["image"], other["image"])
    monkeypatch.setenv("DSETS_OFFLINE", "1")
    store.rm("bucket/train", recursive=True)
    with remote.open("s3://bucket/train") as pack:
        assert pack[59]["key"] == "k59"
    with pytest.raises(OfflineError):
        remote.open("s3://bucket/other")


def test_wrong_bytes_and_missing_objects_are_told(store: Any, local: Pack) -> None:
    size = local.index.shards[1].bytes
    store.pipe_file("bucket/train/s-1.h5", bytes(size))
    store.pipe_file("bucket/train/s-2.h5", b"short")
    store.rm_file("bucket/train/s-3.h5")
    with remote.open("s3://bucket/train", patience=QUICK) as pack:
        for sample, message in ((10, "sha256"), (20, "5 bytes"), (30, "no such object")):
            with pytest.raises(FetchError, match=message):
                pack[sample]
        assert pack[0]["key"] == "k0"
    with pytest.raises(FetchError, match="no pack here"):
        remote.open("s3://bucket/nothing", patience=QUICK)


def test_a_part_is_continued(store: Any, local: Pack) -> None:
    with remote.open("s3://bucket/train", patience=QUICK) as pack:
        pack.path.mkdir(parents=True)
        part = pack.path / "s-4.h5.part"
        whole = (local.path / "s-4.h5").read_bytes()
        part.write_bytes(whole[:5000])
        store.pipe_file("bucket/train/s-4.h5", bytes(5000) + whole[5000:])  # only the rest is read
        assert pack[40]["key"] == "k40"
        assert not part.exists()


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(MissingLibraryError, match=r"gs:// needs gcsfs.*'dsets\[gs\]'"):
        remote.open("gs://bucket/train")
    assert os.environ.get("DSETS_OFFLINE") is None
