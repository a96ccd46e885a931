"""Where data may lie: the datasets that a file must have, and the refusal of any other picture."""

from __future__ import annotations

import math
from collections.abc import Mapping

from dsets.errors import PackError
from dsets.field import DTYPES, Field
from dsets.pack.schema import ALIGNMENT, Extent, Shard, StatisticsFile

#: Bytes of one value.
SIZES = {name: int("".join(filter(str.isdigit, name)) or 8) // 8 for name in DTYPES}
#: What a dataset must be: its type and shape, where None is a size nobody can know beforehand.
Expected = Mapping[str, tuple[str, tuple[int | None, ...]]]


def of_shard(shard: Shard, fields: tuple[Field, ...]) -> Expected:
    """The datasets that a shard of these fields must have."""
    count = shard.samples
    expected: dict[str, tuple[str, tuple[int | None, ...]]] = {"key_hash": ("uint64", (count,))}
    for field in (*fields, Field("key", "uint8", (None,))):
        expected[f"checksum/{field.name}"] = ("uint32", (count,))
        if field.fixed:
            expected[field.name] = (field.dtype, (count, *field.stored_shape))
            continue
        expected[field.name] = (field.dtype, (None,))
        expected[f"offsets/{field.name}"] = ("uint64", (count + 1,))
        if field.shape.count(None) > 1:
            expected[f"shape/{field.name}"] = ("uint32", (count, len(field.shape)))
    return expected


def of_statistics(statistics: StatisticsFile, fields: tuple[Field, ...], where: object) -> Expected:
    """The datasets that statistics of one of these fields must have.

    A field of encoded images has statistics of its pixels, whose size only the file knows.

    Raises:
        PackError: there is no such field, or it cannot have statistics.
    """
    field = next((field for field in fields if field.name == statistics.field), None)
    if field is None or field.dtype != "uint8" or len(field.shape) not in (1, 3):
        raise PackError("statistics of no image field", where=where, got=repr(statistics.field))
    height, width, channels = field.shape if len(field.shape) == 3 else (None, None, None)
    found = statistics.datasets.get("square_sum")
    if channels is None and found and found.shape:
        channels = found.shape[0]
    sums = statistics.datasets.get("sum")
    whole = sums is not None and len(sums.shape) == 3
    return {
        "images": ("uint64", ()),
        "pixels": ("uint64", ()),
        "sum": ("uint64", (height, width, channels) if field.fixed or whole else (channels,)),
        "square_sum": ("uint64", (channels,)),
        "outer_sum": ("uint64", (channels, channels)),
    }


def check(found: Mapping[str, Extent], expected: Expected, size: int, where: object) -> None:
    """Refuse datasets that are missing, misshapen, misplaced, overlapping or beyond the file's end.

    Raises:
        PackError: naming the dataset.
    """
    for name, extent in found.items():
        _check_one(extent, size, f"{where}, {name}")
    for name, (dtype, shape) in expected.items():
        if name not in found:
            raise PackError("missing dataset", where=where, expected=name)
        extent = found[name]
        same = len(extent.shape) == len(shape) and all(
            want is None or want == got for want, got in zip(shape, extent.shape, strict=True)
        )
        if extent.dtype != dtype or not same:
            raise PackError(
                "dataset of another type or shape",
                where=f"{where}, {name}",
                expected=f"{dtype} {shape}",
                got=f"{extent.dtype} {extent.shape}",
            )
    end, last = 0, ""
    for name, extent in sorted(found.items(), key=lambda item: (item[1].offset, item[1].length)):
        if extent.length and extent.offset < end:
            raise PackError("overlapping datasets", where=where, got=f"{last} and {name}")
        end, last = max(end, extent.offset + extent.length), name


def _check_one(extent: Extent, size: int, where: str) -> None:
    if extent.dtype not in SIZES:
        raise PackError("unknown dtype", where=where, got=repr(extent.dtype))
    length = math.prod(extent.shape) * SIZES[extent.dtype]
    if extent.length != length:
        raise PackError(
            "a dataset's length is not that of its shape",
            where=where,
            expected=length,
            got=extent.length,
        )
    if extent.offset % ALIGNMENT:
        raise PackError(
            "misaligned dataset",
            where=where,
            expected=f"a multiple of {ALIGNMENT}",
            got=extent.offset,
        )
    if extent.offset + extent.length > size:
        raise PackError(
            "a dataset reaches beyond its file",
            where=where,
            expected=f"at most {size} bytes",
            got=extent.offset + extent.length,
        )
