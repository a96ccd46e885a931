"""Deep verification: whatever is wrong with the raw data is a failed check that says what."""

from __future__ import annotations

import gzip
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from dsets import readers, verify
from dsets.errors import DataError, ManifestError
from dsets.manifest import Member, Source
from dsets.progress import Event
from dsets.readers import Sample, idx
from dsets.verify import Check, Report
from tests.readers import raw, tiny_voc


def failed(report: Report) -> dict[str, str]:
    return {check.name: check.message for check in report.checks if not check.ok}


def check(report: Report, name: str) -> Check:
    return next(one for one in report.checks if one.name == name)


def member(name: str, content: bytes) -> Member:
    digests = {each: hashlib.new(each, content).hexdigest() for each in ("md5", "sha1", "sha256")}
    return Member(name, len(content), **digests)


def test_sound_idx_files_pass_and_the_classes_are_counted(tmp_path: Path) -> None:
    report = verify.samples(raw.digits(tmp_path))
    assert report.ok and report.subject == "tiny/train"
    assert [one.name for one in report.checks] == ["table", "samples", "label"]
    assert check(report, "label").details == {"counts": {"cat": 3, "dog": 2, "frog": 2}}
    assert check(report, "samples").details == {"samples": 7}


def test_the_published_members_of_an_archive_are_compared(tmp_path: Path) -> None:
    members = raw.cifar_members()
    published = [member(name, content) for name, content in members.items()]
    report = verify.samples(raw.cifar_source(tmp_path, members, published=published))
    assert report.ok
    assert "bytes, md5, sha1, sha256 as published" in check(report, "py/test_batch").message

    wrong = [replace(published[0], sha256="0" * 64), replace(published[1], bytes=3)]
    wrong += [replace(published[2], name="py/absent"), published[3]]
    report = verify.samples(raw.cifar_source(tmp_path, members, published=wrong))
    assert sorted(failed(report)) == ["py/absent", "py/data_batch_1", "py/data_batch_2"]
    assert failed(report)["py/absent"] == "not found in c.tar.gz"
    assert "the manifest says 0000" in failed(report)["py/data_batch_1"]
    assert failed(report)["py/data_batch_2"].endswith("the manifest says 3")


def test_the_members_are_compared_with_the_first_split_that_needs_them(tmp_path: Path) -> None:
    members = raw.cifar_members()
    published = [member(name, content) for name, content in members.items()]
    report = verify.samples(raw.cifar_source(tmp_path, members, "test", published))
    assert report.ok and [one.name for one in report.checks] == ["table", "samples", "label"]


def test_the_content_of_a_gzip_file_is_a_member_too(tmp_path: Path) -> None:
    content = raw.idx(raw.images(7))
    published = (member("image", content), member("label", b"something else"))
    source = raw.digits(tmp_path)
    files = tuple(
        replace(file, members=(one,))
        for file, one in zip(source.manifest.files, published, strict=True)
    )
    source = replace(source, manifest=replace(source.manifest, files=files))
    report = verify.samples(source)
    assert list(failed(report)) == ["label"]
    assert "the manifest says 14" in failed(report)["label"]


def test_a_damaged_archive_fails_its_members_too(tmp_path: Path) -> None:
    members = raw.cifar_members()
    published = [member("py/test_batch", members["py/test_batch"])]
    source = raw.cifar_source(tmp_path, members, published=published)
    file = source.path("c.tar.gz")
    file.write_bytes(file.read_bytes()[:-9])
    report = verify.samples(source)
    assert "cut short" in failed(report)["table"]
    assert "cut short" in failed(report)["c.tar.gz"]
    assert check(report, "py/test_batch").ok


@pytest.mark.parametrize(
    ("label", "where", "message"),
    [
        (gzip.compress(raw.idx(np.full(7, 9, "u1"))), "table", "label of row 0 is not a class"),
        (gzip.compress(raw.idx(np.zeros(6, "u1"))), "table", "wrong shape of label"),
        (b"<html>", "table", "web page"),
        (None, "table", "no such file"),
    ],
)
def test_damage_is_a_failed_check_and_not_an_exception(
    tmp_path: Path, label: bytes | None, where: str, message: str
) -> None:
    source = raw.digits(tmp_path)
    if label is None:
        source.path("label.gz").unlink()
    else:
        source.path("label.gz").write_bytes(label)
    report = verify.samples(source)
    assert message in failed(report)[where]


def test_images_that_end_early_fail_although_the_table_is_sound(tmp_path: Path) -> None:
    source = raw.digits(tmp_path)
    file = source.path("image.gz")
    file.write_bytes(file.read_bytes()[:-20])
    report = verify.samples(source)
    assert check(report, "table").ok
    assert "cut short" in failed(report)["samples"]


def test_what_was_decoded_before_is_not_believed(tmp_path: Path) -> None:
    source = raw.digits(tmp_path)
    assert verify.samples(source).ok
    file = source.path("image.gz")
    status = file.stat()
    content = bytearray(file.read_bytes())
    content[-6] ^= 1
    with file.open("r+b") as opened:  # as a failing disk would: same file, same size, same time
        opened.write(content)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert "incorrect data check" in failed(verify.samples(source))["samples"]


def test_progress_begins_with_nothing_and_ends_with_everything(tmp_path: Path) -> None:
    events: list[Event] = []
    verify.samples(raw.digits(tmp_path, 2500), events.append)
    assert events[0] == Event("tiny/train", 0, 2500)
    assert events[-1] == Event("tiny/train", 2500, 2500, finished=True)
    assert [event.done for event in events] == [0, 1024, 2048, 2500]


def test_a_withheld_field_says_so_in_every_sample(tmp_path: Path) -> None:
    source = raw.digits(tmp_path)
    split = replace(source.split, withheld=("label",))
    report = verify.samples(replace(source, split=split))
    assert failed(report) == {"label": "withheld, so -1 in each sample, but not in 7"}


def test_options_that_the_reader_cannot_follow_raise(tmp_path: Path) -> None:
    source = raw.digits(tmp_path)
    source = replace(source, split=replace(source.split, options={}))
    with pytest.raises(ManifestError):
        verify.samples(source)


class Lying:
    """A reader whose samples are what a test makes of the sound ones."""

    def __init__(self, change: Any) -> None:
        self.change = change

    def table(self, source: Source) -> pd.DataFrame:
        table: pd.DataFrame = self.change(idx.table(source))
        return table

    def samples(self, source: Source, rows: Sequence[int]) -> Iterator[Sample]:
        yield from self.change(list(idx.samples(source, rows)))


def lie(kind: type, change: Any) -> Lying:
    return Lying(lambda value: change(value) if isinstance(value, kind) else value)


def with_values(samples: list[Sample], **changes: Any) -> list[Sample]:
    last = samples[-1]
    values = {**last.values, **changes}
    kept = {name: value for name, value in values.items() if value is not None}
    return [*samples[:-1], Sample(last.key, kept)]


def damaged(samples: list[Sample]) -> Iterator[Sample]:
    yield samples[0]
    raise DataError("damaged in the middle")


def rotten(samples: list[Sample]) -> list[Sample]:
    """As from a reader that reads ahead: nothing comes when any of them is bad."""
    for one in samples:
        if one.key in ("train/00002", "train/00005"):
            raise DataError(f"{one.key} is rotten")
    return samples


def test_every_bad_sample_is_reported_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "load", lambda name: lie(list, rotten))
    report = verify.samples(raw.digits(tmp_path))
    assert failed(report) == {
        "samples": "2 bad samples, the first: train/00002 is rotten",
        "train/00002": "train/00002 is rotten",
        "train/00005": "train/00005 is rotten",
    }
    assert check(report, "samples").details["samples"] == 5
    assert sum(check(report, "label").details["counts"].values()) == 5  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("reader", "name", "message"),
    [
        (lie(pd.DataFrame, lambda t: t.iloc[:-1]), "table", "6 samples, the manifest says 7"),
        (lie(pd.DataFrame, lambda t: t.assign(key="same")), "table", "6 keys are not unique"),
        (lie(list, lambda s: s[:-1]), "samples", "6 samples came, the table has 7"),
        (lie(list, lambda s: s[::-1]), "samples", "row 0 is train/00006 when read"),
        (lie(list, damaged), "samples", "damaged in the middle"),
        (lie(list, lambda s: with_values(s, image=None)), "samples", "has the fields label"),
        (
            lie(list, lambda s: with_values(s, image=s[0].values["image"][..., 0])),
            "samples",
            "train/00006: the manifest says image: uint8 (4, 5, 1), got uint8 (4, 5)",
        ),
        (
            lie(list, lambda s: with_values(s, image=s[0].values["image"].astype("i1"))),
            "samples",
            "got int8 (4, 5, 1)",
        ),
        (
            lie(list, lambda s: with_values(s, label=np.int64(1))),
            "samples",
            "label is not what the table says",
        ),
        (
            lie(list, lambda s: with_values(s, label=np.int64(3))),
            "label",
            "not a class: 3 in train/00006",
        ),
    ],
)
def test_a_reader_that_errs_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: Lying, name: str, message: str
) -> None:
    monkeypatch.setattr(readers, "load", lambda name: reader)
    assert message in failed(verify.samples(raw.digits(tmp_path)))[name]


def test_every_bad_sample_is_told_however_many_there_are(tmp_path: Path) -> None:
    keys = [f"{number:06}" for number in range(1200)]
    given = {f"JPEGImages/{key}.jpg": tiny_voc.picture(6, 4) for key in keys}
    given |= {f"Annotations/{key}.xml": b"<annotation>" for key in keys}
    given["ImageSets/Main/train.txt"] = "\n".join(keys).encode()
    report = verify.samples(tiny_voc.source(tmp_path, given))
    told = failed(report)
    assert set(keys) <= told.keys() and "not sound XML" in told[keys[-1]]
