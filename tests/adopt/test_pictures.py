"""Loose pictures: what is missing, what is refused, what happens to them later."""

from __future__ import annotations

import gzip
import os
import subprocess
import zipfile
from pathlib import Path

import pytest

import dsets
from dsets import adopt, manifest, prepare, readers, store, verify
from dsets.adopt import Stranger, Tree
from dsets.errors import AdoptError, DataError, PrepareError
from dsets.manifest import Manifest, Source
from dsets.pack import Pack
from dsets.readers import imagenet
from tests.adopt import tinynet
from tests.adopt.tinynet import DEVKIT, TRAIN, VAL, placed, write


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """torchvision's layout."""
    files = placed(TRAIN, "train/{wnid}/{name}") | placed(VAL, "val/{wnid}/{name}")
    return write(tmp_path / "given", files)


def take(official: Manifest, *paths: Path, copy: bool = False) -> adopt.Adopted:
    return adopt.adopt(adopt.plan(official, paths), unverified=True, copy=copy)


def raw() -> Path:
    return store.raw("tinynet")


def test_missing_pictures_are_counted_by_class(official: Manifest, given: Path) -> None:
    (given / "train" / "n01443537" / "n01443537_7.JPEG").unlink()
    for path in (given / "train" / "n02102040").iterdir():
        path.unlink()
    (given / "val" / "n01440764" / VAL[1]).unlink()
    train, val = adopt.plan(official, [given]).lacks
    assert (train.split, train.expected, train.got) == ("train", 18, 11)
    assert train.details == ("n02102040: 0",)
    assert (val.split, val.expected, val.got) == ("val", 12, 11)
    done = take(official, given)
    assert [(split.name, split.samples) for split in done.splits] == [("train", 11), ("val", 11)]
    assert [lack.got for lack in done.lacks] == [11, 11]


def test_a_split_of_which_nothing_is_there_is_missing_with_its_archive(
    official: Manifest, given: Path
) -> None:
    plan = adopt.plan(official, [given / "train"])
    (lack,) = plan.lacks
    assert (lack.split, lack.what, lack.got) == ("val", tinynet.FILES[1], 0)
    done = take(official, given / "train")
    assert [split.name for split in done.manifest.splits] == ["train"]


def test_splits_adopted_one_after_the_other_are_in_force_together(
    official: Manifest, given: Path
) -> None:
    take(official, given / "val")
    found = take(official, given / "train").manifest
    assert [(split.name, split.samples) for split in found.splits] == [("train", 18), ("val", 12)]
    assert all(found.unverified(split) for split in found.splits)
    assert len(readers.load("imagenet").table(Source(found, found.split("val"), raw()))) == 12


def test_official_archives_supersede_loose_pictures_split_by_split(
    official: Manifest, given: Path, tmp_path: Path
) -> None:
    take(official, given)
    archives = tinynet.archives()
    train = {name: archives[name] for name in tinynet.FILES[:1]}
    adopt.adopt(adopt.plan(official, [write(tmp_path / "one", train)]))
    found = manifest.current("tinynet")
    assert found.unverified(found.split("train")) == ()
    assert found.split("train") == official.split("train")
    assert found.unverified(found.split("val")) == ("val.listing",)
    assert not (raw() / "train").is_symlink() and not (raw() / "train.listing").exists()
    adopt.adopt(adopt.plan(official, [write(tmp_path / "two", archives)]))
    assert manifest.current("tinynet") == official
    assert {path.name for path in raw().glob("[!.]*")} == set(archives)


def test_labels_are_missing_when_nothing_says_them(official: Manifest, tmp_path: Path) -> None:
    given = write(tmp_path / "given", placed([*TRAIN, *VAL], "{name}"))
    (lack,) = adopt.plan(official, [given]).lacks
    assert (lack.split, lack.what) == ("val", DEVKIT)
    assert "labels of val" in lack.purpose and "LOC_val_solution.csv" in lack.purpose


def test_an_official_archive_of_pictures_needs_no_official_labels(
    official: Manifest, tmp_path: Path
) -> None:
    files = {name: tinynet.archives()[name] for name in tinynet.FILES[:2]}
    given = write(tmp_path / "given", files | {"LOC_val_solution.csv": tinynet.solution()})
    plan = adopt.plan(official, [given])
    assert not plan.lacks
    assert [part.name for part in plan.strange] == ["adopted-LOC_val_solution.csv"]
    found = adopt.adopt(plan, unverified=True).manifest
    assert found.unverified(found.split("train")) == ()
    table = readers.load("imagenet").table(Source(found, found.split("val"), raw()))
    assert table["wnid"].tolist() == tinynet.WNIDS


def test_kaggles_tar_gz_is_to_be_unpacked(official: Manifest, tmp_path: Path) -> None:
    path = tmp_path / "imagenet_object_localization_patched2019.tar.gz"
    path.write_bytes(b"\x1f\x8b")
    plan = adopt.plan(official, [path])
    assert any("Kaggle's tar.gz" in note and "unpack it" in note for note in plan.notes)
    assert not plan.splits


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_kaggles_zip_is_read_in_place_for_every_split(
    official: Manifest, tmp_path: Path, method: int
) -> None:
    path = tmp_path / "imagenet-object-localization-challenge (1).zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("LOC_val_solution.csv", tinynet.solution())
        for name, data in tinynet.pictures().items():
            folder = "val" if name in tinynet.VAL else f"train/{tinynet.wnid(name)}"
            archive.writestr(f"ILSVRC/Data/CLS-LOC/{folder}/{name}", data)
    plan = adopt.plan(official, [path])
    assert not plan.lacks
    with pytest.raises(AdoptError, match="Kaggle's own file"):
        adopt.adopt(plan)
    found = adopt.adopt(plan, unverified=True).manifest
    assert [file.name for file in found.files if file.unverified] == [
        "adopted-imagenet-object-localization-challenge.zip"
    ]
    for split in ("train", "val"):
        source = Source(found, found.split(split), raw())
        samples = list(imagenet.samples(source, range(found.split(split).samples)))
        pictures = tinynet.pictures()
        assert len(samples) == {"train": 18, "val": 12}[split]
        for sample in samples:
            assert sample.values["image"] == pictures[f"{sample.key}.JPEG"]
            label = tinynet.CLASSES.index(tinynet.wnid(f"{sample.key}.JPEG"))
            assert sample.values["label"] == label


def test_patches_come_with_the_pictures_and_their_absence_is_told(tmp_path: Path) -> None:
    found = manifest.find("imagenet2010")
    old, new = tinynet.pictures()[TRAIN[0]], tinynet.pictures()[TRAIN[1]]
    inner = tinynet.tar({"n01484850_4.JPEG": old, "n01484850_17.JPEG": old})
    patches = {"patch_images/train/n01484850_17.JPEG": new, "p/train/n01491361_1.JPEG": new}
    archives = {"ILSVRC2010_images_train.tar": tinynet.tar({"n01484850.tar": inner})}
    given = write(tmp_path / "given", archives)
    lacks = [lack.what for lack in adopt.plan(found, [given]).lacks if lack.split == "train"]
    assert "patch_images.tar" in lacks
    write(given, {"patch_images.tar": tinynet.tar(patches)})
    plan = adopt.plan(found, [given])
    assert "patch_images.tar" not in [lack.what for lack in plan.lacks if lack.split == "train"]
    taken = adopt.adopt(plan, unverified=True).manifest
    source = Source(taken, taken.split("train"), store.raw("imagenet2010"))
    samples = {one.key: one.values["image"] for one in imagenet.samples(source, [0, 1])}
    assert samples == {"n01484850_4": old, "n01484850_17": new}


def test_a_release_without_a_list_of_classes_is_adopted(tmp_path: Path) -> None:
    found = manifest.find("imagenet21k")
    tars = tinynet.class_tars()
    whole = write(tmp_path / "whole", {"winter21_whole.tar": tinynet.tar(tars)})
    apart = write(tmp_path / "apart", tars)
    for given in (whole, apart):
        taken = adopt.adopt(adopt.plan(found, [given]), unverified=True).manifest
        source = Source(taken, taken.split("train"), store.raw("imagenet21k"))
        table = imagenet.table(source)
        assert table["label"].tolist() == [0] * 6 + [1] * 6 + [2] * 6
        (sample,) = imagenet.samples(source, [17])
        assert sample.values["wnid"] == int(tinynet.CLASSES[2][1:])


def test_a_gzipped_release_is_met_with_the_command_that_unpacks_it(tmp_path: Path) -> None:
    found = manifest.find("imagenet21k")
    packed = gzip.compress(tinynet.tar(tinynet.class_tars()))
    given = write(tmp_path / "it's here", {"winter21_whole.tar.gz": packed})
    (lack,) = adopt.plan(found, [given]).lacks
    said, command, then = lack.details
    assert str(given / "winter21_whole.tar.gz") in said and f"{len(packed):,} bytes" in then
    subprocess.run(command, shell=True, check=True)
    plan = adopt.plan(found, [given])
    assert not plan.lacks
    taken = adopt.adopt(plan, unverified=True).manifest
    assert taken.split("train").samples == 18
    (given / "winter21_whole.tar").write_bytes(packed)  # whoever renamed it instead
    source = Source(taken, taken.split("train"), store.raw("imagenet21k"))
    with pytest.raises(
        DataError, match=r"cannot be read by offset.*a plain tar, got gzip.*gunzip <"
    ):
        imagenet.table(source)


def test_pictures_of_another_year_are_not_taken(official: Manifest, given: Path) -> None:
    write(given, {"val/n01440764/ILSVRC2010_val_00000001.JPEG": b"?"})
    plan = adopt.plan(official, [given])
    assert any(note.startswith("1 pictures of classes or splits") for note in plan.notes)


def test_pictures_of_other_classes_are_left_out_and_counted(
    official: Manifest, given: Path
) -> None:
    write(
        given, {"train/n99999999/n99999999_1.JPEG": b"?", "x/ILSVRC2012_test_00000001.JPEG": b"?"}
    )
    plan = adopt.plan(official, [given])
    assert any(note.startswith("2 pictures of classes or splits") for note in plan.notes)
    assert not plan.lacks


def test_a_picture_in_the_folder_of_another_class_is_refused(
    official: Manifest, given: Path
) -> None:
    (given / "train" / "n01440764" / TRAIN[0]).rename(given / "train" / "n01443537" / TRAIN[0])
    with pytest.raises(AdoptError, match="reader does not accept"):
        take(official, given)
    assert manifest.current("tinynet") == manifest.find("tinynet")
    assert list(raw().glob("*")) == []


def test_a_class_tar_that_is_a_web_page_is_refused(official: Manifest, tmp_path: Path) -> None:
    given = write(tmp_path / "given", tinynet.class_tars() | {"n01440764.tar": b"<html>" * 200})
    with pytest.raises(AdoptError, match="reader does not accept"):
        take(official, given)


def test_a_folder_whose_name_no_listing_can_have_is_noted(official: Manifest, given: Path) -> None:
    (given / "val" / "n01440764").rename(given / "val" / "line\nbreak")
    plan = adopt.plan(official, [given])
    assert any("cannot be listed" in note for note in plan.notes)
    assert next(lack for lack in plan.lacks if lack.split == "val").got == 8


def test_an_unreadable_picture_stops_the_adoption_by_its_name(
    official: Manifest, given: Path
) -> None:
    plan = adopt.plan(official, [given])
    (given / "val" / "n01440764" / VAL[1]).unlink()
    with pytest.raises(AdoptError, match=f"{VAL[1]}: cannot be read"):
        adopt.adopt(plan, unverified=True)
    assert list(raw().glob("*")) == []


def test_a_picture_that_changes_after_it_was_adopted_is_never_used(
    official: Manifest, given: Path
) -> None:
    found = take(official, given).manifest
    path = given / "train" / "n01440764" / TRAIN[0]
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    report = verify.files(found, raw())
    (wrong,) = [check for check in report.checks if not check.ok]
    assert TRAIN[0] in wrong.message and "not the bytes that were adopted" in wrong.message
    source = Source(found, found.split("train"), raw())
    found_bad = [one for one in readers.load("imagenet").samples(source, range(18)) if one.problem]
    assert [f"{one.key}.JPEG" for one in found_bad] == [TRAIN[0]]
    assert "not the bytes that were adopted" in str(found_bad[0].problem)


def test_a_pipe_in_a_pictures_place_is_told_and_not_waited_for(
    official: Manifest, given: Path
) -> None:
    found = take(official, given).manifest
    path = given / "train" / "n01440764" / TRAIN[0]
    path.unlink()
    os.mkfifo(path)
    (wrong,) = [check for check in verify.files(found, raw()).checks if not check.ok]
    assert f"{TRAIN[0]}: cannot be read (not a plain file)" in wrong.message


def test_copied_pictures_need_the_users_folder_no_more(
    official: Manifest, given: Path, tmp_path: Path
) -> None:
    take(official, given / "train", given / "val", copy=True)
    os.rename(given, tmp_path / "away")
    found = manifest.current("tinynet")
    assert verify.files(found, raw()).ok
    for split in found.splits:
        samples = readers.load("imagenet").samples(
            Source(found, split, raw()), range(split.samples)
        )
        assert len(list(samples)) == split.samples


def test_adopting_twice_changes_nothing(official: Manifest, given: Path) -> None:
    first = take(official, given).manifest
    assert take(official, given).manifest == first
    assert take(official, given, copy=True).manifest == first
    assert take(official, given).manifest == first


def test_a_killed_adoption_leaves_nothing_in_force_and_the_next_one_works(
    official: Manifest, given: Path
) -> None:
    work = raw() / ".adopting.part"
    (work / "train").mkdir(parents=True)
    (work / "train" / "link").symlink_to(given)
    (work / "train.listing").write_text("half")
    assert manifest.current("tinynet") == manifest.find("tinynet")
    take(official, given)
    assert not work.exists() and given.is_dir()
    assert len(list(given.rglob("*.JPEG"))) == 30


def test_removing_takes_links_and_leaves_what_they_lead_to(official: Manifest, given: Path) -> None:
    take(official, given / "train", given / "val", copy=False)
    for path in adopt.left(official):
        adopt.remove(path)
    assert manifest.current("tinynet") == manifest.find("tinynet")
    assert list(raw().iterdir()) == []
    assert len(list(given.rglob("*.JPEG"))) == 30


def test_the_mark_is_no_part_of_the_pack_digest_but_of_its_provenance(
    official: Manifest, given: Path, tmp_path: Path
) -> None:
    take(official, given)
    plan = prepare.plan(manifest.current("tinynet"), splits=["val"], out=tmp_path / "out")
    prepare.run(plan)
    index = Pack.open(tmp_path / "out" / "val").index
    assert index.unverified == ("val.listing",)
    assert index.provenance["unverified"] == ["val.listing"]


def test_a_plan_says_of_each_part_what_it_is(official: Manifest, tmp_path: Path) -> None:
    files = placed(TRAIN, "train/{name}") | {
        tinynet.FILES[1]: tinynet.archives()[tinynet.FILES[1]] + b"\0" * 512,
        DEVKIT: tinynet.archives()[DEVKIT],
    }
    plan = adopt.plan(official, [write(tmp_path / "given", files)])
    tree, stranger = plan.strange
    assert isinstance(tree, Tree) and len(tree) == 18
    assert isinstance(stranger, Stranger) and "bytes, the official file has" in stranger.why
    assert [one.name for one in plan.official] == [DEVKIT]


def test_a_folder_of_the_users_own_in_the_store_is_never_replaced_or_removed(
    official: Manifest, given: Path
) -> None:
    own = write(raw() / "train", {"mine.JPEG": b"mine"})
    with pytest.raises(AdoptError, match="a folder that dsets did not make"):
        take(official, given)
    (raw() / "train.listing").write_text("my list")
    (raw() / "adopted-by-me").write_text("mine")
    with pytest.raises(AdoptError, match="a folder that dsets did not make"):
        take(official, given)
    assert adopt.left(official) == ()
    assert (own / "mine.JPEG").read_bytes() == b"mine"
    assert manifest.current("tinynet") == official


def test_splits_that_nobody_brought_are_not_prepared_unless_named(
    official: Manifest, tmp_path: Path
) -> None:
    files = {tinynet.FILES[0]: tinynet.archives()[tinynet.FILES[0]]}
    adopt.adopt(adopt.plan(official, [write(tmp_path / "given", files)]))
    assert manifest.current("tinynet") == official
    assert [one.split.name for one in prepare.plan(official).packs] == ["train"]
    with pytest.raises(PrepareError, match="run 'dsets adopt tinynet PATHS'"):
        prepare.run(prepare.plan(official, splits=["val"], out=tmp_path / "out"))


def test_loading_warns_of_what_was_adopted_and_uses_it(official: Manifest, given: Path) -> None:
    take(official, given)
    with pytest.warns(UserWarning, match="tinynet is adopted, unverified: train, val"):
        data = dsets.load("tinynet")
    assert {name: len(pack) for name, pack in data.items()} == {"train": 18, "val": 12}
    assert data.val.index.unverified == ("val.listing",)


def test_what_was_adopted_before_is_noted_and_not_missing(official: Manifest, given: Path) -> None:
    (given / "val" / "n01440764" / VAL[1]).unlink()
    take(official, given)
    plan = adopt.plan(official, [given / "train"])
    assert not plan.lacks
    assert "val: adopted before, unverified, 11 of 12 samples" in plan.notes


def test_what_a_reader_refuses_is_named_as_the_user_knows_it(
    official: Manifest, tmp_path: Path
) -> None:
    path = write(tmp_path / "given", {tinynet.FILES[0]: b"<html>"}) / tinynet.FILES[0]
    with pytest.raises(AdoptError) as caught:
        take(official, path)
    assert str(path) in str(caught.value)
    assert "fetch" not in str(caught.value) and ".part" not in str(caught.value)
