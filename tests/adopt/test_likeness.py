"""Archives under other names, told by their members; and what is said of files of no use."""

from __future__ import annotations

import gzip
import io
import zipfile
from pathlib import Path

import pytest

from dsets import adopt, store
from dsets.errors import AdoptError
from dsets.manifest import Manifest
from tests.adopt import tinynet
from tests.adopt.tinynet import DEVKIT, FILES, TRAIN, VAL, placed, write


def take(official: Manifest, *paths: Path) -> adopt.Adopted:
    return adopt.adopt(adopt.plan(official, paths), unverified=True)


def kaggle() -> bytes:
    """Kaggle's zip of the thirty pictures, without the last of each split."""
    data = io.BytesIO()
    pictures = tinynet.pictures()
    with zipfile.ZipFile(data, "w") as archive:
        for name in [*TRAIN[:-1], *VAL[:-1]]:
            folder = "val" if name in VAL else f"train/{tinynet.wnid(name)}"
            archive.writestr(f"ILSVRC/Data/CLS-LOC/{folder}/{name}", pictures[name])
        archive.writestr("LOC_val_solution.csv", tinynet.solution())
    return data.getvalue()


def short(name: str) -> bytes:
    """An official archive of pictures of which the last ones are missing."""
    pictures = tinynet.pictures()
    if name == FILES[1]:
        return tinynet.tar({one: pictures[one] for one in VAL[:7]})
    inner = tinynet.class_tars()
    return tinynet.tar(dict(list(inner.items())[:2]))


def test_kaggles_zip_is_known_by_its_members_whatever_it_is_called(
    official: Manifest, tmp_path: Path
) -> None:
    given = write(tmp_path / "given", {"kaggle.zip": kaggle()})
    plan = adopt.plan(official, [given / "kaggle.zip"])
    assert [part.path for part in plan.strange if isinstance(part, adopt.Stranger)] == [
        given / "kaggle.zip"
    ]
    done = adopt.adopt(plan, unverified=True)
    assert [(split.name, split.samples) for split in done.splits] == [("train", 17), ("val", 11)]


@pytest.mark.parametrize(
    ("name", "split", "samples"), [(FILES[0], "train", 12), (FILES[1], "val", 7)]
)
def test_an_archive_of_pictures_is_known_by_its_members_whatever_it_is_called(
    official: Manifest, tmp_path: Path, name: str, split: str, samples: int
) -> None:
    given = write(tmp_path / "given", {"renamed.tar": short(name), "kit.tgz": kit()})
    plan = adopt.plan(official, [given / "renamed.tar", given / "kit.tgz"])
    assert str(given / "renamed.tar") in {str(getattr(one, "path", "")) for one in plan.strange}
    done = adopt.adopt(plan, unverified=True)
    assert [(one.name, one.samples) for one in done.splits] == [(split, samples)]
    assert f"adopted-{name}" in {file.name for file in done.manifest.files}


def kit(truth: list[int] | None = None) -> bytes:
    """A development kit that is not the published archive."""
    member = "devkit/data/ILSVRC2012_validation_ground_truth.txt"
    members = {"readme": b"?", member: lines(truth or tinynet.TRUTH)}
    return gzip.compress(tinynet.tar(members), mtime=0)


def lines(truth: list[int]) -> bytes:
    """A ground truth."""
    return "".join(f"{number}\n" for number in truth).encode()


def test_an_archive_that_nothing_labels_says_what_it_lacks(
    official: Manifest, tmp_path: Path
) -> None:
    path = write(tmp_path / "given", {"renamed.tar": short(FILES[1])}) / "renamed.tar"
    (note,) = adopt.plan(official, [path]).notes
    assert note.startswith(f"{path}: not used for images of val without {DEVKIT}; it is not the")


def test_an_archive_that_is_cut_short_is_refused_by_its_own_name(
    official: Manifest, tmp_path: Path
) -> None:
    cut = tinynet.archives()[FILES[0]][:9000]
    path = write(tmp_path / "given", {"trunc.tar": cut}) / "trunc.tar"
    with pytest.raises(AdoptError, match=r"trunc\.tar.*: .*cut short"):
        take(official, path)
    assert not list(store.raw("tinynet").glob("*"))


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.zip", b"PK\3\4" + bytes(100), "no file of tinynet"),
        ("a.tar", tinynet.tar({"letter.txt": b"?"}), "the first 'letter.txt'"),
        ("a.tar", tinynet.class_tars()["n01440764.tar"], "call it n01440764.tar"),
        ("a.tar.gz", gzip.compress(bytes(2000)), "neither a tar nor a zip"),
        ("a.txt", b"", "no file of tinynet"),
        ("LOC_val_solution.csv", tinynet.solution(), "nothing that is missing needs it"),
    ],
)
def test_a_named_file_of_no_use_gets_a_note_that_says_why(
    official: Manifest, tmp_path: Path, name: str, data: bytes, said: str
) -> None:
    path = write(tmp_path / "given", {name: data}) / name
    plan = adopt.plan(official, [path])
    (note,) = plan.notes
    assert note.startswith(f"{path}: ") and said in note
    assert plan.idle


def test_a_file_that_is_only_met_in_a_folder_is_not_opened(
    official: Manifest, tmp_path: Path
) -> None:
    given = write(tmp_path / "given", {"kaggle.zip": kaggle()})
    plan = adopt.plan(official, [given])
    assert not plan.splits and plan.notes == () and plan.idle


def test_what_is_in_the_store_already_is_of_use_and_told(
    official: Manifest, tmp_path: Path
) -> None:
    given = write(tmp_path / "given", tinynet.archives())
    adopt.adopt(adopt.plan(official, [given]))
    again = adopt.plan(official, [given])
    assert not again.idle and again.notes == ()
    path = given / FILES[1]
    assert adopt.plan(official, [path]).notes == (f"{path}: {FILES[1]} is in the store already",)
    loose = write(tmp_path / "loose", placed(VAL, "{name}"))
    assert not adopt.plan(official, [loose]).idle


def test_a_plan_foresees_what_will_be_missing_and_changes_nothing(
    official: Manifest, tmp_path: Path, home: Path
) -> None:
    given = write(tmp_path / "given", {"kaggle.zip": kaggle()})
    plan = adopt.plan(official, [given / "kaggle.zip"])
    foreseen = adopt.foreseen(plan)
    assert [(lack.split, lack.got, lack.expected) for lack in foreseen] == [
        ("train", 17, 18),
        ("val", 11, 12),
    ]
    assert not home.exists()
    assert adopt.adopt(plan, unverified=True).lacks == foreseen
    before = sorted(home.rglob("*"))
    assert adopt.foreseen(plan) == foreseen
    assert sorted(home.rglob("*")) == before


def test_a_plan_foresees_that_the_reader_will_refuse(official: Manifest, tmp_path: Path) -> None:
    given = write(tmp_path / "given", tinynet.class_tars() | {"n01440764.tar": b"<html>" * 200})
    with pytest.raises(AdoptError, match=rf"{given}.*reader does not accept"):
        adopt.foreseen(adopt.plan(official, [given]))


@pytest.mark.parametrize("packed", [True, False])
def test_an_unofficial_development_kit_that_contradicts_the_folders_is_refused(
    official: Manifest, tmp_path: Path, packed: bool
) -> None:
    given = write(tmp_path / "given", placed(VAL, "val/{wnid}/{name}"))
    wrong = [2, *tinynet.TRUTH[1:]]
    unpacked = "devkit/data/ILSVRC2012_validation_ground_truth.txt"
    write(given, {DEVKIT: kit(wrong)} if packed else {unpacked: lines(wrong)})
    with pytest.raises(AdoptError, match=rf"{VAL[0][:-5]} lies with another class \(1 such"):
        take(official, given)
    write(given, {DEVKIT: kit()} if packed else {unpacked: lines(tinynet.TRUTH)})
    (val,) = take(official, given).splits
    name = DEVKIT if packed else "ILSVRC_validation_ground_truth.txt"
    assert val.files == ("val.listing", f"adopted-{name}")


def test_a_broken_development_kit_and_one_of_another_year_contradict_nothing(
    official: Manifest, tmp_path: Path
) -> None:
    given = write(tmp_path / "given", placed(VAL, "val/{wnid}/{name}"))
    write(given, {DEVKIT: b"<html>", "ILSVRC2010_validation_ground_truth.txt": b"9\n" * 12})
    plan = adopt.plan(official, [given])
    assert any(f"{DEVKIT}: not used for truth of val" in note for note in plan.notes)
    (val,) = adopt.adopt(plan, unverified=True).splits
    assert (val.samples, val.files) == (12, ("val.listing",))
