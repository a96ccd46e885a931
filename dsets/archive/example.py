"""tf.train.Example and tf.train.SequenceExample, parsed without TensorFlow.

    message Example         { Features features = 1; }
    message SequenceExample { Features context = 1; FeatureLists feature_lists = 2; }
    message Features        { map<string, Feature> feature = 1; }
    message FeatureLists    { map<string, FeatureList> feature_list = 1; }
    message FeatureList     { repeated Feature feature = 1; }
    message Feature         { oneof kind { BytesList, FloatList, Int64List = 1, 2, 3; } }
    message …List           { repeated bytes, float, int64 value = 1; }

(tensorflow/core/example/example.proto and feature.proto.) A feature is a list of bytes, a float32
array, an int64 array, or None where its kind was never set. What protobuf says of the bytes is
right; the extension reads what writers write faster, and leaves the rest to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from dsets import extension
from dsets.errors import DataError

Value: TypeAlias = "list[bytes] | npt.NDArray[np.float32] | npt.NDArray[np.int64] | None"

T = TypeVar("T")

_BYTES, _FLOATS, _INTS, _FRAMES = 1, 2, 3, 4  # kinds of a span, as native/example.c has them
_CODES = {np.dtype(np.uint8): _BYTES, np.dtype(np.float32): _FLOATS, np.dtype(np.int64): _INTS}
_MOST_NAMES = 64


class Parsed(NamedTuple):
    """The values of one record by name, without those that it has not, or has without a kind.

    A feature list is uint8 (frames, bytes) where each frame is one byte string and all are of one
    length; else a list of features.
    """

    features: dict[str, Value]
    lists: dict[str, npt.NDArray[np.uint8] | list[Value]]


class Column(NamedTuple):
    """One feature of many records: record i has ``values[ends[i - 1] : ends[i]]``.

    values: uint8 (the bytes of one string), float32 or int64; ends: int64 (n,).
    """

    values: npt.NDArray[Any]
    ends: npt.NDArray[np.int64]

    def rows(self) -> npt.NDArray[Any] | None:
        """The values as (n, width), where every record has as many of them; else None."""
        count = len(self.ends)
        width = len(self.values) // count if count else 0
        alike = bool((self.ends == np.arange(1, count + 1) * width).all())
        return self.values.reshape(count, width) if alike else None


class Columns(NamedTuple):
    """``columns`` by name; ``others`` are the records that do not fit into them, by number.

    A record without a feature has no values in its column, and one of the others has none in any.
    """

    columns: dict[str, Column]
    others: dict[int, Parsed | DataError]


def example(data: bytes) -> dict[str, Value]:
    """Every feature of a serialized Example by name.

    Raises:
        DataError: it is none.
    """
    return _parsed("Example", data, lambda message: _all(message.features))


def sequence(data: bytes) -> tuple[dict[str, Value], dict[str, list[Value]]]:
    """The context's features, and the feature lists, of a serialized SequenceExample by name.

    Raises:
        DataError: it is none.
    """

    def take(message: Any) -> tuple[dict[str, Value], dict[str, list[Value]]]:
        lists = message.feature_lists.feature_list.items()
        return _all(message.context), {
            name: list(map(_value, those.feature)) for name, those in lists
        }

    return _parsed("SequenceExample", data, take)


def several(
    data: bytes,
    bounds: npt.NDArray[np.int64],
    features: Sequence[str],
    lists: Sequence[str] | None = None,
) -> Iterator[Parsed | DataError]:
    """Of each record ``data[bounds[2 * i] : bounds[2 * i + 1]]``, the values of these names.

    The records are Examples; where ``lists`` are named, SequenceExamples. A record that is none
    gives an error in its place.
    """
    names = [*features, *(lists or ())]
    spans = _spans(data, bounds, features, lists)
    for number, (start, end) in enumerate(bounds.reshape(-1, 2).tolist()):
        if spans is not None and spans[number] is not None:
            yield _picked(data, names, len(features), spans[number])
            continue
        try:
            yield _asked(data[start:end], features, lists)
        except DataError as error:
            yield error


def columns(
    data: bytes, bounds: npt.NDArray[np.int64], kinds: Mapping[str, npt.DTypeLike]
) -> Columns:
    """The same of Examples as columns, without an object a record; it is several times as fast.

    ``kinds``: what each name is, uint8 (one byte string), float32 or int64. A record that has
    another kind there, or is no Example, is among the others.
    """
    names = list(kinds)
    codes = [_CODES[np.dtype(kind)] for kind in kinds.values()]
    found = _native_spans(data, bounds, names, None)
    if found is None:
        return _columns_of(list(several(data, bounds, names)), kinds)
    spans, good = found
    fit = good.astype(bool)
    for place, code in enumerate(codes):
        kind, count = spans[:, place, 0], spans[:, place, 1]
        fit &= (kind == 0) | ((kind == code) & ((code != _BYTES) | (count == 1)))
    numbers = np.flatnonzero(~fit)
    others: dict[int, Parsed | DataError] = {}
    if len(numbers):
        spans[numbers] = 0
        those = bounds.reshape(-1, 2)[numbers].reshape(-1)
        others = dict(zip(numbers.tolist(), several(data, those, names), strict=True))
        if any(isinstance(one, Parsed) and _row(one, kinds) for one in others.values()):
            # Written as few writers do, so that only protobuf followed it; what it says does fit.
            return _columns_of(list(several(data, bounds, names)), kinds)
    made: dict[str, Column] = {}
    for place, (name, code) in enumerate(zip(names, codes, strict=True)):
        sizes = spans[:, place, 3] - spans[:, place, 2] if code == _BYTES else spans[:, place, 1]
        ends = np.cumsum(sizes, dtype=np.int64)
        values = np.empty(int(ends[-1]) if len(ends) else 0, kinds[name])
        extension.native.example_values(
            data, np.ascontiguousarray(spans[:, place, 2:4]), code, values
        )
        made[name] = Column(values, ends)
    return Columns(made, others)


def _columns_of(found: list[Parsed | DataError], kinds: Mapping[str, npt.DTypeLike]) -> Columns:
    """Columns of what was parsed one by one."""
    lists: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in kinds}
    others: dict[int, Parsed | DataError] = {}
    for number, parsed in enumerate(found):
        row = None if isinstance(parsed, DataError) else _row(parsed, kinds)
        if row is None:
            others[number] = parsed
        for name, kind in kinds.items():
            lists[name].append(np.empty(0, kind) if row is None else row[name])
    return Columns(
        {
            name: Column(
                np.concatenate([np.empty(0, kinds[name]), *arrays]),
                np.cumsum([len(one) for one in arrays], dtype=np.int64),
            )
            for name, arrays in lists.items()
        },
        others,
    )


def _row(parsed: Parsed, kinds: Mapping[str, npt.DTypeLike]) -> dict[str, npt.NDArray[Any]] | None:
    """The features as arrays of these kinds, or None where one is of another."""
    row = {}
    for name, kind in kinds.items():
        value: Any = parsed.features.get(name)
        if isinstance(value, list) and len(value) == 1:
            value = np.frombuffer(value[0], np.uint8)
        if value is None:
            value = np.empty(0, kind)
        if not isinstance(value, np.ndarray) or value.dtype != kind:
            return None
        row[name] = value
    return row


def _spans(
    data: bytes, bounds: npt.NDArray[np.int64], features: Sequence[str], lists: Sequence[str] | None
) -> list[Any] | None:
    """Of each record the spans of the names, or None for what is left to protobuf."""
    found = _native_spans(data, bounds, features, lists)
    if found is None:
        return None
    spans, good = found
    kept: list[Any] = spans.tolist()
    for number in np.flatnonzero(good == 0).tolist():
        kept[number] = None
    return kept


def _native_spans(
    data: bytes, bounds: npt.NDArray[np.int64], features: Sequence[str], lists: Sequence[str] | None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]] | None:
    """Of each record kind, count, start, end and size of the names, and whether it was followed.

    None where the extension is not there, or does not take such names.
    """
    names = [*features, *(lists or ())]
    odd = len(names) > _MOST_NAMES or not all(name.isascii() and "\n" not in name for name in names)
    if extension.native is None or odd or not names:
        return None
    count = len(bounds) // 2
    spans = np.empty((count, len(names), 5), np.int64)
    good = np.empty(count, np.uint8)
    extension.native.example_spans(
        data,
        bounds,
        lists is not None,
        _lines(features),
        _lines(lists),
        spans,
        good,
    )
    return spans, good


def _lines(names: Sequence[str] | None) -> bytes:
    return "".join(f"{name}\n" for name in names or ()).encode()


def _picked(data: bytes, names: Sequence[str], features: int, spans: Sequence[Any]) -> Parsed:
    """The values at these spans."""
    parsed = Parsed({}, {})
    for place, (kind, count, start, end, size) in enumerate(spans):
        if kind == _FRAMES:
            frames = np.empty((count, size), np.uint8)
            extension.native.example_frames(data, start, end, count, frames)
            parsed.lists[names[place]] = frames
        elif place >= features and kind:
            parsed.lists[names[place]] = _parsed(
                "FeatureList", data[start:end], lambda one: _uniform(list(map(_value, one.feature)))
            )
        elif kind == _FLOATS:
            values = np.frombuffer(data, "<f4", count, start) if count else np.empty(0, "<f4")
            parsed.features[names[place]] = values
        elif kind == _INTS:
            numbers = np.empty(count, np.int64)
            extension.native.example_ints(data, start, end, numbers)
            parsed.features[names[place]] = numbers
        elif kind == _BYTES:
            parsed.features[names[place]] = (
                [data[start:end]]
                if count == 1
                else list(_classes(False)["BytesList"].FromString(data[start:end]).value)
            )
    return parsed


def _uniform(values: list[Value]) -> npt.NDArray[np.uint8] | list[Value]:
    if not values or not all(isinstance(one, list) and len(one) == 1 for one in values):
        return values
    frames: list[bytes] = [one[0] for one in values if isinstance(one, list)]
    if len({len(one) for one in frames}) > 1:
        return values
    return np.frombuffer(b"".join(frames), np.uint8).reshape(len(frames), -1)


def _asked(data: bytes, features: Sequence[str], lists: Sequence[str] | None) -> Parsed:
    """The same by protobuf."""
    if lists is None:
        return _parsed(
            "Example", data, lambda one: Parsed(_named(one.features.feature, features), {})
        )
    wanted = lists

    def take(message: Any) -> Parsed:
        those = message.feature_lists.feature_list
        found = {
            name: _uniform(list(map(_value, those[name].feature)))
            for name in wanted
            if name in those
        }
        return Parsed(_named(message.context.feature, features), found)

    return _parsed("SequenceExample", data, take)


def _named(message: Any, names: Sequence[str]) -> dict[str, Value]:
    values = {name: _value(message[name]) for name in names if name in message}
    return {name: value for name, value in values.items() if value is not None}


def _all(features: Any) -> dict[str, Value]:
    return {name: _value(one) for name, one in features.feature.items()}


def _parsed(kind: str, data: bytes, take: Callable[[Any], T]) -> T:
    """What ``take`` makes of the message; of odd lists of floats by their plain declaration."""
    from google.protobuf.message import DecodeError

    try:
        try:
            return take(_classes(False)[kind].FromString(data))
        except _Unpacked:
            return take(_classes(True)[kind].FromString(data))
    except DecodeError as error:
        raise DataError(f"the record is no tf.train.{kind}") from error


class _Unpacked(Exception):
    """A list of floats is not one packed field."""


def _value(feature: Any) -> Value:
    kind = feature.WhichOneof("kind")
    if kind == "bytes_list":
        return list(feature.bytes_list.value)
    if kind == "int64_list":
        return np.array(feature.int64_list.value, np.int64)
    return None if kind is None else _floats(feature.float_list)


def _floats(floats: Any) -> npt.NDArray[np.float32]:
    """The values of a FloatList declared as ``bytes``: packed, they are the array itself."""
    values = floats.value
    field = floats.DESCRIPTOR.fields_by_name["value"]
    if not values and (not floats.ByteSize() or field.cpp_type == field.CPPTYPE_FLOAT):
        return np.empty(0, np.float32)  # beside it perhaps what no schema knows
    if values and type(values[0]) is float:
        return np.array(values, np.float32)
    size = len(values[0]) if len(values) == 1 else 0
    if size == 0 or size % 4 or floats.ByteSize() != 1 + _varint_bytes(size) + size:
        raise _Unpacked
    return np.frombuffer(values[0], "<f4")


def _varint_bytes(value: int) -> int:
    return max(1, -(-value.bit_length() // 7))


@cache
def _classes(floats: bool) -> dict[str, Any]:
    """The message classes by name, declared here and now: no generated code, and none of others.

    Unless ``floats``, a FloatList's values are declared as byte strings: a packed list is one on
    the wire, and taking it as it is saves an object for each number.
    """
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    kind = descriptor_pb2.FieldDescriptorProto
    package = "dsets_example_floats" if floats else "dsets_example"
    file = descriptor_pb2.FileDescriptorProto(name=package, package=package, syntax="proto3")

    def declare(name: str, *fields: tuple[str, int, int | str, bool], into: Any = file) -> Any:
        add = into.message_type.add if into is file else into.nested_type.add
        made = add(name=name)
        for called, place, of, repeated in fields:
            label = kind.LABEL_REPEATED if repeated else kind.LABEL_OPTIONAL
            one = made.field.add(name=called, number=place, label=label)
            if isinstance(of, str):
                one.type, one.type_name = kind.TYPE_MESSAGE, f".{package}.{of}"
            else:
                one.type = of
        return made

    declare("BytesList", ("value", 1, kind.TYPE_BYTES, True))
    declare("FloatList", ("value", 1, kind.TYPE_FLOAT if floats else kind.TYPE_BYTES, True))
    declare("Int64List", ("value", 1, kind.TYPE_INT64, True))
    feature = declare(
        "Feature",
        ("bytes_list", 1, "BytesList", False),
        ("float_list", 2, "FloatList", False),
        ("int64_list", 3, "Int64List", False),
    )
    feature.oneof_decl.add(name="kind")
    for one in feature.field:
        one.oneof_index = 0
    declare("FeatureList", ("feature", 1, "Feature", True))
    for name, called, entry in (
        ("Features", "feature", "Feature"),
        ("FeatureLists", "feature_list", "FeatureList"),
    ):
        message = declare(name, (called, 1, f"{name}.{entry}Entry", True))
        fields = ("key", 1, kind.TYPE_STRING, False), ("value", 2, entry, False)
        declare(f"{entry}Entry", *fields, into=message).options.map_entry = True
    declare("Example", ("features", 1, "Features", False))
    declare(
        "SequenceExample",
        ("context", 1, "Features", False),
        ("feature_lists", 2, "FeatureLists", False),
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        message.name: message_factory.GetMessageClass(
            pool.FindMessageTypeByName(f"{package}.{message.name}")
        )
        for message in file.message_type
    }
