"""Which of several sources is taken: of pictures, of labels, of boxes."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from dsets import adopt, manifest, readers, store
from dsets.errors import AdoptError
from dsets.manifest import File, Manifest, Member, Source
from dsets.progress import Event
from tests.adopt import tinynet
from tests.adopt.tinynet import DEVKIT, TRAIN, VAL, placed, write


def take(official: Manifest, *paths: Path) -> adopt.Adopted:
    return adopt.adopt(adopt.plan(official, paths), unverified=True)


def raw() -> Path:
    return store.raw("tinynet")


@pytest.mark.parametrize("flat", ["a", "z"])
def test_pictures_whose_folders_say_the_labels_win_where_nothing_else_does(
    official: Manifest, tmp_path: Path, flat: str
) -> None:
    given = write(tmp_path / "given", placed(VAL, f"{flat}/{{name}}"))
    write(given, placed(VAL, "by/val/{wnid}/{name}"))
    found = take(official, given / flat, given / "by").manifest
    table = readers.load("imagenet").table(Source(found, found.split("val"), raw()))
    assert table["wnid"].tolist() == tinynet.WNIDS
    assert any("12 pictures of val" in note for note in adopt.plan(official, [given]).notes)


@pytest.mark.parametrize("data", [b"", b"\0" * 512])
def test_an_archive_without_labels_yields_to_folders_that_say_them(
    official: Manifest, tmp_path: Path, data: bytes
) -> None:
    name = tinynet.FILES[1]
    given = write(tmp_path / "given", {name: tinynet.archives()[name] + data})
    write(given, placed(VAL, "val/{wnid}/{name}"))
    plan = adopt.plan(official, [given])
    assert [lack.split for lack in plan.lacks] == ["train"]
    assert any(f"{DEVKIT}, which says its labels, is not here" in note for note in plan.notes)
    done = adopt.adopt(plan, unverified=True)
    assert [(split.name, split.samples) for split in done.splits] == [("val", 12)]
    assert manifest.current("tinynet") == done.manifest != official


def test_of_copies_that_overlap_every_picture_is_taken_once(
    official: Manifest, tmp_path: Path
) -> None:
    given = write(tmp_path / "given", placed(TRAIN[:12], "o1/train/{wnid}/{name}"))
    write(given, placed(TRAIN[8:], "o2/train/{wnid}/{name}"))
    plan = adopt.plan(official, [given])
    assert [lack.split for lack in plan.lacks] == ["val"]
    assert any("4 pictures of train once more; not used, the others" in n for n in plan.notes)
    assert not any("other sizes" in note for note in plan.notes)
    assert take(official, given).splits[0].samples == 18


def test_copies_of_another_size_are_named(official: Manifest, tmp_path: Path) -> None:
    given = write(tmp_path / "given", placed(TRAIN, "o1/train/{wnid}/{name}"))
    write(given, {"o2/train/" + TRAIN[0]: b"cut"})
    notes = adopt.plan(official, [given]).notes
    assert any("1 of these have other sizes" in n and f"o2/train/{TRAIN[0]}" in n for n in notes)


TRUTH = "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt"


@pytest.mark.parametrize(
    ("published", "why"), [(True, "its bytes are the published ones"), (False, "no published")]
)
def test_the_ground_truth_of_an_unpacked_development_kit_says_the_labels(
    official: Manifest, tmp_path: Path, published: bool, why: str
) -> None:
    truth = "".join(f"{number}\n" for number in tinynet.TRUTH).encode()
    if published:
        member = Member(TRUTH, len(truth), sha256=hashlib.sha256(truth).hexdigest())
        files = [
            replace(file, members=(member,)) if file.name == DEVKIT else file
            for file in official.files
        ]
        official = replace(official, files=tuple(files))
    name = tinynet.FILES[1]
    given = write(tmp_path / "given", {TRUTH: truth, name: tinynet.archives()[name]})
    plan = adopt.plan(official, [given])
    assert [lack.split for lack in plan.lacks] == ["train"]
    (part,) = plan.strange
    assert isinstance(part, adopt.Stranger) and why in part.why
    found = adopt.adopt(plan, unverified=True).manifest
    table = readers.load("imagenet").table(Source(found, found.split("val"), raw()))
    assert table["wnid"].tolist() == tinynet.WNIDS


def test_a_folder_that_contradicts_the_development_kit_is_refused(
    official: Manifest, tmp_path: Path
) -> None:
    given = write(tmp_path / "given", placed(VAL, "val/{wnid}/{name}"))
    write(given, {DEVKIT: tinynet.archives()[DEVKIT]})
    wrong = given / "val" / tinynet.WNIDS[1] / VAL[0]
    (given / "val" / tinynet.WNIDS[0] / VAL[0]).rename(wrong)
    with pytest.raises(AdoptError, match=rf"{VAL[0][:-5]} lies with another class \(1 such"):
        take(official, given)
    assert manifest.current("tinynet") == manifest.find("tinynet")


BOXES = "ILSVRC2012_bbox_train_v2.tar"


def with_boxes(official: Manifest) -> Manifest:
    """The manifest with boxes of train, of which another archive is the official one."""
    train, *others = official.splits
    train = replace(train, options={**train.options, "boxes": (BOXES,)})
    file = File(BOXES, md5="0" * 32)
    return replace(official, splits=(train, *others), files=(*official.files, file))


def test_boxes_that_are_not_official_come_in_with_pictures_that_are_not(
    official: Manifest, tmp_path: Path
) -> None:
    box = "".join(f"<{corner}>3</{corner}>" for corner in ("xmin", "ymin", "xmax", "ymax"))
    xml = f"<annotation><object><bndbox>{box}</bndbox></object></annotation>".encode()
    boxes = tinynet.tar({f"{TRAIN[0][:-5]}.xml": xml})
    given = write(tmp_path / "given", placed(TRAIN, "train/{wnid}/{name}") | {BOXES: boxes})
    found = take(with_boxes(official), given).manifest
    assert found.unverified(found.split("train")) == ("train.listing", f"adopted-{BOXES}")
    table = readers.load("imagenet").table(Source(found, found.split("train"), raw()))
    assert table["box_count"].sum() == 1


def test_adopting_tells_what_it_passes_over_and_what_cannot_be_read(
    official: Manifest, tmp_path: Path
) -> None:
    boxes = tinynet.tar({f"{TRAIN[0][:-5]}.xml": b"<html>"})
    train = tinynet.tar({**tinynet.class_tars(), "._n01440764.tar": b"junk" * 200})
    given = write(tmp_path / "given", {tinynet.FILES[0]: train, BOXES: boxes})
    plan = adopt.plan(with_boxes(official), [given])
    dry: list[Event] = []
    adopt.foreseen(plan, dry.append)
    wet: list[Event] = []
    done = adopt.adopt(plan, unverified=True, progress=wet.append)
    assert [(split.name, split.samples) for split in done.splits] == [("train", len(TRAIN))]
    for events in (dry, wet):
        told = [event.message for event in events if event.message]
        assert len([one for one in told if one.endswith("the first ._n01440764.tar")]) == 1
        assert len([one for one in told if "1 annotations cannot be read" in one]) == 1


def test_boxes_that_are_not_official_are_left_out_of_official_pictures_with_a_note(
    official: Manifest, tmp_path: Path
) -> None:
    given = write(tmp_path / "given", tinynet.archives() | {BOXES: b"?"})
    plan = adopt.plan(with_boxes(official), [given])
    assert not plan.strange and not plan.lacks
    assert any(f"{BOXES}: not used for boxes of train; it is not" in note for note in plan.notes)


def test_files_of_no_use_are_named_up_to_a_number(official: Manifest, tmp_path: Path) -> None:
    given = write(tmp_path / "given", {f"{number}.bin": b"?" for number in range(25)})
    notes = adopt.plan(official, sorted(given.iterdir())).notes
    assert len(notes) == 21
    assert notes[-1] == "… and 5 more files that are of no use"


def wrong_solution() -> bytes:
    """Kaggle's labels with another class for the first picture."""
    key, was = VAL[0][:-5], tinynet.WNIDS[0]
    return tinynet.solution().replace(
        f"{key},{was}".encode(), f"{key},{tinynet.CLASSES[1]}".encode()
    )


@pytest.mark.parametrize("taken", ["folders", "solution", "zip"])
def test_labels_that_contradict_each_other_are_refused_whoever_says_them(
    official: Manifest, tmp_path: Path, taken: str
) -> None:
    solution = {"LOC_val_solution.csv": wrong_solution()}
    truth = {TRUTH: "".join(f"{number}\n" for number in tinynet.TRUTH).encode()}
    flat = placed(VAL, "{name}")
    if taken == "folders":
        given = write(tmp_path / "given", placed(VAL, "val/{wnid}/{name}") | solution)
    elif taken == "zip":
        given = write(tmp_path / "given", solution)
        with zipfile.ZipFile(given / "imagenet-object-localization-challenge.zip", "w") as zipped:
            for name, data in flat.items():
                zipped.writestr(f"ILSVRC/Data/CLS-LOC/val/{name}", data)
            zipped.writestr("LOC_val_solution.csv", tinynet.solution())
    else:
        given = write(tmp_path / "given", flat | solution | truth)
    told = (
        r"contradicts the labels of val \(1 pictures\); expected n\d+ for ILSVRC2012_val_00000001"
    )
    with pytest.raises(AdoptError, match=told):
        take(official, given)
    write(given, {"LOC_val_solution.csv": b"\xef\xbb\xbf" + tinynet.solution()})
    assert [split.samples for split in take(official, given).splits] == [12]


def test_what_contradicts_published_labels_is_noted_and_not_used(
    official: Manifest, tmp_path: Path
) -> None:
    files = placed(VAL, "{name}") | {"LOC_val_solution.csv": wrong_solution()}
    given = write(tmp_path / "given", files | {DEVKIT: tinynet.archives()[DEVKIT]})
    plan = adopt.plan(official, [given])
    (note,) = [note for note in plan.notes if "contradicts the labels of val (1 pictures)" in note]
    assert note.endswith(f"not used, {DEVKIT} has the published ones")
    assert [split.samples for split in adopt.adopt(plan, unverified=True).splits] == [12]


def test_a_table_that_cannot_be_read_contradicts_nothing(
    official: Manifest, tmp_path: Path
) -> None:
    files = placed(VAL, "val/{wnid}/{name}") | {"LOC_val_solution.csv": b"<html>"}
    given = write(tmp_path / "given", files)
    assert [split.samples for split in take(official, given).splits] == [12]
