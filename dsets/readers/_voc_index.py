"""Where the pictures, annotations and masks of an image set lie in VOC's tar; kept in the store."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dsets.archive import tarindex
from dsets.archive.blobs import Blobs
from dsets.errors import AbsentError, DataError
from dsets.manifest.schema import Source
from dsets.readers import _index_file, _rows
from dsets.readers._cache import DECODED

VERSION = 1
LIST_BYTES = 8 << 20
#: What a sample may have, with the folder and the ending of the member that holds it.
KINDS = {
    "image": ("JPEGImages", ".jpg"),
    "annotation": ("Annotations", ".xml"),
    "class_mask": ("SegmentationClass", ".png"),
    "object_mask": ("SegmentationObject", ".png"),
}
_FOLDERS = (*(folder for folder, _ in KINDS.values()), "ImageSets")
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NO_TEXT = re.compile(rb"[^\t\n\r -~]")
_DTYPES = {
    "key": "|u1",
    "key_end": "<i8",
    "listed": "<i4",
    "listed_end": "<i8",
    **{f"{kind}_{what}": "<i8" for kind in KINDS for what in ("offset", "bytes")},
}


class Place(NamedTuple):
    offset: int
    bytes: int


class Index(NamedTuple):
    """One row an image of the set, in its order. Columns: key (UTF-8, one after the other) and
    key_end; of each kind offset (-1: there is none) and bytes; listed and listed_end, the numbers,
    from 1, of the objects that a layout or action set names.
    """

    columns: dict[str, npt.NDArray[Any]]

    def __len__(self) -> int:
        return len(self.columns["key_end"])

    def key(self, row: int) -> str:
        return self._slice("key", row).tobytes().decode()

    def listed(self, row: int) -> npt.NDArray[np.int32]:
        return self._slice("listed", row)

    def place(self, kind: str, row: int) -> Place | None:
        offset = int(self.columns[f"{kind}_offset"][row])
        return None if offset < 0 else Place(offset, int(self.columns[f"{kind}_bytes"][row]))

    def _slice(self, name: str, row: int) -> npt.NDArray[Any]:
        ends = self.columns[f"{name}_end"]
        return self.columns[name][int(ends[row - 1]) if row else 0 : int(ends[row])]


def opened(source: Source, archive: str, image_set: str, *, annotated: bool) -> Index:
    """The index: from memory, from the store, or else made now and kept there. Raises DataError."""
    path = source.path(archive)
    file = _index_file.identity(path)
    key = [VERSION, source.manifest.digest, source.split.name, image_set, annotated, file]
    known = (__name__, repr(key))
    with DECODED.lock:
        index: Index | None = DECODED.get(known)
        if index is None:
            index = _index_file.opened(
                source,
                lambda target: _read(target, key),
                lambda: _made(source, archive, image_set, annotated),
                lambda target, made: _index_file.write(target, key, {}, made.columns),
            )
            DECODED.put(known, index, sum(column.nbytes for column in index.columns.values()))
        return index


def _read(target: Path, key: list[Any]) -> Index | None:
    kept = _index_file.read(target, key, _DTYPES)
    if kept is None or set(kept.columns) != set(_DTYPES):
        return None
    columns = kept.columns
    rows = len(columns["key_end"])
    for name, column in columns.items():
        if column.shape != ((len(column),) if name in ("key", "listed") else (rows,)):
            return None
        if name.endswith("_end"):
            whole = columns[name.removesuffix("_end")]
            if (np.diff(column, prepend=0) < 0).any() or (rows and column[-1] != len(whole)):
                return None
        if name.endswith("_bytes") and not (column >= 0).all():
            return None
    return Index(columns) if rows else None


def _made(source: Source, archive: str, image_set: str, annotated: bool) -> Index:
    path, remedy = source.path(archive), _rows.remedy(source)
    if not path.is_file():
        raise DataError(
            "no such file", where=path, remedy=f"run 'dsets fetch {source.manifest.name}'"
        )
    found = _members(path, remedy)
    wanted = f"ImageSets/{image_set}.txt"
    if wanted not in found:
        there = ", ".join(sorted(name for name in found if name.startswith("ImageSets/")))
        raise AbsentError(
            f"no image set {image_set}", where=path, expected=wanted, got=there[:400] or "none"
        )
    place = found[wanted]
    with Blobs(path, remedy) as blobs:
        if place.bytes > LIST_BYTES:
            raise blobs.error(
                f"image set {wanted} is too long",
                expected=f"at most {LIST_BYTES:,} bytes",
                got=f"{place.bytes:,}",
            )
        listed = _listed(blobs.read(*place, wanted), f"{path}: {wanted}")
        columns: dict[str, list[int]] = {name: [] for name in _DTYPES if name != "key"}
        end = 0
        for key, numbers in listed.items():
            end += len(key)
            columns["key_end"].append(end)
            columns["listed"].extend(numbers)
            columns["listed_end"].append(len(columns["listed"]))
            for kind, (folder, suffix) in KINDS.items():
                one = found.get(f"{folder}/{key}{suffix}")
                if one is None and (kind == "image" or (kind == "annotation" and annotated)):
                    raise blobs.error(f"{wanted} lists {key}, but there is no {kind} of it")
                columns[f"{kind}_offset"].append(one.offset if one else -1)
                columns[f"{kind}_bytes"].append(one.bytes if one else 0)
    made = {name: np.array(values, _DTYPES[name]) for name, values in columns.items()}
    made["key"] = np.frombuffer("".join(listed).encode(), np.uint8)
    return Index(made)


def _members(path: Path, remedy: str) -> dict[str, Place]:
    """Members by their path from VOC's own folders on: 2011's lie one folder deeper."""
    found: dict[str, Place] = {}
    bases: dict[str, str] = {}
    for base, name, place in _walk(path, remedy):
        if name in found:
            raise _twice(path, bases[name], base, name, remedy)
        found[name], bases[name] = place, base
    return found


def _twice(path: Path, first: str, second: str, name: str, remedy: str) -> DataError:
    if first == second:
        return DataError(f"member {first}{name} is there twice", where=path, remedy=remedy)
    return DataError(
        "several VOC folders in one archive",
        where=path,
        expected="those of one year",
        got=f"{name} in {first or 'the root'} and in {second or 'the root'}",
        remedy="give each year an archive and a dataset of its own",
    )


def _walk(path: Path, remedy: str) -> Iterator[tuple[str, str, Place]]:
    for members in tarindex.walk(path, nested=False, remedy=remedy):
        offsets, sizes = members.offsets.tolist(), members.bytes.tolist()
        for name, offset, size in zip(members.names, offsets, sizes, strict=True):
            parts = name.split("/")
            start = next((i for i, part in enumerate(parts) if part in _FOLDERS), None)
            if start is not None and not parts[-1].startswith("."):
                base = "".join(f"{part}/" for part in parts[:start])
                yield base, "/".join(parts[start:]), Place(offset, size)


def _listed(data: bytes, where: str) -> dict[str, list[int]]:
    """Image → the numbers of its objects that a layout or action set names."""
    listed: dict[str, list[int]] = {}
    if stray := _NO_TEXT.search(data):
        shown = data[max(stray.start() - 10, 0) : stray.start() + 10]
        raise DataError(
            "not an image set",
            where=where,
            expected="text in ASCII: an image's id a line",
            got=f"byte {data[stray.start()]:#04x} at {stray.start():,}, in {shown!r}",
        )
    for number, line in enumerate(re.split("\r\n|\r|\n", data.decode("ascii")), 1):
        words = line.split()
        if not words:
            continue
        objects = words[1:2]
        if not _ID.fullmatch(words[0]) or (objects and not re.fullmatch(r"-?\d{1,4}", objects[0])):
            raise DataError(
                "bad line of an image set",
                where=f"{where}, line {number}",
                expected="an image's id, and in some sets the number of an object",
                got=ascii(line[:80]),
            )
        if not objects and words[0] in listed:
            raise DataError(f"image {words[0]} is there twice", where=f"{where}, line {number}")
        listed.setdefault(words[0], []).extend(map(int, objects))
    if not listed:
        raise DataError("empty image set", where=where)
    return listed
