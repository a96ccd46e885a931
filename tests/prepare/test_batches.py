"""Samples made many at once are those made one by one, to the byte; odd ones get their care."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dsets import adopt, manifest, pipeline, prepare, store
from dsets.archive import tfrecord
from dsets.errors import PipelineError
from dsets.manifest import Source
from dsets.pack import Index, Pack
from dsets.pipelines import video
from dsets.readers import Batch, Sample
from tests.archive.records import example, framed
from tests.readers import tiny_youtube8m as tiny

FEATURES = {"mean_rgb": np.ones(8, np.float32), "mean_audio": np.ones(2, np.float32)}
ODD = [
    example({"id": [b"nolabels"], **FEATURES}),
    tiny.video("unknown", [99]),
    tiny.video("negative", [-1]),
    tiny.video("short", mean_rgb=np.ones(7, np.float32)),
    tiny.video("long", mean_audio=np.ones(3, np.float32)),
    tiny.video("ints", mean_rgb=np.arange(8)),
    tiny.video("huge", mean_rgb=np.full(8, 65520, np.float32)),
    tiny.video("justfits", mean_rgb=np.full(8, -65519, np.float32)),
    tiny.video("nan", mean_rgb=np.full(8, np.nan, np.float32)),
    tiny.video("inf", mean_audio=np.full(2, -np.inf, np.float32)),
    tiny.video("v005", [2]),
    tiny.video("x", id=[b"a", b"b"]),
    tiny.video("x", id=[b""]),
    b"no example at all",
    b"",
]
MINE = """
STATISTICS = None
def fields(manifest): return manifest.fields
def make(sample): return sample.values
def make_batch(batch):
    values = dict(batch.values)
    {body}
    return values
"""


def source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, records: list[bytes], end: bytes = b""
) -> Source:
    """The training split of ``tinytube``: a file of these records that ends so, and before it one
    of three, the first two of which have the same ids and values as theirs."""
    given = tmp_path / "given"
    given.mkdir()
    first = [*records[:2], tiny.video("other")]
    (given / "trainaZ.tfrecord").write_bytes(b"".join(map(framed, first)))
    (given / "train00.tfrecord").write_bytes(b"".join(map(framed, records)) + end)
    (given / "vocabulary.csv").write_text(tiny.VOCABULARY)
    monkeypatch.setenv("DSETS_MANIFESTS", str(tiny.manifest(tmp_path / "catalogue", "video")))
    adopt.adopt(adopt.plan(manifest.find("tinytube"), [given]), unverified=True)
    found = manifest.current("tinytube")
    return Source(found, found.split("train"), store.raw(found.name))


def pack(of: Source, out: Path, **more: Any) -> Index:
    made = prepare.plan(of.manifest, splits=["train"], out=out, **more)
    prepare.run(made)
    return Pack.open(made.packs[0].out).index


@pytest.mark.parametrize("block", [1, 400, 1 << 20])
def test_odd_records_among_ordinary_ones_give_the_pack_that_they_give_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    records = [tiny.video(f"v{n:03}", [n % 5] * (n % 4)) for n in range(60)]
    for number, odd in enumerate(ODD):
        records.insert(10 + 3 * number, odd)
    damaged = bytearray(framed(tiny.video("damaged")))
    damaged[-1] ^= 1
    of = source(tmp_path, monkeypatch, records, bytes(damaged) + b"what is no record")
    monkeypatch.setattr(tfrecord, "BLOCK_BYTES", block)
    at_once, made = pack(of, tmp_path / "at_once"), Counter[str]()
    _count(monkeypatch, made)
    assert pack(of, tmp_path / "again").digest == at_once.digest
    with monkeypatch.context() as patch:
        patch.delattr(video, "make_batch")
        alone = pack(of, tmp_path / "alone")
    assert at_once.digest == alone.digest and at_once.quarantine == alone.quarantine
    assert at_once.samples + len(alone.quarantine) == of.split.samples == len(records) + 5
    words = {bad.key: bad.reason for bad in alone.quarantine}
    assert "float16 cannot hold" in words["huge"] and "justfits" not in words
    assert "NaN" in words["nan"] and "infinite" in words["inf"]
    assert {"unknown", "negative", "short", "long", "ints"} <= words.keys() and len(words) == 17
    # What every odd record shares its megabyte with is made alone; else only what is odd.
    assert made["batches"] >= {1: 60, 400: 10, 1 << 20: 1}[block]


def _count(monkeypatch: pytest.MonkeyPatch, made: Counter[str]) -> None:
    """Count the batches and the single samples of the pipeline ``video``."""
    make, make_batch = video.make, video.make_batch

    def one(sample: Sample) -> Any:
        made["alone"] += 1
        return make(sample)

    def many(batch: Batch) -> Any:
        made["batches"] += 1
        return make_batch(batch)

    monkeypatch.setattr(video, "make", one)
    monkeypatch.setattr(video, "make_batch", many)


def test_ordinary_records_are_not_made_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = source(tmp_path, monkeypatch, [tiny.video(f"v{n:03}") for n in range(40)])
    made = Counter[str]()
    _count(monkeypatch, made)
    monkeypatch.setattr(tfrecord, "BLOCK_BYTES", 1200)
    assert pack(of, tmp_path / "out").samples == 41
    assert made["batches"] >= 5 and made["alone"] < 10  # those beside the two repeated ids


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ("raise KeyError(3)", r"make_batch\(\) failed in line [0-9]+: KeyError"),
        ("values = 7", r"make_batch\(\) must give a mapping"),
        ("del values['labels']", "of another kind than their field"),
        ("values['labels'] = values['labels'][1:]", "of another kind than their field"),
        ("values['labels'] = [1.5 for _ in values['labels']]", "of another kind"),
        ("values['mean_rgb'] = values['mean_rgb'].astype('f8')", r"got float64 \("),
        ("values['mean_rgb'] = values['mean_rgb'][:, 1:]", r"got float32 \("),
    ],
)
def test_what_a_stranger_makes_of_a_batch_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, what: str
) -> None:
    of = source(tmp_path, monkeypatch, [tiny.video(f"v{n:03}") for n in range(5)])
    mine = tmp_path / "mine.py"
    mine.write_text(MINE.format(body=body))
    monkeypatch.setattr(tfrecord, "BLOCK_BYTES", 1)
    with pytest.raises(PipelineError, match=what):
        pack(of, tmp_path / "out", pipeline=mine)


def test_a_batch_that_wants_more_care_is_made_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = source(tmp_path, monkeypatch, [tiny.video(f"v{n:03}", [n % 3]) for n in range(5)])
    packs = []
    for name, body in (("none", "return None"), ("all", "pass")):
        mine = tmp_path / f"{name}.py"
        mine.write_text(MINE.format(body=body))
        packs.append(pack(of, tmp_path / name, pipeline=mine))
    assert packs[0].digest == packs[1].digest


def test_a_batch_function_of_other_arguments_is_refused(tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(MINE.format(body="pass").replace("make_batch(batch)", "make_batch()"))
    with pytest.raises(PipelineError, match=r"no make_batch\(batch\)"):
        pipeline.load(mine)
    shipped = pipeline.load("video")
    assert shipped.make_batch and replace(shipped, make_batch=None).make_batch is None
