"""What a file of records holds: where each lies, its id and labels. Made once, kept in the store.

Making it reads every byte, so that damage is known before a job begins; opening it takes no time.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dsets.archive import example, tfrecord
from dsets.archive.example import Parsed
from dsets.errors import DataError
from dsets.manifest.schema import Source
from dsets.readers import _index_file, _rows, _youtube8m_record
from dsets.readers._cache import DECODED
from dsets.readers._youtube8m_options import SEGMENTS, Options

VERSION = 1
_DTYPES = {
    "offset": "<i8",
    "bytes": "<i8",
    "frames": "<i4",
    "id": "|u1",
    "id_end": "<i8",
    "label": "<i8",
    "label_end": "<i8",
    "segment_end": "<i8",
    **{name: "<f4" if name == "segment_scores" else "<i8" for name in SEGMENTS},
}
_ROWS = ("offset", "bytes", "frames", "id_end", "label_end", "segment_end")
_ENDS = (("id_end", "id"), ("label_end", "label"), *(("segment_end", name) for name in SEGMENTS))


@dataclass(frozen=True, slots=True)
class Index:
    """One row a record, and a last one of no bytes where the file breaks off: ``end`` says why.

    A record that has no id of its own, or cannot be read at all, has an empty id; so has one whose
    id an earlier record of the file has.
    """

    name: str
    columns: dict[str, npt.NDArray[Any]]
    end: DataError | None

    def __len__(self) -> int:
        return len(self.columns["offset"])

    def ids(self, rows: Sequence[int]) -> list[str]:
        """The ids by which records go in their file, or nothing, one for each of the rows."""
        ends, chosen = self.columns["id_end"], np.array(rows, np.int64)
        if not len(chosen):
            return []
        starts, stops = np.where(chosen > 0, ends[chosen - 1], 0), ends[chosen]
        low, high = int(starts.min()), int(stops.max())
        text = self.columns["id"][low:high].tobytes().decode("ascii")
        bounds = zip((starts - low).tolist(), (stops - low).tolist(), strict=True)
        return [text[a:b] for a, b in bounds]

    def keys(self, again: frozenset[int], rows: Sequence[int] | None = None) -> list[str]:
        """The videos' ids; of a record without one, the file and where it lies there.

        Of all rows, or of these. ``again`` has those whose id an earlier file has: they go by
        their places, too.
        """
        rows = range(len(self)) if rows is None else rows
        offsets = self.columns["offset"][np.array(rows, np.int64)].tolist()
        return [
            found if found and row not in again else f"{self.name}@{offset}"
            for row, found, offset in zip(rows, self.ids(rows), offsets, strict=True)
        ]

    def several(self, ends: str, name: str) -> list[tuple[Any, ...]]:
        """The values of a column of lists, a tuple a row."""
        values, bounds = self.columns[name].tolist(), [0, *self.columns[ends].tolist()]
        return [tuple(values[a:b]) for a, b in pairwise(bounds)]


def opened(source: Source, options: Options, name: str) -> Index:
    """The index of one file: from memory, from the store, or else made now and kept there.

    Raises:
        DataError: the file is not there, or no file of records at all.
    """
    path = source.path(name)
    # Without its path: adopting makes the index before the file comes to its place, and to make it
    # again would be to read every byte again.
    same = _index_file.identity(path)[1:]
    key = [VERSION, same, list(options.features), list(options.lists or ())]
    known = (__name__, str(path), repr(key))
    with DECODED.lock:
        index: Index | None = DECODED.get(known)
        if index is None:
            index = _stored(source, options, name, key)
            DECODED.put(known, index, sum(column.nbytes for column in index.columns.values()))
        return index


def _stored(source: Source, options: Options, name: str, key: list[Any]) -> Index:
    stem = name.removesuffix(".tfrecord")

    def write(path: Path, index: Index) -> None:
        end = index.end
        facts = {"end": [end.what, end.expected, end.got] if end else None}
        _index_file.write(path, key, facts, index.columns)

    def read(path: Path) -> Index | None:
        kept = _index_file.read(path, key, _DTYPES)
        if kept is None or not _sound(kept.columns):
            return None
        end: Any = kept.facts.get("end")
        what, expected, got = end or ("", None, None)
        broken = DataError(what, expected=expected, got=got) if end else None
        return Index(stem, kept.columns, broken)

    return _index_file.opened(
        source, read, lambda: _made(source, options, name, stem), write, of=name
    )


def _sound(columns: dict[str, npt.NDArray[Any]]) -> bool:
    """Whether every value can be, in a file that anybody may have written."""
    if set(columns) != set(_DTYPES):
        return False
    rows = len(columns["offset"])
    if any(columns[name].shape != (rows,) for name in _ROWS):
        return False
    return (
        all(columns[name].ndim == 1 for name in _DTYPES)
        and all(bool((np.diff(columns[end], prepend=0) >= 0).all()) for end, _ in _ENDS)
        and all((int(columns[end][-1]) if rows else 0) == len(columns[of]) for end, of in _ENDS)
        and bool((columns["offset"] >= 0).all() and (columns["bytes"] >= 0).all())
        and bool((columns["id"] < 128).all())
    )


def _made(source: Source, options: Options, name: str, stem: str) -> Index:
    path = source.path(name)
    if not path.is_file():
        raise DataError(
            "no such file", where=path, remedy=f"run 'dsets fetch {source.manifest.name}'"
        )
    lists: dict[str, Any] = {
        name: array("f" if dtype == "<f4" else "q")
        for name, dtype in _DTYPES.items()
        if name != "id"
    }
    ids, seen = bytearray(), set[str]()
    end = None
    fits, why = False, None

    def add(offset: int, size: int, parsed: Parsed | None) -> None:
        found = _youtube8m_record.identity(parsed) if parsed else ""
        if found and found not in seen:  # a second record of one id goes by its place
            seen.add(found)
            ids.extend(found.encode())
        if parsed:
            _facts(lists, parsed, options)
        row = (offset, size, len(ids), len(lists["label"]), len(lists[SEGMENTS[0]]))
        names = ("offset", "bytes", "id_end", "label_end", "segment_end")
        for column, value in zip(names, row, strict=True):
            lists[column].append(value)
        frames = parsed.lists.get(options.lists[0], ()) if parsed and options.lists else ()
        lists["frames"].append(len(frames))

    with tfrecord.Records(path, remedy=_rows.remedy(source)) as records:
        for block in records.blocks():
            found = example.several(block.data, block.bounds, options.features, options.lists)
            bounds = block.bounds.reshape(-1, 2).tolist()
            for number, (parsed, (start, stop)) in enumerate(zip(found, bounds, strict=True)):
                usable = isinstance(parsed, Parsed) and number not in block.problems
                kept = parsed if usable and isinstance(parsed, Parsed) else None
                add(block.offset + start, stop - start, kept)
                if kept and not fits:
                    try:
                        fits = bool(_youtube8m_record.values(kept, options))
                    except DataError as error:
                        why = why or error
            if block.end:
                if not lists["offset"] and not block.follows:
                    raise block.end  # no file of records
                what = f"the file breaks off here: {block.end.what}"
                end = DataError(what, expected=block.end.expected, got=block.end.got)
                add(block.offset + block.used, 0, None)
    if why and not fits:  # of another level, as a rule
        raise DataError(
            "no record has what the fields want", where=path, expected=why.expected, got=why.what
        )
    columns = {name: np.array(column, _DTYPES[name]) for name, column in lists.items()}
    columns["id"] = np.frombuffer(bytes(ids), np.uint8)
    return Index(stem, columns, end)


def _facts(lists: dict[str, Any], parsed: Parsed, options: Options) -> None:
    labels = parsed.features.get("labels")
    if isinstance(labels, np.ndarray) and labels.dtype == np.int64:
        lists["label"].extend(labels.tolist())
    found = [parsed.features.get(name) for name in SEGMENTS]
    kinds = [np.dtype(_DTYPES[name]) for name in SEGMENTS]
    arrays = [one for one in found if isinstance(one, np.ndarray)]
    if [one.dtype for one in arrays] == kinds and len({len(one) for one in arrays}) == 1:
        for name, one in zip(SEGMENTS, arrays, strict=True):
            lists[name].extend(one.tolist())
