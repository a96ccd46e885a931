"""What a manifest says to the reader of YouTube-8M, checked."""

from __future__ import annotations

from dataclasses import dataclass

from dsets.errors import ManifestError
from dsets.field import Field
from dsets.manifest.schema import Source
from dsets.readers import _rows

SUFFIX = ".tfrecord"
MEANS = ("mean_rgb", "mean_audio")
FRAMES = ("rgb", "audio")
SEGMENTS = (
    "segment_start_times",
    "segment_end_times",
    "segment_labels",
    "segment_scores",
)


@dataclass(frozen=True, slots=True)
class Options:
    """``shards``: the files of records in order; ``counts``: how many each has, if that is known.

    ``features`` and ``lists`` are what to take from a record; no lists where they are Examples.
    """

    shards: tuple[str, ...]
    counts: tuple[int, ...] | None
    fields: tuple[Field, ...]
    features: tuple[str, ...]
    lists: tuple[str, ...] | None


def read(source: Source) -> Options:
    """The options and fields of a split. Raises ManifestError where the reader cannot follow."""
    given = _rows.options(source, {"counts": False})
    shards = tuple(name for name in source.split.files if name.endswith(SUFFIX))
    if not shards:
        raise ManifestError(
            "the split has no files of records",
            where=f"{source.manifest.origin}: split.{source.split.name}",
            expected=f"files called …{SUFFIX}",
        )
    counts = given.get("counts")
    if counts is not None and not (
        isinstance(counts, tuple)
        and len(counts) == len(shards)
        and all(type(count) is int and count >= 0 for count in counts)
    ):
        expected = f"a number of records for each of {len(shards)} files"
        raise _rows.bad_option(source, "counts", expected, repr(counts)[:80])
    fields = source.manifest.fields
    if not fields or not all(map(_known, fields)):
        raise ManifestError(
            "the fields are not YouTube-8M's",
            where=source.manifest.origin,
            expected="some of labels: int64 (?,); mean_rgb, mean_audio: float32 (n,); rgb, audio: "
            f"uint8 or float32 (?, n); {', '.join(SEGMENTS)}: int64 or float32 (?,)",
            got="; ".join(map(str, fields)),
        )
    names = tuple(field.name for field in fields)
    lists = tuple(name for name in names if name in FRAMES)
    features = tuple(name for name in names if name not in FRAMES)
    frames = bool(lists) or bool(set(names) & set(SEGMENTS))
    return Options(shards, counts, fields, ("id", *features), lists if frames else None)


def _known(field: Field) -> bool:
    if field.name in MEANS:
        return field.dtype == "float32" and len(field.shape) == 1 and field.fixed
    if field.name in FRAMES:
        two = len(field.shape) == 2 and field.shape[0] is None and field.shape[1] is not None
        return field.dtype in ("uint8", "float32") and two
    dtype = "float32" if field.name == "segment_scores" else "int64"
    return field.name in ("labels", *SEGMENTS) and (field.dtype, field.shape) == (dtype, (None,))
