"""The index of a split: where each picture lies and what it is. Made once, kept in the store.

Of the training archive it takes seconds to make and milliseconds to open, so each task opens it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dsets.errors import DataError, ManifestError
from dsets.manifest.schema import WITHHELD, Source
from dsets.readers import (
    _imagenet_boxes,
    _imagenet_names,
    _imagenet_scan,
    _imagenet_truth,
    _index_file,
    _listing,
)
from dsets.readers._cache import DECODED
from dsets.readers._imagenet_options import Options

VERSION = 3
_PIECE = 1 << 16  # rows that are Python objects at a time
_DTYPES = {
    "label": "<i4",
    "number": "<i4",
    "place": "<i4",
    "suffix": "<i4",
    "offset": "<i8",
    "bytes": "<i4",
    "sha256": "|u1",
    "zipped": "<i8",
    "patched": "|u1",
    "box_end": "<i8",
    "box": "<f4",
    "unboxed": "<i8",
}
_ROWS = ("label", "number", "place", "suffix", "offset", "bytes", "box_end")


@dataclass(frozen=True, slots=True)
class Index:
    """One row a picture, in the split's order; columns as in ``Pictures``, with these:

    ``box`` float32 (m, 4) has the boxes of all pictures; ``box_end`` int64 (n,) where each one's
    end; ``unboxed`` int64 (k,) the rows, rising, with an annotation that cannot be read.
    ``sha256`` uint8 (n, 32) is there for loose files only.
    ``classes`` are the manifest's, or those that were found. ``remarks`` are about annotations that
    cannot be read, ``notes`` about files that are passed over.
    """

    stem: str
    places: tuple[str, ...]
    suffixes: tuple[str, ...]
    classes: tuple[str, ...]
    columns: dict[str, npt.NDArray[Any]]
    remarks: tuple[str, ...]
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.columns["label"])

    def key(self, row: int) -> str:
        label, number = int(self.columns["label"][row]), int(self.columns["number"][row])
        return _imagenet_names.key(self.classes[label], self.stem, number)

    def pieces(self) -> Iterator[list[str]]:
        """The keys of all rows, in order, some thousands at a time."""
        for start in range(0, len(self), _PIECE):
            labels, numbers = (
                self.columns[name][start : start + _PIECE].tolist() for name in ("label", "number")
            )
            yield [
                _imagenet_names.key(self.classes[label], self.stem, number)
                for label, number in zip(labels, numbers, strict=True)
            ]

    def boxes(self, row: int) -> npt.NDArray[np.float32]:
        """float32 (n, 4): xmin, ymin, xmax, ymax of the picture's boxes."""
        start = int(self.columns["box_end"][row - 1]) if row else 0
        box: npt.NDArray[np.float32] = self.columns["box"][start : self.columns["box_end"][row]]
        return box

    def is_unboxed(self, row: int) -> bool:
        """Whether an annotation of the picture cannot be read."""
        rows = self.columns["unboxed"]
        place = int(np.searchsorted(rows, row))
        return place < len(rows) and int(rows[place]) == row


def opened(source: Source, options: Options) -> Index:
    """The split's index: from memory, from the store, or else made now and kept there.

    Raises:
        DataError: a raw file is not there, or not what the manifest or the format says.
        ManifestError: nothing says where the labels come from.
    """
    key = _key(source, options)
    known = (__name__, repr(key))
    with DECODED.lock:
        index: Index | None = DECODED.get(known)
        if index is None:
            index = _stored(source, options, key)
            if options.layout == "listing":  # loose pictures are compared when they are read
                _listing.check_archives(source.path(options.images), index.places)
            # What is mapped from the store's file is the system's to keep or drop.
            mine = (one for one in index.columns.values() if not isinstance(one.base, np.memmap))
            size = sum(column.nbytes for column in mine)
            DECODED.put(known, index, size)
        return index


def _stored(source: Source, options: Options, key: list[Any]) -> Index:
    def write(path: Path, index: Index) -> None:
        facts = {"stem": index.stem, "places": index.places, "suffixes": index.suffixes}
        facts |= {"remarks": index.remarks, "notes": index.notes}
        if not options.classes:
            facts["classes"] = index.classes
        _index_file.write(path, key, facts, index.columns)

    return _index_file.opened(
        source,
        lambda path: _read(path, key, options),
        lambda: _made(source, options),
        write,
    )


def _read(path: Path, key: list[Any], options: Options) -> Index | None:
    """The index in a file, or None unless every value in it can be."""
    kept = _index_file.read(path, key, _DTYPES)
    if kept is None:
        return None
    columns = kept.columns
    stem: Any = kept.facts.get("stem")
    places: Any = kept.facts.get("places")
    suffixes: Any = kept.facts.get("suffixes")
    classes: Any = options.classes or kept.facts.get("classes")
    remarks: Any = kept.facts.get("remarks")
    notes: Any = kept.facts.get("notes")
    if not _names(stem, places, suffixes) or not _classes(classes):
        return None
    if not _texts(remarks) or not _texts(notes):
        return None
    if not {*_ROWS, "box", "unboxed"} <= set(columns) or columns["box"].shape[1:] != (4,):
        return None
    rows = len(columns["label"])
    ends = columns["box_end"]
    whole = (
        rows > 0
        and all(columns[name].shape == (rows,) for name in _ROWS)
        and ("sha256" not in columns or columns["sha256"].shape == (rows, 32))
        and ("zipped" in columns) == (options.layout == "zip")
        and ("zipped" not in columns or _zipped(columns["zipped"], rows))
        and ("patched" in columns) == bool(options.patches)
        and ("patched" not in columns or columns["patched"].shape == (rows,))
        and _within(columns["label"], -1 if stem else 0, len(classes))
        and _within(columns["place"], 0, len(places))
        and _within(columns["suffix"], 0, len(suffixes))
        and _within(columns["number"], 0, 10**9)
        and _within(columns["bytes"], 0, _imagenet_scan.TOO_LARGE + 1)
        and _within(columns["offset"], 0, 1 << 62)
        and bool((np.diff(ends, prepend=0) >= 0).all())
        and int(ends[-1]) == len(columns["box"])
        and columns["unboxed"].ndim == 1
        and bool((np.diff(columns["unboxed"], prepend=-1, append=rows) > 0).all())
    )
    if not whole:
        return None
    return Index(
        stem,
        tuple(places),
        tuple(suffixes),
        tuple(classes),
        columns,
        tuple(remarks),
        tuple(notes),
    )


def _texts(lines: Any) -> bool:
    return isinstance(lines, list) and all(type(line) is str for line in lines)


def _classes(classes: Any) -> bool:
    return isinstance(classes, list | tuple) and all(
        type(wnid) is str and _imagenet_names.home(wnid, "") == wnid for wnid in classes
    )


def _zipped(column: npt.NDArray[Any], rows: int) -> bool:
    shape = (rows, _imagenet_scan.ZIPPED)
    return column.shape == shape and int(column.min()) >= 0 and int(column.max()) < 1 << 62


def _names(stem: Any, places: Any, suffixes: Any) -> bool:
    """True when paths made from these stay below the folder that they belong to."""
    if type(stem) is not str or not isinstance(places, list) or not isinstance(suffixes, list):
        return False
    return (
        (not stem or _imagenet_names.parsed(f"{stem}00000001.JPEG") is not None)
        and all(type(place) is str and (not place or _listing.inside(place)) for place in places)
        and all(_imagenet_names.parsed(f"n00000000_1{suffix}") for suffix in suffixes)
    )


def _within(column: npt.NDArray[Any], least: int, end: int) -> bool:
    return bool(column.min() >= least and column.max() < end)


def _key(source: Source, options: Options) -> list[Any]:
    """What an index is made from: it is stale when any of it changes."""
    names = [options.images]
    names += [options.patches] if options.patches else []
    if options.truth and options.truth[0] != "labels":
        names.append(options.truth[1])
    names += [name for name in options.boxes if source.path(name).is_file()]
    files = [_index_file.identity(source.path(name)) for name in names]
    return [VERSION, source.manifest.digest, source.split.name, *files]


def _made(source: Source, options: Options) -> Index:
    found = _imagenet_scan.scan(source, options)
    columns = found.columns
    if found.stem:
        _label(source, options, found)
    boxes, remarks = _boxes(source, options, found)
    for name in columns:
        columns[name] = columns[name].astype(_DTYPES[name], copy=False)
    columns |= boxes
    for column in columns.values():
        column.flags.writeable = False
    return Index(
        found.stem, found.places, found.suffixes, found.classes, columns, remarks, found.notes
    )


def _label(source: Source, options: Options, found: _imagenet_scan.Pictures) -> None:
    """Give pictures that are called by a number their labels."""
    columns = found.columns
    if options.truth is None:
        if "label" not in source.split.withheld:
            raise ManifestError(
                "nothing says which classes these pictures are of",
                where=f"{source.manifest.origin}: split.{source.split.name}",
                expected=f"one of {', '.join(('truth', 'solution', 'labels'))} among the reader's"
                " options, or label and ilsvrc_id withheld",
                got=f"{found.stem}….JPEG",
            )
        columns["label"] = np.full(len(columns["label"]), WITHHELD)
    elif options.truth[0] == "labels":
        if (without := np.flatnonzero(columns["label"] < 0)).size:
            key = _imagenet_names.key("", found.stem, int(columns["number"][without[0]]))
            raise _imagenet_scan.error(
                source.path(options.images),
                f"picture {key} is in no folder of a class ({without.size} such pictures)",
            )
    else:
        numbers = columns["number"].astype(np.int64)
        labels = _imagenet_truth.labels(source, options, found.stem, numbers)
        wrong = np.flatnonzero((columns["label"] >= 0) & (columns["label"] != labels))
        if wrong.size:  # the folder of a class that it lies in
            key = _imagenet_names.key("", found.stem, int(numbers[wrong[0]]))
            raise _imagenet_scan.error(
                source.path(options.images),
                f"picture {key} lies with another class ({wrong.size} such pictures)",
                f"{options.classes[labels[wrong[0]]]}, as {options.truth[1]} says",
                options.classes[columns["label"][wrong[0]]],
            )
        columns["label"] = labels


def _boxes(
    source: Source, options: Options, found: _imagenet_scan.Pictures
) -> tuple[dict[str, npt.NDArray[Any]], tuple[str, ...]]:
    """The boxes of the pictures that there are, and a line for each archive with annotations that
    cannot be read; annotations of other pictures are passed over."""
    there = [name for name in options.boxes if source.path(name).is_file()]
    label = {wnid: index for index, wnid in enumerate(found.classes)}
    codes = _imagenet_scan.codes(found.columns["label"], found.columns["number"], found.stem)
    owners: list[int] = []
    boxes: list[npt.NDArray[np.float32]] = []
    unboxed: set[int] = set()
    remarks: list[str] = []
    for archive in there:
        bad, first = 0, ""
        for key, box in _imagenet_boxes.read(source, archive):
            row = _row(found, label, codes, key)
            if isinstance(box, DataError):
                bad += 1
                first = first or f"{key}: {box.what}" + (f", {box.got}" if box.got else "")
                unboxed |= set() if row is None else {row}
            elif row is not None:
                owners.extend([row] * len(box))
                boxes.append(box)
        if bad:
            remarks.append(
                f"{archive}: {bad:,} annotations cannot be read, so pictures lack their boxes; "
                f"the first, {first}"
            )
    order = np.argsort(np.array(owners, np.int64), kind="stable")
    counts = np.bincount(np.array(owners, np.int64), minlength=len(codes))
    columns: dict[str, npt.NDArray[Any]] = {
        "box_end": np.cumsum(counts, dtype=np.int64),
        "box": np.concatenate([np.empty((0, 4), np.float32), *boxes])[order],
        "unboxed": np.array(sorted(unboxed), np.int64),
    }
    return columns, tuple(remarks)


def _row(
    found: _imagenet_scan.Pictures,
    label: Mapping[str, int],
    codes: npt.NDArray[np.int64],
    key: str,
) -> int | None:
    """The row of the picture that an annotation is called after, if it is there."""
    name = _imagenet_names.parsed(f"{key}.JPEG")
    if name is None or name.stem != found.stem or (name.wnid and name.wnid not in label):
        return None
    code = (label.get(name.wnid, 0) << 32) | name.number
    row = int(np.searchsorted(codes, code))
    return row if row < len(codes) and codes[row] == code else None
