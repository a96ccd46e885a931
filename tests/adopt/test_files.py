"""Official files of any dataset, wherever they lie and whatever they are called."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dsets import adopt, fetch, manifest, store
from dsets.errors import AdoptError, ManifestError, UsageError
from dsets.locks import holding
from dsets.manifest import Manifest, parse
from dsets.progress import Event
from tests.cli import tiny

FILES = tiny.files()


KILLED = """
import os, signal, sys
from dsets import adopt, manifest

def killed(event):
    if event.task.startswith("copying"):
        os.kill(os.getpid(), signal.SIGKILL)

plan = adopt.plan(manifest.find("tiny"), [sys.argv[1]])
adopt.adopt(plan, copy=True, progress=killed)
"""


@pytest.fixture
def digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Manifest:
    """The dataset ``tiny``: four files in MNIST's format."""
    monkeypatch.setenv("DSETS_MANIFESTS", str(tiny.catalogue(tmp_path / "catalogue", FILES)))
    return manifest.find("tiny")


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """A downloads folder that has the four files, one under another name, among other things."""
    folder = tmp_path / "downloads"
    for name, data in FILES.items():
        path = folder / ("some.bin" if name == "test-labels.gz" else name)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    (folder / "letter.txt").write_text("Dear reader")
    return folder


def states(found: Manifest) -> list[str]:
    return [step.action for step in fetch.plan(found, store.raw(found.name)).steps]


def test_official_files_are_linked_and_fetch_has_them(digits: Manifest, given: Path) -> None:
    done = adopt.adopt(adopt.plan(digits, [given]))
    assert not done.lacks
    assert states(digits) == ["have"] * 4
    assert all(path.is_symlink() and path.is_file() for path in done.official)
    link = store.raw("tiny") / "test-labels.gz"
    assert os.readlink(link) == str(given / "some.bin")
    receipt = fetch.receipt(link)
    assert receipt and receipt.address == (given / "some.bin").as_uri()


def test_copies_are_files_of_their_own(digits: Manifest, given: Path) -> None:
    done = adopt.adopt(adopt.plan(digits, [given]), copy=True)
    assert not any(path.is_symlink() for path in done.official)
    assert {path.name: path.read_bytes() for path in done.official} == FILES
    assert states(digits) == ["have"] * 4
    assert not list(store.raw("tiny").glob(".*.part"))


def test_what_kill_9_left_of_a_copy_is_swept_by_the_next_run(digits: Manifest, given: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, str(given)], check=False)
    assert killed.returncode == -signal.SIGKILL
    (half,) = store.raw("tiny").glob(".*.part")
    mine = half.with_name(".mine.1.part")
    mine.write_bytes(b"of another")
    adopt.adopt(adopt.plan(digits, [given]), copy=True)
    assert states(digits) == ["have"] * 4
    assert list(store.raw("tiny").glob(".*.part")) == [mine]


KILLED_AT_RECEIPT = """
import os, signal, sys
from pathlib import Path
from dsets import adopt, manifest

def replace(source, target):
    os.kill(os.getpid(), signal.SIGKILL)

os.replace = replace
adopt.adopt(adopt.plan(manifest.find("tiny"), [Path(sys.argv[1])]))
"""


def test_what_kill_9_left_of_a_receipt_is_swept_by_the_next_run(
    digits: Manifest, given: Path
) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED_AT_RECEIPT, str(given)], check=False)
    assert killed.returncode == -signal.SIGKILL
    (half,) = store.raw("tiny").glob(".*.receipt.json.*.part")
    name = half.name.rpartition(".receipt")[0]
    busy = half.with_name(f"{name}.receipt.json.1-1.part")
    with holding(busy):
        adopt.adopt(adopt.plan(digits, [given]))
        assert list(store.raw("tiny").glob(".*.part")) == [busy], "somebody writes this one"
    adopt.adopt(adopt.plan(digits, [given]))
    assert not list(store.raw("tiny").glob(".*.part"))


def test_planning_changes_nothing(digits: Manifest, given: Path, home: Path) -> None:
    plan = adopt.plan(digits, [given])
    assert len(plan.official) == 4
    assert not home.exists()


def test_what_is_missing_is_named_with_its_split_and_its_use(digits: Manifest, given: Path) -> None:
    (given / "some.bin").unlink()
    plan = adopt.plan(digits, [given])
    (lack,) = plan.lacks
    assert (lack.split, lack.what, lack.purpose) == ("test", "test-labels.gz", "label of test")


def test_what_the_store_has_is_not_asked_for_again(digits: Manifest, given: Path) -> None:
    adopt.adopt(adopt.plan(digits, [given / "some.bin"]))
    plan = adopt.plan(digits, [given])
    assert [one.name for one in plan.have] == ["test-labels.gz"]
    assert len(plan.official) == 3 and not plan.lacks


@pytest.mark.parametrize(
    "name",
    [
        *("train-labels (1).gz", "train-labels(2).gz", "TRAIN-labels.GZ"),
        *("train-labels copy.gz", "train-labels.gz.1"),
    ],
)
def test_a_second_copys_name_is_seen_through(digits: Manifest, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(FILES["train-labels.gz"])
    data = manifest.render(digits).replace(
        f"bytes = {len(FILES['train-labels.gz'])}\n".encode(), b"", 1
    )
    sizeless = parse(data, "tiny.toml")
    assert sizeless.file("train-labels.gz").bytes is None
    plan = adopt.plan(sizeless, [tmp_path / name])
    assert [one.name for one in plan.official] == ["train-labels.gz"]


def test_only_what_can_match_is_hashed(digits: Manifest, given: Path) -> None:
    events: list[Event] = []
    for number in range(50):
        (given / f"{number}.bin").write_bytes(b"x" * (1000 + number))
    adopt.plan(digits, [given], progress=events.append)
    assert {Path(event.task).name for event in events if event.total} == {*FILES, "some.bin"} - {
        "test-labels.gz"
    }


def test_of_two_copies_the_one_with_the_right_name_is_taken(digits: Manifest, given: Path) -> None:
    (given / "a").write_bytes(FILES["train-images.gz"])
    plan = adopt.plan(digits, [given])
    path = next(one.path for one in plan.official if one.name == "train-images.gz")
    assert path == given / "train-images.gz"
    assert any("once more; not needed" in note for note in plan.notes)


def test_hard_links_of_one_file_are_read_once(digits: Manifest, given: Path) -> None:
    os.link(given / "train-images.gz", given / "again")
    events: list[Event] = []
    adopt.plan(digits, [given], progress=events.append)
    assert len({event.task for event in events if event.total}) == 4


def test_a_file_that_changed_since_it_was_planned_is_refused(digits: Manifest, given: Path) -> None:
    plan = adopt.plan(digits, [given])
    (given / "train-images.gz").write_bytes(b"?" * len(FILES["train-images.gz"]))
    with pytest.raises(AdoptError, match="changed since it was found"):
        adopt.adopt(plan)
    assert not (store.raw("tiny") / "train-images.gz").exists()


def test_a_file_that_went_since_it_was_planned_is_refused(digits: Manifest, given: Path) -> None:
    plan = adopt.plan(digits, [given])
    (given / "train-images.gz").unlink()
    with pytest.raises(AdoptError, match="gone since it was found"):
        adopt.adopt(plan)


def test_a_link_whose_file_went_later_is_missing_and_fetch_replaces_it(
    digits: Manifest, given: Path, tmp_path: Path
) -> None:
    adopt.adopt(adopt.plan(digits, [given]))
    os.rename(given, tmp_path / "away")
    assert states(digits) == ["download"] * 4
    fetch.files(
        fetch.plan(
            digits, store.raw("tiny"), files=["train-images.gz"], mirrors=[str(tmp_path / "away")]
        )
    )
    assert not (store.raw("tiny") / "train-images.gz").is_symlink()
    assert (tmp_path / "away" / "train-images.gz").read_bytes() == FILES["train-images.gz"]


def test_a_damaged_file_of_the_right_size_is_told_by_its_digest(
    digits: Manifest, given: Path
) -> None:
    damaged = bytearray(FILES["train-images.gz"])
    damaged[20] ^= 1
    (given / "train-images.gz").write_bytes(damaged)
    with pytest.raises(AdoptError, match=r"train-images\.gz: sha256 \w+, the manifest says"):
        adopt.adopt(adopt.plan(digits, [given]))
    assert states(digits).count("have") == 3  # the official ones are in all the same


def test_a_web_page_instead_of_a_file_is_refused_even_with_leave(
    digits: Manifest, given: Path
) -> None:
    (given / "train-images.gz").write_text("<!DOCTYPE html><title>Log in</title>")
    with pytest.raises(AdoptError, match="the reader does not accept"):
        adopt.adopt(adopt.plan(digits, [given]), unverified=True)
    assert manifest.adopted("tiny") is None
    assert not [path for path in store.raw("tiny").iterdir() if "adopt" in path.name]


def test_a_stranger_in_a_files_place_needs_leave_and_is_marked(
    digits: Manifest, given: Path
) -> None:
    other = gzip.compress(gzip.decompress(FILES["train-images.gz"]), 1, mtime=7)
    (given / "train-images.gz").write_bytes(other)
    done = adopt.adopt(adopt.plan(digits, [given]), unverified=True)
    found = manifest.current("tiny")
    assert found == done.manifest != digits
    assert found.unverified(found.split("train")) == ("adopted-train-images.gz",)
    assert found.unverified(found.split("test")) == ()
    assert manifest.find("tiny") == digits
    with pytest.raises(AdoptError, match=r"adopted unverified, which are not bundled.*--pack"):
        adopt.bundle(["tiny"])


def test_the_official_file_supersedes_the_stranger(digits: Manifest, given: Path) -> None:
    right = FILES["train-images.gz"]
    (given / "train-images.gz").write_bytes(gzip.compress(gzip.decompress(right), 1, mtime=7))
    adopt.adopt(adopt.plan(digits, [given]), unverified=True)
    (given / "right").write_bytes(right)
    adopt.adopt(adopt.plan(digits, [given / "right"]))
    assert manifest.current("tiny") == digits
    assert not [path for path in store.raw("tiny").iterdir() if "adopt" in path.name]
    assert (given / "train-images.gz").exists()


def test_several_strangers_for_one_file_are_too_many(digits: Manifest, given: Path) -> None:
    (given / "more").mkdir()
    (given / "train-images.gz").write_bytes(b"one")
    (given / "more" / "train-images.gz").write_bytes(b"other")
    with pytest.raises(UsageError, match=r"several files could be train-images\.gz"):
        adopt.plan(digits, [given])


def test_a_path_that_is_not_there_is_said(digits: Manifest, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file or folder"):
        adopt.plan(digits, [tmp_path / "nowhere"])


def test_a_damaged_variant_names_the_remedy_which_works(digits: Manifest, given: Path) -> None:
    path = store.raw("tiny") / ".adopted.toml"
    path.parent.mkdir(parents=True)
    path.write_text("schema = 2")
    with pytest.raises(ManifestError, match="dsets remove tiny"):
        manifest.current("tiny")
    for left in adopt.left(digits):
        adopt.remove(left)
    assert manifest.current("tiny") == digits
