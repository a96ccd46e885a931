"""What a reader refuses. Each test is one lie that a stranger's index, or folder, may tell."""

from __future__ import annotations

import copy
import json
import os
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsets.errors import PackError
from dsets.pack import Pack, digests, index
from dsets.pack.mapping import Mapped
from dsets.pack.rows import Rows

FIELD = ("name", "dtype", "shape", "layout", "classes")
FUZZ = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def sealed(table: dict) -> bytes:
    """An index with the digests that a liar would compute."""
    table = copy.deepcopy(table)
    statistics = table["statistics"]
    table["pack_digest"] = digests.digest(
        {
            "format": [table["format"]["major"], table["format"]["minor"]],
            "split": table["split"],
            "fields": [{name: field[name] for name in FIELD} for field in table["fields"]],
            "shards": [shard["sha256"] for shard in table["shards"]],
            "statistics": statistics and [statistics["field"], statistics["digest"]],
            "quarantine": [
                [bad["key"], bad["reason"], bad["sha256"]] for bad in table["quarantine"]
            ],
        }
    )
    table["provenance_digest"] = digests.digest([table["statistics_of"], table["provenance"]])
    return json.dumps(table).encode()


@pytest.fixture
def table(folder: Path) -> dict:
    return json.loads((folder / "index.json").read_bytes())


@pytest.fixture
def open_changed(folder: Path):
    """Change values of the index by path, seal it again, and open the pack."""

    def run(*changes: tuple[str, object]) -> Pack:
        table = json.loads((folder / "index.json").read_bytes())
        for path, value in changes:
            *parents, last = [int(step) if step.isdigit() else step for step in path.split(".")]
            target = table
            for step in parents:
                target = target[step]
            if value is ...:
                del target[last]
            else:
                target[last] = value
        (folder / "index.json").write_bytes(sealed(table))
        return Pack.open(folder)

    return run


def test_sealing_an_index_anew_changes_nothing(open_changed, original):
    assert open_changed().digest == Pack.open(original).digest


def test_reading_what_was_written_gives_the_same_index(opened):
    assert index.parse(index.render(opened.index), "here") == opened.index


def test_unknown_entries_and_minor_versions_are_ignored(open_changed):
    pack = open_changed(
        ("format.minor", 7),
        ("colour", {"deep": [1, 2.5]}),
        ("fields.0.unit", "lux"),
        ("shards.0.mirror", "elsewhere"),
        ("shards.0.datasets.image.chunks", None),
        ("provenance.more", [1]),
    )
    assert pack[3]["key"] == "train/00003"


def test_an_unknown_dataset_in_a_shard_is_ignored(open_changed):
    extra = {"offset": 4096, "length": 0, "dtype": "uint32", "shape": [0]}
    assert len(open_changed(("shards.0.datasets.later", extra))) == 10


E0 = "shards.0.datasets.image"
REFUSALS = {
    "unknown major": ([("format.major", 2)], "unknown format of pack; expected major version 1"),
    "old major": ([("format.major", 0)], "unknown format of pack"),
    "unlisted dtype": ([(f"{E0}.dtype", "object")], "unknown dtype; got 'object'"),
    "unlisted dtype of a field": ([("fields.0.dtype", "O")], "bad dtype"),
    "dtype of another size": ([(f"{E0}.dtype", "uint16")], "length is not that of its shape"),
    "dtype of the same size": ([(f"{E0}.dtype", "int8")], "another type or shape"),
    "path up": ([("shards.0.name", "../shard-00000.h5")], "bad value"),
    "path down": ([("shards.0.name", "sub/shard.h5")], "bad value"),
    "absolute path": ([("shards.0.name", "/etc/passwd")], "bad value"),
    "backslash": ([("shards.0.name", "a\\b.h5")], "bad value"),
    "dots": ([("shards.0.name", "..")], "bad value"),
    "NUL in a name": ([("shards.0.name", "a\0.h5")], "bad value"),
    "newline in a name": ([("shards.0.name", "shard-00000.h5\n")], "bad value"),
    "empty name": ([("shards.0.name", "")], "bad value"),
    "endless name": ([("shards.0.name", "a" * 300)], "bad value"),
    "statistics elsewhere": ([("statistics.name", "../statistics.h5")], "bad value"),
    "shard called index.json": ([("shards.0.name", "index.json")], "like another file"),
    "one shard twice": ([("shards.1.name", "shard-00000.h5")], "the same name twice"),
    "overlap": ([(f"{E0}.offset", 0)], "overlapping datasets"),  # moved below
    "beyond the end": ([(f"{E0}.offset", 2**40)], "reaches beyond its file"),
    "offset that would wrap": ([(f"{E0}.offset", 2**63 - 4096)], "reaches beyond its file"),
    "misaligned": ([(f"{E0}.offset", 20481)], "misaligned dataset"),
    "length of another shape": ([(f"{E0}.length", 239)], "length is not that of its shape"),
    "fewer rows than samples": (
        [(f"{E0}.shape", [3, 3, 4, 5]), (f"{E0}.length", 180)],
        "another type or shape",
    ),
    "shape in the wrong order": ([(f"{E0}.shape", [4, 4, 5, 3])], "another type or shape"),
    "enormous shape": ([(f"{E0}.shape", [2**62] * 16)], "length is not that of its shape"),
    "endless shape": ([(f"{E0}.shape", [1] * 17)], "at most 16 sizes"),
    "negative size": ([(f"{E0}.shape", [-4, -3, 4, 5])], "bad value"),
    "missing dataset": ([(E0, ...)], "missing dataset; expected image"),
    "missing checksum": ([("shards.0.datasets.checksum/image", ...)], "missing dataset"),
    "missing entry": ([("shards.0.bytes", ...)], "missing value"),
    "counts that don't add up": ([("samples", 11)], "expected 10, the sum over the shards"),
    "count of one shard": ([("shards.0.samples", 5), ("samples", 11)], "another type or shape"),
    "empty shard": ([("shards.0.samples", 0)], "bad value"),
    "no shard": ([("shards", []), ("samples", 0)], "expected at least one"),
    "no field": ([("fields", [])], "cannot be the fields"),
    "negative integer": ([("shards.0.bytes", -1)], "bad value"),
    "huge integer": ([("shards.0.bytes", 2**63)], "bad value"),
    "bool for an integer": ([("shards.0.samples", True)], "bad value"),
    "float for an integer": ([("shards.0.samples", 4.0)], "bad value"),
    "text for an integer": ([("shards.0.samples", "4")], "bad value"),
    "null for an integer": ([("shards.0.samples", None)], "bad value"),
    "bool in a shape": ([("fields.0.shape", [4, 5, True])], "bad value"),
    "float in a shape": ([(f"{E0}.shape", [4.0, 3, 4, 5])], "bad value"),
    "size zero": ([("fields.0.shape", [0, 5, 3])], "bad shape"),
    "list for an object": ([("provenance", [])], "expected an object"),
    "object for a list": ([("shards", {})], "expected a list"),
    "field of a reserved name": ([("fields.0.name", "key")], "cannot be the fields"),
    "two fields of one name": ([("fields.1.name", "image")], "cannot be the fields"),
    "field name with a slash": ([("fields.0.name", "a/b")], "bad field name"),
    "unknown layout": ([("fields.0.layout", "WHC")], "bad layout"),
    "classes of numbers": ([("fields.1.classes", [1, 2])], "a list of names"),
    "digest too short": ([("shards.0.sha256", "00")], "bad value"),
    "digest in capitals": ([("samples_digest", "A" * 64)], "bad value"),
    "lone surrogate": ([("split", "\ud800")], "bad value"),
    "statistics of a label": ([("statistics.field", "label")], "statistics of no image field"),
    "statistics of nothing": ([("statistics.field", "x")], "statistics of no image field"),
    "statistics of another size": (
        [("statistics.datasets.sum.shape", [5, 4, 3])],
        "another type or shape",
    ),
    "statistics beyond the end": (
        [("statistics.datasets.sum.offset", 2**30)],
        "reaches beyond its file",
    ),
    "one key quarantined twice": (
        [("quarantine", [{"key": "a", "reason": "b", "sha256": "0" * 64}] * 2)],
        "the same name twice",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_reader_refuses(open_changed, name):
    changes, message = REFUSALS[name]
    if name == "overlap":
        offset = open_changed().index.shards[0].datasets["label"].offset
        changes = [(f"{E0}.offset", offset)]
    with pytest.raises(PackError, match=message):
        open_changed(*changes)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("split", "pack_digest"),
        ("shards.1.sha256", "pack_digest"),
        ("provenance.dataset", "provenance_digest"),
        ("statistics_of", "provenance_digest"),
    ],
)
def test_a_digest_that_does_not_fit_is_refused(folder, table, path, name):
    target, last = table, path.split(".")
    for step in last[:-1]:
        target = target[int(step) if step.isdigit() else step]
    target[last[-1]] = "1" * 64
    (folder / "index.json").write_text(json.dumps(table))
    with pytest.raises(PackError, match=f"{name}: bad value"):
        Pack.open(folder)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not acceptable JSON"),
        (b"\xff\xfe", "not acceptable JSON"),
        (b"[]", "not a JSON object"),
        (b"null", "not a JSON object"),
        (b'{"a": 1, "a": 2}', "the same name twice in one object"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b'{"a": -Infinity}', "not JSON"),
        (b'{"a": 1e999}', "no finite number"),
        (b'{"a": 1} {"b": 2}', "not acceptable JSON"),
        (b"{}", "format: missing value"),
    ],
)
def test_json_with_tricks_is_refused(folder, data, message):
    (folder / "index.json").write_bytes(data)
    with pytest.raises(PackError, match=message):
        Pack.open(folder)


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_endless_nesting_is_refused(folder, opening):
    (folder / "index.json").write_bytes(opening * 100_000)
    with pytest.raises(PackError, match="not acceptable JSON"):
        Pack.open(folder)


def test_endless_digits_are_refused(folder):
    (folder / "index.json").write_bytes(b'{"a": ' + b"9" * 10_000 + b"}")
    with pytest.raises(PackError, match="not acceptable JSON"):
        Pack.open(folder)


def test_an_endless_index_is_refused_unparsed(folder):
    os.truncate(folder / "index.json", 2**40)  # sparse
    with pytest.raises(PackError, match="too big"):
        Pack.open(folder)


def test_a_folder_without_an_index_is_no_pack(tmp_path):
    for path in (tmp_path, tmp_path / "none", Path(__file__)):
        with pytest.raises(PackError, match="no pack here"):
            Pack.open(path)


def test_where_there_is_no_pack_those_below_and_beside_are_named(folder):
    for wrong, remedy in (
        (folder.parent, f"give {folder}"),
        (folder.with_name(folder.name[:-1]), f"did you mean {folder.name}"),
        (folder.parent / "nothing" / "like" / "it", "'dsets prepare' makes packs"),
        (folder / "index.json", "'dsets prepare' makes packs"),
    ):
        with pytest.raises(PackError, match="no pack here") as caught:
            Pack.open(wrong)
        assert remedy in str(caught.value)


def _shorten(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def _lengthen(path: Path) -> None:
    os.truncate(path, path.stat().st_size + 1)


def _link_out(path: Path) -> None:
    path.rename(path.parent.parent / "outside.h5")
    path.symlink_to("../outside.h5")


def _link_in(path: Path) -> None:
    path.rename(path.with_name("other.h5"))
    path.symlink_to("other.h5")


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("name", ["shard-00001.h5", "statistics.h5"])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (Path.unlink, "cannot be read"),
        (_shorten, "another size than the index says"),
        (_lengthen, "another size than the index says"),
        (_link_out, "not a plain file"),
        (_link_in, "not a plain file"),
        (_pipe, "not a plain file"),
        (_folder, "not a plain file"),
    ],
)
def test_a_file_that_is_not_what_the_index_means_is_refused_at_open(folder, name, damage, message):
    damage(folder / name)
    with pytest.raises(PackError, match=message):
        Pack.open(folder)


def test_an_index_that_is_no_plain_file_is_refused_without_waiting_for_it(folder):
    (folder / "index.json").unlink()
    os.mkfifo(folder / "index.json")
    with pytest.raises(PackError):
        Pack.open(folder)


def test_a_shard_cut_after_open_is_refused_before_it_is_mapped(folder):
    pack = Pack.open(folder)
    _shorten(folder / "shard-00000.h5")
    with pytest.raises(PackError, match="another size"):
        pack[0]
    assert pack[4]["key"] == "träin/00004"


def overwrite(folder: Path, dataset: str, values: np.ndarray) -> Pack:
    """Put other values into a dataset of the first shard."""
    with (folder / "shard-00000.h5").open("r+b") as file:
        file.seek(Pack.open(folder).index.shards[0].datasets[dataset].offset)
        file.write(values.tobytes())
    return Pack.open(folder)


@pytest.mark.parametrize("name", ["jpeg", "key"])
@pytest.mark.parametrize("change", [(0, 1), (2, 2**64 - 1), (3, 2**63), (4, 0), (4, "one more")])
def test_offsets_that_fall_or_lead_outside_are_refused(folder, name, change):
    row, value = change
    offsets = Pack.open(folder).arrays(f"offsets/{name}")[0].copy()
    offsets[row] = offsets[row] + 1 if value == "one more" else value
    pack = overwrite(folder, f"offsets/{name}", offsets)
    with pytest.raises(PackError, match=f"offsets/{name}: offsets that fall or lead outside"):
        pack[0]


@pytest.mark.parametrize("shape", [[9, 9, 9], [2, 2**32 - 1, 2**32 - 1], [3, 1, 0]])
def test_a_shape_that_is_not_that_of_the_bytes_is_refused(folder, shape):
    shapes = Pack.open(folder).arrays("shape/mask")[0].copy()
    shapes[1] = shape
    pack = overwrite(folder, "shape/mask", shapes)
    pack[0]
    with pytest.raises(PackError, match="a value of another size than its shape"):
        pack[1]


def test_a_key_that_is_no_text_is_refused(folder):
    pack = overwrite(folder, "key", np.array([255], np.uint8))
    with pytest.raises(PackError, match="a key is not UTF-8"):
        pack.keys([0])
    with pytest.raises(PackError, match=r"shard-00000\.h5, key, sample 0: damaged sample"):
        pack[0]
    assert pack[1]["key"] == "train/00001"


def paths(value: object, prefix: tuple = ()) -> list[tuple]:
    """Where every value of a JSON tree stands."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    found = []
    for name, item in items:
        found.append((*prefix, name))
        if isinstance(item, dict | list):
            found += paths(item, (*prefix, name))
    return found


numbers = st.integers() | st.sampled_from([0, 1, 4096, 2**31, 2**32, 2**63 - 1, 2**64])
anything = st.recursive(
    st.none() | st.booleans() | numbers | st.floats(allow_nan=False, allow_infinity=False)
    | st.text() | st.sampled_from(["uint8", "../x", "bool", "image", "shard-00002.h5"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=6,
)  # fmt: skip


def read_all(folder: Path) -> None:
    pack = Pack.open(folder)
    for number in range(len(pack)):
        pack[number]
        pack.check(number)
    pack[:]
    assert pack.statistics is None or pack.statistics.images


@FUZZ
@given(data=st.data())
def test_whatever_an_index_says_only_pack_errors_escape(folder, original, data):
    table = json.loads((original / "index.json").read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        *parents, last = data.draw(st.sampled_from(paths(table)))
        target = table
        for step in parents:
            target = target[step]
        if data.draw(st.booleans()) and isinstance(target, dict) and len(parents) > 0:
            del target[last]
        else:
            target[last] = data.draw(anything)
    try:
        written = sealed(table)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        written = json.dumps(table).encode()
    (folder / "index.json").write_bytes(written)
    with suppress(PackError):
        read_all(folder)


@FUZZ
@given(
    place=st.floats(0, 1, exclude_max=True),
    junk=st.binary(min_size=1, max_size=4),
    cut=st.integers(0, 20),
)
def test_whatever_bytes_an_index_has_only_pack_errors_escape(folder, original, place, junk, cut):
    data = (original / "index.json").read_bytes()
    start = int(place * len(data))
    (folder / "index.json").write_bytes(data[:start] + junk + data[start + cut :])
    with suppress(PackError):
        read_all(folder)


def test_offsets_that_storage_does_not_give_are_told_as_that(folder):
    """And not as damage, which the shard has none of."""
    pack = Pack.open(folder)
    shard, name = pack.index.shards[0], folder / "shard-00000.h5"
    before, data = name.stat(), name.read_bytes()
    file = Mapped(name, shard.bytes)
    os.truncate(name, 0)
    assert not any(file.memory)  # zeros, as from storage that does not answer
    name.write_bytes(data)
    os.utime(name, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(PackError, match=r"shard-00000\.h5, offsets/\w+: its storage does not"):
        Rows(shard, file.memory, file).check(pack.fields)
