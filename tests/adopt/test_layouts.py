"""The same thirty pictures, in every layout: the same samples, packs and digests."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dsets import adopt, manifest, prepare, store
from dsets.errors import AdoptError, DataError
from dsets.manifest import Manifest
from dsets.pack import Pack
from tests.adopt import tinynet
from tests.adopt.tinynet import DEVKIT, TRAIN, VAL, placed, write


def official_tars(folder: Path) -> list[Path]:
    return [write(folder, tinynet.archives())]


def renamed_tars(folder: Path) -> list[Path]:
    files = enumerate(tinynet.archives().values())
    return [write(folder, {f"deep/er/download-{n}.bin": data for n, data in files})]


def repacked_tars(folder: Path) -> list[Path]:
    """The names of the official files, but the members in another order."""
    found = tinynet.pictures()
    val = {f"./val/{tinynet.wnid(name)}/{name}": found[name] for name in reversed(VAL)}
    files = dict(
        zip(
            tinynet.FILES[:2],
            (tinynet.tar(tinynet.class_tars(backwards=True)), tinynet.tar(val)),
            strict=True,
        )
    )
    return [write(folder, files | {DEVKIT: tinynet.archives()[DEVKIT]})]


def kaggle(folder: Path) -> list[Path]:
    data = "ILSVRC/Data/CLS-LOC"
    files = placed(TRAIN, data + "/train/{wnid}/{name}") | placed(VAL, data + "/val/{name}")
    files |= {
        "ILSVRC/Annotations/CLS-LOC/val/ILSVRC2012_val_00000001.xml": b"<annotation/>",
        "LOC_val_solution.csv": tinynet.solution(),
        "LOC_train_solution.csv": b"ImageId,PredictionString\n",
        "LOC_synset_mapping.txt": b"n01440764 tench\n",
    }
    return [write(folder, files)]


def torchvision(folder: Path) -> list[Path]:
    files = placed(TRAIN, "train/{wnid}/{name}") | placed(VAL, "val/{wnid}/{name}")
    return [write(folder, files | {"meta.bin": b"?"})]


def flattened(folder: Path) -> list[Path]:
    files = placed([*TRAIN, *VAL], "{name}")
    return [write(folder, files | {DEVKIT: tinynet.archives()[DEVKIT]})]


def other_suffixes(folder: Path) -> list[Path]:
    found = placed(TRAIN, "a b/{name}") | placed(VAL, "ä/{wnid}/{name}")
    return [write(folder, {name.replace(".JPEG", ".jpg"): data for name, data in found.items()})]


def class_tars(folder: Path) -> list[Path]:
    tars = {f"train/{name}": data for name, data in tinynet.class_tars(backwards=True).items()}
    return [write(folder, tars | placed(VAL, "val/{wnid}/{name}"))]


def half_unpacked(folder: Path) -> list[Path]:
    """One class unpacked, its tar gone; another unpacked in part, its tar still there."""
    tars = {f"train/{name}": data for name, data in tinynet.class_tars().items()}
    del tars["train/n01440764.tar"]
    loose = placed(TRAIN[:9], "train/{wnid}/{name}")
    return [write(folder, tars | loose | placed(VAL, "val/{wnid}/{name}"))]


def two_disks(folder: Path) -> list[Path]:
    one = write(folder / "one", placed(TRAIN[:6], "train/{wnid}/{name}"))
    two = write(
        folder / "two",
        placed(TRAIN[6:], "train/{wnid}/{name}") | placed(VAL, "val/{wnid}/{name}"),
    )
    return [one, two]


def a_class_twice(folder: Path) -> list[Path]:
    files = placed(TRAIN, "train/{wnid}/{name}") | placed(VAL, "val/{wnid}/{name}")
    return [write(folder, files | placed(TRAIN[:4], "copies/{wnid}/{name}"))]


def named_one_by_one(folder: Path) -> list[Path]:
    write(folder, placed([*TRAIN, *VAL], "{wnid}/{name}"))
    return sorted(folder.glob("*/*"))


OFFICIAL = (official_tars, renamed_tars)
STRANGE = (
    repacked_tars,
    kaggle,
    torchvision,
    flattened,
    other_suffixes,
    class_tars,
    half_unpacked,
    two_disks,
    a_class_twice,
    named_one_by_one,
)


def packs(out: Path) -> dict[str, Pack]:
    """The packs of the dataset as it is in the store."""
    plan = prepare.plan(manifest.current("tinynet"), out=out, shard_bytes=1_000_000)
    assert plan.packs[0].shards > 1
    prepare.run(plan)
    return {one.split.name: Pack.open(one.out) for one in plan.packs}


def digests(found: dict[str, Pack]) -> dict[str, tuple[str, str]]:
    return {name: (pack.samples_digest, pack.digest) for name, pack in found.items()}


@pytest.fixture(scope="module")
def expected() -> dict[str, tuple[str, str]]:
    return {}


@pytest.mark.parametrize("layout", [*OFFICIAL, *STRANGE])
def test_every_layout_gives_the_same_samples_and_packs(
    layout: Callable[[Path], list[Path]],
    official: Manifest,
    tmp_path: Path,
    expected: dict[str, tuple[str, str]],
) -> None:
    paths = layout(tmp_path / "given")
    plan = adopt.plan(official, paths)
    assert not plan.lacks
    done = adopt.adopt(plan, unverified=True)
    assert not done.lacks
    found = packs(tmp_path / "out")
    assert {name: len(pack) for name, pack in found.items()} == {"train": 18, "val": 12}
    if not expected:
        expected.update(digests(found))
        assert found["val"][0]["key"] == "ILSVRC2012_val_00000001"
        assert [found["val"][n]["label"] for n in range(12)] == [2, 0, 1, 1, 0, 2] * 2
    assert digests(found) == expected
    marks = {name: pack.index.unverified for name, pack in found.items()}
    if layout in OFFICIAL:
        assert marks == {"train": (), "val": ()}
        assert "unverified" not in found["train"].index.provenance
        assert manifest.adopted("tinynet") is None
    else:
        assert all(marks.values())


@pytest.mark.parametrize("layout", STRANGE)
def test_without_leave_no_stranger_comes_in_and_nothing_of_the_users_changes(
    layout: Callable[[Path], list[Path]], official: Manifest, tmp_path: Path
) -> None:
    paths = layout(tmp_path / "given")
    before = {path: path.stat() for path in sorted((tmp_path / "given").rglob("*"))}
    with pytest.raises(AdoptError, match=r"not what is officially published.*--unverified"):
        adopt.adopt(adopt.plan(official, paths))
    assert manifest.current("tinynet") == manifest.find("tinynet")
    left = {path.name for path in (tmp_path / "home/raw/tinynet").glob("[!.]*")}
    assert left <= {DEVKIT}  # where the development kit was the official one
    adopt.adopt(adopt.plan(official, paths), unverified=True)
    after = {path: path.stat() for path in sorted((tmp_path / "given").rglob("*"))}
    assert [(s.st_ino, s.st_mtime_ns, s.st_size, s.st_nlink) for s in before.values()] == [
        (s.st_ino, s.st_mtime_ns, s.st_size, s.st_nlink) for s in after.values()
    ]


@pytest.mark.parametrize("change", ["bytes", "size", "time", "gone"])
def test_a_class_tar_that_changed_since_it_was_adopted_is_refused(
    official: Manifest, tmp_path: Path, change: str
) -> None:
    given = write(tmp_path / "given", tinynet.class_tars())
    adopt.adopt(adopt.plan(official, [given]), unverified=True)
    tar = given / "n01443537.tar"
    listing = store.raw("tinynet") / "train.listing"
    data = bytearray(tar.read_bytes())
    if change == "bytes":
        data[700] ^= 1  # in a picture's header
    tar.write_bytes(data + bytes(512 * (change == "size")))
    later = listing.stat().st_mtime_ns + 10**9
    os.utime(tar, ns=(later, 0 if change == "size" else later))
    if change == "gone":
        tar.unlink()
    plan = prepare.plan(manifest.current("tinynet"), out=tmp_path / "packs", pipeline="alexnet")
    if change == "time":  # the bytes are the same: they are read again, and good
        prepare.run(plan)
        return
    what = "no such file; adopt the" if change == "gone" else "not the bytes that were adopted"
    with pytest.raises(DataError, match=rf"n01443537\.tar: {what}"):
        prepare.run(plan)
