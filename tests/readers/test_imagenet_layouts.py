"""Kaggle's zip read in place, classes that the archive alone knows, pictures that were gzipped."""

from __future__ import annotations

import gzip
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from dsets.errors import AbsentError, DataError, ManifestError
from dsets.field import Field
from dsets.manifest import Source
from dsets.readers import _index_file, imagenet
from tests.readers import tiny_imagenet as tiny

ZIP = "imagenet-object-localization-challenge.zip"
CLS = "ILSVRC/Data/CLS-LOC"
FIELDS = (
    Field("image", "uint8", (None,)),
    Field("label", "int64", ()),
    Field("wnid", "int64", ()),
)


def kaggle(method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.writestr("LOC_val_solution.csv", tiny.SOLUTION)
        archive.writestr("ILSVRC/Annotations/CLS-LOC/train/n01440764/n01440764_10.xml", "<a/>")
        for key in reversed(tiny.TRAIN):
            archive.writestr(f"{CLS}/train/{key.split('_')[0]}/{key}.JPEG", tiny.picture(key))
        for key in (*tiny.VAL, *tiny.TEST):
            archive.writestr(f"{CLS}/{key.split('_')[1]}/{key}.JPEG", tiny.picture(key))
    return out.getvalue()


def zipped(folder: Path, data: bytes, split: str = "train") -> Source:
    labels = {"val": {"solution": ZIP}}.get(split, {})
    withheld = ("label", "ilsvrc_id") if split == "test" else ()
    if split != "train":
        return tiny.source(
            folder, {ZIP: data}, split, layout="zip", pictures=split, withheld=withheld, **labels
        )
    return tiny.source(folder, {ZIP: data}, layout="zip", pictures=split)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_the_zip_of_all_splits_gives_the_samples_of_each(tmp_path: Path, method: int) -> None:
    wanted = {
        "train": (tiny.TRAIN, [0, 0, 0, 2, 2]),
        "val": (tiny.VAL, list(tiny.VAL_LABELS)),
        "test": (tiny.TEST, [-1, -1]),
    }
    for split, (keys, labels) in wanted.items():
        source = zipped(tmp_path / split, kaggle(method), split)
        for _ in range(2):  # made, then as it was stored
            found = list(imagenet.samples(source, range(len(keys))))
            assert [sample.key for sample in found] == list(keys)
            assert [sample.values["image"] for sample in found] == list(map(tiny.picture, keys))
            assert imagenet.table(source)["label"].tolist() == labels
            imagenet._imagenet_index.DECODED.clear()


def test_a_damaged_member_is_a_problem_of_its_sample_alone(tmp_path: Path) -> None:
    data = bytearray(kaggle(zipfile.ZIP_STORED))
    data[data.index(tiny.picture(tiny.TRAIN[2])) + 7] ^= 1
    source = zipped(tmp_path, bytes(data))
    found = list(imagenet.samples(source, range(len(tiny.TRAIN))))
    problems = [str(sample.problem) if sample.problem else "" for sample in found]
    assert problems == ["", "", "the zip member is damaged", "", ""]


def test_a_zip_cut_short_after_its_index_was_made_stops_reading(tmp_path: Path) -> None:
    source = zipped(tmp_path, kaggle())
    reading = imagenet.samples(source, range(len(tiny.TRAIN)))
    imagenet.table(source)
    with source.path(ZIP).open("r+b") as file:
        file.truncate(100)
    imagenet._imagenet_index.DECODED.clear()
    with pytest.raises(DataError, match=r"cut short|not a sound zip"):
        list(reading)


def test_a_zip_without_pictures_of_the_split_has_none(tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(f"{CLS}/val/{tiny.VAL[0]}.JPEG", tiny.picture(tiny.VAL[0]))
    with pytest.raises(AbsentError, match="no pictures of train"):
        imagenet.table(zipped(tmp_path, out.getvalue()))


def test_a_zip_without_labels_labels_nothing(tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(f"{CLS}/val/{tiny.VAL[0]}.JPEG", tiny.picture(tiny.VAL[0]))
    with pytest.raises(DataError, match="no labels in the zip"):
        imagenet.table(zipped(tmp_path, out.getvalue(), "val"))


def test_the_classes_may_be_those_of_the_archive(tmp_path: Path) -> None:
    data = tiny.tar_of_tars()
    source = tiny.source(
        tmp_path,
        {"whole.tar": data},
        fields=FIELDS,
        layout="tar of tars",
        classes="archive",
        ilsvrc_ids=(),
    )
    for _ in range(2):
        table = imagenet.table(source)
        assert table["key"].tolist() == list(tiny.TRAIN)
        assert table["label"].tolist() == [0, 0, 0, 1, 1]
        assert table["wnid"].tolist() == ["n01440764"] * 3 + ["n02105855"] * 2
        (sample,) = imagenet.samples(source, [3])
        assert sample.values["label"] == 1 and sample.values["wnid"] == 2105855
        assert sample.values["wnid"].dtype == np.int64
        assert sample.values["image"] == tiny.picture("n02105855_7")
        imagenet._imagenet_index.DECODED.clear()


def test_forged_classes_of_a_stored_index_are_made_again(tmp_path: Path) -> None:
    source = tiny.source(
        tmp_path,
        {"whole.tar": tiny.tar_of_tars()},
        fields=FIELDS,
        layout="tar of tars",
        classes="archive",
        ilsvrc_ids=(),
    )
    imagenet.table(source)
    path = _index_file.path(source)
    kept = _index_file.read(path, _key(source), imagenet._imagenet_index._DTYPES)
    assert kept is not None
    for classes in (["../../etc", "n02105855"], ["n01440764"], "n01440764", None):
        _index_file.write(path, _key(source), {**kept.facts, "classes": classes}, kept.columns)
        imagenet._imagenet_index.DECODED.clear()
        assert imagenet.table(source)["label"].tolist() == [0, 0, 0, 1, 1]


def _key(source: Source) -> list[object]:
    options = imagenet._imagenet_options.read(source)
    return imagenet._imagenet_index._key(source, options)


@pytest.mark.parametrize(
    "options", [{"classes": "found"}, {"pictures": "train"}, {"layout": "zip"}]
)
def test_options_that_do_not_fit_the_layout_are_refused(
    tmp_path: Path, options: dict[str, str]
) -> None:
    source = tiny.source(tmp_path, {"whole.tar": b"?"}, **{"layout": "tar", **options})
    with pytest.raises(ManifestError, match=r"bad option (classes|pictures)"):
        imagenet.check(source)


def test_a_gzipped_picture_comes_without_that(tmp_path: Path) -> None:
    pictures = tiny.pictures(tiny.TRAIN)
    first, second = (f"{key}.JPEG" for key in tiny.TRAIN[:2])
    pictures[first] = gzip.compress(pictures[first])
    pictures[second] = broken = gzip.compress(pictures[second])[:-3]
    found = list(imagenet.samples(tiny.source(tmp_path, {"t.tar": tiny.tar(pictures)}), [0, 1, 2]))
    assert [sample.values["image"] for sample in found] == [
        tiny.picture(tiny.TRAIN[0]),
        broken,
        tiny.picture(tiny.TRAIN[2]),
    ]
