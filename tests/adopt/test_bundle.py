"""A bundle carries a dataset to where there is no network, and nothing else gets in with it."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import socket
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dsets import adopt, fetch, manifest, store
from dsets.errors import AdoptError, DataError, DsetsError, ManifestError
from dsets.fetch import terms
from tests.adopt.at_once import taken_at_once
from tests.cli import tiny

FILES = tiny.files()
Members = list[tuple[tarfile.TarInfo, bytes]]


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle of ``tiny``, taken elsewhere: another store, no manifest of it, no network."""
    monkeypatch.setenv("DSETS_MANIFESTS", str(tiny.catalogue(tmp_path / "catalogue", FILES)))
    (tmp_path / "given").mkdir()
    for name, data in FILES.items():
        (tmp_path / "given" / name).write_bytes(data)
    adopt.adopt(adopt.plan(manifest.find("tiny"), [tmp_path / "given"]))
    out = tmp_path / "tiny.tar"
    adopt.write(adopt.bundle(["tiny"]), out)
    monkeypatch.setenv("DSETS_HOME", str(tmp_path / "elsewhere"))
    monkeypatch.delenv("DSETS_MANIFESTS")

    def refused(*args: object) -> None:
        raise AssertionError("somebody wants the network")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    return out


def members(path: Path) -> Members:
    with tarfile.open(path) as tar:
        return [(one, tar.extractfile(one).read()) for one in tar]  # type: ignore[union-attr]


def rewrite(path: Path, found: Members) -> None:
    with tarfile.open(path, "w") as tar:
        for info, data in found:
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def take(path: Path) -> tuple[Path, ...]:
    return adopt.unbundle(adopt.look(path))


def debris() -> list[Path]:
    return [path for path in store.home().rglob("*") if path.is_file()]


def test_everything_arrives_without_a_network(made: Path) -> None:
    paths = take(made)
    assert {path.name: path.read_bytes() for path in paths} == FILES
    found = manifest.find("tiny")
    assert [step.action for step in fetch.plan(found, store.raw("tiny")).steps] == ["have"] * 4
    accepted = terms.accepted(found)
    assert accepted and accepted.how == "bundle" and "Nobody: Nothing, 2026." in accepted.text


def test_the_same_files_give_the_same_tar(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(made)
    adopt.write(adopt.bundle(["tiny"]), tmp_path / "again.tar")
    assert (tmp_path / "again.tar").read_bytes() == made.read_bytes()


def test_a_split_has_its_own_files_only(made: Path, tmp_path: Path) -> None:
    take(made)
    adopt.write(adopt.bundle(["tiny/test"]), tmp_path / "test.tar")
    raw = [one.name for one, _ in members(tmp_path / "test.tar") if one.name.startswith("raw/")]
    assert raw == ["raw/tiny/test-images.gz", "raw/tiny/test-labels.gz"]


def test_a_dry_run_reads_all_and_changes_nothing(made: Path) -> None:
    assert adopt.unbundle(adopt.look(made), dry_run=True) == ()
    assert not store.home().exists()
    data = bytearray(made.read_bytes())
    data[data.rindex(FILES["test-labels.gz"])] ^= 1
    made.write_bytes(data)
    with pytest.raises(AdoptError, match=r"raw/tiny/test-labels\.gz: damaged"):
        adopt.unbundle(adopt.look(made), dry_run=True)


def test_what_is_here_is_kept_and_the_rest_is_taken(made: Path) -> None:
    first = take(made)
    inode = first[0].stat().st_ino
    first[1].unlink()
    take(made)
    assert first[0].stat().st_ino == inode and first[1].read_bytes() == FILES[first[1].name]


def test_what_is_not_here_cannot_be_bundled(made: Path) -> None:
    take(made)[0].unlink()
    with pytest.raises(AdoptError, match=r"no good train-images\.gz.*dsets fetch tiny"):
        adopt.bundle(["tiny"])


def test_a_file_that_changes_while_it_is_bundled_leaves_no_tar(made: Path, tmp_path: Path) -> None:
    paths = take(made)
    planned = adopt.bundle(["tiny"])
    paths[2].write_bytes(bytes(len(FILES[paths[2].name])))
    with pytest.raises(AdoptError, match="changed while it was bundled"):
        adopt.write(planned, tmp_path / "bad.tar")
    assert not list(tmp_path.glob("*bad*"))


BUNDLE = """
import sys
from pathlib import Path
from dsets import adopt

def stay(event):
    print("writing", flush=True)
    sys.stdin.read()

adopt.write(adopt.bundle(["tiny"]), Path(sys.argv[1]), progress=stay)
"""


def test_what_a_killed_bundle_leaves_goes_with_the_next_and_no_other(
    made: Path, tmp_path: Path
) -> None:
    take(made)
    out = tmp_path / "out" / "again.tar"
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", BUNDLE, str(out)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for _ in range(2)
    ]
    for writer in writers:
        assert writer.stdout and writer.stdout.readline()
    killed, alive = writers
    killed.kill()
    killed.communicate()
    assert len(list(out.parent.iterdir())) == 2
    adopt.write(adopt.bundle(["tiny"]), out)
    left = sorted(path.name for path in out.parent.iterdir())
    assert left[1:] == ["again.tar"] and f".{alive.pid}-" in left[0]
    alive.communicate()
    assert alive.returncode == 0
    assert [path.name for path in out.parent.iterdir()] == ["again.tar"]
    assert out.read_bytes() == made.read_bytes()


def test_our_manifest_counts_and_other_files_are_refused(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = FILES | {"test-labels.gz": FILES["test-labels.gz"][::-1]}
    monkeypatch.setenv("DSETS_MANIFESTS", str(tiny.catalogue(tmp_path / "ours", other)))
    with pytest.raises(AdoptError, match="not what the manifest here says"):
        take(made)
    names = {path.name for path in debris() if not path.name.startswith(".")}
    assert names == set(FILES) - {"test-labels.gz"}, "what a digest here proves is kept"
    assert not store.manifests().exists()
    assert terms.accepted(manifest.find("tiny")) is None


def test_what_no_digest_here_proves_goes_with_a_bundle_that_is_refused(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny.catalogue(tmp_path / "ours", FILES)
    text = (folder / "tiny.toml").read_text()
    (folder / "tiny.toml").write_text(re.sub("(sha256|md5) = .*\n", "", text))
    monkeypatch.setenv("DSETS_MANIFESTS", str(folder))
    rewrite(made, members(made)[:-1])
    with pytest.raises(AdoptError, match="members are missing"):
        take(made)
    assert debris() == []


def test_of_two_at_once_one_brings_the_files_and_the_other_finds_them(made: Path) -> None:
    assert [Path(path).name for path in taken_at_once(made)] == list(FILES)
    assert not list(store.home().rglob("*.part"))


def test_a_bundles_manifest_never_stands_for_a_shipped_one(made: Path) -> None:
    take(made)
    ours = manifest.find("mnist").digest
    (store.manifests() / "mnist.toml").write_text("junk")
    assert manifest.find("mnist").digest == ours


def _table(found: Members, change: Callable[[dict[str, Any]], None]) -> Members:
    data = json.loads(found[0][1])
    change(data)
    return [(found[0][0], json.dumps(data).encode()), *found[1:]]


def _renamed(found: Members, name: str) -> Members:
    """The last raw file under another name, which the table has."""
    old = found[-1][0].name
    text = found[0][1].decode().replace(json.dumps(old), json.dumps(name)).encode()
    found[-1][0].name = name
    return [(found[0][0], text), *found[1:]]


def _manifest(found: Members, old: bytes, new: bytes) -> Members:
    """Another manifest, of which the table has the digest."""
    data = found[1][1].replace(old, new)
    before, after = (hashlib.sha256(one).hexdigest().encode() for one in (found[1][1], data))
    text = found[0][1].replace(before, after)
    size = f'"bytes": {len(found[1][1])},'.encode()
    text = text.replace(size, f'"bytes": {len(data)},'.encode())
    return [(found[0][0], text), (found[1][0], data), *found[2:]]


HOSTILE: dict[str, Callable[[Members], Members]] = {
    "no table": lambda found: found[1:],
    "table of no JSON": lambda found: [(found[0][0], b"{"), *found[1:]],
    "deep table": lambda found: [(found[0][0], b"[" * 100_000), *found[1:]],
    "another format": lambda found: _table(found, lambda data: data.update(format=2)),
    "member missing": lambda found: found[:-1],
    "member twice": lambda found: [*found, found[-1]],
    "unknown member": lambda found: [*found, (tarfile.TarInfo("raw/tiny/more"), b"x")],
    "member that leads out": lambda found: [*found, (tarfile.TarInfo("../../x"), b"x")],
    "name that leads out": lambda found: _renamed(found, "raw/tiny/.."),
    "raw file of another dataset": lambda found: _renamed(found, "raw/mnist/test-labels.gz"),
    "raw file of no manifest": lambda found: _renamed(found, "raw/tiny/.adopted.toml"),
    "no manifest": lambda found: [found[0], *found[2:]],
    "manifest of another name": lambda found: _manifest(found, b'"tiny"', b'"tinx"'),
    "manifest that breaks the schema": lambda found: _manifest(found, b"[split.", b"[spilt."),
    "other terms": lambda found: [*found[:2], (found[2][0], b"x" * len(found[2][1])), *found[3:]],
    "a link": lambda found: [*found, _link()],
}


def _link() -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo("raw/tiny/link")
    info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return info, b""


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_bundle_is_one_error(made: Path, case: str) -> None:
    rewrite(made, HOSTILE[case](members(made)))
    with pytest.raises((AdoptError, DataError, ManifestError)) as caught:
        take(made)
    assert str(made) in str(caught.value) or "tiny" in str(caught.value)
    assert debris() == [], "a dataset that nobody knows leaves nothing when its bundle is refused"


def test_a_gzipped_bundle_is_to_be_unpacked_first(made: Path) -> None:
    packed = made.with_name("small.tar.gz")
    packed.write_bytes(gzip.compress(made.read_bytes()))
    with pytest.raises(
        AdoptError, match=r"expected a bundle .*unpack it first: gzip -dc .*\.tar\.gz"
    ):
        take(packed)


@pytest.mark.parametrize("size", [0, 100, 512, 5000, 8704, -1024, -1100, -3000])
def test_a_truncated_bundle_or_something_else_is_one_error(made: Path, size: int) -> None:
    made.write_bytes(made.read_bytes()[:size])
    with pytest.raises(DsetsError) as caught:
        take(made)
    assert "at most" not in str(caught.value)
    assert debris() == []
