from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsets import pack
from dsets.field import Field
from dsets.pack import Pack, Statistics, index
from dsets.progress import Event

FILES = ("index.json", "statistics.h5", "shard-00000.h5", "shard-00001.h5", "shard-00002.h5")


def flip(path: Path, bit: int) -> None:
    with path.open("r+b") as file:
        file.seek(bit // 8)
        (byte,) = file.read(1)
        file.seek(bit // 8)
        file.write(bytes([byte ^ 1 << bit % 8]))


def samples_at(original: Path, name: str, place: int) -> set[tuple[str, int]]:
    """The (field, sample) whose data holds a byte of a shard; nothing for all else."""
    opened = Pack.open(original)
    number = next(n for n, shard in enumerate(opened.index.shards) if shard.name == name)
    shard, start = opened.index.shards[number], int(opened.starts[number])
    for field in (*opened.fields, Field("key", "uint8", (None,))):
        extent = shard.datasets[field.name]
        if extent.offset <= place < extent.offset + extent.length:
            within = (place - extent.offset) // np.dtype(field.dtype).itemsize
            if field.fixed:
                row = within * shard.samples // int(np.prod(extent.shape))
            else:
                offsets = opened.arrays(f"offsets/{field.name}")[number]
                row = int(np.searchsorted(offsets, within, side="right")) - 1
            return {(field.name, start + row)}
    return set()


def test_a_whole_pack_has_no_problem(original):
    assert pack.verify(original) == []
    assert pack.verify(original, deep=True) == []


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(name=st.sampled_from(FILES), data=st.data())
def test_one_flipped_bit_anywhere_is_reported_and_located(folder, original, name, data):
    whole = (original / name).read_bytes()
    places = st.integers(0, len(whole) - 1)
    if name.startswith("shard"):  # most of a tiny shard is padding: look into the datasets as well
        shard = next(shard for shard in Pack.open(original).index.shards if shard.name == name)
        extents = st.sampled_from([e for e in shard.datasets.values() if e.length])
        places |= extents.flatmap(lambda e: st.integers(e.offset, e.offset + e.length - 1))
    place = data.draw(places)
    flip(folder / name, 8 * place + data.draw(st.integers(0, 7)))
    try:
        problems = pack.verify(folder)
        assert problems
        named = {problem.file for problem in problems}
        if name == "index.json":  # the bit may be one of a shard's name: no such file is there
            named = {file for file in named if (folder / file).exists()}
            named.discard("statistics.h5")  # or of what it says of them, which no digest is over
        assert named <= {name, "index.json"}
        if name.startswith("shard"):
            expected = samples_at(original, name, place)
            found = {(problem.field, problem.sample) for problem in problems}
            assert expected <= found
            assert not expected or all(problem.file == name for problem in problems)
    finally:
        (folder / name).write_bytes(whole)


def test_a_flipped_pixel_is_named_by_shard_field_sample_and_key(folder):
    extent = Pack.open(folder).index.shards[1].datasets["image"]
    flip(folder / "shard-00001.h5", 8 * (extent.offset + 3 * 60 + 17))
    (problem,) = pack.verify(folder)
    assert (problem.file, problem.field, problem.sample) == ("shard-00001.h5", "image", 7)
    assert problem.key == "train/00007"
    assert str(problem).startswith("shard-00001.h5, image, sample 7 (key 'train/00007'): damaged")


def test_damage_to_hdf5_itself_is_called_that(folder):
    flip(folder / "shard-00002.h5", 8 * 1)
    (problem,) = pack.verify(folder)
    assert problem.file == "shard-00002.h5"
    assert problem.sample is None
    assert "damaged HDF5 metadata or padding" in problem.message


def test_a_missing_a_cut_and_a_linked_shard_are_each_reported(folder):
    (folder / "shard-00000.h5").unlink()
    os.truncate(folder / "shard-00001.h5", 5000)
    (folder / "shard-00002.h5").rename(folder / "elsewhere")
    (folder / "shard-00002.h5").symlink_to("elsewhere")
    problems = pack.verify(folder)
    assert [problem.file for problem in problems] == [f"shard-{n:05}.h5" for n in range(3)]


def test_an_index_that_cannot_be_read_is_the_one_problem(folder, tmp_path):
    (folder / "index.json").write_text("{}")
    assert [problem.file for problem in pack.verify(folder)] == ["index.json"]
    assert [problem.file for problem in pack.verify(tmp_path / "none")] == ["index.json"]


def test_no_problem_names_its_file_twice(folder, tmp_path):
    (folder / "shard-00000.h5").unlink()
    os.truncate(folder / "shard-00001.h5", 5000)
    flip(folder / "statistics.h5", 8 * 500)
    problems = pack.verify(folder)
    assert len(problems) == 3
    (folder / "index.json").write_text('{"format": {"major": 1, "minor": 0}}')
    problems += pack.verify(folder)
    problems += pack.verify(tmp_path / "none")
    assert problems[-1].finding.startswith("no pack here")
    assert [str(problem).count(problem.file) for problem in problems[:-1]] == [1] * 4
    assert not any(str(folder) in str(problem) for problem in problems)


def test_an_index_that_says_the_same_in_other_bytes_was_changed(folder):
    table = json.loads((folder / "index.json").read_bytes())
    (folder / "index.json").write_text(json.dumps(table))
    (problem,) = pack.verify(folder)
    assert "it was changed" in problem.message


def test_places_that_are_not_those_of_hdf5_are_reported(folder):
    text = (folder / "index.json").read_text()
    shard = json.loads(text)["shards"][0]["datasets"]
    here, there = shard["checksum/image"]["offset"], shard["checksum/key"]["offset"]
    swapped = text.replace(f'"offset": {here},', '"offset": here,', 1)
    swapped = swapped.replace(f'"offset": {there},', f'"offset": {here},', 1)
    swapped = swapped.replace('"offset": here,', f'"offset": {there},', 1)
    (folder / "index.json").write_text(swapped)
    problems = pack.verify(folder)
    assert any("checksum/image lies elsewhere" in problem.message for problem in problems)


def _pack(folder: Path, keys: list[str], samples_digest: str, statistics: Statistics) -> Path:
    fields = (Field("image", "uint8", (2, 2, 1)),)
    images = np.arange(4 * len(keys), dtype=np.uint8).reshape(-1, 2, 2, 1)
    shards = [
        pack.shard.write(folder / f"s{n}.h5", fields, [key], {"image": images[n : n + 1]})
        for n, key in enumerate(keys)
    ]
    pack.finish(
        folder,
        split="train",
        fields=fields,
        shards=shards,
        statistics=statistics,
        statistics_of=None,
        quarantine=[],
        samples_digest=samples_digest,
        provenance={},
    )
    return folder


ZEROS = Statistics.of(np.zeros((2, 2, 2, 1), np.uint8))


def test_a_key_that_repeats_in_another_shard_is_reported(tmp_path):
    folder = _pack(tmp_path, ["a", "a"], pack.samples_digest(["a", "a"]), ZEROS)
    (problem,) = pack.verify(folder)
    assert (problem.sample, problem.key) == (1, "a")
    assert problem.message == "the key of sample 0 again"


def test_a_samples_digest_of_other_keys_is_reported(tmp_path):
    folder = _pack(tmp_path, ["a", "b"], pack.samples_digest(["b", "a"]), ZEROS)
    (problem,) = pack.verify(folder)
    assert "the samples digest is not that of the keys" in problem.message


def test_statistics_of_other_pixels_are_found_by_looking_deep(tmp_path):
    folder = _pack(tmp_path, ["a", "b"], pack.samples_digest("ab"), ZEROS)
    assert pack.verify(folder) == []
    (problem,) = pack.verify(folder, deep=True)
    assert problem.message == "they are not those of the pixels in the shards"


def test_statistics_of_another_number_of_images_are_reported(tmp_path):
    one = Statistics.of(np.zeros((1, 2, 2, 1), np.uint8))
    folder = _pack(tmp_path, ["a", "b"], pack.samples_digest("ab"), one)
    (problem,) = pack.verify(folder)
    assert problem.message == "they count 1 images of 2 samples"


def test_a_shard_that_hdf5_cannot_open_is_reported_though_its_sha256_fits(folder):
    flip(folder / "shard-00000.h5", 8 * 1)  # in HDF5's signature
    sha256 = hashlib.sha256((folder / "shard-00000.h5").read_bytes()).hexdigest()
    content = index.read(folder)
    first, *others = content.shards
    shards = (dataclasses.replace(first, sha256=sha256), *others)
    index.write(folder, dataclasses.replace(content, shards=shards))
    (problem,) = pack.verify(folder)
    assert problem.file == "shard-00000.h5"
    assert "damaged HDF5 metadata" in problem.message


def test_framing_keeps_different_lists_of_keys_apart():
    lists = [["ab", "c"], ["a", "bc"], ["abc"], [], [""], ["", ""], ["c", "ab"]]
    assert len({pack.samples_digest(keys) for keys in lists}) == len(lists)


def test_progress_counts_every_byte(original):
    events: list[Event] = []
    pack.verify(original, events.append)
    total = sum(path.stat().st_size for path in original.glob("*.h5"))
    assert [event.done for event in events] == sorted(event.done for event in events)
    assert (events[0].done, events[-1].done, events[-1].finished) == (0, total, True)
    assert {event.total for event in events} == {total}
