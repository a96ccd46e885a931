"""Every kind of feature, packed or not; by the extension and by protobuf, with equal results."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dsets import extension
from dsets.archive import example as examples
from dsets.archive import tfrecord
from dsets.archive.example import Parsed
from dsets.errors import DataError
from tests.archive import records
from tests.archive.records import feature, field, varint

SHARED = Path(__file__).parents[3] / "shared" / "data" / "tfrecord"
INTS = st.lists(st.integers(-(2**63), 2**63 - 1), max_size=6)
VALUES = st.one_of(
    st.none(),
    st.lists(st.binary(max_size=200), max_size=5),
    INTS.map(lambda numbers: np.array(numbers, np.int64)),
    st.lists(st.floats(width=32), max_size=6).map(lambda numbers: np.array(numbers, np.float32)),
)
NAMES = st.text(max_size=8).filter(lambda text: text.isprintable())
FEATURES = st.dictionaries(NAMES, VALUES, max_size=6)
FRAMES = st.one_of(
    st.lists(st.binary(min_size=3, max_size=3).map(lambda one: [one]), max_size=5),
    st.lists(VALUES, max_size=4),
)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        one, other = np.asarray(one), np.asarray(other)
        return one.dtype == other.dtype and one.tobytes() == other.tobytes()
    if isinstance(one, list) and one and not isinstance(one[0], bytes):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def alike(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)


def both(data: bytes, names: list[str], lists: list[str] | None = None) -> Parsed | DataError:
    """What the extension makes of a record, after comparing it with what protobuf makes of it."""
    bounds = np.array([1, 1 + len(data)], np.int64)
    (fast,) = examples.several(b"_" + data + b"_", bounds, names, lists)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(extension, "native", None)
        (plain,) = examples.several(b"_" + data + b"_", bounds, names, lists)
    if isinstance(plain, DataError):
        assert isinstance(fast, DataError) and str(fast) == str(plain)
    else:
        assert isinstance(fast, Parsed)
        assert alike(fast.features, plain.features) and alike(fast.lists, plain.lists)
    return fast


@given(FEATURES, st.booleans())
@example({"a": np.array([], np.float32), "b": [], "c": np.array([], np.int64), "d": None}, True)
def test_every_kind_of_feature(features: dict[str, Any], packed: bool) -> None:
    data = records.example(features, packed=packed)
    assert alike(examples.example(data), features)
    found = both(data, [*features, "absent"])
    assert isinstance(found, Parsed)
    kept = {name: value for name, value in features.items() if value is not None}
    assert alike(found.features, kept)


@given(FEATURES, st.dictionaries(NAMES, FRAMES, max_size=4))
def test_every_kind_of_feature_list(context: dict[str, Any], lists: dict[str, Any]) -> None:
    data = records.sequence(context, lists)
    found_context, found_lists = examples.sequence(data)
    assert alike(found_context, context) and alike(found_lists, lists)
    found = both(data, [*context, "absent"], [*lists, "absent"])
    assert isinstance(found, Parsed)
    for name, frames in lists.items():
        uniform = frames and all(isinstance(one, list) and len(one) == 1 for one in frames)
        if uniform and len({len(one[0]) for one in frames}) == 1:
            assert isinstance(found.lists[name], np.ndarray)
            assert [row.tobytes() for row in np.asarray(found.lists[name])] == [
                one[0] for one in frames
            ]


@given(st.data())
def test_damaged_bytes_are_read_as_protobuf_reads_them(data: st.DataObject) -> None:
    whole = records.sequence(
        {"id": [b"abcd"], "labels": np.array([1, -2], np.int64), "f": np.ones(2, np.float32)},
        {"rgb": [[b"12"], [b"34"]]},
    )
    broken = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 3))):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(broken[: data.draw(st.integers(0, len(broken)))])
    for one in (bytes(broken), cut):
        both(one, ["id", "labels", "f"], ["rgb"])
        both(one, ["id", "labels", "f"])


@given(st.binary(max_size=60))
def test_any_bytes_are_read_as_protobuf_reads_them(data: bytes) -> None:
    both(data, ["a", "id"], ["rgb"])


def test_what_only_protobuf_knows_how_to_join() -> None:
    """Two lists of one feature, two Features of one Example, a name twice, unknown fields."""
    pieces = field(2, field(1, np.float32(1).tobytes()) + field(1, np.float32(2).tobytes()))
    one = field(1, records._map({"x": pieces, "y": feature(np.array([7], np.int64))}))
    two = field(1, records._map({"y": feature([b"last"])}))
    unknown = varint(9 << 3) + varint(300)
    found = both(one + two + unknown, ["x", "y"])
    assert isinstance(found, Parsed)
    assert found.features["x"].tolist() == [1.0, 2.0]  # type: ignore[union-attr]
    assert found.features["y"] == [b"last"]


@pytest.mark.parametrize("first", [True, False])
def test_packed_and_unpacked_numbers_mixed(first: bool) -> None:
    packed = field(1, np.array([1, 2], "<f4").tobytes())
    single = varint(1 << 3 | 5) + np.float32(3).tobytes()
    mixed = packed + single if first else single + packed
    found = both(field(1, records._map({"x": field(2, mixed)})), ["x"])
    assert isinstance(found, Parsed)
    expected = [1.0, 2.0, 3.0] if first else [3.0, 1.0, 2.0]
    assert found.features["x"].tolist() == expected  # type: ignore[union-attr]


def test_floats_cut_within_a_number_are_no_example() -> None:
    data = field(1, records._map({"x": field(2, field(1, b"12345"))}))
    assert isinstance(both(data, ["x"]), DataError)
    with pytest.raises(DataError, match=r"no tf\.train\.Example"):
        examples.example(data)


def test_more_names_than_the_extension_takes() -> None:
    features = {f"f{n}": np.array([n], np.int64) for n in range(100)}
    found = both(records.example(features), list(features))
    assert isinstance(found, Parsed) and alike(found.features, features)


def test_several_records_in_one_go() -> None:
    good = records.example({"id": [b"a"]})
    data = good + b"\xff" + good
    bounds = np.array([0, len(good), len(good), len(good) + 1, len(good) + 1, len(data)], np.int64)
    found = list(examples.several(data, bounds, ["id"]))
    assert [type(one) for one in found] == [Parsed, DataError, Parsed]


def test_what_tensorflow_wrote() -> None:
    if not SHARED.is_dir():
        pytest.skip("no shared data here")
    read = [*tfrecord.records(SHARED / "example.tfrecord")]
    ten = np.arange(10)
    for number, data in enumerate(read):
        found = examples.example(data)
        assert same(found["x_float"], (ten + 10 * number).astype(np.float32))
        assert same(found["x_int"], (ten + 10 * number) * 10)
        assert found["x_byte"] == [b"test str"]
        assert isinstance(both(data, list(found)), Parsed)
    for number, data in enumerate(tfrecord.records(SHARED / "sequence_example.tfrecord")):
        context, lists = examples.sequence(data)
        assert same(context["x_int"], (ten + 10 * number) * 10)
        assert {len(frames) for frames in lists.values()} == {3 + 2 * number}
        assert isinstance(both(data, list(context), list(lists)), Parsed)


def test_a_list_of_floats_with_nothing_but_unknown_fields_is_empty() -> None:
    """Its one value carries a field number that no FloatList has."""
    floats = b"\x12\x05" + b"\x2d\x00\x00\x80\x3f"  # Feature 2: fixed32 field 5
    feature = b"\x12" + bytes([len(floats)]) + floats
    entry = b"\x0a\x01f" + feature
    features = b"\x0a" + bytes([len(entry)]) + entry
    record = b"\x0a" + bytes([len(features)]) + features
    found = examples.example(record)["f"]
    assert isinstance(found, np.ndarray) and found.dtype == np.float32 and found.size == 0


KINDS = {"id": "u1", "labels": "i8", "mean": "f4"}
FITTING = st.fixed_dictionaries(
    {},
    optional={
        "id": st.binary(max_size=9).map(lambda one: [one]),
        "labels": INTS.map(lambda numbers: np.array(numbers, np.int64)),
        "mean": st.lists(st.floats(width=32), max_size=4).map(
            lambda numbers: np.array(numbers, np.float32)
        ),
    },
)
ODD = st.fixed_dictionaries({}, optional=dict.fromkeys(KINDS, VALUES))
RECORDS = st.one_of(
    st.tuples(FITTING, st.booleans()).map(lambda one: records.example(one[0], packed=one[1])),
    ODD.map(records.example),
    st.binary(max_size=40),
)


@given(st.lists(RECORDS, max_size=6), st.booleans())
def test_columns_have_what_each_record_has(many: list[bytes], native: bool) -> None:
    data = b"".join(many)
    edges = np.cumsum([0, *map(len, many)], dtype=np.int64)
    bounds = np.stack([edges[:-1], edges[1:]], 1).reshape(-1)
    with pytest.MonkeyPatch.context() as patch:
        if not native:
            patch.setattr(extension, "native", None)
        found, others = examples.columns(data, bounds, KINDS)
    for number, one in enumerate(examples.several(data, bounds, list(KINDS))):
        row = {
            name: column.values[column.ends[number - 1] if number else 0 : column.ends[number]]
            for name, column in found.items()
        }
        if number in others:
            other = others[number]
            assert not any(map(len, row.values()))
            if isinstance(one, DataError):
                assert isinstance(other, DataError) and str(other) == str(one)
            else:
                assert isinstance(other, Parsed) and alike(other.features, one.features)
                assert not fits(one)
            continue
        assert isinstance(one, Parsed) and fits(one)
        for name, kind in KINDS.items():
            value = one.features.get(name, np.empty(0, kind))
            expected = value[0] if isinstance(value, list) else np.asarray(value).tobytes()
            assert row[name].dtype == kind and row[name].tobytes() == expected


def fits(parsed: Parsed) -> bool:
    return all(
        name == "id" and len(value) == 1
        if isinstance(value, list)
        else isinstance(value, np.ndarray) and value.dtype == KINDS[name]
        for name, value in parsed.features.items()
    )


def test_rows_of_a_column() -> None:
    whole = examples.Column(np.arange(6), np.array([2, 4, 6])).rows()
    assert whole is not None and whole.tolist() == [[0, 1], [2, 3], [4, 5]]
    assert examples.Column(np.arange(6), np.array([2, 3, 6])).rows() is None
    nothing = examples.Column(np.empty(0, np.int64), np.empty(0, np.int64)).rows()
    assert nothing is not None and nothing.shape == (0, 0)


@pytest.mark.skipif(extension.native is None, reason="the C extension is not built")
@pytest.mark.parametrize(
    ("places", "kind", "size"),
    [
        ([0, 9], 1, 8),
        ([-1, 3], 1, 4),
        ([3, 2], 1, 0),
        ([0, 4], 1, 3),
        ([0, 4], 1, 5),
        ([0, 8], 3, 48),
        ([0, 1], 3, 8),
        ([0, 1], 7, 1),
    ],
)
def test_the_kernel_refuses_what_does_not_fit(places: list[int], kind: int, size: int) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        extension.native.example_values(
            b"\xff" + b"\x01" * 7, np.array(places, np.int64), kind, np.zeros(size, np.uint8)
        )
