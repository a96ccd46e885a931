from __future__ import annotations

import importlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from dsets import remote
from dsets.errors import FetchError, OfflineError
from dsets.pack import Pack
from dsets.stream import Window, batches
from tests.remote.conftest import QUICK

fsspec = pytest.importorskip("fsspec")
gcsfs = pytest.importorskip("gcsfs.core", reason="gcsfs is not installed")
emulator = pytest.importorskip(
    "gcp_storage_emulator.server", reason="gcp-storage-emulator is not installed"
)
storage = pytest.importorskip("gcp_storage_emulator.storage")


class Service(ThreadingHTTPServer):
    """An emulated Google Cloud Storage, which may be told to refuse or to keep silent."""

    def __init__(self) -> None:
        kept = storage.Storage(use_memory_fs=True)
        super().__init__(("127.0.0.1", 0), partial(Answer, kept))
        self.refuses: int | None = None
        self.speaks = threading.Event()
        self.speaks.set()
        self.waits = threading.Event()


class Answer(emulator.RequestHandler):  # type: ignore[misc]
    server: Service

    def do_GET(self) -> None:
        if not self.server.speaks.is_set():
            self.server.waits.set()
            self.server.speaks.wait()
        if self.server.refuses:
            self.send_error(self.server.refuses)
        else:
            super().do_GET()


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.speaks.set()
            server.shutdown()
            thread.join()


@pytest.fixture
def store(service: Service, local: Pack, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{service.server_port}")
    monkeypatch.setitem(fsspec.config.conf, "gs", {"token": "anon"})
    # gcsfs's other class asks over gRPC what kind of bucket it is; the emulator speaks no gRPC.
    known = importlib.import_module("fsspec.registry")._registry
    monkeypatch.setitem(known, "gs", gcsfs.GCSFileSystem)
    gcsfs.GCSFileSystem.clear_instance_cache()
    files = gcsfs.GCSFileSystem(token="anon")
    files.mkdir("bucket")
    for path in local.path.iterdir():
        files.put_file(str(path), f"bucket/train/{path.name}")
    yield files
    gcsfs.GCSFileSystem.clear_instance_cache()


@pytest.mark.parametrize("address", ["gs://bucket/train", "GS://bucket/train"])
def test_a_pack_in_a_bucket_streams_and_then_works_offline(
    local: Pack, store: Any, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    window = Window(2, 4)
    with Pack.open(address) as pack:
        assert pack[33]["key"] == "k33"
        with batches(pack, 8, shuffle=window) as far, batches(local, 8, shuffle=window) as near:
            for one, other in zip(far, near, strict=True):
                assert np.array_equal(one["image"], other["image"])
    monkeypatch.setenv("DSETS_OFFLINE", "1")
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    with remote.open(address) as pack:
        assert pack[59]["key"] == "k59"
    with pytest.raises(OfflineError):
        remote.open("gs://bucket/other")


def test_wrong_bytes_and_missing_objects_are_told(store: Any, local: Pack) -> None:
    size = local.index.shards[1].bytes
    store.pipe_file("bucket/train/s-1.h5", bytes(size))
    store.pipe_file("bucket/train/s-2.h5", b"short")
    store.rm_file("bucket/train/s-3.h5")
    with remote.open("gs://bucket/train", patience=QUICK) as pack:
        for sample, message in ((10, "sha256"), (20, "5 bytes"), (30, "no such object")):
            with pytest.raises(FetchError, match=message):
                pack[sample]
        assert pack[0]["key"] == "k0"
    for address in ("gs://bucket/nothing", "gs://nothing/train"):
        with pytest.raises(FetchError, match="no pack here"):
            remote.open(address, patience=QUICK)


@pytest.mark.parametrize("status", [401, 403])
def test_a_bucket_that_refuses_is_told_as_such(store: Any, service: Service, status: int) -> None:
    service.refuses = status
    with pytest.raises(FetchError, match="may not be read; check your credentials"):
        remote.open("gs://bucket/train", patience=QUICK)


def test_a_part_is_continued(store: Any, local: Pack) -> None:
    with remote.open("gs://bucket/train", patience=QUICK) as pack:
        pack.path.mkdir(parents=True)
        part = pack.path / "s-4.h5.part"
        whole = (local.path / "s-4.h5").read_bytes()
        part.write_bytes(whole[:5000])
        store.pipe_file("bucket/train/s-4.h5", bytes(5000) + whole[5000:])  # only the rest is read
        assert pack[40]["key"] == "k40"
        assert not part.exists()


def test_close_ends_a_fetch_that_gets_no_answer(store: Any, service: Service) -> None:
    with remote.open("gs://bucket/train") as pack:
        service.speaks.clear()
        stream = batches(pack, 8)
        with ThreadPoolExecutor(1) as consumer:
            batch = consumer.submit(next, iter(stream))
            assert service.waits.wait(30)
            fetching = [one for one in threading.enumerate() if one.name.startswith("dsets")]
            stream.close()
            assert batch.exception(30)
        for thread in fetching:
            thread.join(30)
            assert not thread.is_alive()
