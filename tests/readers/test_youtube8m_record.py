"""Records of YouTube-8M that are broken or lie: each is the problem of its own sample."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsets import prepare, verify
from dsets.pack import Pack
from tests.archive.records import example, framed, sequence, written
from tests.readers import tiny_youtube8m as tiny
from tests.readers.adopted_youtube8m import adopted, read, source_of

BROKEN = {
    "no id that can be a key": example({"labels": np.array([1])}),
    "no tf.train.Example": b"\xff\xff\xff",
    "no mean_audio": example({"id": [b"lack"], "mean_rgb": np.ones(8, np.float32)}),
    "mean_rgb of another size": tiny.video("size", mean_rgb=np.ones(9, np.float32)),
    "no mean_rgb": tiny.video("kind", mean_rgb=np.ones(8, np.int64)),
    "labels has what is no class": tiny.video("high", labels=[0, 5]),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_record_is_the_problem_of_its_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    given = tiny.files(tmp_path / "given", names=["00"])
    records = [tiny.video("good"), BROKEN[what], tiny.video("fine")]
    written(given / "train00.tfrecord", records)
    found = adopted(tmp_path, monkeypatch, "video", given)
    samples = read(source_of(found))
    assert [sample.problem is None for sample in samples] == [True, False, True]
    assert what in str(samples[1].problem) and str(tmp_path) not in str(samples[1].problem)
    (plan,) = prepare.plan(found, splits=["train"], out=tmp_path / "packs").packs
    prepare.run(prepare.Plan(found, (plan,)))
    pack = Pack.open(plan.out)
    assert len(pack) == 2
    (bad,) = pack.index.quarantine
    assert what in bad.reason and bad.key == samples[1].key
    report = verify.samples(source_of(found))
    assert not report.ok


def test_a_damaged_record_and_a_file_cut_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = tiny.files(tmp_path / "given", names=["00", "aZ"])
    data = bytearray(b"".join(framed(tiny.video(key)) for key in ("one", "two", "six")))
    data[40] ^= 1
    (given / "train00.tfrecord").write_bytes(data[:-5])
    found = adopted(tmp_path, monkeypatch, "video", given)
    samples = read(source_of(found))
    assert len(samples) == 4 + 3
    reasons = [str(sample.problem) for sample in samples[4:]]
    assert "damaged record; expected masked CRC-32C" in reasons[0]
    assert reasons[1] == "None" and samples[5].key == "two"
    assert reasons[2].startswith("the file breaks off here: cut short in a record; expected")
    assert samples[4].key == "adopted-train3276@12"
    (plan,) = prepare.plan(found, splits=["train"], out=tmp_path / "packs").packs
    prepare.run(prepare.Plan(found, (plan,)))
    assert len(Pack.open(plan.out)) == 5


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_file_cut_short_in_its_first_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: Callable[[bytes], bytes]
) -> None:
    given = tiny.files(tmp_path / "given", names=["00", "aZ"])
    (given / "train00.tfrecord").write_bytes(pack(framed(tiny.video("one"))[:-5]))
    found = adopted(tmp_path, monkeypatch, "video", given)
    *whole, last = read(source_of(found))
    assert [sample.problem for sample in whole] == [None] * 4
    assert last.key == "adopted-train3276@0"
    assert "the file breaks off here: cut short in a record" in str(last.problem)


def test_another_number_of_frames_in_audio_is_quarantined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, either: None
) -> None:
    given = tiny.files(tmp_path / "given", "frame", ["00"])
    row = bytes(range(10))
    lists = {"rgb": [[row[:8]]] * 3, "audio": [[row[8:]]] * 2}
    odd = sequence({"id": [b"odd"], "labels": np.array([1])}, lists)
    written(given / "train00.tfrecord", [tiny.frames("good"), odd])
    found = adopted(tmp_path, monkeypatch, "frame", given)
    for pipeline in ("frames", "video"):
        made = prepare.plan(found, splits=["train"], pipeline=pipeline, out=tmp_path / pipeline)
        prepare.run(made)
        (bad,) = Pack.open(made.packs[0].out).index.quarantine
        assert bad.key == "odd" and bad.reason == (
            "rgb and audio have different numbers of frames; expected as many of each, "
            "got 3 rgb, 2 audio"
        )


def test_segments_outside_the_video_and_ragged_frames_are_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, either: None
) -> None:
    def one(key: str, starts: list[int], length: int = 5, **lists: Any) -> bytes:
        begin, labels = np.array(starts, np.int64), np.zeros(len(starts), np.int64)
        context = {
            "id": [key.encode()],
            "labels": np.array([1]),
            "segment_start_times": begin,
            "segment_end_times": begin + length,
            "segment_labels": labels,
            "segment_scores": labels.astype(np.float32),
        }
        rgb, audio = [[bytes(8)]] * 5, [[bytes(2)]] * 5
        return sequence(context, {"rgb": rgb, "audio": audio, **lists})

    records = [
        one("good", [0, 4]),
        one("beyond", [1000]),
        one("justbeyond", [0, 5]),
        one("before", [-5]),
        one("backwards", [1], -1),
        one("ragged", [], rgb=[[bytes(8)], [bytes(7)]] * 2 + [[bytes(8)]]),
        one("pairs", [], rgb=[[bytes(8)] * 2] * 5),
        one("floats", [], rgb=[np.ones(8, np.float32)] * 5),
    ]
    given = tiny.files(tmp_path / "given", "segment", ["00"])
    written(given / "train00.tfrecord", records)
    found = adopted(tmp_path, monkeypatch, "segment", given)
    said = {one.key: str(one.problem or "") for one in read(source_of(found))}
    assert said["good"] == ""
    assert "outside the video" in said["beyond"] and "got 1000 to 1000" in said["beyond"]
    assert "outside the video" in said["justbeyond"] and "outside the video" in said["before"]
    assert "ends before it begins" in said["backwards"]
    assert "rgb of another form" in said["ragged"] and "7 to 8 bytes" in said["ragged"]
    assert "several byte strings" in said["pairs"] and "no byte strings" in said["floats"]


def test_values_that_float16_cannot_hold_are_quarantined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = tiny.files(tmp_path / "given", names=["00"])
    huge = tiny.video("huge", mean_rgb=np.full(8, 1e6, np.float32))
    written(given / "train00.tfrecord", [tiny.video("good"), huge])
    found = adopted(tmp_path, monkeypatch, "video", given)
    made = prepare.plan(found, splits=["train"], out=tmp_path / "packs")
    prepare.run(made)
    (bad,) = Pack.open(made.packs[0].out).index.quarantine
    assert bad.key == "huge" and "float16 cannot hold" in bad.reason


def test_no_labels_and_no_frames_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = tiny.files(tmp_path / "given", "frame", ["00"])
    empty = sequence({"id": [b"none"]}, {"rgb": [], "audio": []})
    written(given / "train00.tfrecord", [empty, tiny.frames("some")])
    sample = read(source_of(adopted(tmp_path, monkeypatch, "frame", given)))[0]
    assert sample.problem is None
    assert sample.values["labels"].shape == (0,) and sample.values["rgb"].shape == (0, 8)
