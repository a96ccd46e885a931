"""Records of YouTube-8M whose id came before."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from dsets import prepare, readers, store, verify
from dsets.pack import Pack
from dsets.readers import _cache, _index_file, _youtube8m_repeats
from tests.archive.records import written
from tests.readers import tiny_youtube8m as tiny
from tests.readers.adopted_youtube8m import adopted, read, source_of


@pytest.mark.parametrize("second", ["the same file", "another file"])
def test_a_record_whose_id_came_before_is_quarantined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, second: str
) -> None:
    given = tmp_path / "given"
    given.mkdir()
    (given / "vocabulary.csv").write_text(tiny.VOCABULARY)
    records = [tiny.video("one"), tiny.video("same"), tiny.video("two")]
    again = [tiny.video("six"), tiny.video("same", labels=[2])]
    if second == "the same file":
        written(given / "train00.tfrecord", records + again)
        place = "adopted-train3276@"
    else:
        written(given / "trainaa.tfrecord", records)
        written(given / "train00.tfrecord", again)
        place = "adopted-train3276@"
    found = adopted(tmp_path, monkeypatch, "video", given)
    source = source_of(found)
    samples = read(source)
    keys = [sample.key for sample in samples]
    assert keys[:-1] == ["one", "same", "two", "six"] and keys[-1].startswith(place)
    assert [key for piece in readers.keys(source) for key in piece] == keys
    assert readers.load("youtube8m").table(source)["key"].tolist() == keys
    reason = "an earlier record of the split has its id; expected each id once, got same"
    assert [str(one.problem) for one in samples if one.problem] == [reason]
    assert [one.key for one in readers.load("youtube8m").samples(source, [4, 1])] == [
        keys[4],
        "same",
    ]
    assert not verify.samples(source).ok
    made = prepare.plan(found, out=tmp_path / "packs")
    prepare.run(made)
    pack = Pack.open(made.packs[0].out)
    assert len(pack) == 4 and [one.reason for one in pack.index.quarantine] == [reason]
    _cache.DECODED.clear()
    monkeypatch.setattr(_youtube8m_repeats, "_found", None)  # the second time out of the store
    assert [sample.key for sample in read(source)] == keys


def test_damaged_notes_of_repeated_ids_are_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = adopted(tmp_path, monkeypatch, "video", tiny.files(tmp_path / "given"))
    source = source_of(found)
    keys = [sample.key for sample in read(source)]
    (kept,) = store.index("tinytube").glob("*-ids.columns")
    for column, value in (("shard", 2), ("shard", -1), ("row", None)):
        columns = {"shard": np.array([1], "<i4"), "row": np.array([0], "<i8")}
        columns[column] = columns[column][:0] if value is None else np.array([value], "<i4")
        files = [_index_file.identity(source.path(name)) for name in source.split.files[1:]]
        key = [1, hashlib.sha256(repr(files).encode()).hexdigest()]
        _index_file.write(kept, key, {}, columns)
        _cache.DECODED.clear()
        assert [sample.key for sample in read(source)] == keys
