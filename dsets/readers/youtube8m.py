"""Reader of YouTube-8M: TFRecord files of video-level, frame-level or segment features.

    [split.train.reader]
    counts = [1011, 987, …]   # records of each file, where known; nobody needs to write it

The files of a split that are called ….tfrecord hold its records, in their order; some of them are
as good as all. The key is the video's id. Fields, any of them: ``labels`` int64 (?,), none in the
test split; video level (Example): ``mean_rgb``, ``mean_audio`` float32 (n,); frame level
(SequenceExample): ``rgb``, ``audio`` uint8 (?, n) as published, one frame a second, or float32
where the manifest says so, which are dequantised; ``segment_start_times``, ``segment_end_times`` in
seconds, ``segment_labels`` int64 (?,), ``segment_scores`` float32 (?,).

A record that is damaged, or lacks what the fields want, is the ``problem`` of its own sample; so is
one whose id an earlier record of the split has, and the rest of a file behind a broken length,
where no record can be found any more. Their keys are the file and where they lie there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dsets.archive import example, tfrecord
from dsets.errors import DataError
from dsets.manifest.schema import Source
from dsets.readers import (
    Batch,
    Sample,
    _rows,
    _youtube8m_index,
    _youtube8m_options,
    _youtube8m_record,
    _youtube8m_repeats,
)
from dsets.readers._youtube8m_index import Index
from dsets.readers._youtube8m_options import SEGMENTS, Options

if TYPE_CHECKING:
    import pandas as pd

_PLACE = ("file", "offset", "bytes")
_AT_ONCE = 1024  # rows whose places are looked up together


def check(source: Source) -> None:
    """Check the split's options and the fields; no file is looked at. Raises ManifestError."""
    _youtube8m_options.read(source)


def begins(path: Path) -> bool:
    """Whether a file begins as files of records do. Raises DataError: it cannot be read."""
    return tfrecord.begins(path)


def table(source: Source) -> pd.DataFrame:
    """One row a record: key; labels; frames (seconds); segment_… where the fields have them;
    file, offset and bytes say where it lies.

    Raises:
        DataError: a file is not there, or is no file of records.
        ManifestError: the options are not those that the module describes.
    """
    import pandas as pd

    options = _youtube8m_options.read(source)
    segments = [field.name for field in options.fields if field.name in SEGMENTS]
    repeats = _youtube8m_repeats.opened(source, options)
    parts: list[dict[str, Any]] = []
    codes: list[Any] = []
    for number, name in enumerate(options.shards):
        index = _youtube8m_index.opened(source, options, name)
        part: dict[str, Any] = {
            "key": index.keys(repeats.of(number)),
            "labels": index.several("label_end", "label"),
            "frames": index.columns["frames"],
            **{name: index.several("segment_end", name) for name in segments},
            "offset": index.columns["offset"],
            "bytes": index.columns["bytes"],
        }
        parts.append(part)
        codes.append(np.full(len(index), number, np.int32))
    columns: dict[str, Any] = {
        name: np.concatenate([part[name] for part in parts])
        if isinstance(parts[0][name], np.ndarray)
        else [value for part in parts for value in part[name]]
        for name in parts[0]
    }
    if options.lists is None:
        del columns["frames"]
    columns["file"] = pd.Categorical.from_codes(np.concatenate(codes), pd.Index(options.shards))
    order = [name for name in columns if name not in _PLACE]
    return pd.DataFrame({name: columns[name] for name in (*order, *_PLACE)})


def keys(source: Source) -> Iterator[Sequence[str]]:
    """The table's keys in its order, those of a file at a time. Raises as ``table``."""
    options = _youtube8m_options.read(source)
    repeats = _youtube8m_repeats.opened(source, options)
    for number, name in enumerate(options.shards):
        yield _youtube8m_index.opened(source, options, name).keys(repeats.of(number))


def samples(source: Source, rows: Sequence[int]) -> Iterator[Sample]:
    """The samples of these rows; neighbours in a file are read together.

    Raises:
        DataError: a file is not there, is no file of records, or has changed.
        ManifestError: the options are not those that the module describes.
        UsageError: a row is not in the table.
    """
    for one in batches(source, rows, alone=True):
        yield from one.samples() if isinstance(one, Batch) else (one,)


def batches(
    source: Source, rows: Sequence[int], *, alone: bool = False
) -> Iterator[Batch | Sample]:
    """The same; video-level records that are ordinary come together, unless ``alone``: neighbours
    in a file, as many as are read at once. Raises as ``samples``.
    """
    options = _youtube8m_options.read(source)
    counts = options.counts
    if counts is None:
        counts = tuple(
            len(_youtube8m_index.opened(source, options, name)) for name in options.shards
        )
    ends = np.cumsum(counts, dtype=np.int64)
    wanted = _rows.chosen(source, rows, int(ends[-1]))
    repeats = _youtube8m_repeats.opened(source, options)
    for start in range(0, len(wanted), _AT_ONCE):
        some = wanted[start : start + _AT_ONCE]
        shards = np.searchsorted(ends, some, "right")
        within = some - (ends - np.array(counts, np.int64))[shards]
        pairs = zip(shards.tolist(), within.tolist(), strict=True)
        for shard, those in groupby(pairs, key=lambda pair: pair[0]):
            numbers = [number for _, number in those]
            index = _counted(source, options, options.shards[shard], counts[shard])
            given = (index, shard, numbers, repeats.of(shard))
            yield from _of_file(source, options, *given, alone or options.lists is not None)


def _counted(source: Source, options: Options, name: str, count: int) -> Index:
    index = _youtube8m_index.opened(source, options, name)
    if len(index) != count:
        raise DataError(
            "another number of records than when they were counted",
            where=source.path(name),
            expected=f"{count:,}",
            got=f"{len(index):,}",
            remedy=_rows.remedy(source),
        )
    return index


def _of_file(
    source: Source,
    options: Options,
    index: Index,
    shard: int,
    rows: Sequence[int],
    again: frozenset[int],
    alone: bool,
) -> Iterator[Batch | Sample]:
    path = source.path(options.shards[shard])
    last = len(index) - 1 if index.end else None
    keys = index.keys(again, rows)
    own = ["" if row in again else found for row, found in zip(rows, index.ids(rows), strict=True)]
    at = 0
    with tfrecord.Records(path, remedy=_rows.remedy(source)) as records:
        for beyond, some in groupby(rows, key=lambda row: row == last):
            numbers = list(some)
            if beyond:
                yield from (Sample(keys[at], {}, index.end) for _ in numbers)
                at += len(numbers)
                continue
            places = (index.columns[name][numbers].tolist() for name in ("offset", "bytes"))
            for block in records.read(*places):
                here = slice(at, at + len(block))
                yield from _of_block(options, block, keys[here], own[here], alone)
                at += len(block)


def _of_block(
    options: Options, block: tfrecord.Block, keys: Sequence[str], own: Sequence[str], alone: bool
) -> Iterator[Batch | Sample]:
    """The samples of a block, with their keys, and the ids of those that go by their own."""
    if not alone and not block.problems and all(own):
        columns = example.columns(block.data, block.bounds, _youtube8m_record.kinds(options))
        values = _youtube8m_record.columns(columns, own, options)
        if values is not None:
            yield Batch(keys, values)
            return
    found = example.several(block.data, block.bounds, options.features, options.lists)
    for number, parsed in enumerate(found):
        data = b""
        problem = block.problems.get(number)
        if problem or isinstance(parsed, DataError):
            start, stop = block.bounds[2 * number : 2 * number + 2].tolist()
            parsed, data = problem or parsed, block.data[start:stop]
        yield _sample(options, keys[number], bool(own[number]), parsed, data)


def _sample(
    options: Options, key: str, own: bool, parsed: example.Parsed | DataError, data: bytes
) -> Sample:
    """The sample of a record, whose key is its ``own`` id or else the place where it lies."""
    if isinstance(parsed, DataError):
        return Sample(
            key, {"record": data}, DataError(parsed.what, expected=parsed.expected, got=parsed.got)
        )
    try:
        if not own and (found := _youtube8m_record.identity(parsed)):
            raise DataError(
                "an earlier record of the split has its id", expected="each id once", got=found
            )
        return Sample(key, _youtube8m_record.values(parsed, options))
    except DataError as error:
        return Sample(
            key, {name: one for name, one in parsed.features.items() if one is not None}, error
        )
